"""All that is stored of one person is found by a keyed hash, shown, and deleted."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from monitor.cli import app
from monitor.core.errors import CouldNotMeasure, UsageError
from monitor.core.keyed_hash import VARIABLE, key_file, keyed_hash, read_key
from monitor.core.records import AuditEntry, DeletedWhy
from monitor.runs.context import RunContext, ensure_run
from monitor.runs.execute import execute_run
from monitor.store import Store, open_store
from tests.daemon import HEALTHY, Clock, context_of, write

MONDAY = datetime(2026, 11, 23, 6, tzinfo=UTC)
ALICE, BOB = "alice@example.org", "bob-7"
PLANTED = "my zebra is called Ferdinand"
SHARED = "what are your opening hours"


def request(user: str, text: str) -> str:
    at = "2026-11-20T12:00:00Z"
    return json.dumps({"at": at, "metadata": {"user_id": user}, "messages": [{"role": "user", "content": text}]})


def configured(folder: Path, store: str | None = None) -> Path:
    lines = [request(ALICE, PLANTED), request(ALICE, SHARED), request(BOB, SHARED), request(BOB, "and my invoice")]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    production = {
        "source": {"kind": "jsonl", "path": "log.jsonl", "time": "at"}, "subject_key": "metadata.user_id",
        "rubric": "Pass if the reply is kind.",
    }  # fmt: skip
    target = {
        "subject": {"provider": "script", "model": "tuned"}, "base": {"provider": "script", "model": "plain"},
        "production": production,
    }  # fmt: skip
    echo: list[dict[str, Any]] = [{"model": "tuned", "answers": [f"I see: {PLANTED}"]}, *HEALTHY[1:]]
    changes = {} if store is None else {"store": store}
    return write(folder, echo, targets={"bot": target}, **changes)


async def asked(context: RunContext) -> int:
    run = ensure_run(context, "bot", "production", context.clock())
    await execute_run(context, run.id, at_once=True)
    return run.id


def command(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


async def test_a_person_is_exported_and_forgotten(tmp_path: Path) -> None:
    path = configured(tmp_path)
    async with context_of(path, Clock(MONDAY)) as context:
        run_id = await asked(context)
        assert len(context.store.production_inputs(run_id)) == 3
    told = command("export-data", "--subject", ALICE, "--config", str(path))
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert {one["messages"][0]["content"] for one in lines if one["kind"] == "input"} == {PLANTED, SHARED}
    answers = [one for one in lines if one["kind"] == "answer"]
    assert {one["arm"] for one in answers} == {"subject", "base", "judge-subject", "judge-base"}
    assert all("exchange" in one for one in answers)

    why = ("--by", "kim", "--why", "asked by mail", "--config", str(path))
    done = command("forget", "--subject", "-", "--json", *why, stdin=f"{ALICE}\n")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["inputs"], found["runs"], found["answers"], found["waiting"]) == (2, 1, 10, [])
    assert any("backups" in one for one in found["not_reached"])
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    (left,) = store.production_inputs(run_id)
    assert left.prompt == "and my invoice", "what Bob alone asked stays; what both asked is gone"
    (entry,) = store.audit_entries()
    assert (entry.action, entry.who, entry.subject) == ("forget", "kim", "2 inputs of a person in 1 runs")
    assert {one.why for one in store.deletions([run_id])} == {DeletedWhy.FORGOTTEN}
    store.close()
    assert command("export-data", "--subject", ALICE, "--config", str(path)).stdout == ""
    again = command("forget", "--subject", ALICE, "--json", *why)
    assert json.loads(again.stdout)["inputs"] == 0
    raw = b"".join(one.read_bytes() for one in tmp_path.glob("cliffwatch.db*"))
    assert SHARED.encode() not in raw, "what is deleted is overwritten"
    assert ALICE.encode() not in raw
    assert BOB.encode() not in raw, "people are kept as hashes"


async def test_a_person_is_forgotten_on_postgresql(
    tmp_path: Path, postgres_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(tmp_path, postgres_server.fresh())
    async with context_of(path, Clock(MONDAY)) as context:
        await asked(context)
        (account,) = context.store.samples([1]).values()
        assert VARIABLE in account.problem
    monkeypatch.setenv(VARIABLE, "0123456789abcdef0123")
    path = configured(tmp_path, postgres_server.fresh())
    async with context_of(path, Clock(MONDAY)) as context:
        run_id = await asked(context)
        done = command("forget", "--subject", ALICE, "--by", "kim", "--why", "asked", "--config", str(path))
        assert "deleted 2 inputs in 1 run, with 10 answers" in done.output
        assert "VACUUM" in done.output
        assert len(context.store.production_inputs(run_id)) == 1
    monkeypatch.delenv(VARIABLE)
    assert VARIABLE in command("check", "--config", str(path)).output


async def test_a_run_in_progress_is_named_and_forgotten_when_it_ended(tmp_path: Path) -> None:
    path = configured(tmp_path)
    async with context_of(path, Clock(MONDAY)) as context:
        run_id = await asked(context)
        store: Store = context.store
        with store._database.write() as connection:
            connection.exec_driver_sql("UPDATE run SET status = 'running'")
        why = ("--by", "kim", "--why", "asked", "--config", str(path))
        done = command("forget", "--subject", ALICE, *why)
        assert isinstance(done.exception, CouldNotMeasure)
        assert f"runs in progress ask inputs of this person: {run_id}" in str(done.exception)
        with store._database.write() as connection:
            connection.exec_driver_sql("UPDATE run SET status = 'done'")
        person = keyed_hash(read_key(context.settings.store, create=False), ALICE)
        gone = store.forget(person, AuditEntry(MONDAY, "kim", "forget", None, None, None, "asked", None))
        assert (gone.runs, gone.answers) == (1, 10)


def test_without_a_subject_key_nobody_can_be_found(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY)
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    done = command("export-data", "--subject", ALICE, "--config", str(path))
    assert isinstance(done.exception, UsageError)
    assert "subject_key" in str(done.exception)


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cliffwatch.db"
    with pytest.raises(CouldNotMeasure, match="restore it"):
        read_key(url, create=False, environ={})
    made = read_key(url, create=True, environ={})
    assert made == read_key(url, create=True, environ={})
    path = key_file(url)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(url, create=False, environ={VARIABLE: "x" * 16}) == b"x" * 16
    with pytest.raises(CouldNotMeasure, match="shorter"):
        read_key(url, create=False, environ={VARIABLE: "short"})
    assert keyed_hash(made, "a") != keyed_hash(b"x" * 16, "a")
