"""Cliffwatch detects drift of LLM endpoints before users do."""

from typing import Final

__version__: Final = "0.1.0"
