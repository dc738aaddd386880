"""Private keys in PEM blocks: whole, quoted line by line, and cut off at either end."""

import re
from typing import Final

_NAME: Final = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?"
_DASHES: Final = "[-–—]{1,5}"  # word processors join dashes
_BEGIN: Final = re.compile(rf"{_DASHES} ?BEGIN {_NAME} ?{_DASHES}")
_END: Final = re.compile(rf"{_DASHES} ?END {_NAME} ?{_DASHES}")
_LINE_GAP: Final = r"(?:\s|\\[nr]|[>|+,#*\"'`])"
"""What is between two lines of a key: an end of line, also an escaped one, a mark of a quotation, a string's end."""
_BASE64: Final = "[A-Za-z0-9+/=]"
_HEADERS: Final = rf"(?:{_LINE_GAP}{{0,8}}(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): ?[^\r\n\\]{{0,200}}+)*+"
_BODY: Final = re.compile(
    rf"{_HEADERS}(?:{_LINE_GAP}*+{_BASE64}{{16,}}+)*+(?:{_LINE_GAP}{{1,8}}+[A-Za-z0-9+/]{{1,15}}+={{1,2}}+)?"
)
_LINE_GAP_BACKWARDS: Final = r"(?:\s|[nr]\\|[>|+,#*\"'`])"
_BODY_BACKWARDS: Final = re.compile(
    rf"{_LINE_GAP_BACKWARDS}*+{_BASE64}++(?:{_LINE_GAP_BACKWARDS}++{_BASE64}{{16,}}+)*+{_LINE_GAP_BACKWARDS}*+"
)
"""Lines of a key from the last one, which may be short."""
_SHORTEST_BODY: Final = 32
"""Base64 characters before an END without BEGIN that are taken for a key, and not for the words of a question."""


def redact_private_keys(text: str) -> str:
    """Redacts from BEGIN to END. If the block was cut off, BEGIN and the base64 lines after it, or END and those before
    it."""
    if "PRIVATE KEY" not in text:
        return text
    parts: list[str] = []
    at = 0
    ends = True
    while begin := _BEGIN.search(text, at):
        end = _END.search(text, begin.end()) if ends else None
        ends = end is not None
        body = _BODY.match(text, begin.end())
        stop = end.end() if end else body.end() if body else begin.end()
        kept = begin[0] if stop == begin.end() else "‹private-key›"  # only a mention of the marker
        parts += [_without_ends(text[at : begin.start()]), kept]
        at = stop
    return "".join([*parts, _without_ends(text[at:])])


def _without_ends(text: str) -> str:
    """``text``, which has no BEGIN, with each END and the base64 lines before it replaced."""
    parts: list[str] = []
    at = 0
    while end := _END.search(text, at):
        begun = _begin_of_body(text, at, end.start())
        parts += [text[at:begun], end[0] if begun == end.start() else "‹private-key›"]
        at = end.end()
    return "".join([*parts, text[at:]])


def _begin_of_body(text: str, begin: int, end: int) -> int:
    """Where the base64 before ``end`` begins; ``end`` if there is too little of it for a key."""
    before = text[begin:end][::-1]
    found = _BODY_BACKWARDS.match(before)
    body = found[0].rstrip() if found else ""
    return end - len(body) if sum(char.isalnum() for char in body) >= _SHORTEST_BODY else end
