"""Deterministic checks of an answer, which need no model and run first.

An answer is hostile text. No check may hang or crash on one: patterns run under a time limit (that of the ``regex``
package, which interrupts endless backtracking), JSON is bounded in size and depth, and a check that could not finish
gives no score, because it did not measure the answer. The options of each kind are declared and validated where suites
are read (``monitor.config.suites``).
"""

import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import regex
import structlog

from monitor.core.lookalikes import difference, holds_alike
from monitor.core.records import Probe
from monitor.judge import schemas
from monitor.judge.prompt import verdict_of
from monitor.judge.strict_json import StrictJsonError, parse

_DETAIL_CHARS: Final = 300

log = structlog.get_logger()


class Grade(NamedTuple):
    """One grader's number for one answer, 0 to 1, with an explanation."""

    grader: str
    value: float
    detail: str


class CheckUnfinishedError(Exception):
    """A check could not finish on this answer, so there is no score."""


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
    wanted = str(options["pattern"])
    try:
        found = schemas.search(wanted, text)
    except schemas.PatternTimeoutError as error:
        raise CheckUnfinishedError(str(error)) from None
    except regex.error as error:
        raise CheckUnfinishedError(f"pattern {_shown(wanted)} cannot be used: {error}") from None
    return (0.0, f"no match of {_shown(wanted)}") if found is None else (1.0, f"matches: {_shown(found)}")


def json_schema(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the whole answer, ignoring surrounding blanks, is one JSON value that ``schema`` allows."""
    try:
        fault = schemas.first_fault(parse(text), options["schema"])
    except StrictJsonError as error:
        return 0.0, str(error)
    except (schemas.PatternTimeoutError, schemas.UnusableSchemaError) as error:
        raise CheckUnfinishedError(str(error)) from None
    return (1.0, "fits the schema") if fault is None else (0.0, fault)


_NUMBER: Final = re.compile(
    r"(?:(?<!\w)[-−])?(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]{1,3})?"
)


def number(text: str, options: Mapping[str, Any]) -> tuple[float, str]:
    """1 if the last number of the answer lies within ``tolerance`` of ``value``.

    The last one, because models reason first and then conclude. Commas may separate thousands.
    """
    last = deque(_NUMBER.finditer(text), maxlen=1)
    if not last:
        return 0.0, "no number"
    given, wanted = float(last[0][0].replace(",", "").replace("−", "-")), float(options["value"])
    slack = float(options.get("tolerance", 0)) + 1e-9 * max(1.0, abs(wanted))  # 0.1 + 0.2 is 0.3 to a person
    if math.isfinite(given) and abs(given - wanted) <= slack:
        return 1.0, f"{given:g}"
    return 0.0, f"{given:g}, not {wanted:g}"


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

CHECKS: Final[dict[str, CheckFunction]] = {
    "exact": exact,
    "contains": contains,
    "regex": pattern,
    "json_schema": json_schema,
    "number": number,
    "verdict": verdict,
}


def score_answer(probe: Probe, answer_text: str) -> tuple[Grade, ...]:
    """The grades of one answer: ``check:<kind>`` for each check of the probe, then ``checks``: 1 if all gave 1, else 0.

    A second check of the same kind is ``check:<kind>:2``. A check that did not finish is left out together with
    ``checks``, with a warning in the log. Empty for a probe without checks.
    """
    grades: list[Grade] = []
    seen: dict[str, int] = {}
    for check in probe.checks:
        seen[check.kind] = seen.get(check.kind, 0) + 1
        grader = f"check:{check.kind}" + (f":{seen[check.kind]}" if seen[check.kind] > 1 else "")
        try:
            value, detail = CHECKS[check.kind](answer_text, check.options)
        except CheckUnfinishedError as error:
            log.warning("check_unfinished", probe=probe.id, grader=grader, why=str(error))
            continue
        grades.append(Grade(grader, value, detail[:_DETAIL_CHARS]))
    if grades and len(grades) == len(probe.checks):
        grades.append(_summary(grades))
    return tuple(grades)


def _summary(grades: list[Grade]) -> Grade:
    failed = [grade for grade in grades if grade.value < 1]
    detail = "; ".join(f"{grade.grader}: {grade.detail}" for grade in failed) or f"all {len(grades)} passed"
    return Grade("checks", float(not failed), detail[:_DETAIL_CHARS])
