"""Deterministic checks of an answer, which need no model and run first.

An answer is hostile text. No check may hang or crash on one: patterns and schemas that take long run in a process with
limits of time and memory, JSON is bounded in size and depth, and a check that could not finish gives no score, because
it did not measure the answer. The options of each kind are declared and validated where suites
are read (``monitor.config.suites``).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import regex
import structlog

from monitor.core.lookalikes import difference, holds_alike
from monitor.core.records import Probe
from monitor.judge import schemas
from monitor.judge.bounded import BOUNDED
from monitor.judge.numbers import Reading, read_number
from monitor.judge.prompt import verdict_of
from monitor.judge.strict_json import StrictJsonError, parse
from monitor.judge.unfinished import CheckUnfinishedError, Unfinished

QUICK_SECONDS: Final = 0.02
QUICK_CHARS: Final = 4_000
QUICK_STEPS: Final = 2_000
"""What a check may take in this process: time of one pattern, characters of JSON, steps of a schema. A check that needs
more is run in a process that can be ended (``judge.bounded``)."""

_DETAIL_CHARS: Final = 300

log = structlog.get_logger()


class Grade(NamedTuple):
    """One grader's number for one answer, 0 to 1, with an explanation."""

    grader: str
    value: float
    detail: str


def _shown(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def exact(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the answer is ``text``, ignoring surrounding blanks. Case and Unicode are not normalised."""
    given, wanted = text.strip(), str(options["text"]).strip()
    if given == wanted:
        return 1.0, f"is {_shown(wanted)}"
    return 0.0, "; ".join(filter(None, (f"is {_shown(given)}, not {_shown(wanted)}", difference(wanted, given))))


def contains(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the answer contains ``text``. Case and Unicode are not normalised."""
    wanted = str(options["text"])
    if wanted in text:
        return 1.0, f"holds {_shown(wanted)}"
    alike = "; it has a text that looks alike, with other characters" if holds_alike(text, wanted) else ""
    return 0.0, f"lacks {_shown(wanted)}{alike}"


def pattern(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if ``pattern`` is found somewhere in the answer.

    Raises ``CheckUnfinishedError`` if the pattern backtracks past its time limit.
    """
    try:
        return _matched(text, options, QUICK_SECONDS)
    except schemas.PatternTimeoutError:
        return BOUNDED.check("regex", text, options)


def matched(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """``pattern`` without the short time limit, for a process that can be ended."""
    try:
        return _matched(text, options, schemas.PATTERN_SECONDS)
    except schemas.PatternTimeoutError as error:
        raise CheckUnfinishedError(Unfinished.TIME, str(error)) from None


def _matched(text: str, options: Mapping[str, Any], seconds: float) -> tuple[float, str]:
    wanted = str(options["pattern"])
    try:
        found = schemas.search(wanted, text, seconds)
    except (regex.error, OverflowError, RecursionError) as error:
        why = f"pattern {_shown(wanted)} cannot be used: {error}"
        raise CheckUnfinishedError(Unfinished.UNUSABLE, why) from None
    return (0.0, f"no match of {_shown(wanted)}") if found is None else (1.0, f"matches: {_shown(found)}")


def json_schema(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the whole answer, ignoring surrounding blanks, is one JSON value that ``schema`` allows.

    Raises ``CheckUnfinishedError`` if that takes too much time or memory.
    """
    if len(text) <= QUICK_CHARS:
        try:
            return _fits(text, options, pattern_seconds=QUICK_SECONDS, steps=QUICK_STEPS)
        except (schemas.PatternTimeoutError, schemas.TooMuchWorkError):
            pass
    return BOUNDED.check("json_schema", text, options)


def fits(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """``json_schema`` without the limits of work, for a process that can be ended."""
    try:
        return _fits(text, options)
    except schemas.PatternTimeoutError as error:
        raise CheckUnfinishedError(Unfinished.TIME, str(error)) from None


def _fits(text: str, options: Mapping[str, Any], **limits: Any) -> tuple[float, str]:
    try:
        fault = schemas.first_fault(parse(text), options["schema"], **limits)
    except StrictJsonError as error:
        return 0.0, str(error)
    except schemas.UnusableSchemaError as error:
        raise CheckUnfinishedError(Unfinished.UNUSABLE, str(error)) from None
    return (1.0, "fits the schema") if fault is None else (0.0, fault)


def number(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the number that the answer states lies within ``tolerance`` of ``value``; see ``judge.numbers``.

    Raises ``CheckUnfinishedError`` if it depends on the meaning of an ambiguous number.
    """
    read = read_number(text, decimal=options.get("decimal"), prompt=str(options.get("prompt", "")))
    wanted, slack = float(options["value"]), float(options.get("tolerance", 0))
    if read.value is not None and _close(read.value, wanted, slack):
        return 1.0, _read_as(read)
    if any(math.isnan(other) or _close(other, wanted, slack) for other in read.others):
        raise CheckUnfinishedError(Unfinished.AMBIGUOUS, _read_as(read))
    return 0.0, _read_as(read) if read.value is None else f"{_read_as(read, f'not {wanted:.15g}')}"


def _close(given: float, wanted: float, slack: float) -> bool:
    """Whether they are equal to a person: 0.1 + 0.2 is 0.3, but two different whole numbers are not."""
    whole = given.is_integer() and wanted.is_integer()
    rounding = 1e-15 * max(1.0, abs(wanted))
    if not whole:
        rounding = max(rounding, min(1e-9 * max(1.0, abs(wanted)), 1e-6))
    return math.isfinite(given) and abs(given - wanted) <= slack + rounding


def _read_as(read: Reading, verdict: str = "") -> str:
    """The number, what it was compared with, and how it was read where that is not plain."""
    if read.value is None:
        return read.how
    shown = f"{read.value:.15g}"
    plain = read.raw == shown and read.usual
    return ", ".join(part for part in (shown, verdict, "" if plain else f"read from {read.raw!r} ({read.how})") if part)


def verdict(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the answer is a judge's verdict, and equals the person's.

    An answer without a verdict gives 0: a judge that rambles has changed.
    """
    given, wanted = verdict_of(text), str(options["verdict"])
    if given is None:
        return 0.0, f"no verdict, a person says {wanted}"
    return (1.0, f"{given}, as a person says") if given == wanted else (0.0, f"{given}, a person says {wanted}")


CheckFunction = Callable[[str, Mapping[str, Any]], tuple[float, str]]
"""(answer text, options) -> (value 0 to 1, explanation)."""

EVALUATORS: Final[dict[str, CheckFunction]] = {"regex": matched, "json_schema": fits}
"""Checks that may take long, as a process evaluates them that can be ended."""

CHECKS: Final[dict[str, CheckFunction]] = {
    "exact": exact,
    "contains": contains,
    "regex": pattern,
    "json_schema": json_schema,
    "number": number,
    "verdict": verdict,
}


class Missing(NamedTuple):
    """A check that has no score for an answer."""

    grader: str
    reason: Unfinished
    detail: str


def score_answer(probe: Probe, answer_text: str) -> tuple[Grade, ...]:
    """The grades of ``grade_answer``."""
    return grade_answer(probe, answer_text)[0]


def grade_answer(probe: Probe, answer_text: str) -> tuple[tuple[Grade, ...], tuple[Missing, ...]]:
    """The grades of one answer: ``check:<kind>`` for each check of the probe, then ``checks``: 1 if all gave 1, else 0.

    A second check of the same kind is ``check:<kind>:2``. A check that did not finish is left out together with
    ``checks``, with a warning in the log, and is the second part of the result. Empty for a probe without checks.
    """
    grades: list[Grade] = []
    missing: list[Missing] = []
    seen: dict[str, int] = {}
    for check in probe.checks:
        seen[check.kind] = seen.get(check.kind, 0) + 1
        grader = f"check:{check.kind}" + (f":{seen[check.kind]}" if seen[check.kind] > 1 else "")
        try:
            options = {**check.options, "prompt": probe.prompt} if check.kind == "number" else check.options
            value, detail = CHECKS[check.kind](answer_text, options)
        except CheckUnfinishedError as error:
            log.warning("check_unfinished", probe=probe.id, grader=grader, reason=error.reason, why=str(error))
            missing.append(Missing(grader, error.reason, str(error)[:_DETAIL_CHARS]))
            continue
        grades.append(Grade(grader, value, detail[:_DETAIL_CHARS]))
    if grades and len(grades) == len(probe.checks):
        grades.append(_summary(grades))
    return tuple(grades), tuple(missing)


def _summary(grades: list[Grade]) -> Grade:
    failed = [grade for grade in grades if grade.value < 1]
    detail = "; ".join(f"{grade.grader}: {grade.detail}" for grade in failed) or f"all {len(grades)} passed"
    return Grade("checks", float(not failed), detail[:_DETAIL_CHARS])
