"""The alarm as the product runs it, on a year's day scores: evidence, thresholds, confirmation, recovery, tickets.

Each stream (page signals, ticket signals) averages its signals' evidence as ``policy`` does, and every signal's alarm
follows the product's own state machine (``monitor.detect.alarms``): a page waits for its confirmation, a page signal
that the baseline does not arm raises a ticket, and so does a page that is not confirmed. A fresh sample is asked on the
day of the evaluation that wants it, and shares that day's effect. An alarm ends when its scores show a recovery, and
its evidence starts anew. Pages and tickets are counted by the evaluations that newly confirm one.

The evidence itself is called in one place, ``weigh``; ``at_most`` bounds it from above for all days at once, so that
only days that may cross a threshold are weighed. Whoever changes one changes the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import fast
from benchmarks.channels import STRUCTURAL, Scores
from benchmarks.worlds_scores import Watched
from monitor.core.records import Alarm, AlarmState, Finding, FindingState, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import alarms, evidence
from monitor.detect.measurement import Channel
from monitor.detect.policy import RECOVERED_LOG10, cannot_carry

FloatArray = NDArray[np.float64]
Fresh = Callable[[int], list[Scores]]
"""The scores of a fresh sample on the day of an evaluation."""

START: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SLACK: Final = 0.3
"""Share by which the bound may be too low, since it takes the days for consecutive."""
_VARIES: Final = 2.0
"""Factor on the bound for a channel whose baseline depends on the evaluation."""


def weigh(
    one: Scores, baseline: FloatArray, evaluations: FloatArray, days: Sequence[int], *, at_once: bool = False
) -> evidence.Weight:
    """The product's evidence of one channel: the only call of it. ``days``: of the evaluations."""
    prior = evidence.AT_ONCE if at_once else evidence.PRIOR
    places = (*range(baseline.size), *(baseline.size + day - days[0] for day in days))
    return evidence.running(baseline.tolist(), evaluations.tolist(), one.side, prior=prior, days=places)


def at_most(one: Scores, evaluations: FloatArray, *, at_once: bool = False) -> FloatArray:
    """A bound from above on ``weigh``'s running evidence after each evaluation, not as a logarithm."""
    prior = evidence.AT_ONCE if at_once else evidence.PRIOR
    sides = {"rise": (1.0,), "drop": (-1.0,), "either": (1.0, -1.0)}[one.side]
    kept = evaluations[: evidence.LONGEST]
    padded = np.pad(kept, (0, evidence.LONGEST - kept.size))  # one set of pairs serves all
    with np.errstate(over="ignore"):
        found = sum(fast.at_most(sign * one.baseline, sign * padded, prior) for sign in sides) / len(sides)
    bound = np.full(evaluations.size, np.inf)
    bound[: kept.size] = np.asarray(found)[: kept.size] * (_VARIES if _beside(one) else 1.0)
    return bound


def _beside(one: Scores) -> Callable[[int], FloatArray] | None:
    return one.beside if isinstance(one, Watched) else None


def _channel(one: Scores) -> Channel:
    return Channel(one.channel, 0.0, tuple(one.baseline.tolist()), one.side)


@dataclass(frozen=True)
class Raised:
    """The alarms of one year."""

    pages: int
    tickets: int
    armed: bool
    """Whether any page signal may page."""


@dataclass(frozen=True)
class Told:
    """The verdict on one signal at one entry."""

    alarming: bool
    evidence_log10: float
    evaluation_log10: float


@dataclass(frozen=True)
class _Entry:
    """One evaluation: a row of some scores."""

    scores: Sequence[Scores]
    row: int
    day: int
    fresh: bool

    @property
    def asked(self) -> datetime:
        return START + timedelta(days=self.day, hours=self.fresh)


@dataclass
class Alarms:
    """A year of one target, entry by entry: the scheduled evaluations, and the fresh samples between them."""

    scored: list[Scores]
    fresh: Fresh
    line: float
    """log10 of the threshold, of pages and of tickets."""
    at_once: bool = False
    days: Sequence[int] | None = None
    """The day of each evaluation; ``None``: one a day."""
    answers: int = 24
    """Of the subject, an evaluation."""

    def __post_init__(self) -> None:
        self.scored = [one.counted(self.answers) for one in self.scored]
        self.channels: dict[str, list[int]] = {}
        for place, one in enumerate(self.scored):
            self.channels.setdefault(one.signal, []).append(place)
        self.armed = {
            name
            for name, places in self.channels.items()
            if SEVERITIES[name] is Severity.PAGE
            and not cannot_carry(_channel(self.scored[places[0]]), at_once=self.at_once)
        }
        self.values = np.stack([one.evaluations for one in self.scored])
        days = self.days or range(self.values.shape[1])
        self.entries = [_Entry(self.scored, row, day, fresh=False) for row, day in enumerate(days)]
        self.start = dict.fromkeys(self.channels, 0)
        self.open: dict[str, Alarm] = {}
        self.raised: dict[str, int] = {}
        """Entry that raised each open alarm."""
        self.bounds: dict[str, FloatArray] = {}
        self.pages, self.tickets = set[int](), set[int]()

    def year(self) -> Raised:
        entry = 0
        while (entry := self._next(entry)) < len(self.entries):
            self._entered(entry)
            entry += 1
        return Raised(len(self.pages), len(self.tickets), bool(self.armed))

    def _next(self, entry: int) -> int:
        """The next entry on which something may happen."""
        if self.open:
            return entry
        hot = [np.flatnonzero(self._over(severity)[entry:]) for severity in Severity]
        return entry + min((int(one[0]) for one in hot if one.size), default=len(self.entries) - entry)

    def _names(self, severity: Severity) -> list[str]:
        return [name for name in self.channels if SEVERITIES[name] is severity]

    def _over(self, severity: Severity) -> NDArray[np.bool_]:
        """On which entries the stream may be over its threshold."""
        names = self._names(severity)
        total, measured = np.zeros(len(self.entries)), np.zeros(len(self.entries))
        for name in names:
            total += self._bound(name)
            measured += ~np.isnan(self.values[self.channels[name][0]])
        return np.asarray(total >= 10.0**self.line * (1 - _SLACK) * np.maximum(1, measured))

    def _bound(self, name: str) -> FloatArray:
        """Of one signal's evidence at each entry since its start; 0 before, and where it was not measured."""
        known = self.bounds.get(name)
        if known is None:
            known, places = np.zeros(len(self.entries)), self.channels[name]
            for place in places:
                mine = self.values[place].copy()
                mine[: self.start[name]] = np.nan
                there = np.flatnonzero(~np.isnan(mine))
                if there.size:
                    known[there] += at_most(self.scored[place], mine[there], at_once=self.at_once) / len(places)
            self.bounds[name] = known
        return known

    # --- One entry

    def _entered(self, entry: int) -> None:
        told: dict[str, Told] = {}
        for severity in Severity:
            if self._over(severity)[entry]:
                told |= self.verdicts(entry, severity)
        found = [
            self._finding(name, entry, told.get(name))
            for name in self.channels
            if self._measured(name, entry) and (name in told or name in self.open)
        ]
        for finding in found:
            self._moved(finding, entry)
        if not self.entries[entry].fresh and alarms.to_confirm(list(self.open.values()), found):
            self._ask_again(entry)

    def _measured(self, name: str, entry: int) -> bool:
        return bool(np.isfinite(self.values[self.channels[name][0], entry]))

    def verdicts(self, entry: int, severity: Severity) -> dict[str, Told]:
        """As ``policy.verdicts`` says it of one stream."""
        names = self._names(severity)
        mine = {name: self._weighed(name, entry) for name in names if self._measured(name, entry)}
        if not mine:
            return {}
        seen = [name for name in names if name not in mine and self._history(name, entry)]
        count = len(mine) + len(seen)
        together = evidence.average(list(mine.values()), count).running_log10
        least = min(together, self.line + float(np.log10(count))) - 1e-12
        return {
            name: Told(together >= self.line and one.running_log10 >= least, one.running_log10, one.evaluation_log10)
            for name, one in mine.items()
        }

    def _history(self, name: str, entry: int) -> bool:
        return bool(np.isfinite(self.values[self.channels[name][0], self.start[name] : entry]).any())

    def _weighed(self, name: str, entry: int) -> evidence.Weight:
        found = []
        for place in self.channels[name]:
            begin = min(entry, self.start[name])
            mine = self.values[place, begin : entry + 1]
            days = [self.entries[begin + at].day for at in np.flatnonzero(~np.isnan(mine)).tolist()]
            found.append(
                weigh(
                    self.scored[place], self._baseline(place, entry), mine[~np.isnan(mine)], days, at_once=self.at_once
                )
            )
        return evidence.average(found)

    def _baseline(self, place: int, entry: int) -> FloatArray:
        here = self.entries[entry]
        beside = _beside(here.scores[place])
        mine = self.scored[place]
        return mine.baseline if beside is None else np.clip(beside(here.row), -mine.bound, mine.bound)

    def _finding(self, name: str, entry: int, told: Told | None) -> Finding:
        """What the state machine reads of one. Without a verdict, the evidence is too small for an alarm."""
        here = self.entries[entry]
        return replace(
            _FINDING,
            run_id=entry + 1,
            signal=name,
            severity=Severity.PAGE if name in self.armed else Severity.TICKET,
            evidence_log10=told.evidence_log10 if told else 0.0,
            evaluation_log10=told.evaluation_log10 if told else 0.0,
            state=FindingState.ALARMING if told and told.alarming else FindingState.QUIET,
            window_start=here.asked,
            window_end=here.asked,
            recovered=name in self.raised and self._recovered(name, entry),
            confirming=here.fresh,
            **_structural(name),
        )

    def _moved(self, finding: Finding, entry: int) -> None:
        name, here = finding.signal, self.entries[entry]
        before = self.open.get(name)
        after = alarms.next_state(before, finding, here.asked + timedelta(minutes=1), clears=True)
        if after is before or after is None:
            return
        if after.state is AlarmState.CLEARED:
            del self.open[name], self.raised[name]
            self.start[name] = entry + 1
            self.bounds.pop(name, None)
            return
        self.open[name] = after
        self.raised.setdefault(name, entry)
        told = before is not None and before.state is AlarmState.CONFIRMED
        if after.state is AlarmState.CONFIRMED and not (told and before and before.severity is after.severity):
            (self.pages if after.severity is Severity.PAGE else self.tickets).add(entry)

    def _recovered(self, name: str, entry: int) -> bool:
        """As ``policy._recovered``: by the channel that raised the alarm."""
        found, raised = [], self.raised[name]
        for place in self.channels[name]:
            baseline = self._baseline(place, entry)
            before, after = (
                part[~np.isnan(part)]
                for part in (
                    self.values[place, self.start[name] : raised + 1],
                    self.values[place, raised + 1 : entry + 1],
                )
            )
            if before.size:
                weight = evidence.running(baseline.tolist(), before.tolist(), self.scored[place].side)
                found.append((weight.running_log10, place, baseline, before[weight.began :], after))
        if not found:
            return False
        _, place, baseline, changed, after = max(found, key=lambda one: one[0])
        side = self.scored[place].side
        return evidence.recovery_log10(baseline.tolist(), changed.tolist(), after.tolist(), side) >= RECOVERED_LOG10

    def _ask_again(self, entry: int) -> None:
        """A fresh sample after an entry, on its day; it does not count for a signal whose alarm has just ended."""
        here = self.entries[entry]
        scores = [one.counted(self.answers) for one in self.fresh(here.row)]
        values = {(one.signal, one.channel): float(one.evaluations[0]) for one in scores}
        column = [values.get((one.signal, one.channel), np.nan) for one in self.scored]
        self.values = np.insert(self.values, entry + 1, column, axis=1)
        self.entries.insert(entry + 1, _Entry(scores, 0, here.day, fresh=True))
        self.start = {name: at + (at == entry + 1) for name, at in self.start.items()}
        self.bounds.clear()


def _structural(name: str) -> dict[str, Any]:
    """Of a finding, where findings say it."""
    return {"structural": name in STRUCTURAL} if any(one.name == "structural" for one in fields(Finding)) else {}


_FINDING: Final = Finding(
    run_id=1, target="made-up", suite="probes", signal="", severity=Severity.TICKET, state=FindingState.QUIET,
    effect=0.0, effect_low=0.0, effect_high=0.0, unit="", evidence_log10=0.0, evaluation_log10=0.0,
    threshold_log10=0.0, evaluations=1, answers_now=24, answers_baseline=336, window_start=START, window_end=START,
    what="",
)  # fmt: skip
