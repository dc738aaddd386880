"""What a redaction rule is: a cheap test, a pattern and a replacement."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_PLACEHOLDERS: Final = (
    "private-key", "ssh-key", "credentials", "api-key", "token", "secret", "email", "iban", "card", "ip", "phone",
    "national-id",
)  # fmt: skip
NOT_AFTER: Final = "".join(f"(?<!‹{name}›)" for name in _PLACEHOLDERS)
NOT_BEFORE: Final = f"(?!‹(?:{'|'.join(_PLACEHOLDERS)})›)"

Replace = Callable[[re.Match[str]], str]
Needs = Callable[[str], object]


class Rule(NamedTuple):
    needs: Needs
    """Cheap test whether the rule can apply at all, because most texts have nothing to redact."""
    pattern: re.Pattern[str]
    replace: Replace | str


def holds(*words: str) -> Needs:
    """Whether the text contains one of the words."""

    def needs(text: str) -> bool:
        for word in words:  # noqa: SIM110 - a loop takes half the time of ``any``, and this runs on every text
            if word in text:
                return True
        return False

    return needs


def says(*words: str) -> Needs:
    """``holds``, in any case."""
    held = holds(*words)
    return lambda text: held(_folded(text))


_folded: Final = lru_cache(maxsize=1)(str.lower)
"""Remembers the text that the rules are trying now."""


def after(first: str, forbidden: str) -> str:
    """Pattern for a first character that does not follow ``forbidden`` or a placeholder.

    The character comes before its lookbehinds, so that the search can skip to it.
    """
    return first + f"(?<!{forbidden}{first})" + "".join(f"(?<!‹{name}›{first})" for name in _PLACEHOLDERS)


def replaced(text: str, rules: Sequence[Rule]) -> str:
    """``text`` after each rule in turn."""
    for rule in rules:
        if rule.needs(text):
            text = rule.pattern.sub(rule.replace, text)
    return text
