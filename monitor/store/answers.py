"""Answers and their scores, read back as the records that were stored."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from json import loads
from struct import pack, unpack
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, delete, null, select, update

from monitor.core.records import (
    Answer,
    Arm,
    AuditEntry,
    BaselineStatus,
    Exchange,
    GradedAnswer,
    Outcome,
    Reason,
    Score,
    TokenLogprob,
    Unmeasured,
    Unscored,
)
from monitor.core.texts import stand_in
from monitor.store import audit, ledger
from monitor.store.base import Connected
from monitor.store.column_types import clean, dump_json
from monitor.store.dialect import insert
from monitor.store.tables import answer, baseline, embedding, run, score, unscored, verdict

AnswerKey = tuple[Arm, str, int]

ASKED: Final = (Arm.SUBJECT.value, Arm.BASE.value)
JUDGES: Final = (Arm.JUDGE_SUBJECT.value, Arm.JUDGE_BASE.value)
CLOSED: Final = (BaselineStatus.CAPTURED.value, BaselineStatus.APPROVED.value, BaselineStatus.RETIRED.value)
SLICE: Final = 500


class JudgeReply(NamedTuple):
    """What the judge said about one answer."""

    arm: Arm
    probe: str
    replicate: int
    text: str
    refusal: bool
    model: str | None


def _to_outcome(row: Any) -> Outcome:
    exchange = None if row.exchange is None else Exchange(**row.exchange)
    if row.reason is not None:
        return Unmeasured(Reason(row.reason), row.detail, row.asked_at, row.attempts, row.usd, exchange)
    return Answer(
        row.text, row.finish_reason, row.refusal, row.model, row.fingerprint, row.request_id, row.prompt_tokens,
        row.completion_tokens, row.latency_seconds, row.asked_at, exchange or Exchange({}, None), _logprobs(row),
        row.attempts, row.usd, row.text_in, row.served or {}, row.cached_tokens,
    )  # fmt: skip


def _logprobs(row: Any) -> tuple[TokenLogprob, ...] | None:
    return None if row.logprobs is None else tuple(_to_logprob(*token) for token in row.logprobs)


def _to_logprob(token: str, logprob: float, top: Mapping[str, float]) -> TokenLogprob:
    # -inf, which some servers do give, is kept as text: JSON has no word for it.
    return TokenLogprob(token, float(logprob), {other: float(value) for other, value in top.items()})


def _slices(run_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(run_ids), SLICE):
        yield run_ids[start : start + SLICE]


def _usable(run_ids: Sequence[int], arms: Collection[Arm]) -> Any:
    names = (
        "run_id", "arm", "probe", "replicate", "text", "finish_reason", "refusal", "model", "fingerprint",
        "prompt_tokens", "completion_tokens", "logprobs", "text_in", "served", "cached_tokens", "hashed", "chars",
    )  # fmt: skip
    same = [answer.c[name] == embedding.c[name] for name in ("run_id", "arm", "probe", "replicate")]
    return (
        select(run.c.slot, *(answer.c[name] for name in names), embedding.c.vector)
        .join(run, run.c.id == answer.c.run_id)
        .join(embedding, and_(*same), isouter=True)
        .where(answer.c.run_id.in_(run_ids), answer.c.reason.is_(None), answer.c.arm.in_([arm.value for arm in arms]))
        .order_by(answer.c.run_id, answer.c.probe, answer.c.replicate, answer.c.arm)
    )


def _to_graded(row: Any, scores: Mapping[str, float]) -> GradedAnswer:
    text = row.text if row.hashed is None else stand_in(row.hashed, row.chars)
    return GradedAnswer(
        row.run_id, row.slot, Arm(row.arm), row.probe, row.replicate, text, row.finish_reason, row.refusal,
        row.model, row.fingerprint, row.prompt_tokens, row.completion_tokens, scores, _logprobs(row),
        None if row.vector is None else _vector(row.vector), row.text_in, row.served or {}, row.cached_tokens,
    )  # fmt: skip


def half_floats(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector that ``answers`` reads after ``save_embeddings`` wrote this one."""
    return _vector(_packed(vector))


def _packed(vector: Sequence[float]) -> bytes:
    return pack(f"<{len(vector)}e", *vector)


def _vector(stored: bytes) -> tuple[float, ...]:
    """The half floats of ``_packed``."""
    return unpack(f"<{len(stored) // 2}e", stored)


def _scores(connection: Connection, run_ids: Sequence[int]) -> dict[tuple[int, str, str, int], dict[str, float]]:
    found: dict[tuple[int, str, str, int], dict[str, float]] = defaultdict(dict)
    rows = connection.execute(
        select(score.c.run_id, score.c.arm, score.c.probe, score.c.replicate, score.c.grader, score.c.value).where(
            score.c.run_id.in_(run_ids)
        )
    )
    for run_id, arm, probe, replicate, grader, value in rows:
        found[(run_id, arm, probe, replicate)][grader] = value
    return found


class AnswerReads(Connected):
    """Methods that read answers."""

    def answered(self, run_id: int) -> set[tuple[Arm, str, int]]:
        """Keys of the questions with a recorded outcome, usable or not."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(answer.c.arm, answer.c.probe, answer.c.replicate).where(answer.c.run_id == run_id)
            )
            return {(Arm(arm), probe, replicate) for arm, probe, replicate in rows}

    def answers(self, run_ids: Sequence[int], arms: Collection[Arm] = (Arm.SUBJECT, Arm.BASE)) -> list[GradedAnswer]:
        """Usable answers of these arms with their scores, by run, probe, replicate and arm."""
        with self._database.read() as connection:
            found: list[GradedAnswer] = []
            for some in _slices(sorted(set(run_ids))):
                scores = _scores(connection, some)
                rows = connection.execute(_usable(some, arms))
                found += [
                    _to_graded(row, scores.get((row.run_id, row.arm, row.probe, row.replicate), {})) for row in rows
                ]
            return found

    def snapshots(self, run_ids: Sequence[int]) -> list[GradedAnswer]:
        """Usable answers of ``Arm.SNAPSHOT``, by run, probe and replicate, without their scores."""
        with self._database.read() as connection:
            return [
                _to_graded(row, {})
                for some in _slices(sorted(set(run_ids)))
                for row in connection.execute(_usable(some, (Arm.SNAPSHOT,)))
            ]

    def outcomes(self, run_id: int) -> list[tuple[tuple[Arm, str, int], Outcome]]:
        """Everything recorded for a run, including judge arms and unmeasured questions, with the raw exchanges."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(answer)
                .where(answer.c.run_id == run_id)
                .order_by(answer.c.probe, answer.c.replicate, answer.c.arm)
            )
            return [((Arm(row.arm), row.probe, row.replicate), _to_outcome(row)) for row in rows]

    def judges(self, run_ids: Sequence[int]) -> dict[int, set[tuple[str, str]]]:
        """Run id -> (provider, model) of every judge that was asked in it; a run without a judge has no entry."""
        judge = answer.c.arm.in_(JUDGES)
        columns = select(answer.c.run_id, answer.c.provider, answer.c.asked_model).distinct()
        found: dict[int, set[tuple[str, str]]] = defaultdict(set)
        with self._database.read() as connection:
            for ids in _slices(run_ids):
                for run_id, provider, model in connection.execute(columns.where(answer.c.run_id.in_(ids), judge)):
                    found[run_id].add((provider, model))
        return dict(found)

    def judge_replies(self, run_id: int) -> list[JudgeReply]:
        """The judge's usable replies in one run."""
        columns = [answer.c[name] for name in JudgeReply._fields]
        usable = (answer.c.run_id == run_id, answer.c.arm.in_(JUDGES), answer.c.reason.is_(None))
        order = (answer.c.probe, answer.c.replicate, answer.c.arm)
        with self._database.read() as connection:
            rows = connection.execute(select(*columns).where(*usable).order_by(*order))
            return [JudgeReply(Arm(arm), *rest) for arm, *rest in rows]

    def unknown_finishes(self) -> list[tuple[int, AnswerKey, Unmeasured]]:
        """Run, key and outcome of the replies with an unknown finish reason, from which no verdict was reached yet, and
        that are in no baseline after its capture. Fresh samples are left out. By run."""
        judged = select(verdict.c.run_id).where(verdict.c.run_id == run.c.id)
        closed = (
            baseline.c.target == run.c.target,
            baseline.c.suite == run.c.suite,
            baseline.c.status.in_(CLOSED),
            baseline.c.starts_at <= run.c.slot,
            run.c.slot < baseline.c.ends_at,
        )
        query = (
            select(answer)
            .join(run, run.c.id == answer.c.run_id)
            .where(answer.c.reason == Reason.UNKNOWN_FINISH.value, run.c.confirms.is_(None))
            .where(~judged.exists(), ~select(baseline.c.id).where(*closed).exists())
            .order_by(answer.c.run_id, answer.c.probe, answer.c.replicate, answer.c.arm)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        found = [(row, _to_outcome(row)) for row in rows]
        return [
            (row.run_id, (Arm(row.arm), row.probe, row.replicate), one)
            for row, one in found
            if isinstance(one, Unmeasured)
        ]


def _outcome_values(outcome: Outcome) -> dict[str, Any]:
    """The columns that another reading of the same reply changes."""
    if isinstance(outcome, Unmeasured):
        return {"reason": outcome.reason.value, "detail": clean(outcome.detail)}
    # As `record` writes them: -inf as text.
    logprobs = loads(dump_json([[t.token, t.logprob, dict(t.top)] for t in outcome.logprobs or ()]))
    return {
        "reason": None, "detail": "", "text": clean(outcome.text), "finish_reason": clean(outcome.finish_reason),
        "refusal": outcome.refusal, "model": clean(outcome.model), "fingerprint": clean(outcome.fingerprint),
        "request_id": clean(outcome.request_id), "prompt_tokens": outcome.prompt_tokens,
        "completion_tokens": outcome.completion_tokens, "logprobs": logprobs or null(),
        "text_in": clean(outcome.text_in), "served": dict(outcome.served) or null(),
        "cached_tokens": outcome.cached_tokens,
    }  # fmt: skip


class Grading(Connected):
    """Methods that add to recorded answers."""

    def judge_anew(self, run_id: int, outcomes: Mapping[AnswerKey, Outcome], entry: AuditEntry, now: datetime) -> None:
        """Replace the outcomes of one run whose finish reason was unknown. A run that was done becomes due again, to
        reach a verdict with them. ``entry`` goes to the audit log in the same transaction."""
        with self._database.write() as connection:
            for (arm, probe, replicate), outcome in outcomes.items():
                key = (answer.c.run_id == run_id, answer.c.arm == arm.value, answer.c.probe == probe)
                connection.execute(
                    update(answer)
                    .where(*key, answer.c.replicate == replicate, answer.c.reason == Reason.UNKNOWN_FINISH.value)
                    .values(_outcome_values(outcome))
                )
            again = {"status": "due", "outcome": None, "finished_at": None, "lease_until": None, "next_at": now}
            connection.execute(update(run).where(run.c.id == run_id, run.c.status == "done").values(again))
            audit.add(connection, entry)

    def add_scores(
        self, run_id: int, fence: int, scores: Sequence[Score], missing: Sequence[Unscored] | None = None
    ) -> bool:
        """Write scores of recorded answers, replacing earlier ones; ``False`` when the fence is stale.

        ``missing``: all checks of the run without a score, replacing earlier ones; ``None`` keeps those.
        """
        with self._database.write() as connection:
            if ledger.lock(connection, run_id, fence) is None:
                return False
            rows = [
                {
                    "run_id": run_id, "arm": item.arm.value, "probe": item.probe, "replicate": item.replicate,
                    "grader": item.grader, "value": float(item.value), "detail": clean(item.detail),
                }
                for item in scores
            ]  # fmt: skip
            if rows:
                new = insert(connection, score)
                changed = {"value": new.excluded.value, "detail": new.excluded.detail}
                connection.execute(
                    new.on_conflict_do_update(index_elements=list(score.primary_key.columns), set_=changed), rows
                )
            if missing is not None:
                connection.execute(delete(unscored).where(unscored.c.run_id == run_id))
            if missing:
                connection.execute(unscored.insert(), [_unscored_row(run_id, item) for item in missing])
            return True

    def save_embeddings(self, run_id: int, fence: int, vectors: Mapping[tuple[Arm, str, int], Sequence[float]]) -> bool:
        """Keep unit vectors of recorded answers, as half floats; ``False`` when the fence is stale.

        An existing vector is kept.
        """
        with self._database.write() as connection:
            if ledger.lock(connection, run_id, fence) is None:
                return False
            rows = [
                {
                    "run_id": run_id, "arm": arm.value, "probe": probe, "replicate": replicate,
                    "vector": _packed(vector),
                }
                for (arm, probe, replicate), vector in vectors.items()
            ]  # fmt: skip
            if rows:
                connection.execute(insert(connection, embedding).on_conflict_do_nothing(), rows)
            return True


def _unscored_row(run_id: int, item: Unscored) -> dict[str, Any]:
    return {
        "run_id": run_id, "arm": item.arm.value, "probe": item.probe, "replicate": item.replicate,
        "grader": item.grader, "reason": item.reason, "detail": clean(item.detail),
    }  # fmt: skip
