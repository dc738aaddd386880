"""The account of a sample on every surface: the run, the log, commands, the page, JSON, metrics, the mail."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from structlog.testing import capture_logs
from typer.testing import CliRunner

from monitor.cli import app
from monitor.core import sampling
from monitor.core.errors import CliffwatchError
from monitor.core.records import (
    LeftOut,
    LeftOutCount,
    LeftOutReason,
    RunOutcome,
    SampleAccount,
    UnreadFile,
    UnreadReason,
)
from monitor.core.sampling import UNREAD, WORDS
from monitor.report.email.compose import compose
from monitor.report.email.message import preview
from monitor.report.metrics import Internals
from monitor.report.web import create_app
from monitor.runs.context import RunContext
from monitor.runs.manual import run_now
from tests.daemon import HEALTHY, NOON, Clock, context_of, write

AT = NOON - timedelta(hours=2)


def request(content: Any = "Where is my kettle?", at: datetime = AT, **more: Any) -> dict[str, Any]:
    return {"at": at.isoformat(), "messages": [{"role": "user", "content": content}], **more}


def configured(folder: Path, log: list[dict[str, Any]] | None, **source: Any) -> Path:
    if log is not None:
        (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "production": {"source": {"kind": "jsonl", "path": "requests.jsonl", "time": "at", **source}, "sample": 20},
    }
    return write(folder, HEALTHY, targets={"bot": target})


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
AGENTS = [
    request("Where is order 0?"),
    *({**request(), "messages": [{"role": "user", "content": f"Where is order {n}?"}, CALL]} for n in range(1, 10)),
]


async def reload() -> str | None:
    return None


def get(context: RunContext, clock: Clock, path: str) -> str:
    served = create_app(context.store, lambda: context.settings, Internals(), lambda: {"ok": True}, reload, clock, None)
    with TestClient(served, base_url="http://127.0.0.1") as client:
        return client.get(path).text


def mailed(context: RunContext, clock: Clock) -> str:
    made = compose(context, clock() + timedelta(minutes=1))
    return " ".join(preview(made.report, made.pictures).split())


async def test_what_is_left_out_is_told_everywhere(tmp_path: Path) -> None:
    clock = Clock()
    (tmp_path / "requests.jsonl.bak").write_text("{}")
    log = [*AGENTS, request("old", NOON - timedelta(days=30)), request("ahead", NOON + timedelta(days=400))]
    async with context_of(configured(tmp_path, log), clock) as context:
        with capture_logs() as logs:
            run_id = await run_now(context, "bot", "production")
        (line,) = (one for one in logs if one["event"] == "production_sampled")
        assert (line["log_level"], line["lines"], line["outside"], line["read"]) == ("warning", 12, 2, 10)
        assert (line["unsupported"], line["inputs"]) == (9, 1)
        assert line["reasons"] == {"before": 1, "future": 1, "tool_calls": 9}
        place = f"{tmp_path}/requests.jsonl"
        assert line["where_first"] == {"tool_calls": f"{place}:2"}

        account = context.store.samples([run_id, run_id + 1])[run_id]
        assert (account.read, account.unsupported, account.kept, account.left_out_ratio) == (10, 9, 1, 0.9)
        told = f"9 of 10 requests contain calls of tools, first {place}:2, then {place}:3, {place}:4."
        shown = get(context, clock, f"/runs/{run_id}")
        named = ("Sample of production inputs", told, "9 unsupported", "has a time in the future", "requests.jsonl.bak")
        for words in named:
            assert words in shown
        sample = json.loads(get(context, clock, f"/api/v1/runs/{run_id}"))["sample"]
        assert sample == json.loads(json.dumps(asdict(account)))

        metrics = Internals().exposition(context.store, context.settings, clock())[0].decode()
        for series in (
            'sample_requests{target="bot",outcome="kept",reason=""} 1.0',
            'sample_requests{target="bot",outcome="unsupported",reason="tool_calls"} 9.0',
            'sample_requests{target="bot",outcome="outside",reason="future"} 1.0',
            'sample_left_out_ratio{target="bot"} 0.9',
            'sample_unread_files{target="bot",reason="another_name"} 1.0',
        ):
            assert f"cliffwatch_{series}\n" in metrics
        rows = [row for row in metrics.splitlines() if row.startswith("cliffwatch_sample_requests{")]
        assert sum(float(row.split()[-1]) for row in rows) == account.lines

        mail = mailed(context, clock)
        assert "of the production requests could not be asked: 9 of 10 requests contain calls of tools" in mail


async def test_a_mail_is_silent_about_a_small_share(tmp_path: Path) -> None:
    clock = Clock()
    log = [request(f"Where is order {n}?") for n in range(9)] + [{"at": AT.isoformat()}]
    async with context_of(configured(tmp_path, log), clock) as context:
        await run_now(context, "bot", "production")
        mail = mailed(context, clock)
        assert "could not be asked" not in mail


async def test_a_run_with_nothing_to_ask_keeps_why(tmp_path: Path) -> None:
    clock = Clock()
    async with context_of(configured(tmp_path, None), clock) as context:
        first = await run_now(context, "bot", "production")
        problem = context.store.samples([first])[first].problem
        assert problem.startswith("no file matches ")
        assert problem in get(context, clock, f"/runs/{first}").replace("&#39;", "'")
        clock.forward(minutes=1)
        configured(tmp_path, [{"at": AT.isoformat(), "messages": {}}] * 6)
        second = await run_now(context, "bot", "production")
        assert context.store.get_run(second).outcome is RunOutcome.UNMEASURED
        told = sampling.nothing_to_ask(context.store.samples([second])[second])
        assert told.startswith(
            f"6 of 6 requests have no messages at `messages` (found an empty object), first {tmp_path}/requests.jsonl:1"
        )


def cliffwatch(path: Path, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*arguments, "--config", str(path)])
    error = done.exception
    if isinstance(error, CliffwatchError):
        return error.exit_code, done.stdout, f"{done.stderr}{error}"
    assert error is None or isinstance(error, SystemExit), error
    return done.exit_code, done.stdout, done.stderr


def now_log(**more: Any) -> list[dict[str, Any]]:
    return [request(at=datetime.now(UTC) - timedelta(hours=n), **more) for n in range(6)]


def test_a_dry_run_prints_the_account_and_asks_nothing(tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    path = configured(tmp_path, [{**one, "at": at.isoformat()} for one in AGENTS])
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run")
    assert code == 0
    rows = dict(row.strip().rsplit(None, 1) for row in out.splitlines()[2:12])
    assert {name.strip(): count for name, count in rows.items()} == {
        "logged": "10", "not matching `where`": "0", "outside": "0", "malformed": "0", "read": "10",
        "unsupported": "9", "truncated": "0", "duplicates": "0", "not drawn": "0", "kept: inputs to ask": "1",
    }  # fmt: skip
    log = f"{tmp_path}/requests.jsonl"
    assert f"9 of 10 requests contain calls of tools, first {log}:2, then {log}:3, {log}:4." in out
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["read"], told["unsupported"], told["left_out_ratio"]) == (0, 10, 9, 0.9)
    assert told["reasons"][0]["reason"] == "tool_calls"
    assert not list(tmp_path.glob("*.db*")), "the store is not opened"


def test_a_dry_run_shows_paths_strata_and_redacted_examples(tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    log = [
        *(request(f"Where is order {n}? Write to ann{n}@example.com", at, lang="en") for n in range(8)),
        {
            "at": at.isoformat(),
            "lang": "de",
            "input": [{"role": "user", "content": "Wo ist es?"}],
            "instructions": "Kurz.",
        },
        request("Hello", at),
        request("Hello", at, call_type="embedding"),
    ]
    path = configured(tmp_path, log, format="litellm", messages="messages")
    document = yaml.safe_load(path.read_text())
    document["targets"]["bot"]["production"]["stratify"] = "lang"
    path.write_text(yaml.safe_dump(document))
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["mapping"] == [
        {"messages": "messages", "time": "at", "stratum": "lang", "requests": 8},
        {"messages": "input", "time": "at", "stratum": "lang", "requests": 1},
        {"messages": "messages", "time": "at", "stratum": "", "requests": 1},
    ]
    assert found["strata"] == {"(none)": 1, "de": 1, "en": 8}
    assert found["no_requests"] == {"no chat": 1}
    assert [one["stratum"] for one in found["examples"][:3]] == ["(none)", "de", "en"]
    assert len(found["examples"]) == 5
    assert "@example.com" not in out
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run")
    shown = " ".join(out.split())
    assert "Records that are not requests to ask again: no chat 1" in shown
    assert "de: Wo ist es?" in shown
    assert "‹email›" in shown
    assert "@example.com" not in shown


def test_a_dry_run_of_nothing_says_why(tmp_path: Path) -> None:
    path = configured(tmp_path, [{**one, "messages": "redacted-by-litellm"} for one in now_log()])
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run")
    assert code == 3
    assert "6 of 6 requests have a placeholder in place of the prompt" in out
    assert "6 of 6 requests are the same text" in out
    (tmp_path / "requests.jsonl").rename(tmp_path / "requests.json")
    code, out, _ = cliffwatch(path, "sample", "bot", "--dry-run", "--json")
    assert (code, json.loads(out)["problem"].endswith("their names differ: requests.json")) == (3, True)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ([{"at": 1, "messages": {}}], "1 of 1 request has no messages at `messages` (found an empty object), first "),
        (None, "a run would have nothing to ask: no file matches "),
        ([], "a run would have nothing to ask of the newest log: no requests in "),
        (
            [{"messages": "Where is my kettle?"}] * 3,
            "3 of 3 requests have no readable time: nothing at `at` (found the keys messages), first ",
        ),
    ],
)
def test_check_is_not_fine_where_a_run_would_have_nothing_to_ask(
    tmp_path: Path, log: list[dict[str, Any]] | None, words: str
) -> None:
    path = configured(tmp_path, log)
    code, out, err = cliffwatch(path, "check")
    assert (code, words in err) == (0, True), err
    assert out.endswith("valid, but a sample of production inputs would be empty\n")
    configured(tmp_path, now_log())
    code, out, err = cliffwatch(path, "check")
    assert (code, out.endswith(": fine\n"), "production:" in err) == (0, True, False)


def test_probe_says_why_nothing_was_asked(tmp_path: Path) -> None:
    path = configured(tmp_path, [{**one, "messages": {}} for one in now_log()])
    code, _, err = cliffwatch(path, "probe", "bot", "--suite", "production")
    assert (code, "6 of 6 requests have no messages at `messages` (found an empty object)" in err) == (3, True)


def test_every_reason_has_words_and_every_line_a_place() -> None:
    assert set(WORDS) == set(LeftOutReason)
    assert set(UNREAD) == set(UnreadReason)
    for reason, words in WORDS.items():
        for count in (1, 1200):
            one = LeftOutCount(LeftOut.MALFORMED, reason, count, "logs/a.jsonl:7", "")
            told = sampling.reason_line(SampleAccount(lines=1500, malformed=1500), one)
            assert told.startswith(f"{count:,} of 1,500 requests ")
            assert told.endswith(f", first logs/a.jsonl:7. {words.fix}")
    files = UnreadFile(UnreadReason.UNKNOWN_FORMAT, 7, ("a", "b"), "LZ4")
    assert sampling.unread_line(files) == "7 files not read, because of its format (LZ4): a, b and 5 more"


def test_one_text_that_is_most_of_the_traffic_is_told(tmp_path: Path) -> None:
    path = configured(tmp_path, [*now_log(), request("another", at=datetime.now(UTC))])
    _, out, _ = cliffwatch(path, "sample", "bot", "--dry-run")
    assert "6 of 7 requests are the same text" in out
    assert yaml.safe_load(path.read_text())["targets"]["bot"]["production"]["sample"] == 20
