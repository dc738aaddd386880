"""``cliffwatch calibrate``: the smallest change that each signal detects with a target's approved baseline.

It also shows whether the baseline arms pages. It makes no calls and writes nothing: it reads the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor import detect
from monitor.core.condition_words import render
from monitor.core.limits import CAPTURE_DAYS, ENOUGH_DAYS
from monitor.core.records import Baseline, BaselineStatus, Suite
from monitor.core.signals import CATALOGUE, SEVERITIES, Grade
from monitor.detect import calibrate
from monitor.detect.calibrate import Sight
from monitor.detect.common import FEWEST_NOW
from monitor.runs import arming
from monitor.runs.readonly import ReadContext, armed, temperature

if TYPE_CHECKING:
    from monitor.config import Report
    from monitor.core.settings import Settings

NOTES: Final = (
    "spread: how much days differ, relative to chance (1.0 or less is chance alone). A few days show too little of how "
    "much days differ, so the spread has a margin: with few days, one evaluation may miss even a complete loss; more "
    "days resolve this. answers: answers per day. smallest change detected: within that number of evaluations, "
    "with 80 % probability, at the promised rate of false pages, if only this signal changes; none: even a complete "
    "change is not detected that soon. A page of canaries, negative_flips or judge_score follows with the next "
    "evaluation on another day, unless at least half of the answers changed. With four times the answers per day, a "
    "signal detects about half the change, as long as the spread is near 1; with twice the days, about 3/4 of it."
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The smallest changes that signals detect with one approved baseline."""

    target: str
    suite: str
    baseline: Baseline
    false_pages_per_target_year: float
    evaluations_per_year: float
    sights: tuple[Sight, ...]
    unread: Mapping[str, str]
    """Signal that cannot be measured with this baseline -> what it needs."""


def calibrations(context: ReadContext, target: str, suite: str | None) -> tuple[list[Calibration], list[str]]:
    """A calibration of each chosen suite, and a message for each suite without a usable approved baseline."""
    from monitor.core.lookup import chosen_suites

    found, without = [], []
    for name in chosen_suites(context.settings, target, suite):
        approved = context.store.approved(target, name)
        if approved is not None and armed(context, approved):
            found.append(_calibration(context, approved))
        else:
            why = (
                "no approved baseline"
                if approved is None
                else "the approved baseline is of another version of the suite"
            )
            capture = f"cliffwatch baseline capture {target} --days {CAPTURE_DAYS}"
            without.append(f"{target}/{name}: {why}; run {capture}, then approve it")
    return found, without


def _calibration(context: ReadContext, baseline: Baseline) -> Calibration:
    from monitor.core.schedule import evaluations_per_year
    from monitor.runs.base_share import of_a_quiet_day
    from monitor.runs.verdict import TICKETS, threshold_log10

    target, suite = baseline.target, baseline.suite
    threshold = threshold_log10(context.settings, target, suite)
    fleet = 1 + len(context.store.ticket_series((target, suite), TICKETS))
    compared = arming.comparison(context.store, baseline, temperature(context.suites, suite))
    comparison = replace(
        compared,
        now=tuple(of_a_quiet_day(compared.now, target, suite)),
        page_threshold_log10=threshold,
        ticket_threshold_log10=threshold + log10(fleet),  # while the fleet is quiet
    )
    readings = detect.readings_for(comparison)
    return Calibration(
        target=target,
        suite=suite,
        baseline=baseline,
        false_pages_per_target_year=context.settings.alarms.false_pages_per_target_year,
        evaluations_per_year=evaluations_per_year(context.settings.schedule, suite),
        sights=calibrate.sights(comparison, readings, SEVERITIES),
        unread={one.name: one.needs for one in CATALOGUE if one.name not in readings},
    )


def with_arming(report: "Report") -> "Report":
    """Adds warnings to ``check``'s report: suites whose approved baseline does not arm pages, or that cannot arm them.

    Reads baselines if the store exists and is readable; creates nothing. An unreachable store is not an error of the
    configuration.
    """
    from monitor.config.yaml_reader import Problem
    from monitor.core.errors import CliffwatchError

    settings = report.settings
    if settings is None:
        return report
    said: dict[tuple[str, str], list[str]] = {}
    with suppress(CliffwatchError):
        said = _armings(settings, report.suites)
    warnings = [
        Problem(settings.store if (target, suite) in said else "", None, f"{target}/{suite}", text)
        for target, configured in settings.targets.items()
        for suite in configured.run_suites
        for text in said.get((target, suite), [*_promises(settings, report.suites.get(suite))])
    ]
    return replace(report, warnings=(*report.warnings, *warnings))


def _armings(settings: "Settings", suites: Mapping[str, Suite]) -> dict[tuple[str, str], list[str]]:
    """Warnings about each approved baseline in the store, by target and suite. Raises CliffwatchError."""
    from monitor.store import open_store

    if not _is_there(settings.store):
        return {}
    watched = {(target, suite) for target, found in settings.targets.items() for suite in found.run_suites}
    store = open_store(settings.store, migrate=False)
    try:
        return {
            (approved.target, approved.suite): render(approved.conditions)
            + arming.render_held(
                arming.arming(
                    store,
                    approved,
                    store.latest_findings(approved.target, approved.suite, exhibits=False),
                    temperature(suites, approved.suite),
                )
            )
            for approved in store.baselines(status=BaselineStatus.APPROVED)
            if (approved.target, approved.suite) in watched
        }
    finally:
        store.close()


def _promises(settings: "Settings", suite: Suite | None) -> Iterator[str]:
    """Limits of a suite that no baseline can change."""
    from monitor.core.schedule import period_days

    if suite is None:
        return
    answers, days = len(suite.probes) * suite.replicates, period_days(settings.schedule, suite.name)
    if answers < FEWEST_NOW:
        yield f"requests {answers} answers per run, but signals need at least {FEWEST_NOW}: add probes or replicates"
    if not any(probe.checks for probe in suite.probes):
        judged = settings.judge is not None and any(probe.rubric or suite.rubric for probe in suite.probes)
        graders = {Grade.JUDGE} if judged else set()
        unread = [one.name for one in CATALOGUE if Grade.CHECKS in one.graded_by and not one.graded_by & graders]
        if unread:
            are = "is" if len(unread) == 1 else "are"
            yield f"{' and '.join(unread)} {are} not measured: no probe has checks"
    if days > 1:
        yield f"one evaluation every {days} days: a baseline that arms pages takes {days * ENOUGH_DAYS} days"


def _is_there(url: str) -> bool:
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///").partition("?")[0]).is_file()


def show(found: Sequence[Calibration], *, as_json: bool) -> None:
    """Print a table for each suite and why pages are not armed; or JSON."""
    from monitor.cli.output import print_json
    from monitor.cli.terminal import console, table

    if as_json:
        print_json(list(found))
        return
    out = console()
    for one in found:
        days = "captured at once" if one.baseline.at_once else f"{one.baseline.days} days"
        rests_on = f"baseline {one.baseline.id}, {days}, {one.baseline.answers} answers"
        promise = (
            f"{one.evaluations_per_year:.0f} evaluations a year, {one.false_pages_per_target_year:g} false pages a year"
        )
        out.print(f"{one.target}/{one.suite}: {rests_on}; {promise}")
        first, *later = calibrate.WINDOWS
        span = "rounds" if one.baseline.at_once else "days"
        numbers = ("spread", span, "answers", f"in {first} evaluation", *map(str, later))
        names = ("signal", "alarm", *numbers, "smallest change detected, in")
        table(out, names, map(_cells, one.sights), right=numbers)
        for sight in one.sights:
            if sight.smallest[1] is None:
                out.print(f"{sight.signal} detects no change in one evaluation; it needs {_would_do(sight)}")
        withheld = [(sight.signal, sight.unarmed) for sight in one.sights if sight.unarmed]
        for text in arming.render_held(withheld):
            out.print(f"! {text}")
        for text in render(one.baseline.conditions):
            out.print(f"! {text}")
        if one.unread:
            out.print("not measured: " + "; ".join(f"{name} (needs {need})" for name, need in one.unread.items()))
    if found:
        out.print(NOTES, style="dim")


def _would_do(sight: Sight) -> str:
    times = sight.answers_times
    return f"{times:.2g} times the answers per evaluation" if times is not None else "a baseline of more days"


def _cells(one: Sight) -> tuple[str, ...]:
    seen = ("none" if one.smallest[n] is None else f"{one.smallest[n]:.2g}" for n in calibrate.WINDOWS)
    spread = f"{one.spread:.1f}" if one.spread > 1 else "<= 1.0"
    return one.signal, one.severity.value, spread, str(one.days), str(one.answers_a_day), *seen, one.unit
