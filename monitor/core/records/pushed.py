"""Inputs that clients push: what the store keeps of them. Everything is redacted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class KeptInput:
    """One input that a reservoir keeps."""

    stratum: str
    key: int
    """Its sample key, 64 bits without a sign."""
    count: int
    """Requests of its stratum in the window with this input."""
    messages: tuple[tuple[str, str], ...]
    """Role and text of each message."""


@dataclass(frozen=True, slots=True)
class PushedWindow:
    """What was pushed for one target in one day of a sampling period."""

    target: str
    opened: datetime
    """Start of the day."""
    seed: int
    """Seed of the sample keys: that of the scheduled run at the end of the period, so days can be merged."""
    strata: Mapping[str, int]
    """Requests by stratum."""
    tally: Mapping[str, Any]
    """``Tally.dump()``."""
    inputs: tuple[KeptInput, ...] = ()
    """What the reservoir keeps; in a change, what was added or has another count."""


@dataclass(frozen=True, slots=True)
class PushedChange:
    """The difference between a window in memory and in the store."""

    window: PushedWindow
    dropped: tuple[tuple[str, int], ...]
    """Stratum and key of each stored input that the reservoir no longer keeps."""


@dataclass(frozen=True, slots=True)
class PushedIds:
    """Hashes of the ids of a target's recent inputs, in parts of bounded size."""

    target: str
    part: int
    hashes: bytes
    """8 bytes each, in the order of arrival."""
    oldest: int
    """Parts before this one are no longer needed."""
