"""``cliffwatch calibrate``: what a target's own approved baseline lets each signal see, and whether it arms pages.

Nothing is asked and nothing is written: the answers are in the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor import detect
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
    "spread: how much days differ, over chance (1.0 is chance alone; less is chance too). Days are reckoned to differ "
    "by more than a few of them show, so one look may show none even of a whole loss on a baseline of calm days; more "
    "days settle it. answers: of one day. smallest change seen: "
    "within so many looks, with 80 % chance, at the promised rate of false pages, if it moves this signal alone; none: "
    "not even everything changed is seen so soon. Four times the answers a day see about half the change, as long as "
    "the spread stays near 1; twice the days, about 3/4 of it."
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one approved baseline lets its signals see."""

    target: str
    suite: str
    baseline: Baseline
    false_pages_per_target_year: float
    looks_per_year: float
    sights: tuple[Sight, ...]
    unread: Mapping[str, str]
    """Signal that cannot be read from this baseline -> what it needs."""


def calibrations(context: ReadContext, target: str, suite: str | None) -> tuple[list[Calibration], list[str]]:
    """A calibration for each chosen suite, and a line for each that has no approved baseline to calibrate from."""
    from monitor.core.lookup import chosen_suites

    found, without = [], []
    for name in chosen_suites(context.settings, target, suite):
        approved = context.store.approved(target, name)
        if approved is not None and armed(context, approved):
            found.append(_calibration(context, approved))
        else:
            why = "no approved baseline" if approved is None else "the approved baseline is of another version of it"
            capture = f"cliffwatch baseline capture {target} --days {CAPTURE_DAYS}"
            without.append(f"{target}/{name}: {why}; {capture}, then approve")
    return found, without


def _calibration(context: ReadContext, baseline: Baseline) -> Calibration:
    from monitor.core.schedule import looks_per_year
    from monitor.runs.verdict import TICKETS, threshold_log10

    target, suite = baseline.target, baseline.suite
    line = threshold_log10(context.settings, target, suite)
    fleet = 1 + len(context.store.ticket_streams((target, suite), TICKETS))
    comparison = replace(
        arming.comparison(context.store, baseline, temperature(context.suites, suite)),
        page_threshold_log10=line,
        ticket_threshold_log10=line + log10(fleet),  # while the fleet is quiet
    )
    readings = detect.readings_for(comparison)
    return Calibration(
        target=target,
        suite=suite,
        baseline=baseline,
        false_pages_per_target_year=context.settings.alarms.false_pages_per_target_year,
        looks_per_year=looks_per_year(context.settings.schedule, suite),
        sights=calibrate.sights(comparison, readings, SEVERITIES),
        unread={one.name: one.needs for one in CATALOGUE if one.name not in readings},
    )


def with_arming(report: "Report") -> "Report":
    """``check``'s report with a warning for each suite whose approved baseline does not arm pages, or that cannot get
    one that does.

    Baselines are read from the store where it is there and can be read; nothing is created, and a store that cannot be
    reached is not the configuration's fault.
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
        Problem(settings.store if (target, suite) in said else "", None, f"{target}/{suite}", line)
        for target, configured in settings.targets.items()
        for suite in configured.run_suites
        for line in said.get((target, suite), [*_promises(settings, report.suites.get(suite))])
    ]
    return replace(report, warnings=(*report.warnings, *warnings))


def _armings(settings: "Settings", suites: Mapping[str, Suite]) -> dict[tuple[str, str], list[str]]:
    """What is to be said of each approved baseline in the store, by target and suite. Raises CliffwatchError."""
    from monitor.store import open_store

    if not _is_there(settings.store):
        return {}
    watched = {(target, suite) for target, found in settings.targets.items() for suite in found.run_suites}
    store = open_store(settings.store, migrate=False)
    try:
        return {
            (approved.target, approved.suite): arming.render_held(
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
    """What a suite cannot promise, whatever its baseline will be."""
    from monitor.core.schedule import looks_per_year

    if suite is None:
        return
    answers, days = len(suite.probes) * suite.replicates, round(365 / looks_per_year(settings.schedule, suite.name))
    if answers < FEWEST_NOW:
        yield f"asks {answers} answers a run, and under {FEWEST_NOW} no signal is read: add probes or replicates"
    if not any(probe.checks for probe in suite.probes):
        judged = settings.judge is not None and any(probe.rubric or suite.rubric for probe in suite.probes)
        graders = {Grade.JUDGE} if judged else set()
        unread = [one.name for one in CATALOGUE if Grade.CHECKS in one.graded_by and not one.graded_by & graders]
        if unread:
            are = "is" if len(unread) == 1 else "are"
            yield f"{' and '.join(unread)} {are} not read: no probe has checks"
    if days > 1:
        yield f"one look in {days} days: a baseline that arms pages takes {days * ENOUGH_DAYS} days"


def _is_there(url: str) -> bool:
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///").partition("?")[0]).is_file()


def show(found: Sequence[Calibration], *, as_json: bool) -> None:
    """Print it: a table for each suite and, in sentences, what is withheld; or JSON."""
    from monitor.cli.output import print_json
    from monitor.cli.terminal import console, table

    if as_json:
        print_json(list(found))
        return
    out = console()
    for one in found:
        days = "captured at once" if one.baseline.at_once else f"{one.baseline.days} days"
        rests_on = f"baseline {one.baseline.id}, {days}, {one.baseline.answers} answers"
        promise = f"{one.looks_per_year:.0f} looks a year, {one.false_pages_per_target_year:g} false pages a year"
        out.print(f"{one.target}/{one.suite}: {rests_on}; {promise}")
        first, *later = calibrate.WINDOWS
        span = "rounds" if one.baseline.at_once else "days"
        numbers = ("spread", span, "answers", f"in {first} look", *map(str, later))
        names = ("signal", "alarm", *numbers, "smallest change seen, in")
        table(out, names, map(_cells, one.sights), right=numbers)
        for sight in one.sights:
            if sight.smallest[1] is None:
                out.print(f"{sight.signal} sees nothing at one look: {_would_do(sight)} would")
        withheld = [(sight.signal, sight.unarmed) for sight in one.sights if sight.unarmed]
        for line in arming.render_held(withheld):
            out.print(f"! {line}")
        if one.unread:
            out.print("not read: " + "; ".join(f"{name} (needs {need})" for name, need in one.unread.items()))
    if found:
        out.print(NOTES, style="dim")


def _would_do(sight: Sight) -> str:
    times = sight.answers_times
    return f"{times:.2g} times the answers a look" if times is not None else "only a baseline of more days"


def _cells(one: Sight) -> tuple[str, ...]:
    seen = ("none" if one.smallest[n] is None else f"{one.smallest[n]:.2g}" for n in calibrate.WINDOWS)
    spread = f"{one.spread:.1f}" if one.spread > 1 else "<= 1.0"
    return one.signal, one.severity.value, spread, str(one.days), str(one.answers_a_day), *seen, one.unit
