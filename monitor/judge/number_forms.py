"""The forms in which numbers are written: digits of all scripts, separators, fractions, powers and scales."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

Meaning = tuple[float | None, tuple[float, ...]]
"""A value, ``None`` if it has several meanings, and its other meanings."""

_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_PUNCTUATION: Final = str.maketrans(
    {"，": ",", "．": ".", "－": "-", "﹣": "-", "−": "-", "＋": "+", "％": "%", "٪": "%", "⁄": "/", "∕": "/", "’": "'",
     "＇": "'", "\u00a0": "\u2009", "\u202f": "\u2009", "\u2007": "\u2009", "＝": "=", "（": "(", "）": ")",
     "：": ":", "､": ",", "＄": "$", "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None,
     "‑": "-", "‒": "-", "\u200e": None, "\u200f": None, "\u00ad": None}
)  # fmt: skip
_LATEX: Final = (
    (re.compile(r"\\[dt]?frac\s?\{(-?[0-9]{1,15})\}\s?\{([0-9]{1,15})\}"), r" \1/\2"),
    (re.compile(r"\{([.,])\}"), r"\1"),
    (re.compile(r"\\[,;:! ]"), "\u2009"),
    (re.compile(r"\\(?:times|cdot)(?![a-z])"), "×"),
    (re.compile(r"\^\{(-?[0-9]{1,4})\}"), r"^\1"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|bf)\s?\{([^{}]{0,200})\}"), r"\1"),
    (re.compile(r"\\([%$&#_])"), r"\1"),
    (re.compile(r"\\[()\[\]]|\$\$"), " "),
)
_STRUCK: Final = re.compile(r"~~[^~]{0,500}~~")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,80}>")
_EMPHASIS: Final = re.compile(r"\*\*|__|`|(?<!\S)[*_](?=[^\s*_])|(?<=[^\s*_])[*_](?![\w*])")

CURRENCY: Final = r"(?:US\$|[$€£¥₹₩₽]|(?:USD|EUR|CHF|GBP|JPY|INR|Rs\.?|kr\.?|SFr\.?|Fr\.)(?![A-Za-z]))"
GAP: Final = "[ \u2009]"
NUMBER: Final = re.compile(
    rf"(?:(?<![\w)%\u2009.,])(?P<sign>[-+–±])(?P<apart>[ ])?)?(?:(?<![A-Za-z]){CURRENCY}{GAP}?(?P<inner>-)?)?"
    r"(?<![0-9])(?<![0-9][.,/:])(?P<body>"
    rf"[0-9]{{1,3}}(?:{GAP}[0-9]{{3}})+(?![0-9])(?:[.,][0-9]+(?![0-9]|[.,][0-9]))?"
    r"|[0-9](?:[0-9]|[.,'_\u066b\u066c](?=[0-9]))*|(?<![\w)\]])[.\u066b][0-9]+)"
    r"(?:[eE](?P<e>[-+]?[0-9]{1,4})(?![0-9A-Za-z])"
    r"|[ ]?[×x*·⋅][ ]?10\^(?P<ten>[-+]?[0-9]{1,4})|\^(?P<power>-?[0-9]{1,3}))?"
    r"(?:(?P<mixed>[ \u2009]{1,2}[0-9]{1,4})?/(?P<under>[0-9]{1,9})(?![0-9/]))?"
)
SCALES: Final = (
    (re.compile(r"[ \u2009]?(?:thousand|tausend|mille?)\b|k(?![A-Za-z])", re.IGNORECASE), 1e3),
    (re.compile(r"[ \u2009]?(?:millions?|millionen|mio\b\.?|mln\b|lakh crore)\b|M(?![A-Za-z\"'])", 0), 1e6),
    (re.compile(r"[ \u2009]?(?:Millions?|Millionen|Mio\.?|Mill\.)(?![a-z])", 0), 1e6),
    (re.compile(r"[ \u2009]?(?:billions?|milliarden?|milliards?|mrd\b\.?)|bn(?![A-Za-z])", re.IGNORECASE), 1e9),
    (re.compile(r"[ \u2009]?(?:trillions?)\b", re.IGNORECASE), 1e12),
    (re.compile(r"[ \u2009]?(?:lakhs?)\b", re.IGNORECASE), 1e5),
    (re.compile(r"[ \u2009]?(?:crores?)\b", re.IGNORECASE), 1e7),
    (re.compile(r"[ \u2009]?(?:dozen|dutzend)\b", re.IGNORECASE), 12.0),
    (re.compile(r"[ \u2009]?(?:hundred|hundert)\b", re.IGNORECASE), 100.0),
)  # fmt: skip
_POINT_WORDS: Final = frozenset(
    ("the", "is", "are", "of", "what", "how", "many", "much", "answer", "total", "it", "costs", "cost", "does", "with",
     "only", "which", "number", "there", "have", "has", "this", "that", "and", "you", "your", "would", "result", "so",
     "therefore", "each", "per", "gives")
)  # fmt: skip
"""Common English words."""
_COMMA_WORDS: Final = frozenset(
    ("der", "das", "dem", "den", "ist", "sind", "kostet", "kosten", "wie", "viel", "viele", "wieviel", "und", "ein",
     "eine", "einen", "mit", "nur", "antwort", "zahl", "beträgt", "es", "le", "les", "est", "sont", "coûte", "combien",
     "réponse", "des", "une", "il", "di", "costa", "quanto", "risposta", "het", "een", "kost", "hoeveel", "antwoord",
     "uma", "custa", "são", "czy", "jest", "ile", "kosztuje", "på", "är", "och", "hur", "många")
)  # fmt: skip
"""Common words of German, French, Italian, Dutch, Portuguese, Polish and Swedish. Spanish is used with both
separators."""


def plain_text(text: str) -> str:
    """``text`` in ASCII digits and one form of signs and blanks, without markdown, HTML tags and LaTeX commands."""
    text = re.sub(r"(?<![0-9.,])10([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,4})", lambda m: "10^" + m[1].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", "", text)
    text = re.sub(r"[¼-¾⅐-⅞↉]", _vulgar, text).translate(_PUNCTUATION)
    text = re.sub(r"[^\x00-\x7f]", lambda m: _digit(m[0]), text)
    for pattern, new in _LATEX:
        text = pattern.sub(new, text)
    return _EMPHASIS.sub("", _TAG.sub(" ", _STRUCK.sub(" ", text)))


def _vulgar(match: re.Match[str]) -> str:
    return " " + unicodedata.normalize("NFKC", match[0]).replace("\u2044", "/")


def _digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def convention_of(
    plain: str, prompt: str, found: Sequence[re.Match[str]], decimal: str | None
) -> tuple[str | None, str]:
    """The decimal separator of the answer, and where it was found."""
    if decimal is not None:
        return decimal, f"decimal {decimal!r} as configured"
    certain = {sure for m in found if (sure := _certain_decimal(m["body"])) is not None}
    if len(certain) == 1:
        return certain.pop(), "by the other numbers of the answer"
    for words, where in ((plain, "answer"), (prompt[-20_000:], "prompt")):
        said = re.findall(r"[^\W\d_]+", words.lower())
        point, comma = sum(w in _POINT_WORDS for w in said), sum(w in _COMMA_WORDS for w in said)
        if max(point, comma) > 2 * min(point, comma):
            return ("." if point > comma else ","), f"by the words of the {where}"
    return None, ""


def _certain_decimal(body: str) -> str | None:
    """The decimal separator that ``body`` must have; ``None`` if it has none, or could have either."""
    body = body.replace(" ", "'").replace("\u2009", "'").replace("_", "'")
    marks = [c for c in body if c in ".,"]
    if not marks or "\u066b" in body or "\u066c" in body:
        return None
    last = marks[-1]
    if len(set(marks)) == 2:
        return last
    whole, _, rest = body.partition(last)
    if len(marks) > 1:
        return ("," if last == "." else ".") if _grouped(body, last) else None
    if "'" in whole or len(rest) != 3 or len(whole) > 3 or whole in ("", "0"):
        return last
    return None


def _grouped(body: str, mark: str) -> bool:
    """Whether ``mark`` separates groups of three digits, or those of India (12,34,567)."""
    first, *middle, last = body.split(mark)
    if not first or first.startswith("0") or len(last) != 3:
        return False
    return (len(first) <= 3 and all(len(g) == 3 for g in middle)) or (
        len(first) <= 2 and mark == "," and all(len(g) == 2 for g in middle) and bool(middle)
    )


def numerals(body: str, convention: str | None) -> tuple[float | None, tuple[float, ...], str]:
    """Value of the digits, other meanings, and the rule."""
    if "\u066b" in body or "\u066c" in body:
        return float(body.replace("\u066c", "").replace(",", "").replace("\u066b", ".")), (), "Arabic separators"
    spaced = " " in body
    body = re.sub("[ \u2009'_]", "", body)
    other = (float(body[-3:]),) if spaced and body.isdigit() else ()
    marks = [c for c in body if c in ".,"]
    if not marks:
        return float(body), other, "blanks group digits" if spaced else ""
    sure = _certain_decimal(body)
    if sure is None and len(marks) == 1:
        return _either_way(body, marks[0], convention)
    return _by_decimal(body, sure)


def _either_way(body: str, mark: str, convention: str | None) -> tuple[float | None, tuple[float, ...], str]:
    grouped, fraction = float(body.replace(mark, "")), float(body.replace(mark, "."))
    if convention is None:
        return None, (grouped, fraction), f"ambiguous: {grouped:.15g} or {fraction:.15g}"
    if convention == mark:
        return fraction, (grouped,), f"decimal {mark!r}"
    return grouped, (fraction,), f"{mark!r} groups digits"


def _by_decimal(body: str, decimal: str | None) -> tuple[float | None, tuple[float, ...], str]:
    if decimal is None:  # neither groups of digits nor a decimal number: 1.2.3 or 1,2,3
        parts = [float(part) for part in re.split("[.,]", body) if part]
        return None, tuple(parts) if "," in body else (), f"{body!r} is no number"
    group = "," if decimal == "." else "."
    whole, _, rest = body.partition(decimal)
    if group in rest or decimal in rest or (group in whole and not _grouped(whole, group)):
        return None, tuple(float(part) for part in re.split("[.,]", body) if part), f"{body!r} is no number"
    value = float(f"{whole.replace(group, '') or '0'}.{rest or '0'}")
    return value, (), "" if decimal == "." else "decimal ','"


def with_fraction(chosen: re.Match[str], value: float | None, others: tuple[float, ...]) -> Meaning:
    if chosen["under"] is None or value is None or not float(chosen["under"]):
        return value, others
    under = float(chosen["under"])
    if chosen["mixed"] is not None:
        return value + float(chosen["mixed"]) / under, (float(chosen["mixed"]) / under,)
    return value / under, ((value,) if under in (5, 10, 20, 100) else ())  # 9/10 may be nine of ten


def with_power(chosen: re.Match[str], value: float | None, others: tuple[float, ...]) -> Meaning:
    exponent = chosen["e"] or chosen["ten"]
    try:
        if exponent is not None:
            by = 10.0 ** int(exponent)
            return None if value is None else value * by, tuple(o * by for o in others)
        if chosen["power"] is not None and value is not None:
            return value ** int(chosen["power"]), others
    except (OverflowError, ZeroDivisionError):
        return math.inf, ()
    return value, others
