"""Where the data files lie that ship with the program: suites, dashboards, alert rules."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def shipped(kind: Literal["probes", "dashboards", "alerts"]) -> Path:
    """The folder of shipped ``kind``: inside the package of a wheel, at the top of the repository in a checkout."""
    packaged = _PACKAGE / "_shipped" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind
