"""Cuts a key out of a hostile text, in every encoding that a page, a terminal or a person turns back into the key.

A server may echo the key of a request: plain, with JSON or HTML escapes, percent-encoded, in hexadecimal or Base64, in
full-width letters, in other case, or in pieces with blanks, quotes, tags or invisible characters between them. Also
several encodings on top of each other.
"""

import base64
import re
import unicodedata
from array import array
from collections.abc import Iterator
from functools import lru_cache
from html import unescape
from typing import Any, Final

from monitor.ask.protocol import Secret

CUT: Final = "[key]"

LONGEST: Final = 2**18
"""Characters of a text in which an encoded key is located. A longer text with one is replaced as a whole."""

ROUNDS: Final = 4
"""Encodings on top of each other."""

LEAST_CHARACTERISTIC: Final = 12
"""Letters and digits of a key that is also recognised in pieces and in other case. A shorter key may be a word."""

_HEX: Final = "[0-9a-fA-F]"
_CODE: Final = f"(00[0-7aA]{_HEX}|0[34]4[fF]|180[b-eB-E]|20[0-6]{_HEX}|[fF][eEfF]{_HEX}{_HEX})"
"""Code points of ASCII, of invisible and of full-width characters. Others cannot be part of a key."""
_SINGLE: Final = (
    rf"\\\\{{0,7}}u{_CODE}|\\\\{{0,7}}u\{{({_HEX}{{1,6}})\}}"
    rf"|\\\\{{0,7}}U({_HEX}{{8}})|\\\\{{0,7}}x([0-7aA]{_HEX})|%u{_CODE}"
    rf"|%([0-7aA]{_HEX})|=([2-7]{_HEX})|&#[xX]({_HEX}{{1,6}});?"
    r"|\\\\{0,7}([0-1][0-7]{2})|&#([0-9]{1,7});?|&([A-Za-z][A-Za-z0-9]{1,30};)"
)
_ESCAPE: Final = re.compile(_SINGLE)
"""JSON, JavaScript, C and Python, percent, quoted-printable and HTML. Each alternative starts with a literal, so that
the search skips text without escapes."""
_ANY_ESCAPE: Final = re.compile(_SINGLE + r"|\\\\{0,7}([nrtbf\"'/])")
_HEXADECIMAL: Final = 8
"""Number of the last group in hexadecimal; then follow octal, decimal, a name and a plain character."""
_HIDDEN: Final = re.compile(r"\x1b\[[0-9;?]{0,20}[A-Za-z]|</?[A-Za-z][^<>]{0,60}>")
"""Parts of a text that a terminal or a page does not show."""
_NOT_ALPHANUMERIC: Final = bytes(set(range(256)) - set(b"0123456789abcdefghijklmnopqrstuvwxyz"))
_BLANKS: Final = b" \t\r\n\v\f\\"


class KeyScrubber:
    """Cuts one key out of texts. Made once per key by ``scrubber``."""

    def __init__(self, key: str) -> None:
        self._plain = key
        raw = key.encode()
        letters = raw.lower().translate(None, _NOT_ALPHANUMERIC)
        self._characteristic = len(letters) >= LEAST_CHARACTERISTIC and not letters.isdigit() and not letters.isalpha()
        self._packed = (letters, raw.hex().encode()) if self._characteristic else ()
        self._base64 = tuple(_base64_forms(raw)) if len(raw) >= 8 else ()

    def clean(self, text: str) -> str:
        """``text`` without the key. Cut a text to its length only afterwards, because a part of a key is not found."""
        if self._plain in text:
            text = text.replace(self._plain, CUT)
        if not self.is_in(text):
            return text
        if len(text) > LONGEST:
            return CUT
        cut = self._without(text)
        return CUT if self.is_in(cut) else cut

    def clean_json(self, value: Any) -> Any:
        """A copy of parsed JSON without the key in any string or name."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean(name): self.clean_json(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return type(value)(self.clean_json(inner) for inner in value)
        return value

    def is_in(self, text: str) -> bool:
        """Whether the key can be recovered from ``text``. Fast for a text that has no escapes."""
        for _ in range(ROUNDS):
            text = _plain_escapes(text)
            if self._shows(text) or (("\x1b" in text or "<" in text) and self._shows(_HIDDEN.sub("", text))):
                return True
            if _ESCAPE.search(text) is None:
                return False
            text = _ESCAPE.sub(_character, text)
        return self._shows(text)

    def _shows(self, text: str) -> bool:
        if self._plain in text:
            return True
        if not text.isascii() and not unicodedata.is_normalized("NFKC", text):
            text = unicodedata.normalize("NFKC", text)
        raw = text.encode("ascii", "ignore")
        if not self._characteristic:
            return not text.isascii() and self._plain.encode() in raw
        packed = raw.lower().translate(None, _NOT_ALPHANUMERIC)
        if any(form in packed for form in self._packed):
            return True
        joined = raw.translate(None, _BLANKS)
        return any(form in joined for form in self._base64)

    def _without(self, text: str) -> str:
        """``text`` with each place cut out where the key shows after decoding."""
        starts, ends = array("I", range(len(text))), array("I", range(1, len(text) + 1))
        places: list[tuple[int, int]] = []
        decoded = text
        for _ in range(ROUNDS + 1):
            for first, last in self._places(decoded):
                places.append((starts[first], ends[last]))
            hidden = _rewritten(_HIDDEN, "", decoded, starts, ends)
            for first, last in self._places(hidden[0]):
                places.append((hidden[1][first], hidden[2][last]))
            following = _rewritten(_ANY_ESCAPE, None, decoded, starts, ends)
            if following[0] == decoded:
                break
            decoded, starts, ends = following
        return _cut_out(text, places)

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """First and last character of each place in ``text`` where the key shows."""
        packed, joined, visible = (_Kept() for _ in range(3))
        for place, character in enumerate(text):
            for one in character if character.isascii() else unicodedata.normalize("NFKC", character):
                if one.isascii():
                    visible.add(one, place)
                    if not one.isspace() and one != "\\":
                        joined.add(one, place)
                    if one.isalnum():
                        packed.add(one.lower(), place)
        yield from visible.places((self._plain.encode(),))
        yield from packed.places(self._packed)
        yield from joined.places(self._base64 if self._characteristic else ())


class _Kept:
    """The characters of a text that remain, each with its place in the text."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self._origins: list[int] = []

    def add(self, character: str, origin: int) -> None:
        self._characters.append(character)
        self._origins.append(origin)

    def places(self, forms: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
        text = "".join(self._characters)
        for form in forms:
            for match in re.finditer(re.escape(form.decode()), text):
                yield self._origins[match.start()], self._origins[match.end() - 1]


@lru_cache(maxsize=256)
def scrubber(key: Secret) -> KeyScrubber:
    """The scrubber of a key, which is compared by identity."""
    return KeyScrubber(key.reveal())


def _plain_escapes(text: str) -> str:
    """``text`` without the escapes that nearly every JSON text has."""
    if "\\" in text:
        for escape, plain in (("\\n", " "), ("\\r", " "), ("\\t", " "), ('\\"', '"'), ("\\/", "/")):
            text = text.replace(escape, plain)
    return text


def _base64_forms(key: bytes) -> Iterator[bytes]:
    """The characters of Base64 that depend on the key alone, at each of its three positions in a longer text."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + key)
        first = -(-before * 4 // 3)
        whole = (before + len(key)) * 8 // 6
        core = encoded[first:whole]
        yield core
        if b"+" in core or b"/" in core:
            yield core.replace(b"+", b"-").replace(b"/", b"_")


def _character(match: re.Match[str]) -> str:
    """The character of an escape; the escape itself if it is none."""
    group = match.lastindex or 0
    digits = match[group]
    if group > _HEXADECIMAL + 2:
        return unescape(match[0]) if match[0].startswith("&") else " " if digits in "nrtbf" else digits
    code = int(digits, 16 if group <= _HEXADECIMAL else 8 if group == _HEXADECIMAL + 1 else 10)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]


def _rewritten(
    pattern: re.Pattern[str], new: str | None, text: str, starts: "array[int]", ends: "array[int]"
) -> tuple[str, "array[int]", "array[int]"]:
    """``text`` with matches replaced by ``new`` (``None``: decoded), and for each character where it came from."""
    parts, origins, stops, at = list[str](), array("I"), array("I"), 0
    for match in pattern.finditer(text):
        replacement = _character(match) if new is None else new
        parts += [text[at : match.start()], replacement]
        origins.extend(starts[at : match.start()])
        stops.extend(ends[at : match.start()])
        origins.extend([starts[match.start()]] * len(replacement))
        stops.extend([ends[match.end() - 1]] * len(replacement))
        at = match.end()
    origins.extend(starts[at:])
    stops.extend(ends[at:])
    return "".join([*parts, text[at:]]), origins, stops


def _cut_out(text: str, places: list[tuple[int, int]]) -> str:
    parts, at = list[str](), 0
    for start, end in sorted(places):
        if start >= at:
            parts += [text[at:start], CUT]
        at = max(at, end)
    return "".join([*parts, text[at:]])
