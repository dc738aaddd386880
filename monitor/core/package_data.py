"""Location of the data files that ship with the program: suites, dashboards, alert rules."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(kind: Literal["probes", "dashboards", "alerts"]) -> Path:
    """Folder of the shipped ``kind``: inside the package in a wheel, at the top of the repository in a checkout."""
    packaged = _PACKAGE / "_shipped" / kind
    return packaged if packaged.is_dir() else _PACKAGE.parent / kind
