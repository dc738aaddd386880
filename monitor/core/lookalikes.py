"""Tells how two texts differ that look the same: normal form, spaces, invisible and look-alike characters.

Nothing is compared here: comparisons see the texts as they are, and say so. This names what a person cannot see.
"""

import unicodedata
from collections import Counter
from typing import Final

MOST_NAMED: Final = 4
"""Characters named on each side; the others are counted."""

_TWINS: Final = str.maketrans(
    dict(zip("АаВСсЕеНІіЈјКМОоРрЅѕТХхҮуѵ", "AaBCcEeHIiJjKMOoPpSsTXxYyv", strict=True))  # Cyrillic
    | dict(zip("ΑΒΕΖΗΙΚΜΝΟοΡΤΥΧνυ", "ABEZHIKMNOoPTYXvu", strict=True))  # Greek
    | dict.fromkeys("‘’‚‛′`´", "'")
    | dict.fromkeys("“”„‟″", '"')
    | dict.fromkeys("‐‑‒–—―−⁃", "-")
    | dict.fromkeys("·•∙⋅", ".")
    | dict.fromkeys("∶։", ":")
)
"""Characters that most fonts draw alike (Unicode Technical Standard 39, confusables)."""
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Co"})


def difference(before: str, after: str) -> str:
    """A sentence on how two texts that look alike differ; empty if they are equal, or differ visibly."""
    if before == after or _seen(before) != _seen(after):
        return ""
    if unicodedata.normalize("NFC", before) == unicodedata.normalize("NFC", after):
        return f"They look alike, but differ in Unicode normal form ({_form(before)} and {_form(after)})."
    mine, theirs = Counter(before), Counter(after)
    sides = [_named(one) for one in (mine - theirs, theirs - mine)]
    if any(sides):
        return f"They look alike, but differ: {sides[0] or 'nothing'} in one, {sides[1] or 'nothing'} in the other."
    return "They look alike, but the same characters are in another order."


def holds_alike(text: str, wanted: str) -> bool:
    """Whether ``text`` contains something that looks like ``wanted``, but is not equal to it."""
    return wanted not in text and bool(_seen(wanted)) and _seen(wanted) in _seen(text)


def _seen(text: str) -> str:
    """What a person sees: compatible forms as one, look-alikes as one, no invisible characters, blanks as one."""
    shown = unicodedata.normalize("NFKC", text.translate(_TWINS))
    if not shown.isprintable():
        shown = "".join(char for char in shown if char.isspace() or unicodedata.category(char) not in _INVISIBLE)
    return " ".join(shown.split())


def _form(text: str) -> str:
    return next((form for form in ("NFC", "NFD", "NFKC") if unicodedata.is_normalized(form, text)), "mixed")


def _named(extra: Counter[str]) -> str:
    """The characters that one side has more of, most frequent first, such as ``2 NO-BREAK SPACE (U+00A0)``."""
    ranked = sorted(extra.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{count} {_name(char)}" for char, count in ranked[:MOST_NAMED]]
    rest = sum(count for _, count in ranked[MOST_NAMED:])
    return ", ".join([*named, *([f"{rest} more"] if rest else [])])


def _name(char: str) -> str:
    known = {"\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\t": "TAB"}.get(char)
    return f"{known or unicodedata.name(char, 'character')} (U+{ord(char):04X})"
