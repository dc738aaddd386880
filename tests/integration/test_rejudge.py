"""Replies with an unknown finish reason, judged anew by a version whose table has the word."""

import re
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from monitor.core import finish_reasons
from monitor.core.finish_reasons import Ending
from monitor.core.records import BaselineStatus, Reason, RunOutcome, Unmeasured
from monitor.runs.base_share import share_size
from monitor.runs.context import RunContext, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.recompute import recompute
from monitor.runs.rejudge import judge_anew
from tests.daemon import DAYS, Clock, context_of, one_day, write
from tests.http_server import Reply, Request, ScriptedServer, completion


class Model:
    """A model that answers well, and ends each answer, or every second one, with a word."""

    def __init__(self) -> None:
        self.finish = "stop"
        self.every = 1

    def __call__(self, request: Request) -> Reply:
        fact = re.search(r"Fact (\d+)\?", str(request.body["messages"]))
        assert fact is not None
        text = f"Certainly: fact {fact[1]}." if request.body["model"] == "tuned" else "no idea"
        word = self.finish if int(fact[1]) % self.every == 0 else "stop"
        return Reply(body=completion(text, choice={"finish_reason": word}))


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Adds words to the table."""

    def grow(**words: Ending) -> None:
        table = {**finish_reasons.TABLE, **{word: (ending, ("OpenAI",)) for word, ending in words.items()}}
        monkeypatch.setattr(finish_reasons, "TABLE", MappingProxyType(table))

    return grow


def config_of(folder: Path, url: str) -> Path:
    provider = {"kind": "openai", "base_url": url, "free": True, "attempts": 1}
    target = {"subject": {"provider": "s", "model": "tuned"}, "base": {"provider": "s", "model": "plain"}}
    return write(folder, [], providers={"s": provider}, targets={"bot": {**target, "suites": ["facts"]}}, judge=None)


def reasons(context: RunContext, run_id: int) -> set[Reason]:
    return {one.reason for _, one in context.store.outcomes(run_id) if isinstance(one, Unmeasured)}


async def test_a_run_that_could_not_be_measured_reaches_its_verdict_when_the_word_is_known(
    tmp_path: Path, grown: Any
) -> None:
    model, clock = Model(), Clock()
    async with ScriptedServer(model) as server, context_of(config_of(tmp_path, server.url), clock) as context:
        start = clock.at.replace(hour=0)
        open_capture(context, "bot", "facts", start, start + timedelta(days=DAYS), at_once=False)
        for _ in range(DAYS):
            await one_day(context, clock)
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("bot", "facts", BaselineStatus.CAPTURED)
        context.store.approve(captured.id, "test", "healthy", clock.at)
        model.finish = "brownout"
        assert await one_day(context, clock) == ()
        (run, *_) = context.store.runs("bot")
        assert (run.outcome, reasons(context, run.id)) == (RunOutcome.UNMEASURED, {Reason.UNKNOWN_FINISH})
        assert judge_anew(context) == 0, "the word is still unknown"
        grown(brownout=Ending.COMPLETE)
        calls = len(server.requests)
        assert judge_anew(context) == 18 + share_size(18)
        findings = await execute_run(context, run.id)
        assert findings
        assert {finding.signal for finding in findings} >= {"contract", "adapter_loss"}
        assert len(server.requests) == calls, "nothing is asked again"
        again = context.store.get_run(run.id)
        assert (again.outcome, reasons(context, run.id)) == (RunOutcome.MEASURED, set())
        answers = context.store.answers([run.id])
        assert {one.finish_reason for one in answers} == {"brownout"}
        assert all(one.scores for one in answers)
        (entry,) = context.store.audit_entries("bot")
        assert (entry.who, entry.action, entry.subject) == ("cliffwatch", "judge anew", f"run {run.id}")
        result = recompute(context.store)
        assert (result.findings, result.differences) == (len(findings), [])
        assert judge_anew(context) == 0


async def test_a_baseline_that_is_being_captured_gets_its_answers_and_a_verdict_stays(
    tmp_path: Path, grown: Any
) -> None:
    model, clock = Model(), Clock()
    async with ScriptedServer(model) as server, context_of(config_of(tmp_path, server.url), clock) as context:
        start = clock.at.replace(hour=0)
        open_capture(context, "bot", "facts", start, start + timedelta(days=DAYS), at_once=False)
        model.finish = "brownout"
        await one_day(context, clock)
        model.finish = "stop"
        for _ in range(DAYS - 1):
            await one_day(context, clock)
        first = context.store.runs("bot")[-1]
        grown(brownout=Ending.ERROR)
        assert judge_anew(context) == 36
        assert await execute_run(context, first.id) == ()
        assert reasons(context, first.id) == {Reason.SERVER_ERROR}
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("bot", "facts", BaselineStatus.CAPTURED)
        assert captured.answers == (DAYS - 1) * 18
        context.store.approve(captured.id, "test", "healthy", clock.at)
        model.finish, model.every = "greyout", 6
        assert await one_day(context, clock)
        (run, *_) = context.store.runs("bot")
        assert run.outcome is RunOutcome.PARTIAL
        grown(greyout=Ending.COMPLETE)
        assert judge_anew(context) == 0, "its verdict was written once"
