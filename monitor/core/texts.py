"""Whether an answer has a text, and how an answer without one is shown.

A text is empty if a reader of the reply sees nothing of it: no characters, only white space and invisible characters,
or only a block of reasoning that the server did not separate, such as ``<think>...</think>``. A word such as ``null``
or ``None`` is a text.
"""

import re
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from struct import unpack
from typing import Final

EMPTY: Final = "(empty)"
"""Shown in place of an empty text."""

NOT_ASKED: Final = "—"
"""Shown in place of an answer that does not exist."""

_FIRST: Final = 0x4E00
"""The first of 16,384 letters of ``stand_in``."""
_PER_BLOCK: Final = 16

_UNSEEN: Final = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
"""Characters that are drawn as nothing although their category is that of letters, marks or symbols: the joiner, the
Hangul fillers, Khmer's inherent vowels, and blank Braille."""
_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn"})
"""Unicode 16.0, table 4-4. A non-spacing mark is drawn on the letter before it, so marks alone show nothing to read."""
_TAGS: Final = "think|thinking|thought|thoughts|reasoning|reason|analysis|seed:think"
_BLOCK: Final = re.compile(
    rf"<(?P<tag>{_TAGS})\b[^>]*>.*?(?:</(?P=tag)\s*>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<\|channel\|>\s*(?:analysis|commentary)\b.*?(?:<\|end\|>|(?=<\|start\|>)|\Z)"
    r"|<unused94>.*?(?:<unused95>|\Z)"
    r"|<\|(?:begin|start)_of_thought\|>.*?(?:<\|end_of_thought\|>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""A block of reasoning, closed or cut off: DeepSeek R1, Qwen 3 and their like, Seed, Magistral, Kimi, gpt-oss,
MedGemma, OpenThinker, by their chat templates."""
_CLOSED: Final = re.compile(
    rf"\A(?:.*\n)?[ \t]*(?:</(?:{_TAGS})\s*>|\[/THINK\]|◁/think▷|<unused95>|<\|end_of_thought\|>)",
    re.DOTALL | re.IGNORECASE,
)
"""Reasoning whose opening tag is in the prompt, up to its closing tag on a line of its own."""
_OPENERS: Final = frozenset("<[◁")
_CLOSERS: Final = frozenset(">]▷")
_THINK: Final = "`<think>`"


def deleted_text(days: int | None) -> str:
    """Stored and shown in place of a text that was deleted after its days in ``retention``; ``None``: on request.

    Whether a text was deleted is read from ``Store.deletions``, never from this.
    """
    return "(deleted on request)" if days is None else f"(deleted after {days:,} day{'' if days == 1 else 's'})"


def not_kept_text(chars: int) -> str:
    """Stored and shown in place of a text with ``keep: hashes``."""
    return f"(not stored: {chars:,} character{'' if chars == 1 else 's'})" if chars else ""


def stand_in(hashed: str, chars: int) -> str:
    """A text of ``chars`` characters for a keyed hash: equal hashes have equal texts, and nothing else is in common.

    Detectors that use only lengths and equality read it as they read the text itself. Each character has 14 bits of
    SHA-256 in counter mode, so two texts of one character are still told apart (1 in 16,384 are not).
    """
    blocks = (sha256(f"{hashed}/{number}".encode()).digest() for number in range(-(-chars // _PER_BLOCK)))
    pairs = (pair for block in blocks for pair in unpack(f">{_PER_BLOCK}H", block))
    return "".join(chr(_FIRST + (pair & 0x3FFF)) for pair, _ in zip(pairs, range(chars), strict=False))


def is_empty(text: str) -> bool:
    """Whether a reader sees nothing of the text; see the module.

    >>> [is_empty(text) for text in ("", " \\n", "\\u200b\\ufeff", "<think>21 days</think>\\n", "null", ".")]
    [True, True, True, True, False, False]
    """
    first, last = text[:1], text[-1:]
    if first.isascii() and first.isalnum() and not last.isspace() and last not in _CLOSERS:
        return False  # nearly always
    inner = _trimmed(text)
    return not inner or _thought(inner)


def is_only_reasoning(text: str) -> bool:
    """Whether the text is a block of reasoning and nothing else."""
    inner = _trimmed(text)
    return bool(inner) and _thought(inner)


def _thought(inner: str) -> bool:
    if inner[0] not in _OPENERS and inner[-1] not in _CLOSERS:
        return False
    rest = _CLOSED.sub("", _BLOCK.sub("", inner))
    return rest != inner and not _trimmed(rest)


def _trimmed(text: str) -> str:
    """The text without what is not seen at both ends."""
    start, end = 0, len(text)
    while start < end and _unseen(text[start]):
        start += 1
    while start < end and _unseen(text[end - 1]):
        end -= 1
    return text[start:end]


def _unseen(character: str) -> bool:
    return character in _UNSEEN or unicodedata.category(character) in _INVISIBLE_CATEGORIES


def shown(text: str) -> str:
    """The text as people see it: ``(empty)`` in front of one that is empty.

    >>> shown(""), shown("21 days"), shown("<think>Hm.</think>")
    ('(empty)', '21 days', '(empty) <think>Hm.</think>')
    """
    return f"{EMPTY} {text.strip()}".rstrip() if is_empty(text) else text


def place_of(text: str, text_in: str | None) -> str | None:
    """Where the text of an empty answer is: ``text_in``, the field of the reply, or the block of reasoning."""
    return text_in or (_THINK if is_only_reasoning(text) else None)


def located(places: Mapping[str, int], empty: int) -> str:
    """Where the texts of ``empty`` answers are, as a clause; empty if nothing is known. ``places``: place -> answers.

    >>> located({"reasoning": 24}, 24), located({"`<think>`": 2}, 24), located({}, 24)
    ('the text is in `reasoning`', 'the text of 2 of them is in `<think>`', '')
    """
    if not places:
        return ""
    place, count = min(places.items(), key=lambda one: (-one[1], one[0]))
    quoted = place if place.startswith("`") else f"`{place}`"
    return f"the text is in {quoted}" if count == empty else f"the text of {count} of them is in {quoted}"
