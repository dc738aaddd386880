"""Opening, migrating and refusing: what happens to a database that this program did not just make."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from monitor.core.errors import StoreError
from monitor.core.records import AlarmState, Arm, FindingState, RunOutcome, Severity, TokenLogprob, VerdictContext
from monitor.store import open_store, schema
from monitor.store.engine import Database, connect
from monitor.store.tables import Row
from tests.store_records import NOW, alarm, claimed, context, finding, recorded
from tests.summaries import summary_of


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return set(inspect(connection).get_table_names())


def test_migrating_up_down_and_up_again_leaves_what_the_tables_say(store_url: str) -> None:
    database = connect(store_url)
    schema.move(database, "head")
    assert set(Row.metadata.tables) < tables(database)
    schema.move(database, "base", down=True)
    assert tables(database) <= {"alembic_version"}
    schema.move(database, "head")
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Row.metadata) == []
    database.engine.dispose()


FIRST = """
INSERT INTO run VALUES
  (1, 'bot', 'support', '2026-11-20 00:00:00', 'done', 'measured', 1, 1, NULL, '2026-11-20 00:00:00',
   '2026-11-20 00:00:00', 7, 'digest', true, '2026-11-20 20:00:00'),
  (2, 'bot', 'support', '2026-11-21 00:00:00', 'running', NULL, 1, 3, '2026-11-21 10:00:00', '2026-11-21 00:00:00',
   '2026-11-21 00:00:00', 8, 'digest', true, NULL);
INSERT INTO answer VALUES (1, 'subject', 'p', 0, 'vllm', 'm', NULL, '', 'hello', 'stop', false, 'm-1', NULL, NULL, 10,
   20, 0.5, '2026-11-20 06:00:00', 1, 0.001, NULL, '[["hel",-0.5,{"yel":-2.0}]]');
INSERT INTO score VALUES (1, 'subject', 'p', 0, 'judge', 1.0, '');
INSERT INTO finding VALUES (5, 1, 'bot', 'support', 'length', 'ticket', true, 1.5, 1.0, NULL, 'ratio', 0.001, 0.01, 50,
   500, '2026-11-20 00:00:00', '2026-11-20 00:00:00', 'Longer.', '{"length_ratio":1.5}', '[]', '2026-11-20 20:00:00');
INSERT INTO latest_finding VALUES ('bot', 'support', 'length', '2026-11-20 00:00:00', 5);
INSERT INTO alarm VALUES
  (1, 'bot', 'support', 'contract', 'ticket', '2026-11-18 20:00:00', 8, '2026-11-19 20:00:00', 9),
  (2, 'bot', 'support', 'length', 'page', '2026-11-20 20:00:00', 1, NULL, NULL);
INSERT INTO baseline VALUES (4, 'bot', 'support', 'approved', 'digest', 'm', NULL, '2026-11-20 00:00:00',
   '2026-11-21 00:00:00', 86400, false, 'ann', 'fine', '2026-11-21 00:00:00', NULL, NULL, NULL);
INSERT INTO baseline_run VALUES (4, 1);
"""
"""A store as the first version left it."""


def test_a_store_of_the_first_version_comes_up_with_all_that_is_in_it(store_url: str) -> None:
    database = connect(store_url)
    schema.move(database, "0001")
    with database.write() as connection:
        for statement in FIRST.split(";\n"):
            if statement.strip():
                connection.execute(text(statement.replace(":", "\\:")))
    database.engine.dispose()
    with pytest.raises(StoreError, match=r"version 0001, this program needs 0010: run `cliffwatch migrate`"):
        open_store(store_url, migrate=False)
    store = open_store(store_url)
    (answer,) = store.answers([1])
    assert (answer.text, answer.scores, answer.embedding) == ("hello", {"judge": 1.0}, None)
    assert answer.logprobs == (TokenLogprob("hel", -0.5, {"yel": -2.0}),)
    (finding,) = store.latest_findings()
    assert (finding.state, finding.effect, summary_of(finding), finding.measures) == (
        FindingState.ALARMING, 1.5, "Longer.", {"length_ratio": 1.5},
    )  # fmt: skip
    assert isnan(finding.evidence_log10)
    assert (finding.evaluations, finding.scores, finding.recovered, finding.confirming) == (0, {}, False, False)
    assert finding.judge_moved is False
    opened, over = store.alarms()
    assert (opened.state, opened.severity, opened.confirmed_run_id) == (AlarmState.CONFIRMED, Severity.PAGE, 1)
    assert opened.confirmed_at == opened.raised_at == datetime(2026, 11, 20, 20, tzinfo=UTC)
    assert (over.state, over.cleared_run_id, over.note) == (AlarmState.CLEARED, 9, "")
    assert store.baseline(4).run_ids == (1,)
    assert [(run.id, run.confirms, run.fence) for run in store.runs()] == [(2, None, 3), (1, None, 1)]
    # and it goes on: what began under the first version ends under this one
    run = store.claim(2, datetime(2026, 11, 21, 12, tzinfo=UTC), 10)
    assert run is not None
    told = VerdictContext(2, 4, 3.5, 3.5, "0.2")
    moved = replace(opened, state=AlarmState.CLEARED, cleared_at=run.slot, cleared_by="ann", cleared_why="known")
    assert store.raised("bot", "support", 4) == {"length": 0}
    assert store.finish(2, run.fence, RunOutcome.MEASURED, (), run.slot, context=told, moves=[moved])
    assert store.open_alarms("bot", "support") == []
    store.close()


def test_going_back_to_the_first_version_keeps_what_it_knew(store_url: str) -> None:
    store = open_store(store_url)
    run = claimed(store)
    store.record([recorded(run)])
    store.save_embeddings(run.id, run.fence, {(Arm.SUBJECT, "p", 0): (1.0,)})
    raised = finding(run, alarming=True)
    store.finish(run.id, run.fence, RunOutcome.MEASURED, [raised], NOW, context=context(run), moves=[alarm(run)])
    store.close()
    database = connect(store_url)
    schema.move(database, "0001", down=True)
    with database.read() as connection:
        latest = connection.execute(text("SELECT slot, finding_id FROM latest_finding")).one()
        kept = [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in ("answer", "alarm")]
    database.engine.dispose()
    assert latest.slot is not None
    assert kept == [1, 1]
    again = open_store(store_url)
    assert [(one.state, summary_of(one)) for one in again.latest_findings()] == [(raised.state, summary_of(raised))]
    again.close()


def test_foreign_keys_and_partial_indexes_are_there(store_url: str) -> None:
    # Autogenerate does not compare the conditions of indexes, so they are looked at here.
    open_store(store_url).close()
    database = connect(store_url)
    with database.read() as connection:
        seen = inspect(connection)
        for table in Row.metadata.sorted_tables:
            assert len(seen.get_foreign_keys(table.name)) == len(table.foreign_key_constraints), table.name
        conditions = {
            index["name"]: str(index["dialect_options"].get(f"{connection.dialect.name}_where", ""))
            for table in ("run", "alarm", "baseline")
            for index in seen.get_indexes(table)
        }
    assert "done" in conditions["ix_run_open"]
    assert "cleared_at IS NULL" in conditions["ix_alarm_raised"]
    assert "approved" in conditions["ix_baseline_approved"]
    database.engine.dispose()


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(Path(schema.__file__).parent / "migrations")).get_current_head() == schema.HEAD
    assert schema.HEAD in schema.known()


def test_a_store_of_a_newer_program_is_refused(store_url: str) -> None:
    open_store(store_url).close()
    database = connect(store_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.engine.dispose()
    with pytest.raises(StoreError, match=r"version 9999.*a newer Cliffwatch wrote it"):
        open_store(store_url)


def test_an_empty_store_is_not_migrated_unasked(store_url: str) -> None:
    with pytest.raises(StoreError, match=r"no store of Cliffwatch is in it"):
        open_store(store_url, migrate=False)
    open_store(store_url).close()
    open_store(store_url, migrate=False).close()


def test_two_programs_that_start_together_both_find_the_schema(store_url: str) -> None:
    code = "import sys; from monitor.store import open_store; open_store(sys.argv[1]).close()"
    starts = [subprocess.Popen([sys.executable, "-c", code, store_url], stderr=subprocess.PIPE) for _ in range(2)]
    for start in starts:
        _, error = start.communicate(timeout=120)
        assert start.returncode == 0, error.decode()


def test_what_is_written_outlives_the_store(store_url: str) -> None:
    first = open_store(store_url)
    run = claimed(first)
    first.close()
    second = open_store(store_url)
    assert second.get_run(run.id) == run
    second.close()


def test_a_new_file_and_its_folder_are_made_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "store.db"
    open_store(f"sqlite:///{path}").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("mysql://host/db", "only sqlite and postgresql"),
        ("nonsense", "no URL"),
        ("sqlite:////proc/nowhere/store.db", "the folder must be there and writable"),
        ("postgresql+psycopg://cliffwatch:hunter2@127.0.0.1:1/db", r"cliffwatch:\*\*\*@127.0.0.1:1/db: .*"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("not a database, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_store(f"sqlite:///{tmp_path / 'store.db'}")


def test_the_store_loads_no_heavy_library() -> None:
    heavy = ("torch", "scipy", "numpy", "alembic", "psycopg", "openai", "fastapi", "matplotlib", "transformers")
    code = f"import sys, monitor.store; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert found.stdout.strip() == "[]"


def test_without_its_driver_postgresql_is_named_as_an_extra() -> None:
    code = """
import sys
sys.modules["psycopg"] = None  # as where it is not installed
from monitor.core.errors import MissingExtra
from monitor.store import open_store
try:
    open_store("postgresql+psycopg://host/db")
except MissingExtra as error:
    sys.stdout.write(str(error))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("PostgreSQL ")
    assert "pip install 'cliffwatch[postgres]'" in told
