"""With ``keep: hashes``, no text of a prompt or an answer is stored anywhere, and runs are judged all the same."""

import asyncio
import json
import os
import random
import re
import sqlite3
import string
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from monitor.core.records import Arm, BaselineStatus, Reason
from monitor.core.schedule import day_start
from monitor.core.texts import is_empty, stand_in
from monitor.report.web.deleted import notes
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.questions import suite_of
from monitor.runs.recompute import recompute
from monitor.store import Store, open_store
from tests.daemon import HEALTHY, Clock, context_of, write
from tests.http_server import Reply, Request, ScriptedServer
from tests.programs import free_port

MONDAY: Final = datetime(2026, 11, 23, 6, tzinfo=UTC)
INPUTS: Final = 500
PLANTED: Final = ["".join(random.Random(n).choices(string.ascii_lowercase, k=14)) for n in range(2 * INPUTS)]
"""Half of them in prompts, half in answers."""
ANSWER_TO: Final = dict(zip(PLANTED[:INPUTS], PLANTED[INPUTS:], strict=True))


def logged(folder: Path, at: datetime, texts: list[str]) -> None:
    lines = (json.dumps({"at": at.isoformat(), "messages": [{"role": "user", "content": one}]}) for one in texts)
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")


def production(**changes: Any) -> dict[str, Any]:
    source = {"kind": "jsonl", "path": "log.jsonl", "time": "at"}
    return {"source": source, "rubric": "Pass if the reply is kind.", "keep": "hashes", "sample": INPUTS, **changes}


def target(**changes: Any) -> dict[str, Any]:
    subject, base = {"provider": "script", "model": "tuned"}, {"provider": "script", "model": "plain"}
    return {"bot": {"subject": subject, "base": base, "production": production(**changes)}}


def chat(request: Request) -> Reply:
    """Answers that repeat the prompt, some refused with an error that repeats it, and a judge that quotes both."""
    if request.body is None:
        return Reply(404, {"error": "no list of models"})
    said = json.dumps(request.body["messages"])
    asked = [one for one in re.findall(r"[a-z]{14}", said) if one in ANSWER_TO]
    if request.body["model"] == "judge":
        text = '{"verdict": "pass"}' if PLANTED.index(asked[0]) % 7 else f"I cannot judge what says {said[-300:]}"
    elif asked and PLANTED.index(asked[0]) % 10 == 0:
        return Reply(400, {"error": {"message": f"cannot answer: {said}", "type": "invalid_request_error"}})
    else:
        text = f"You said {' '.join(asked)}; the answer is {' '.join(map(ANSWER_TO.__getitem__, asked))}."
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    model = request.body["model"]
    return Reply(body={"id": "x", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage})


def planted_config(folder: Path, url: str, port: int) -> Path:
    last = datetime.now(UTC) - timedelta(days=7 + datetime.now(UTC).weekday())
    logged(folder, last.replace(hour=12), [f"my word is {one}, please" for one in PLANTED[:INPUTS]])
    (folder / "cliffwatch.yaml").write_text(yaml.safe_dump({
        "store": f"sqlite:///{folder}/cliffwatch.db",
        "providers": {"script": {"kind": "openai", "base_url": url, "api_key_env": "PLANT_KEY", "concurrency": 16}},
        "judge": {"provider": "script", "model": "judge"},
        "targets": target(),
        "schedule": {"production": "weekly mon 06:00"},
        "http": {"port": port},
    }))  # fmt: skip
    return folder / "cliffwatch.yaml"


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as reply:
        body: bytes = reply.read()
        return body


async def finished(process: asyncio.subprocess.Process, url: str) -> int:
    """The id of the run, when it is done."""
    for _ in range(600):
        await asyncio.sleep(0.2)
        assert process.returncode is None
        try:
            runs = json.loads(await asyncio.to_thread(fetched, f"{url}/api/v1/runs"))["runs"]
        except OSError:
            continue
        if runs and runs[0]["status"] == "done":
            return int(runs[0]["id"])
    raise AssertionError("the run did not end")


def served(url: str, run_id: int, probe: str) -> bytes:
    """Pages, their JSON, and metrics."""
    asked = f"exchange?arm=subject&probe={probe}"
    paths = ["/", "/targets/bot", "/findings", "/metrics", "/api/v1/status", f"/api/v1/runs/{run_id}/{asked}"]
    paths += [f"/runs/{run_id}?show=all&page={page}" for page in range(1, 6)]
    paths += [f"/runs/{run_id}/{asked}", f"/api/v1/runs/{run_id}?show=all&limit=1000"]
    return b"".join(fetched(url + path) for path in paths)


def command(path: Path, *words: str) -> bytes:
    environ = {**os.environ, "PLANT_KEY": "k" * 20}
    told = subprocess.run(
        [sys.executable, "-m", "monitor", *words, "--config", str(path)], env=environ, capture_output=True, check=False
    )
    return told.stdout + told.stderr


async def test_a_thousand_planted_texts_are_found_nowhere(tmp_path: Path) -> None:
    house, port = tmp_path / "house", free_port()
    house.mkdir()
    url = f"http://127.0.0.1:{port}"
    async with ScriptedServer(chat) as server:
        path = planted_config(house, server.url, port)
        with (tmp_path / "daemon.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "monitor", "run", "--config", str(path),
                stdout=log, stderr=log, env={**os.environ, "PLANT_KEY": "k" * 20},
            )  # fmt: skip
            run_id = await finished(process, url)
            store = open_store(f"sqlite:///{house}/cliffwatch.db")
            probe = store.production_inputs(run_id)[0].id
            raw = await asyncio.to_thread(served, url, run_id, probe)
            raw += b"".join((house / f"cliffwatch.db{end}").read_bytes() for end in ("", "-wal", "-shm"))
            with sqlite3.connect(house / "cliffwatch.db") as source, sqlite3.connect(tmp_path / "backup.db") as backup:
                source.backup(backup)
            for words in (("report",), ("report", "--json"), ("status", "--json"), ("findings",), ("baseline", "show")):
                raw += await asyncio.to_thread(command, path, *words)
            process.terminate()
            await process.wait()
    asked = json.dumps([request.body for request in server.requests if request.body])
    assert all(one in asked for one in PLANTED[:INPUTS]), "every input was asked"
    assert sum(one in asked for one in PLANTED[INPUTS:]) == INPUTS * 9 // 10, "every answer was judged"
    answers = store.answers([run_id], [Arm.SUBJECT])
    assert len(answers) == INPUTS * 9 // 10
    assert 350 < sum(one.scores.get("judge") == 1.0 for one in answers) < INPUTS * 9 // 10
    assert store.unmeasured(run_id)[Reason.REJECTED] >= INPUTS // 10
    store.close()
    for left in (*house.iterdir(), tmp_path / "backup.db", tmp_path / "daemon.log"):
        if left.name != "log.jsonl" and left.is_file():
            raw += left.read_bytes()
    assert len(raw) > 1_000_000
    assert [one for one in PLANTED if one.encode() in raw] == []


def rules(text: str) -> list[dict[str, Any]]:
    return [{"model": "tuned", "answers": [text]}, *HEALTHY[1:]]


async def week(context: RunContext, clock: Clock, folder: Path, number: int) -> int:
    """A sample of the day before the slot, logged and asked; in a capture, a sample covers a day."""
    logged(folder, clock.at - timedelta(hours=2), [f"secret question {number}-{one}" for one in range(40)])
    run = ensure_run(context, "bot", "production", clock.at)
    assert await execute_run(context, run.id, at_once=True) is not None
    clock.forward(days=7)
    return run.id


async def test_a_changed_length_is_seen_from_hashes_and_recomputed_from_them(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    path = write(tmp_path, rules("a secret answer to {probe}"), targets=target())
    async with context_of(path, clock) as context:
        start = day_start(context.settings.schedule, clock.at)
        open_capture(context, "bot", "production", start, start + timedelta(weeks=8), at_once=False)
        for number in range(8):
            await week(context, clock, tmp_path, number)
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("bot", "production", BaselineStatus.CAPTURED)
        context.store.approve(captured.id, "kim", "healthy", clock.at)
        assert captured.answers == 8 * 40
    write(tmp_path, rules("a secret answer to {probe}, " + "and so on " * 40), targets=target())
    async with context_of(path, clock) as context:
        run_id = await week(context, clock, tmp_path, 9)
        store = context.store
        found = {one.signal: one for one in store.findings(run_id=run_id)}
        assert {"length", "judge_score", "contract"} <= found.keys()
        assert found["length"].measures["answer_length_chars"] > 400
        assert {one.exhibits for one in found.values()} == {()}
        again = recompute(store)
        assert (again.differences, again.cannot) == ([], [])
        assert again.equal == again.findings > 2
        assert notes(store, run_id) == ["Texts are not stored (keep: hashes)."]
        assert b"secret" not in b"".join(one.read_bytes() for one in tmp_path.glob("cliffwatch.db*"))


async def test_after_a_restart_the_logs_are_read_again_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    path = write(tmp_path, rules("fine"), targets=target())
    logged(tmp_path, clock.at - timedelta(days=2), [f"secret question {one}" for one in range(10)])
    async with context_of(path, clock) as context:
        run = ensure_run(context, "bot", "production", clock.at)
        first = await suite_of(context, run)
        assert len(first.probes) == 10
    async with context_of(path, clock) as context:
        again = await suite_of(context, run)
        assert sorted(again.probes, key=lambda one: one.id) == sorted(first.probes, key=lambda one: one.id)
        assert again.probes[0].prompt.startswith("secret question")
        logged(tmp_path, clock.at - timedelta(days=2), [f"secret question {one}" for one in range(7)])
    async with context_of(path, clock) as context:
        assert len((await suite_of(context, run)).probes) == 7, "what is no longer logged is not asked"
        assert await execute_run(context, run.id, at_once=True) is not None
        store: Store = context.store
        assert len(store.answers([run.id], [Arm.SUBJECT])) == 7


def test_another_key_gives_another_id_and_hash(tmp_path: Path) -> None:
    def ids(folder: Path) -> set[str]:
        folder.mkdir(exist_ok=True)
        logged(folder, MONDAY - timedelta(days=2), ["secret question"])
        path = write(folder, rules("fine"), targets=target())

        async def sampled() -> set[str]:
            async with context_of(path, Clock(MONDAY)) as context:
                run = ensure_run(context, "bot", "production", MONDAY)
                await execute_run(context, run.id, at_once=True)
                with context.store._database.read() as connection:
                    return set(connection.exec_driver_sql("SELECT probe FROM answer").scalars()) | set(
                        connection.exec_driver_sql("SELECT hashed FROM answer").scalars()
                    )

        return asyncio.run(sampled())

    one, two = ids(tmp_path / "one"), ids(tmp_path / "two")
    assert len(one) == len(two) > 2
    assert not one & two


def test_a_stand_in_has_the_length_and_equality_of_a_text_and_nothing_else() -> None:
    assert [len(stand_in("ab", chars)) for chars in (1, 16, 17, 5_000)] == [1, 16, 17, 5_000]
    assert stand_in("ab", 300) == stand_in("ab", 300)
    assert len({stand_in(str(one), 2) for one in range(1_000)}) == 1_000
    assert not is_empty(stand_in("ab", 1))
