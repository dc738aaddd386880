"""Targets that the mail must not call quiet: nothing was compared yet, or nothing was measured in the period."""

from collections.abc import Sequence

from monitor.core.measured import Standing, capture_words, standing
from monitor.core.records import BaselineStatus
from monitor.report.email.data import Facts, Stream
from monitor.report.email.wording import Times


def waits_of(facts: Facts, streams: Sequence[Stream], times: Times) -> str:
    """The suites of a target that do not count as quiet, and why. Empty if all of them were compared and at least one
    was measured in the period."""
    told = [f"{suite}: {_not_yet(facts, (name, suite), times)}" for name, suite in streams
            if standing_of(facts, (name, suite)) is not Standing.COMPARED]  # fmt: skip
    if told:
        return f"{'; '.join(told)}."
    measured = [facts.progress[stream].last_success for stream in streams if stream in facts.progress]
    newest = max((at for at in measured if at), default=None)
    if newest is not None and newest >= facts.since:
        return ""
    last = times.stamp(newest) if newest else "never"
    return f"Nothing was measured in this period. Last measured: {last}."


def standing_of(facts: Facts, stream: Stream) -> Standing:
    """How far a stream was measured and compared."""
    kept = {one.status: one for one in reversed(facts.baselines.get(stream, ()))}
    ranked = (BaselineStatus.APPROVED, BaselineStatus.CAPTURED, BaselineStatus.CAPTURING)
    chosen = next((kept[status] for status in ranked if status in kept), None)
    progress = facts.progress.get(stream)
    status, approved_at = (chosen.status, chosen.approved_at) if chosen else (None, None)
    success = progress.last_success if progress else None
    return standing(status, approved_at, success, outdated=stream in facts.outdated)


def _not_yet(facts: Facts, stream: Stream, times: Times) -> str:
    stands = standing_of(facts, stream)
    if stands is not Standing.CAPTURING:
        return stands
    one = next(one for one in facts.baselines[stream] if one.status is BaselineStatus.CAPTURING)
    words = capture_words(one.days, one.starts_at, one.ends_at, facts.settings.schedule.day_seconds)
    return f"{words}, until {times.day(one.ends_at)}"
