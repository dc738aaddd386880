"""The alarm policy: how much evidence raises an alarm, so that the promised rate of false pages is kept.

One stream of evaluations is one suite of one target. The e-detectors of its page signals are averaged into one, which
alarms at the stream's threshold; likewise for its ticket signals, and for its ticket signals about the base. A signal
alarms when its stream is over the threshold and the signal has at least the average evidence, so the strongest always
does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, log10
from typing import Final

from monitor.core.limits import MOVED_LOG10, too_short
from monitor.core.records import AT, SHARE_SUFFIX, Comparison, Finding, Severity
from monitor.core.run_kinds import run_kind
from monitor.core.signals import OF_BASE
from monitor.detect import evidence
from monitor.detect.measurement import Channel, Reading, Seen, Verdict
from monitor.detect.own_baseline import unchanged

WIDEST_SPREAD: Final = 2.0
"""Measured spread between days, relative to chance, above which pages are not armed: e-values are not valid there."""
NEXT_DAY: Final = 1 / 12
"""Share of a day by which an evaluation may come early and still count as the next day's: clocks go forward, and days
have 22 hours at the least (``schedule.SHORTEST_DAY``)."""
RECOVERED_LOG10: Final = 1.3
"""Evidence of recovery that clears an alarm: wrong at most one time in twenty."""
GROWN_LOG10: Final = 1.0
"""Evidence of a page signal, below its threshold, from which a suite that is asked rarely is asked once more."""
ADDED_LOG10: Final = 0.2
"""Evidence of that evaluation alone, 1.6 to 1. By simulation with 14 days of baseline, a change of two standard
deviations is found in 4 weeks instead of 8 (median), one of three in 1 instead of 3."""
JUDGE_ITSELF: Final = "A change of the judge affects scores, not answers, so it pages nobody."
UNCHANGED: Final = "The answers are letter for letter the approved ones, so the target did not change."
JUDGE_MOVED: Final = (
    "This depends on the judge's verdicts, and the judge itself changed on its anchors. Check target judge first."
)


def threshold_log10(false_pages_per_target_year: float, evaluations_per_year: float, streams: int) -> float:
    """log10 of the averaged evidence at which one stream alarms. Raises ValueError for values out of range.

    A stream of ``evaluations_per_year`` evaluations gets 1/``streams`` of the target's promised rate. An e-detector
    takes at least A evaluations on average to reach A by chance, so A = evaluations_per_year x streams / rate. 365
    evaluations a year, one suite and 0.1 false pages a year: A = 3,650. The rate of a target is the sum over its
    streams, however they depend on each other.
    """
    if false_pages_per_target_year <= 0 or evaluations_per_year <= 0 or streams < 1:
        raise ValueError("rate and evaluations must be above 0, and there must be a stream")
    return max(0.0, log10(evaluations_per_year * streams / false_pages_per_target_year))


def fleet_factor_log10(others_log10: Sequence[float]) -> float:
    """log10 of the factor on a ticket stream's threshold for being one of many (e-BH).

    ``others_log10``: the other streams' averaged ticket evidence over their own threshold, log10. With K streams in
    all, a stream is ticketed when for some j at least j of them (itself included) are at K/j times their threshold or
    higher. A quiet fleet needs K times the evidence of a single target; a fault of all targets needs no more. The rule
    is e-BH (R. Wang and A. Ramdas, False discovery rate control with e-values, J. R. Statist. Soc. B 84, 2022) on
    e-detectors (e-d-BH: S. Dandapanthula and A. Ramdas, Multiple testing in multi-stream sequential change detection,
    arXiv 2501.04130).

    Bounded: the factor is at least 1, so a stream of a fleet takes at least as many evaluations to a false ticket as a
    single one, however the streams depend on each other. For all streams together, 2501.04130 bounds the error over
    patience: the expected share of false tickets at a stopping time, over the time watched until then. Not bounded: the
    share itself (false discovery rate) when a ticket is raised. By the same paper no method with a finite time to a
    false alarm bounds it in the worst case, and tickets that stay open act as suprema of evidence, for which e-BH does
    not control it (Y. Tavyrikov, J. Goeman, R. de Heide, Carefree multiple testing with e-processes, arXiv 2501.19360).
    ``benchmarks/null.py --part tickets`` measures it.

    >>> [round(10 ** fleet_factor_log10([value] * 99)) for value in (-3.0, 2.5)]
    [100, 1]
    """
    count = len(others_log10) + 1
    ranked = sorted(others_log10, reverse=True)
    best = log10(count)
    for others, value in enumerate(ranked, start=1):
        factor = log10(count / (others + 1))
        if value >= factor:
            best = min(best, factor)
    return best


def full_days(comparison: Comparison, channel: Channel) -> int:
    """Days of a channel's baseline: its evaluations, but at most the days that they span."""
    evaluations = len(channel.baseline)
    return evaluations if comparison.baseline_days is None else min(evaluations, comparison.baseline_days)


def cannot_carry(channel: Channel, *, at_once: bool, days: int | None = None) -> str:
    """Why this baseline does not arm a page signal, and what would be enough; empty if it does.

    ``days``: its ``full_days``. If left out, each of its evaluations counts as a day.
    """
    if reason := too_short(len(channel.baseline) if days is None else days, at_once=at_once):
        return reason
    spread = evidence.measured_spread(channel.baseline)
    if spread > WIDEST_SPREAD:
        return (
            f"The baseline's days differ {spread:.1f} times as much as by chance. Above {WIDEST_SPREAD:.0f} times, the "
            f"promised rate cannot be kept. Find out what differs between the days, or capture a longer baseline."
        )
    return ""


def held_back(comparison: Comparison, channel: Channel) -> str:
    """Why a page signal is only a ticket, independent of the judge's state; empty if it may page."""
    if not run_kind(comparison.target, comparison.suite).may_page:
        return JUDGE_ITSELF
    return cannot_carry(channel, at_once=comparison.baseline_at_once, days=full_days(comparison, channel))


def prior_of(comparison: Comparison, signal: str) -> evidence.Prior:
    """What is assumed of a signal's days: with what other suites show, and with caution for a baseline without days."""
    if comparison.baseline_at_once:
        return evidence.AT_ONCE
    weights = comparison.fleet.get(signal)
    return evidence.PRIOR if weights is None else tuple(zip(evidence.WAYS, weights, strict=True))


def days_of(comparison: Comparison, channel: Channel, history: Sequence[Mapping[str, float]]) -> tuple[int, ...]:
    """The day of each score of a channel, as ``evidence.running`` takes them: the baseline's, the evaluations', today.

    The baseline's days are evenly spaced over its time. Evaluations of which the time is not known follow each other
    day by day.
    """
    count = len(channel.baseline)
    apart = comparison.days_apart
    past = [one.get(AT) for one in history if channel.name in one]
    known = [at for at in (*past, comparison.at) if at is not None]
    begin = count * apart
    if len(known) <= len(past):
        after = list(range(begin, begin + len(past) + 1))
    else:
        after = [begin + int((at - known[0]) / comparison.day_seconds + NEXT_DAY) for at in known]
    return (*(place * apart for place in range(count)), *after)


@dataclass(frozen=True)
class _Weighed:
    weight: evidence.Weight
    evaluations: int
    recovered: bool
    severity: Severity
    unarmed: str
    """Why a page signal is only a ticket here; empty if it is not held back."""
    judge_moved: bool
    ways: tuple[float, ...]
    intermittent: str
    """How often a fact was seen that not every answer shows; empty if there is none."""


def verdicts(
    comparison: Comparison, readings: Mapping[str, Reading], severities: Mapping[str, Severity]
) -> dict[str, Verdict]:
    """The verdict on each signal's reading, by its name."""
    readings = {name: reading.counted() for name, reading in readings.items()}
    same = any(severities[name] is Severity.PAGE for name in readings) and unchanged(comparison)
    weighed = {
        name: _weigh(comparison, name, reading, severities[name], same=same) for name, reading in readings.items()
    }
    told: dict[str, Verdict] = {}
    for severity, of_base, line in (
        (Severity.PAGE, False, comparison.page_threshold_log10),
        (Severity.TICKET, False, comparison.ticket_threshold_log10),
        (Severity.TICKET, True, comparison.ticket_threshold_log10),
    ):
        alike = {name for name, kind in severities.items() if kind is severity and (name in OF_BASE) is of_base}
        # a page signal that its baseline does not arm still counts among the page signals, with their threshold
        mine = {name: one for name, one in weighed.items() if name in alike}
        if not mine:
            continue
        missing = sum(1 for name in alike - mine.keys() if comparison.history.get(name))
        count = len(mine) + missing
        together = evidence.average([one.weight for one in mine.values()], count).running_log10
        for name, one in mine.items():
            holds = one.weight.running_log10 >= min(together, line + log10(count)) - 1e-12
            verdict = Verdict(
                alarming=together >= line and holds,
                severity=one.severity,
                evidence_log10=one.weight.running_log10,
                evaluation_log10=one.weight.evaluation_log10,
                threshold_log10=line + log10(count),
                evaluations=one.evaluations,
                recovered=one.recovered,
                judge_moved=one.judge_moved,
                caveat="",
                ways=one.ways,
            )
            caveats = (
                _caveat(one.unarmed, verdict),
                one.intermittent if verdict.moved or name in comparison.raised else "",
            )
            told[name] = replace(verdict, caveat=" ".join(filter(None, caveats)))
    return told


def grew(finding: Finding) -> bool:
    """Whether a suite that is asked rarely should be asked once more soon: a page signal has evidence of
    ``GROWN_LOG10``, to which this evaluation adds ``ADDED_LOG10``, and does not alarm.

    Whether it is asked depends only on evaluations so far, so evidence stays valid; its threshold counts the
    evaluations that this adds (``schedule.FOLLOWING``). The running evidence alone would not do: a single e-value is 10
    or more in at most one of ten healthy evaluations, but the sum over all starts of a change grows with them, and is
    10 or more in most weeks after a year.
    """
    moved = finding.evidence_log10 >= GROWN_LOG10 and finding.evaluation_log10 >= ADDED_LOG10
    return finding.severity is Severity.PAGE and not finding.alarming and moved


def series_log10(evidence_log10: Sequence[float], threshold_log10: Sequence[float]) -> float:
    """A ticket stream's averaged evidence over its threshold, log10, from its findings' numbers: the input of
    ``fleet_factor_log10``. ``threshold_log10`` is each finding's own."""
    together = evidence.average([evidence.Weight(0.0, one, 0) for one in evidence_log10]).running_log10
    return together - (max(threshold_log10) - log10(len(threshold_log10)))


def _weigh(comparison: Comparison, name: str, reading: Reading, severity: Severity, *, same: bool) -> _Weighed:
    """``same``: the subject's answers are the approved ones. Nothing about such a subject may page; a judge that scores
    the same answers otherwise has itself changed."""
    history = comparison.history.get(name, ())
    prior = prior_of(comparison, name)
    weights = [
        evidence.running(
            channel.baseline,
            [*_past(channel, history), channel.score],
            channel.side,
            prior=prior,
            days=days_of(comparison, channel, history),
        )
        for channel in reading.channels
    ]
    page = severity is Severity.PAGE
    reason = held_back(comparison, reading.channels[0]) if page else ""
    weight = evidence.average(weights)
    same = same and weight.evaluation_log10 >= 0  # else it recovered, which is no reason to hold back the alarm
    judge_moved = page and not reason and reading.judged and (comparison.judge_moved or same)
    unarmed = reason or (UNCHANGED if page and same else "")
    return _Weighed(
        weight=weight,
        evaluations=len(history) + 1,
        recovered=_recovered(comparison.raised.get(name), history, reading),
        severity=Severity.TICKET if unarmed or judge_moved else severity,
        unarmed=JUDGE_MOVED if judge_moved and comparison.judge_moved else unarmed,
        judge_moved=judge_moved,
        ways=_ways(comparison, reading.channels[0], history, weight),
        intermittent=_intermittent(history, reading),
    )


def _ways(
    comparison: Comparison, channel: Channel, history: Sequence[Mapping[str, float]], weight: evidence.Weight
) -> tuple[float, ...]:
    """What the days so far show of how days differ; of the baseline alone, while the evaluations may show a change."""
    days = days_of(comparison, channel, history)
    scores = [*channel.baseline, *_past(channel, history), channel.score]
    count = len(channel.baseline) if weight.running_log10 >= MOVED_LOG10 else len(scores)
    return evidence.log_likelihoods(scores[:count][-evidence.LONGEST :], days[:count][-evidence.LONGEST :])


def _intermittent(history: Sequence[Mapping[str, float]], reading: Reading) -> str:
    """The rate of the most frequent fact that some evaluations saw, and others since then missed or may miss."""
    found = [seen for channel in reading.channels if (seen := seen_of(channel, history)) is not None and seen.rare]
    if not found:
        return ""
    seen = max(found, key=lambda one: one.share)
    told = f"Intermittent: {seen.evaluations} of {seen.of} evaluations saw it, on {seen.share:.1%} of the answers."
    if not seen.clean:
        return told
    needed = ceil(RECOVERED_LOG10 / evidence.absent_log10(seen.share, reading.answers_now))
    return f"{told} The last {seen.clean} did not; {max(needed, seen.clean)} in a row show that it is over."


def _caveat(unarmed: str, verdict: Verdict) -> str:
    """The consequence of ``unarmed`` for a finding; empty for a quiet one, which is neither page nor ticket."""
    if not unarmed or not verdict.moved:
        return ""
    reason = unarmed[0].lower() + unarmed[1:]
    return f"A ticket instead of a page: {reason}" if verdict.alarming else f"At most a ticket, not a page: {reason}"


def _past(channel: Channel, history: Sequence[Mapping[str, float]]) -> list[float]:
    return [evaluation[channel.name] for evaluation in history if channel.name in evaluation]


def _recovered(raised: int | None, history: Sequence[Mapping[str, float]], reading: Reading) -> bool:
    """Whether the evaluations since the alarm was raised show that it is over, in the channel that raised it."""
    if raised is None or not 0 < raised <= len(history):
        return False
    found = []
    for channel in reading.channels:
        before, after = _past(channel, history[:raised]), [*_past(channel, history[raised:]), channel.score]
        if before:
            weight = evidence.running(channel.baseline, before, channel.side)
            found.append((weight.running_log10, channel, before[weight.began :], after))
    if not found:
        return False
    _, channel, changed, after = max(found, key=lambda one: one[0])
    seen = seen_of(channel, history)
    if seen is not None and evidence.absent_log10(seen.share, seen.clean * reading.answers_now) < RECOVERED_LOG10:
        return False
    return evidence.recovery_log10(channel.baseline, changed, after, channel.side) >= RECOVERED_LOG10


def seen_of(channel: Channel, history: Sequence[Mapping[str, float]]) -> Seen | None:
    """How often the channel's fact was seen in the evaluations that still count and this one; ``None`` if never."""
    shares = [one.get(channel.name + SHARE_SUFFIX, 0.0) for one in history if channel.name in one] + [channel.share]
    places = [place for place, share in enumerate(shares) if share]
    if not places:
        return None
    during = shares[places[0] : places[-1] + 1]
    return Seen(len(places), len(during), len(shares) - 1 - places[-1], sum(during) / len(during))
