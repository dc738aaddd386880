"""``cliffwatch findings --recompute``: builds every finding and alarm again from the stored answers, and compares.

Verdicts are repeated in their order, each with its stored inputs (baseline, thresholds) and with the history of the
*recomputed* findings before it. The ledger and the alarms show which evaluations count for it. Findings are equal if
all fields are, numbers up to ``ROUNDING``.

Alarms are replayed by their state machine over the recomputed findings. People's actions (an alarm cleared, its
baseline retired) are taken from the store, because answers do not show them. Findings and alarms from before verdicts
were stored are not recomputed, nor are verdicts whose texts, embeddings, scores or findings were deleted: those are
listed, and the findings as stored take their place in the history of later ones.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from monitor.core.records import (
    AT,
    Alarm,
    AlarmState,
    Arm,
    DataKind,
    DeletedWhy,
    Deletion,
    Finding,
    Run,
    VerdictContext,
)
from monitor.detect import alarms as machine
from monitor.detect import findings_for
from monitor.runs.questions import stored_suite
from monitor.runs.verdict import CLEARING_SHARE, compare, moved

if TYPE_CHECKING:
    from monitor.store import Store

EVERY: Final = 1_000_000_000
"""A limit that is never reached."""
MISSING: Final = "nothing"
ROUNDING: Final = 1e-7
"""Sums of floats depend on the processor, and on the number of threads that add them."""
WORDING: Final = ("what", "numbers", "caveat")
"""Text for people. Another version may word the same finding differently, so words are not compared, but the state,
cause, advice and numbers from which they are made. An alarm's ``note`` is text for people too."""

Key = tuple[str, str, str]
"""target, suite, signal."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one finding or alarm that differs from the stored one. Values as JSON."""

    run_id: int
    signal: str
    field: str
    """``alarm.state`` and so on for an alarm, listed under the run that raised it; ``finding`` or ``alarm`` if a whole
    one exists only in the store, or only recomputed."""
    stored: str
    recomputed: str


@dataclass(frozen=True, slots=True)
class Unrepeatable:
    """A verdict that cannot be repeated, because data that it depends on was deleted."""

    run_id: int
    deleted: tuple[Deletion, ...]


@dataclass(slots=True)
class Recomputed:
    """The result of a recomputation."""

    findings: int = 0
    equal: int = 0
    alarms: int = 0
    alarms_equal: int = 0
    differences: list[Difference] = field(default_factory=list)
    cannot: list[Unrepeatable] = field(default_factory=list)


def recompute(store: "Store", target: str | None = None) -> Recomputed:
    """Build every finding and alarm of the target, or of all targets, again, and compare. Writes nothing."""
    result = Recomputed()
    scores: dict[tuple[int, str], Mapping[str, float]] = {}
    judged: dict[int, tuple[Finding, ...]] = {}
    contexts = store.verdicts(target)
    for context in contexts:
        kept = store.findings(run_id=context.run_id, limit=EVERY)
        if deleted := _deleted(store, context):
            result.cannot.append(Unrepeatable(context.run_id, deleted))
            if all(one.kind is not DataKind.FINDINGS for one in deleted):  # later verdicts and the alarms rest on them
                judged[context.run_id] = tuple(kept)
                scores.update({(one.run_id, one.signal): one.scores for one in kept})
            continue
        judged[context.run_id] = _findings(store, context, scores)
        stored = {one.signal: one for one in kept}
        again = {one.signal: one for one in judged[context.run_id]}
        for signal in sorted(stored.keys() | again.keys()):
            before, after = _plain(stored.get(signal)), _plain(again.get(signal))
            found = list(_differences(context.run_id, signal, "finding", before, after))
            result.findings += 1
            result.equal += not found
            result.differences += found
    _compare_alarms(result, store, target, judged, _days(store, contexts))
    return result


def _deleted(store: "Store", context: VerdictContext) -> tuple[Deletion, ...]:
    """What was deleted of what the verdict depends on: its own findings, its run, and the runs of its baseline."""
    runs = (context.run_id, *store.baseline(context.baseline_id).run_ids)
    found = [
        one
        for one in store.deletions(runs)
        if one.kind is not DataKind.EXCHANGES and one.why is not DeletedWhy.NOT_KEPT
    ]
    return tuple(one for one in found if one.kind is not DataKind.FINDINGS or one.run_id == context.run_id)


def _days(store: "Store", contexts: Sequence[VerdictContext]) -> dict[int, timedelta]:
    """Run -> length of a day of the baseline with which it was compared."""
    known = {one: store.baseline(one).day_seconds for one in {context.baseline_id for context in contexts}}
    return {one.run_id: timedelta(seconds=known[one.baseline_id]) for one in contexts}


def _findings(
    store: "Store", context: VerdictContext, scores: dict[tuple[int, str], Mapping[str, float]]
) -> tuple[Finding, ...]:
    """The findings of one verdict, again. ``scores``: those of the earlier recomputed findings, by run and signal;
    these are added."""
    comparison = compare(store, context)
    evaluations = store.evaluation_runs(comparison.target, comparison.suite, context.baseline_id, before=context.run_id)
    history = {
        signal: tuple(
            {**scores[run_id, signal], AT: stored[AT]}
            for run_id, stored in zip(runs, comparison.history[signal], strict=True)
            if (run_id, signal) in scores
        )
        for signal, runs in evaluations.items()
    }
    found = tuple(findings_for(replace(comparison, history=history)))
    scores.update({(one.run_id, one.signal): one.scores for one in found})
    return found


def _plain(item: Finding | Alarm | None) -> dict[str, Any] | None:
    """A record as stored, without its text for people, missing measures, and for an alarm its number and
    acknowledgement."""
    if item is None:
        return None
    values = asdict(item)
    values.pop("id", None)
    if isinstance(item, Alarm):  # acknowledgements do not follow from answers
        values = {name: value for name, value in values.items() if not name.startswith("acknowledged_")}
        del values["note"]
    if isinstance(item, Finding):
        values = {name: value for name, value in values.items() if name not in WORDING}
        values["measures"] = {name: float(value) for name, value in item.measures.items() if math.isfinite(value)}
    return values


def canonical(value: object) -> str:
    """JSON that is identical, byte for byte, for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_word)


def _word(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _same(stored: object, again: object) -> bool:
    """Whether both are equal; numbers may differ in the last digits, as between processors."""
    if isinstance(stored, float) and isinstance(again, float):
        return math.isclose(stored, again, rel_tol=ROUNDING, abs_tol=ROUNDING)
    if isinstance(stored, dict) and isinstance(again, dict):
        return stored.keys() == again.keys() and all(_same(value, again[name]) for name, value in stored.items())
    if isinstance(stored, list | tuple) and isinstance(again, list | tuple):
        return len(stored) == len(again) and all(map(_same, stored, again))
    return canonical(stored) == canonical(again)


def _differences(
    run_id: int, signal: str, what: str, stored: dict[str, Any] | None, again: dict[str, Any] | None
) -> Iterator[Difference]:
    if stored is None or again is None:
        told = [MISSING if one is None else canonical(one) for one in (stored, again)]
        if told[0] != told[1]:
            yield Difference(run_id, signal, what, *told)
        return
    prefix = "" if what == "finding" else f"{what}."
    for name in stored:
        if not _same(stored[name], again[name]):
            yield Difference(run_id, signal, f"{prefix}{name}", canonical(stored[name]), canonical(again[name]))


def _compare_alarms(
    result: Recomputed, store: "Store", target: str | None, judged: Mapping[int, Sequence[Finding]],
    days: Mapping[int, timedelta],
) -> None:  # fmt: skip
    kept = {
        (one.target, one.suite, one.signal, one.raised_run_id): one
        for one in store.alarms(target, limit=EVERY)
        if one.raised_run_id in judged
    }
    again = {(one.target, one.suite, one.signal, one.raised_run_id): one
             for one in _replayed(store, target, list(kept.values()), judged, days)}  # fmt: skip
    for key in sorted(kept.keys() | again.keys()):
        found = list(_differences(key[3], key[2], "alarm", _plain(kept.get(key)), _plain(again.get(key))))
        result.alarms += 1
        result.alarms_equal += not found
        result.differences += found


def _replayed(
    store: "Store", target: str | None, kept: Sequence[Alarm], judged: Mapping[int, Sequence[Finding]],
    days: Mapping[int, timedelta],
) -> list[Alarm]:  # fmt: skip
    """The alarms that the recomputed findings raise, confirm and clear, run by run in the order of their end."""
    by_hand = [one for one in kept if one.state is AlarmState.CLEARED and one.cleared_run_id is None]
    over: list[Alarm] = []
    open_now: dict[Key, Alarm] = {}
    day: dict[tuple[str, str], timedelta] = {}
    for run, at in _ended(store, target, judged):
        _clear(open_now, over, [one for one in by_hand if one.cleared_at is not None and one.cleared_at <= at])
        stream = (run.target, run.suite)
        day[stream] = days.get(run.id, day.get(stream, machine.DAY))
        mine = {key[2]: one for key, one in open_now.items() if key[:2] == stream}
        found = judged.get(run.id, ())
        after = moved(run, found, mine, at, clears=bool(found) and _may_clear(store, run), day=day[stream])
        for signal, alarm in after.items():
            if alarm.state is AlarmState.CLEARED:
                over.append(alarm)
                del open_now[run.target, run.suite, signal]
            else:
                open_now[run.target, run.suite, signal] = alarm
    _clear(open_now, over, by_hand)
    return [*over, *open_now.values()]


def _ended(store: "Store", target: str | None, judged: Mapping[int, Sequence[Finding]]) -> list[tuple[Run, datetime]]:
    """The runs that may move an alarm, with when they ended: those with a verdict, in order, and those without
    anything to judge, for which an alarm may have waited."""
    place = {run_id: number for number, run_id in enumerate(judged)}
    ended = [(run, run.finished_at) for run in store.runs(target, limit=EVERY) if run.finished_at is not None]
    return sorted(ended, key=lambda one: (one[1], place.get(one[0].id, len(place))))


def _may_clear(store: "Store", run: Run) -> bool:
    suite = stored_suite(store, run)
    usable = sum(one.arm is Arm.SUBJECT for one in store.answers([run.id]))
    return usable >= CLEARING_SHARE * len(suite.probes) * suite.replicates


def _clear(open_now: dict[Key, Alarm], over: list[Alarm], done: Sequence[Alarm]) -> None:
    """Clear its open alarms, as people did."""
    for one in done:
        key = (one.target, one.suite, one.signal)
        alarm = open_now.get(key)
        if alarm is not None and alarm.raised_run_id == one.raised_run_id:
            over.append(
                replace(alarm, state=AlarmState.CLEARED, cleared_at=one.cleared_at, cleared_by=one.cleared_by,
                        cleared_why=one.cleared_why)
            )  # fmt: skip
            del open_now[key]
