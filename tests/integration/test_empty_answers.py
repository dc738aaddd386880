"""A server whose answers are empty: told before approval, refused at approval, and graded as failed."""

from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from monitor import config
from monitor.cli import operations, output
from monitor.core.errors import UsageError
from monitor.core.records import Arm, BaselineStatus, Condition, Holds, Reason
from monitor.daemon.actions import Actions
from monitor.report.status.fleet import status
from monitor.runs.context import RunContext
from monitor.runs.readonly import ReadOnlyContext
from tests.daemon import Clock, context_of
from tests.http_server import Reply, Request, ScriptedServer, completion
from tests.site import Site

PROBES = 12
Says = Callable[[str, str], str]
"""(model, prompt) -> the text of the reply."""


class Ticking(Clock):
    """Runs that are made in a row have different slots."""

    def __call__(self) -> datetime:
        self.forward(seconds=1)
        return self.at


def server(says: Says) -> ScriptedServer:
    def reply(request: Request) -> Reply:
        if not isinstance(request.body, dict):
            return Reply(404, {"error": {"message": "no such path"}})
        return Reply(body=completion(says(request.body["model"], request.body["messages"][-1]["content"])))

    return ScriptedServer(reply)


def write(folder: Path, url: str, **suite: Any) -> Path:
    (folder / "probes").mkdir()
    checks = [{"kind": "regex", "pattern": "^(?!.*sorry)"}]
    probes = [{"id": f"q{n:02}", "prompt": f"Question {n:02}?", "checks": checks} for n in range(PROBES)]
    body = {"name": "desk", "sampling": {"temperature": 0}, "probes": probes, **suite}
    (folder / "probes" / "desk.yaml").write_text(yaml.safe_dump(body))
    settings = {
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"gw": {"kind": "openai", "base_url": url, "free": True, "attempts": 1}},
        "targets": {
            "bot": {
                "subject": {"provider": "gw", "model": "tuned"},
                "base": {"provider": "gw", "model": "plain"},
                "suites": ["desk"],
            }
        },
        "http": {"port": 0},
    }
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def approve(context: RunContext) -> None:
    (captured,) = context.store.baselines("bot", "desk", BaselineStatus.CAPTURED)
    Actions(lambda: context).approve(captured.id, "ada", "read them")


def told(context: RunContext, path: Path) -> str:
    settings, suites = config.load_to_read(path)
    with redirect_stdout(StringIO()) as out:
        output.status(status(ReadOnlyContext(settings, suites, context.store, context.clock)), as_json=False)
    return out.getvalue()


@pytest.mark.parametrize("text", ["", " \n ", "\u200b", "<think>They may return it.</think>\n"])
async def test_a_baseline_of_empty_answers_is_told_and_cannot_be_approved(tmp_path: Path, text: str) -> None:
    async with (
        server(lambda model, prompt: text) as gateway,
        context_of(write(tmp_path, gateway.url), Ticking()) as context,
    ):
        lines = await operations.capture(context, "bot", None, days=None, at_once=2)
        assert any(line.startswith("All 24 answers are empty") for line in lines)
        assert any(line.startswith("All 24 answers of the base are empty") for line in lines)
        assert "think" not in text or sum("the text is in `<think>`" in line for line in lines) == 2
        with pytest.raises(UsageError, match=r"bot/desk: baseline 1 cannot be approved: all 24 answers are empty"):
            approve(context)
        assert context.store.approved("bot", "desk") is None
        answers = context.store.answers(context.store.baseline(1).run_ids)
        assert {score for one in answers for score in one.scores.values()} == {0.0}, "the pattern fits an empty one"


async def test_some_empty_answers_are_told_with_their_probes_and_stay_with_the_baseline(tmp_path: Path) -> None:
    def says(model: str, prompt: str) -> str:
        quiet = model == "tuned" and prompt in ("Question 03?", "Question 07?")
        return "" if quiet else f"{model} on {prompt}: {'21 days' if model == 'tuned' else 'ask the shop'}."

    async with server(says) as gateway:
        path = write(tmp_path, gateway.url)
        async with context_of(path, Ticking()) as context:
            lines = await operations.capture(context, "bot", None, days=None, at_once=3)
            assert "6 of 36 answers are empty (q03, q07)." in lines
            approve(context)
            approved = context.store.approved("bot", "desk")
            assert approved is not None
            (texts,) = [
                one for one in approved.conditions if (one.condition, one.arm) == (Condition.TEXTS, Arm.SUBJECT)
            ]
            assert (texts.holds, texts.count, texts.total, texts.probes) == (Holds.PARTLY, 6, 36, ("q03", "q07"))
            assert "6 of 36 answers are empty (q03, q07)." in told(context, path)


async def test_a_base_that_answers_as_the_subject_is_told_in_every_place(tmp_path: Path) -> None:
    async with server(lambda model, prompt: f"{prompt} You have 21 days.") as gateway:
        path = write(tmp_path, gateway.url)
        async with context_of(path, Ticking()) as context:
            alike = (
                "The base answers as the subject does (36 of 36 approved answers are equal to the base's): "
                "adapter_loss, base_match and canaries cannot be read."
            )
            assert alike in await operations.capture(context, "bot", None, days=None, at_once=3)
            approve(context)
            assert operations.lacks(context, context.store.baseline(1)) == [alike]
            assert alike in told(context, path)


async def test_a_rejected_temperature_is_learned_and_told(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        if "temperature" in request.body:
            error = {
                "message": "Unsupported parameter: 'temperature'",
                "param": "temperature",
                "code": "unsupported_parameter",
            }
            return Reply(400, {"error": error})
        model, prompt = request.body["model"], request.body["messages"][-1]["content"]
        return Reply(body=completion(f"{model} says 21 days, {prompt}" if model == "tuned" else f"Ask. {prompt}"))

    async with ScriptedServer(reply) as gateway:
        path = write(tmp_path, gateway.url)
        async with context_of(path, Ticking()) as context:
            lines = await operations.capture(context, "bot", None, days=None, at_once=3)
            rejects = "The endpoint rejects the parameter temperature, so the subject is not asked at temperature 0"
            assert f"{rejects}: base_match and border cannot be read." in lines
            approve(context)
            (found,) = await operations.probe(context, "bot", None)
            signals = {one.signal for one in found.findings}
            assert "adapter_loss" in signals
            assert "base_match" not in signals


async def test_the_pages_of_a_captured_baseline_and_its_run_show_empty_answers(tmp_path: Path) -> None:
    async with (
        server(lambda model, prompt: "" if model == "tuned" else "Ask the shop.") as gateway,
        context_of(write(tmp_path, gateway.url), Ticking()) as context,
    ):
        await operations.capture(context, "bot", None, days=None, at_once=2)
    with Site(tmp_path / "cliffwatch.db") as site:
        page, run = (httpx.get(f"{site.url}{path}", timeout=30).text for path in ("/baselines/1", "/runs/1"))
        detail = httpx.get(f"{site.url}/api/v1/baselines/1", timeout=30).json()
    assert "All 24 answers are empty." in page
    assert "Signals that compare texts cannot be read." in page
    assert page.count("(empty)") == PROBES
    assert run.count("(empty)") == PROBES
    texts = {one["arm"]: one for one in detail["conditions"] if one["condition"] == "texts"}
    assert (texts["subject"]["holds"], texts["subject"]["count"]) == ("fails", 24)
    assert texts["base"]["holds"] == "holds"
    assert {text["text"] for sheet in detail["sheets"] for text in sheet["subject"]} == {""}, "as it was given"


async def test_reasoning_that_uses_up_the_tokens_is_no_answer(tmp_path: Path) -> None:
    def reply(request: Request) -> Reply:
        return Reply(body=completion("<think>They have 21 d", choice={"finish_reason": "length"}))

    async with (
        ScriptedServer(reply) as gateway,
        context_of(write(tmp_path, gateway.url), Ticking()) as context,
    ):
        (found,) = await operations.probe(context, "bot", None)
    assert found.unmeasured == {Reason.TRUNCATED: 2 * PROBES}
