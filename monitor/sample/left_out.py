"""The error for what a sample leaves out, with its reason."""

from collections.abc import Mapping
from typing import Any

from monitor.core.records import LeftOutReason


class LeftOutError(ValueError):
    """A logged request cannot be asked."""

    def __init__(self, reason: LeftOutReason, detail: str = "", text: str = "") -> None:
        """``detail``: what was found, without a text of the request. ``text``: a placeholder, to count its repeats."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.text = text


def kind_of(value: Any) -> str:
    """The kind of a JSON value in words.

    >>> kind_of({}), kind_of([]), kind_of(" "), kind_of(None), kind_of(3)
    ('an empty object', 'an empty list', 'an empty text', 'nothing', 'a number')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text" if value.strip() else "an empty text"
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    return "a list" if value else "an empty list"
