"""The history of a verdict: the verdicts before it, in the order in which they were reached.

A *stream* is one suite of one target. Its verdicts are numbered as they are written, one at a time: a writer locks the
stream's row (``ledger.lock_series``) and is rejected if the stream changed since it was read (``Position``). So the
history of a verdict is exactly that of the lower numbers, and can be read again at any time.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from monitor.core.records import AT, BaselineStatus, VerdictContext
from monitor.store.alarms import latest_seq
from monitor.store.base import Connected
from monitor.store.tables import accepted, alarm, baseline, finding, latest_finding, run, verdict

Evaluations = dict[str, tuple[Mapping[str, float], ...]]
Numbers = list[tuple[float, float]]
"""(evidence, threshold) of findings, log10."""


@dataclass(frozen=True, slots=True)
class Position:
    """The state of a stream. While it is equal, everything that a verdict reads of the stream is equal."""

    seq: int
    """Its latest verdict."""
    cleared: int
    """Number of its cleared alarms."""
    baseline_id: int | None
    """The approved baseline."""
    accepted: int = 0
    """Number of accepted values of the contract."""


def position(connection: Connection, target: str, suite: str) -> Position:
    over = select(func.count()).where(alarm.c.target == target, alarm.c.suite == suite, alarm.c.cleared_at.is_not(None))
    approved = select(baseline.c.id).where(
        baseline.c.target == target, baseline.c.suite == suite, baseline.c.status == BaselineStatus.APPROVED.value
    )
    known = select(func.count()).where(accepted.c.target == target, accepted.c.suite == suite)
    return Position(
        latest_seq(connection, target, suite),
        int(connection.execute(over).scalar_one()),
        connection.execute(approved).scalar(),
        int(connection.execute(known).scalar_one()),
    )


def _limit(connection: Connection, before: int | None) -> int | None:
    """The number of the verdict of run ``before``; ``None`` if it has none yet, so that all verdicts came before it."""
    if before is None:
        return None
    found: int | None = connection.execute(select(verdict.c.seq).where(verdict.c.run_id == before)).scalar()
    return found


def _below(seq: int, limit: int | None) -> bool:
    return limit is None or seq < limit


def _looks(
    connection: Connection, target: str, suite: str, baseline_id: int, limit: int | None
) -> dict[str, list[tuple[int, Mapping[str, float]]]]:
    found: dict[str, list[tuple[int, Mapping[str, float]]]] = defaultdict(list)
    for signal, seq, _, scores in _rows(connection, target, suite, baseline_id, limit):
        found[signal].append((seq, scores))
    return found


def _rows(
    connection: Connection, target: str, suite: str, baseline_id: int, limit: int | None, *only: ColumnElement[bool]
) -> Iterator[tuple[str, int, int, Mapping[str, float]]]:
    """(signal, verdict, run, scores) of each evaluation that still counts, in the order of the verdicts."""
    since: dict[str, int] = defaultdict(int)
    for signal, _, cleared in _alarms(connection, target, suite):
        if cleared is not None and _below(cleared, limit):
            since[signal] = max(since[signal], cleared)
    confirmed = verdict.alias()
    before: ColumnElement[bool] = verdict.c.seq > 0 if limit is None else verdict.c.seq < limit
    rows = connection.execute(
        select(
            finding.c.signal, verdict.c.seq, finding.c.run_id, finding.c.scores, run.c.slot,
            func.coalesce(confirmed.c.seq, verdict.c.seq),
        )
        .join(verdict, verdict.c.run_id == finding.c.run_id)
        .join(run, run.c.id == finding.c.run_id)
        .join(confirmed, confirmed.c.run_id == run.c.confirms, isouter=True)
        .where(verdict.c.target == target, verdict.c.suite == suite, verdict.c.baseline_id == baseline_id, before)
        .where(_counts(), *only)
        .order_by(verdict.c.seq)
    )  # fmt: skip
    for signal, seq, run_id, scores, slot, asked in rows:
        # A fresh sample is ignored together with the evaluation that requested it: after the alarm of another signal
        # was cleared, the sample would add scores of the fault to the new evidence.
        if asked > since[signal]:
            yield signal, int(seq), int(run_id), {**scores, AT: slot.timestamp()}


def _counts() -> ColumnElement[bool]:
    """The evaluations that count as evidence: those of scheduled runs and of those that follow them, fresh samples, and
    runs that raised an alarm.

    A manual run is judged with its own evaluation added to these, and may raise, confirm or end an alarm. Later
    evaluations ignore it, however often it is repeated. If it ended the alarm, evidence starts again after it. If it
    raised one, its evaluation stays, because a recovery is measured from it.
    """
    did_raise = select(alarm.c.id).where(alarm.c.raised_run_id == finding.c.run_id, alarm.c.signal == finding.c.signal)
    return or_(run.c.scheduled, run.c.confirms.is_not(None), run.c.follows.is_not(None), did_raise.exists())


def _alarms(connection: Connection, target: str, suite: str) -> list[tuple[str, int, int | None]]:
    """(signal, verdict that raised it, verdict that ended it or ``None``) of each alarm of the stream."""
    rows = connection.execute(
        select(alarm.c.signal, func.coalesce(verdict.c.seq, 0), alarm.c.cleared_seq)
        .join(verdict, verdict.c.run_id == alarm.c.raised_run_id, isouter=True)
        .where(alarm.c.target == target, alarm.c.suite == suite)
        .order_by(alarm.c.id)
    )
    return [(signal, int(at), cleared) for signal, at, cleared in rows]


class HistoryReads(Connected):
    """The store's methods over these queries."""

    def position(self, target: str, suite: str) -> Position:
        """The state of a stream. Read it first, and pass it to ``finish`` with the verdict."""
        with self._database.read() as c:
            return position(c, target, suite)

    def evaluations(self, target: str, suite: str, baseline_id: int, *, before: int | None = None) -> Evaluations:
        """Signal -> the scores by channel of its earlier evaluations on this baseline that still count, oldest first.

        Evaluations of scheduled, following and confirming runs after the signal's last alarm was cleared. A manual run
        counts only if it raised the alarm. ``before``: the history at the verdict of that run.
        """
        with self._database.read() as connection:
            found = _looks(connection, target, suite, baseline_id, _limit(connection, before))
            return {signal: tuple(scores for _, scores in items) for signal, items in found.items()}

    def scores_by_run(
        self, target: str, suite: str, baseline_id: int, signal: str
    ) -> list[tuple[int, Mapping[str, float]]]:
        """Run and scores of the evaluations of one signal that still count, oldest first."""
        with self._database.read() as connection:
            found = _rows(connection, target, suite, baseline_id, None, finding.c.signal == signal)
            return [(run_id, scores) for _, _, run_id, scores in found]

    def evaluation_runs(
        self, target: str, suite: str, baseline_id: int, *, before: int | None = None
    ) -> dict[str, tuple[int, ...]]:
        """Signal -> the runs whose scores its ``evaluations`` are, in the same order."""
        with self._database.read() as connection:
            found = _looks(connection, target, suite, baseline_id, _limit(connection, before))
            rows = connection.execute(select(verdict.c.seq, verdict.c.run_id).where(verdict.c.target == target))
            runs = {seq: int(run_id) for seq, run_id in rows}
            return {signal: tuple(runs[seq] for seq, _ in items) for signal, items in found.items()}

    def raised(self, target: str, suite: str, baseline_id: int, *, before: int | None = None) -> dict[str, int]:
        """Signal with an open alarm -> the number of its evaluations up to and including the one that raised it.

        0 if that evaluation is not among them (an alarm from before evidence was stored).
        """
        with self._database.read() as connection:
            limit = _limit(connection, before)
            found = _looks(connection, target, suite, baseline_id, limit)
            return {
                signal: sum(seq <= at for seq, _ in found.get(signal, ()))
                for signal, at, cleared in _alarms(connection, target, suite)
                if _below(at, limit) and (cleared is None or not _below(cleared, limit))
            }

    def verdicts(self, target: str | None = None) -> list[VerdictContext]:
        """What every verdict depended on in addition to answers, in the order of the verdicts."""
        with self._database.read() as connection:
            query = select(verdict).order_by(verdict.c.seq)
            query = query if target is None else query.where(verdict.c.target == target)
            return [
                VerdictContext(
                    row.run_id,
                    row.baseline_id,
                    row.page_threshold_log10,
                    row.ticket_threshold_log10,
                    row.cliffwatch,
                    bool(row.judge_moved),
                    {signal: tuple(weights) for signal, weights in (row.fleet or {}).items()},
                )
                for row in connection.execute(query)
            ]

    def borrowed(self, run_ids: Sequence[int]) -> dict[int, dict[str, tuple[float, ...]]]:
        """Run -> signal -> what its verdict borrowed from other suites: ``Comparison.fleet``."""
        with self._database.read() as connection:
            rows = connection.execute(select(verdict.c.run_id, verdict.c.fleet).where(verdict.c.run_id.in_(run_ids)))
            return {run_id: {one: tuple(weights) for one, weights in (fleet or {}).items()} for run_id, fleet in rows}

    def fleet_ways(self, excluding: tuple[str, str], limit: int) -> dict[str, list[tuple[float, ...]]]:
        """Signal -> the ``Finding.ways`` of the latest findings on approved baselines, of other streams.

        ``limit``: most findings in all; the most recent ones are taken.
        """
        with self._database.read() as connection:
            rows = connection.execute(
                select(finding.c.signal, finding.c.ways)
                .join(latest_finding, finding.c.id == latest_finding.c.finding_id)
                .join(baseline, finding.c.baseline_id == baseline.c.id)
                .where(baseline.c.status == BaselineStatus.APPROVED.value, finding.c.ways.is_not(None))
                .where(or_(baseline.c.target != excluding[0], baseline.c.suite != excluding[1]))
                .order_by(finding.c.id.desc())
                .limit(limit)
            )
            found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
            for signal, ways in rows:
                found[signal].append(tuple(ways))
            return found

    def ticket_series(self, excluding: tuple[str, str], signals: Collection[str]) -> list[Numbers]:
        """For every other armed (target, suite), the (evidence, threshold) of its latest findings of ``signals``,
        log10.

        Empty without findings. The thresholds are those of a single stream, without a fleet factor.
        """
        with self._database.read() as connection:
            alone = finding.c.threshold_log10 - verdict.c.ticket_threshold_log10 + verdict.c.page_threshold_log10
            rows = connection.execute(
                select(baseline.c.id, finding.c.evidence_log10, alone.label("line"))
                .join(
                    latest_finding,
                    and_(
                        latest_finding.c.target == baseline.c.target,
                        latest_finding.c.suite == baseline.c.suite,
                        latest_finding.c.signal.in_(sorted(signals)),
                    ),
                    isouter=True,
                )
                .join(
                    finding,
                    and_(finding.c.id == latest_finding.c.finding_id, finding.c.baseline_id == baseline.c.id),
                    isouter=True,
                )
                .join(verdict, verdict.c.run_id == finding.c.run_id, isouter=True)
                .where(baseline.c.status == BaselineStatus.APPROVED.value)
                .where(or_(baseline.c.target != excluding[0], baseline.c.suite != excluding[1]))
                .order_by(baseline.c.id, latest_finding.c.signal)
            )
            found: dict[int, Numbers] = {}
            for number, evidence, line in rows:
                numbers = found.setdefault(number, [])
                if evidence is not None and line is not None:
                    numbers.append((float(evidence), float(line)))
            return list(found.values())
