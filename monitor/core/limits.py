"""Numbers on which several surfaces agree."""

from typing import Final

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 9464
"""Where a daemon listens that was told nothing else."""
