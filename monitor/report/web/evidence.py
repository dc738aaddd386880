"""A finding's page: the finding that a link refers to, its claim, and the answers side by side."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from monitor.core.lookalikes import difference
from monitor.core.records import SHARE_SUFFIX, Alarm, Exhibit, Finding, Point
from monitor.core.signals import FACTS
from monitor.core.texts import NOT_ASKED, is_empty, shown
from monitor.report.explain import claim as claims
from monitor.report.explain.context import FindingContext, finding_context
from monitor.report.web import sparklines
from monitor.report.web.word_diff import Piece, marked

if TYPE_CHECKING:
    from monitor.store import StoreReader

RECENT: Final = timedelta(days=7)
"""How long an alarm's link leads to its finding after the alarm cleared."""

ABOUT_EQUAL: Final = 0.95
"""Share of the strongest exhibit's weight above which another exhibit counts as equally strong."""

PER_PAGE: Final = 10
"""Answers on one page."""

MOST_SIGHTINGS: Final = 20

FOLDED: Final = 1_200
"""Characters above which an answer is folded."""

LONGEST: Final = 20_000
"""Maximum number of characters of an answer on a page; the JSON has the full text."""

Sort = Literal["weight", "probe"]
Show = Literal["telling", "all"]


def evidence_of(store: "StoreReader", target: str, signal: str, now: datetime) -> tuple[int, str] | None:
    """The run and signal of the finding that a link from an alert refers to. ``None`` if the signal has no finding.

    The newest finding of the raised alarm. Otherwise the newest alarming finding of an alarm that cleared within
    ``RECENT``, for people who open the link late. Otherwise the newest finding of the signal.
    """
    latest = [one for one in store.latest_findings(target, exhibits=False) if one.signal == signal]
    alarms = [one for one in store.alarms(target) if one.signal == signal]
    raised = {one.suite for one in alarms if one.cleared_at is None}
    latest.sort(key=lambda one: (one.suite in raised, one.alarming, one.window_end), reverse=True)
    if not any(one.suite in raised for one in latest):
        over = [one for one in alarms if one.cleared_at is not None and now - one.cleared_at <= RECENT]
        last = max(over, key=lambda one: one.cleared_at or now, default=None)
        if last is not None:
            return _last_alarming(store, last) or last.raised_run_id, signal
    return (latest[0].run_id, latest[0].signal) if latest else None


def _last_alarming(store: "StoreReader", alarm: Alarm) -> int | None:
    """The run of the alarm's last alarming finding."""
    key = (alarm.target, alarm.suite, alarm.signal)
    points = store.series(alarm.raised_at, only=[key]).get(key, [])
    during = [one.run_id for one in points if one.alarming and (alarm.cleared_at is None or one.at <= alarm.cleared_at)]
    return during[-1] if during else None


def newest_of(store: "StoreReader", finding: Finding) -> Finding | None:
    """The newest finding of the same series, if it is not ``finding``."""
    latest = store.latest_findings(finding.target, finding.suite, exhibits=False)
    return next((one for one in latest if one.signal == finding.signal and one.run_id != finding.run_id), None)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An evaluation in which some, but not all, answers showed a new fact, such as another name in the reply."""

    run_id: int
    at: datetime
    share: float
    """Share of the answers, 0 to 1."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding with everything that its page shows."""

    finding: Finding
    claim: claims.Claim
    beside: FindingContext
    alarms: tuple[Alarm, ...]
    """The target's alarms, newest first."""
    others: int
    """Number of open alarms of the target's other series."""
    raising: Point | None
    """The evaluation that raised the finding's alarm, if another one did: the notification has its numbers."""
    interval: sparklines.Interval | None
    timeline: sparklines.Timeline | None
    sightings: tuple[Sighting, ...]


def sightings(store: "StoreReader", finding: Finding, history: Iterable[Point]) -> tuple[Sighting, ...]:
    """Those since the signal's last alarm was cleared, newest first, at most ``MOST_SIGHTINGS``. None for a signal that
    watches no facts."""
    if finding.signal not in FACTS:
        return ()
    scores = store.scores_by_run(finding.target, finding.suite, finding.baseline_id, finding.signal)
    shares = {run: max((value for name, value in one.items() if name.endswith(SHARE_SUFFIX)), default=0.0)
              for run, one in scores}  # fmt: skip
    if not any(0 < share < 1 for share in shares.values()):
        return ()
    at = {point.run_id: point.at for point in history}
    found = [Sighting(run, at[run], share) for run, share in shares.items() if share and run in at]
    return tuple(found[::-1][:MOST_SIGHTINGS])


def finding_view(store: "StoreReader", finding: Finding, now: datetime) -> FindingView:
    beside = finding_context(store, finding)
    alarms = store.alarms(finding.target)
    mine = [one for one in alarms if (one.suite, one.signal) == (finding.suite, finding.signal)]
    others = sum(one.cleared_at is None and one not in mine for one in alarms)
    return FindingView(
        finding,
        claims.claim(finding, beside),
        beside,
        tuple(alarms),
        others,
        _raising(finding, beside),
        sparklines.interval(finding),
        sparklines.timeline(beside.history, finding.signal, mine, now),
        sightings(store, finding, beside.history),
    )


def _raising(finding: Finding, beside: FindingContext) -> Point | None:
    raised = beside.alarm.raised_run_id if beside.alarm else None
    return next((one for one in beside.history if one.run_id == raised != finding.run_id), None)


@dataclass(frozen=True, slots=True)
class SideBySide:
    exhibit: Exhibit
    baseline: list[Piece]
    now: list[Piece]
    verdict: str
    """Which of the two the answer resembles, in a few words. Empty if that is unknown."""
    well: bool
    """Whether it resembles the baseline's answer."""
    alike: str
    """How the baseline's answer and this one differ if they look the same; empty otherwise."""

    @property
    def marked(self) -> bool:
        """Whether any words are marked."""
        return any(only_here for _, only_here in (*self.baseline, *self.now))


def side_by_side(exhibits: Iterable[Exhibit]) -> list[SideBySide]:
    return [SideBySide(one, *_pieces(one), *_verdict(one), _difference(one)) for one in exhibits]


def _both_texts(one: Exhibit) -> bool:
    return one.baseline is not None and not is_empty(one.baseline) and not is_empty(one.now)


def _pieces(one: Exhibit) -> tuple[list[Piece], list[Piece]]:
    """Both answers in pieces. Words are marked where both have a text of a bounded length."""
    before, now = NOT_ASKED if one.baseline is None else shown(one.baseline), shown(one.now)
    if _both_texts(one) and len(before) + len(now) <= 2 * LONGEST:
        return marked(before, now)
    return [(before[:LONGEST], False)], [(now[:LONGEST], False)]


def _difference(one: Exhibit) -> str:
    return difference((one.baseline or "")[:LONGEST], one.now[:LONGEST]) if _both_texts(one) else ""


def _verdict(one: Exhibit) -> tuple[str, bool]:
    if is_empty(one.now):
        return "empty", False
    if one.base is not None and one.now == one.base:
        return "same as base", False
    if one.now == one.baseline:
        return "same as baseline", True
    if one.leaning is None:
        return "", False
    return ("nearer to the base", False) if one.leaning < 0 else ("nearer to the baseline", True)


def most_telling(finding: Finding) -> Exhibit | None:
    """The exhibit to read first: among the strongest, one that equals the base's answer exactly, as that needs no
    judgement; otherwise the strongest."""
    if not finding.exhibits:
        return None
    best = ordered(finding.exhibits, "weight")
    alike = [one for one in best if one.weight >= ABOUT_EQUAL * best[0].weight]
    return next((one for one in alike if one.now == one.base and not is_empty(one.now)), best[0])


def ordered(exhibits: Sequence[Exhibit], sort: Sort) -> list[Exhibit]:
    """Sorted by weight, largest first, or by probe."""
    if sort == "probe":
        return sorted(exhibits, key=lambda one: one.probe)
    return sorted(exhibits, key=lambda one: (-one.weight, one.probe))
