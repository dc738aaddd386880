"""Suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """The one of ``known`` that is spelt most like ``name``; ``known`` must not be empty."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)[0]
