"""Reads the number that an answer states, in the forms that people write numbers, without guessing.

``docs/suites.md`` has the rules. Each step is linear in the length of the answer.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.judge.number_forms import (
    CURRENCY,
    GAP,
    NUMBER,
    SCALES,
    Meaning,
    convention_of,
    numerals,
    plain_text,
    with_fraction,
    with_power,
)

MOST_CHARS: Final = 20_000
"""Characters of an answer that are read: the last ones, because the result comes last."""

MOST_STATEMENTS: Final = 50
"""Statements of a result that are read: the last ones."""

_RUN_ON: Final = re.compile(
    r"\n[\s#*>]{0,8}(?:question|q|problem|exercise|frage|aufgabe|user|human|instruction|input|prompt|example)"
    r"[ \t]?[0-9]{0,3}\**[ \t]?:|<\|(?:im_|eot|end|user|system|start)|\[INST\]|\n#{2,4} ?(?:instruction|input|user)\b",
    re.IGNORECASE,
)
_STATED: Final = re.compile(
    r"####|\\boxed\s?\{|"
    r"\b(?:(?:final|correct|exact)[ \t]+)?(?:answer|result|solution|antwort|ergebnis|lösung|réponse|résultat|respuesta|"
    r"resultado|risposta|risultato|resposta|antwoord)\b"
    r"(?:[ \t]+(?:is|are|was|equals|ist|lautet|beträgt|wäre|est|es|è|é)\b(?:[ \t]+(?:about|approximately|exactly|thus|"
    r"therefore|then|also|etwa|rund|genau|ungefähr))?|[ \t]*[:=])",
    re.IGNORECASE,
)
_REASON: Final = re.compile(
    r",[ ]|\b(?:because|since|as|where|if|when|with|given|for|weil|da|denn|wenn|wobei|mit|car|parce|perché|porque)\b",
    re.IGNORECASE,
)
"""What comes after it in a statement is no longer the result."""
_CLAUSE: Final = re.compile(r"\n|[.!?;](?=\s|$)|$")

_DATE: Final = re.compile(
    r"(?<![0-9.])(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?:T[0-9:.+Z-]*)?|[0-9]{1,2}[/.-][0-9]{1,2}[/.-](?:[0-9]{4}|[0-9]{2})"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)(?![0-9])"
    r"|(?<![0-9.])[0-9]{1,2}(?:st|nd|rd|th|\.)?[ ](?:of[ ])?(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|märz|"
    r"apr(?:il)?|may|mai|june?|juni|july?|juli|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|okt(?:ober)?|nov(?:ember)?|"
    r"de[cz](?:ember)?)\b\.?,?(?:[ ][0-9]{4}(?![0-9]))?"
    r"|\b(?:jan(?:uary)?|feb(?:ruary)?|march|april|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    r"dec(?:ember)?)\.?[ ][0-9]{1,2}(?:st|nd|rd|th)?(?:,?[ ][0-9]{4})?(?![0-9.,])",
    re.IGNORECASE,
)
_NOT_A_RESULT: Final = re.compile(
    rf"{GAP}?-?(?:decimals?|digits?|places?|significant|d\.?p\.?\b|s\.?f\.?\b|stellen?|nachkomma|dezimal|décimales?|"
    r"chiffres?|decimales|cifre|cifras)",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(
    r"(?:\b(?:step|question|figure|fig\.|table|equation|section|chapter|option|example|part|schritt|frage|tabelle|"
    r"abbildung|kapitel|page|seite)[ ]?#?|\w[ ]?\[)$",
    re.IGNORECASE,
)
_DENIED: Final = re.compile(
    r"(?:\b(?:not|isn't|wasn't|never|nicht|kein|keine|statt|anstatt|pas|instead of|rather than|no longer|unlike))"
    rf"[ ]?{CURRENCY}?[ ]?$",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(
    rf"^{GAP}*(?:[^\W\d_]{{1,12}}|%|{CURRENCY})?{GAP}*"
    rf"(?P<link>-|–|—|~|/|\bto\b|\bbis\b|\bor\b|\boder\b|\bou\b|\bà\b|\band\b|\bund\b|"
    r"\bthrough\b|\bout of\b|\bof\b|\bvon\b|±)"
    rf"{GAP}*{CURRENCY}?{GAP}*$",
    re.IGNORECASE,
)
_SPAN_OPENS: Final = re.compile(rf"\b(?P<word>between|zwischen|entre|from|von|de)[ ]?{CURRENCY}?[ ]?$", re.IGNORECASE)
_OPERATOR: Final = re.compile(rf"^{GAP}*(?:[+×*÷]|-(?= )|:(?=[ ]?[0-9]))")
_SPELLED: Final = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{3,6}teen|(?:twen|thir|for|fif|six|"
    r"seven|eigh|nine)ty(?:-\w{3,5})?|hundred|thousand|million|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun|"
    r"zehn|elf|zwölf|\w{0,20}(?:zehn|zig|ßig|hundert|tausend)|half|halb)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The number that an answer states."""

    raw: str
    """As written; empty if there is none."""
    value: float | None
    """``None`` if the answer states no number, or one that has several meanings."""
    others: tuple[float, ...] = ()
    """What else it could mean."""
    how: str = ""
    """The rule by which it was read, or why it was not."""
    usual: bool = False
    """It is the last number of the answer, and can be read in one way only."""


def read_number(text: str, *, decimal: str | None = None, prompt: str = "") -> Reading:
    """The number that ``text`` states as its result.

    Args:
        text: the answer.
        decimal: decimal separator of numbers that can be read both ways, ``.`` or ``,``; ``None`` finds it in the
            other numbers of the answer, then in the words of the answer and of ``prompt``.
        prompt: the question.
    """
    plain = plain_text(text[-MOST_CHARS:])
    first = re.search("[0-9]", plain)
    run_on = _RUN_ON.search(plain, first.end() if first else len(plain))
    plain = plain[: run_on.start() if run_on else len(plain)]
    every = [m for m in NUMBER.finditer(plain) if not _in_a_word(m, plain)]
    found, labels = [m for m in every if not _is_label(m, plain)], every
    undated = _outside_dates(plain, found) or _outside_dates(plain, labels)
    if not undated:
        return _none(plain, dated=bool(found))
    chosen, how = _choose(plain, undated)
    if chosen is None:
        return Reading("", None, (), how)
    convention = convention_of(plain, prompt, undated, decimal)
    return _meaning(plain, undated, chosen, convention, how)


def _outside_dates(plain: str, found: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    dates = [m.span() for m in _DATE.finditer(plain)]
    starts = [start for start, _ in dates]
    kept = []
    for match in found:
        at = match.start("body")
        date = bisect_right(starts, at) - 1
        if date < 0 or at >= dates[date][1]:
            kept.append(match)
    return kept


def _none(plain: str, *, dated: bool) -> Reading:
    if dated:
        return Reading("", None, (), "no number, only a date or a time")
    spelled = _SPELLED.search(plain)
    if spelled is not None and (len(spelled[0]) > 4 or len(plain.split()) <= 2):  # "no one knows" states no number
        return Reading(spelled[0], None, (math.nan,), f"number in words, which is not read: {spelled[0]!r}")
    return Reading("", None, (), "no number")


def _in_a_word(match: re.Match[str], plain: str) -> bool:
    """Whether this is no number at all: a part of a name, a tolerance or a hexadecimal number."""
    start, end = match.start("body"), match.end()
    before = plain[max(0, match.start() - 3) : match.start()]
    if match["sign"] is None and match.start() == start and re.search(r"[A-Za-z]-?$", before):
        return True
    if match["sign"] == "±" or (match["sign"] == "-" and re.search(r"[A-Za-z]$", before)):
        return True
    return match["body"] == "0" and re.match(r"[xX][0-9A-Fa-f]", plain[end : end + 2]) is not None


def _is_label(match: re.Match[str], plain: str) -> bool:
    """Whether this counts something else: a step, a citation or an entry of a list."""
    start, end = match.start("body"), match.end()
    before = plain[max(0, match.start() - 24) : match.start()]
    if match["sign"] is None and match.start() == start and _LABEL.search(before):
        return True
    margin = plain[max(0, start - 12) : start]
    opens_line = ("\n" in margin or start <= 12) and not margin.rpartition("\n")[2].strip(" (#>-")
    return bool(opens_line and "." not in match["body"] and re.match(r"[.)][ \t]+\S", plain[end : end + 8]))


def _choose(plain: str, found: Sequence[re.Match[str]]) -> tuple[re.Match[str] | None, str]:
    """The number that counts: that of the last statement of a result, else the last one of the answer."""
    stated = [m for m in found if not _denied(plain, m)]
    if not stated:
        return None, f"no number but what it is not, {found[-1][0].strip()!r}"
    counted = [m for m in stated if not _NOT_A_RESULT.match(plain, m.end())] or stated
    for statement in reversed(list(_STATED.finditer(plain))[-MOST_STATEMENTS:]):
        stop = _clause_end(plain, statement.end(), found)
        inside = [m for m in counted if statement.end() <= m.start() < stop]
        if inside:
            return _of_statement(plain, inside, statement)
    return next((m for m in reversed(counted) if not _in_parentheses(plain, m)), counted[-1]), ""


def _of_statement(
    plain: str, inside: Sequence[re.Match[str]], statement: re.Match[str]
) -> tuple[re.Match[str] | None, str]:
    how = f"after {' '.join(statement[0].split())!r}"
    last_equals = plain.rfind("=", statement.end(), inside[-1].start())
    if last_equals >= 0 and not _REASON.search(plain, statement.end(), last_equals):
        return next(m for m in inside if m.start() > last_equals), how
    first = inside[0]
    if len(inside) > 1 and _OPERATOR.match(plain[first.end() : inside[1].start()]):
        return None, "a calculation without its result"
    return first, how


def _clause_end(plain: str, start: int, found: Sequence[re.Match[str]]) -> int:
    """End of the clause from ``start`` that has a number; a point inside a number does not end it."""
    following = next((m for m in found if m.start() >= start), None)
    at = start
    while (end := _CLAUSE.search(plain, at)) is not None:
        blank = following is not None and not plain[start : end.start()].strip(" \t\n:*$\\[(")
        if end.start() >= len(plain) or not blank:
            return end.start()
        at = end.end() if end.end() > at else at + 1
    return len(plain)


def _denied(plain: str, match: re.Match[str]) -> bool:
    return _DENIED.search(plain[max(0, match.start() - 24) : match.start()]) is not None


def _in_parentheses(plain: str, match: re.Match[str]) -> bool:
    line = plain.rfind("\n", 0, match.start()) + 1
    head = plain[max(line, match.start() - 2000) : match.start()]
    return head.count("(") > head.count(")")


def _meaning(
    plain: str, found: Sequence[re.Match[str]], chosen: re.Match[str], convention: tuple[str | None, str], how: str
) -> Reading:
    """The whole of the stated form: digits, fraction, power, sign, scale, and whether it is one of several numbers."""
    value, others, rule = numerals(chosen["body"], convention[0])
    if value is not None and others and convention[1]:
        rule = f"{rule}, {convention[1]}"
    value, others = with_fraction(chosen, value, others)
    value, others = with_power(chosen, value, others)
    end = chosen.end()
    scale = next((by for words, by in SCALES if words.match(plain, end)), None)
    if scale is not None and value is not None:
        value, others = value * scale, (*others, value, *(o * scale for o in others))
    elif re.match(r"[ \u2009]?(?:%|percent\b|prozent\b|per cent\b|pct\b)", plain[end : end + 9], re.IGNORECASE):
        others = (*others, *(() if value is None else (value / 100,)))
    value, others = _signed(plain, chosen, value, others)
    raw = plain[chosen.start() : end].strip()
    several = _several(plain, found, chosen)
    if several is not None:
        return several if value is None else _with_others(several, value)
    told = "; ".join(part for part in (rule, how or "the last number") if part)
    return Reading(raw, value, others, told, usual=not rule and not how)


def _with_others(several: Reading, value: float) -> Reading:
    return several if several.value is not None or not several.others else Reading(
        several.raw, None, (*several.others, value), several.how)  # fmt: skip


def _signed(plain: str, chosen: re.Match[str], value: float | None, others: tuple[float, ...]) -> Meaning:
    if chosen["sign"] in ("-", "–") or chosen["inner"]:
        before = plain[max(0, chosen.start() - 24) : chosen.start()].rstrip(" \u2009")
        if chosen["apart"] and not before.endswith(("=", "(", ":")):  # a bullet or a dash, hardly a sign
            return value, (*others, *(() if value is None else (-value,)))
        return None if value is None else -value, tuple(-o for o in others)
    after = plain[chosen.end() : chosen.end() + 8].lstrip(" \u2009€$£%")
    if plain[max(0, chosen.start() - 1) : chosen.start()] != "(" or not after.startswith(")") or value is None:
        return value, others
    money = re.search(CURRENCY, chosen[0]) or re.search("[.,']", chosen["body"])  # (1,234.50) is a loss
    return (-value, (*others, value)) if money else (value, (*others, -value))


def _several(plain: str, found: Sequence[re.Match[str]], chosen: re.Match[str]) -> Reading | None:
    """Whether the chosen number is one end of a range, one of two alternatives, or the whole of "3 of 10"."""
    place = found.index(chosen)
    before = found[place - 1] if place else None
    after = found[place + 1] if place + 1 < len(found) else None
    for first, second in ((before, chosen), (chosen, after)):
        if first is None or second is None:
            continue
        text = plain[first.end() : second.start()]
        if second["sign"] in ("-", "–") and not text.strip():
            text += "-"
        link = _BETWEEN.match(text) if len(text) < 40 else None
        if link is not None and (found_one := _linked(plain, first, second, link["link"].lower())) is not None:
            return found_one
    return None


def _linked(plain: str, first: re.Match[str], second: re.Match[str], link: str) -> Reading | None:
    raw = plain[first.start() : second.end()].strip()
    opens = _SPAN_OPENS.search(plain[max(0, first.start() - 16) : first.start()])
    word = opens["word"].lower() if opens else ""
    low, high = (numerals(m["body"], None) for m in (first, second))
    if link in ("of", "out of", "von", "±"):
        if low[0] is None or link == "±":
            return None
        return Reading(raw, low[0], (high[0],) if high[0] is not None else (), f"{link!r} a total")
    if link in ("and", "und"):
        return Reading(raw, None, (), f"a range, {raw!r}") if word in ("between", "zwischen", "entre") else None
    if link in ("to", "bis", "à") and word in ("from", "von", "de"):
        return Reading(raw, None, tuple(x for x in (high[0],) if x is not None), f"a change or a range, {raw!r}")
    kind = "alternatives" if link in ("or", "oder", "ou", "/") else "a range"
    return Reading(raw, None, (), f"{kind}, {raw!r}")
