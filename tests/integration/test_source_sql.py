"""The source ``sql`` on real databases: windows, pages, memory, rubbish, and every way a database can refuse."""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from pydantic import ValidationError
from sqlalchemy import NullPool, create_engine, text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.core.errors import CliffwatchError, CouldNotMeasure, MissingExtra
from monitor.core.records import LeftOutReason
from monitor.core.settings import Production
from monitor.core.sources import SqlSource
from monitor.sample import database, keyset, peek, sample_production, sql
from monitor.sample.request_log import Logged, Tally, Window
from tests.daemon import HEALTHY, write
from tests.postgres import Postgres

UNTIL = datetime(2026, 12, 1, 6, tzinfo=UTC)
WEEK = Window(UNTIL - timedelta(days=7), UNTIL, UNTIL)
VARIABLE = "REQUESTS_DATABASE"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.05)


@pytest.fixture
def run(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Executes statements on an empty database that the source reads; each backend in turn."""
    return _runner(store_url, monkeypatch)


@pytest.fixture
def run_postgres(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return _runner(postgres_server.fresh(), monkeypatch)


def _runner(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv(VARIABLE, url)
    engine = create_engine(url, poolclass=NullPool)

    def run(statement: str, rows: list[dict[str, Any]] | None = None) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement), rows)

    return run


def source(**more: Any) -> SqlSource:
    given = {"url_env": VARIABLE, "time": "at", "key": "id", **more}
    return SqlSource(kind="sql", **({"table": "requests"} | given if "query" not in more else given))


def read(tally: Tally | None = None, window: Window = WEEK, **more: Any) -> list[Logged]:
    return [*sql.read(source(**more), None, window, tally or Tally())]


def prompts(tally: Tally | None = None, **more: Any) -> list[str]:
    return [one.messages[-1].content for one in read(tally, **more)]


def failure(**more: Any) -> str:
    with pytest.raises(CliffwatchError) as error:
        read(**more)
    return str(error.value)


def reasons(tally: Tally) -> dict[LeftOutReason, int]:
    return {one.reason: one.count for one in tally.account([]).reasons}


def messages(prompt: str) -> str:
    return json.dumps([{"role": "user", "content": prompt}])


HOURS = (-8 * 24, -7 * 24 - 1, -7 * 24, -30, -1, 0, 1)
"""Hours from the end of the window; three are inside, its beginning included."""

FORMS: dict[str, tuple[str, Callable[[datetime], Any]]] = {
    "seconds": ("BIGINT", lambda at: int(at.timestamp())),
    "fractions": ("DOUBLE PRECISION", lambda at: at.timestamp()),
    "milliseconds": ("BIGINT", lambda at: int(at.timestamp() * 1000)),
    "nanoseconds": ("NUMERIC", lambda at: int(at.timestamp()) * 10**9),
    "text in UTC": ("TEXT", lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")),
    "text without a zone": ("TEXT", lambda at: at.strftime("%Y-%m-%d %H:%M:%S")),
    "text far from UTC": ("TEXT", lambda at: (at + timedelta(hours=13)).strftime("%Y-%m-%dT%H:%M:%S+13:00")),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_window_has_its_beginning_and_not_its_end(form: str, run: Callable[..., None]) -> None:
    kind, written = FORMS[form]
    run(f"CREATE TABLE requests (id INTEGER PRIMARY KEY, at {kind}, messages TEXT)")
    times = [UNTIL + timedelta(hours=hours) for hours in HOURS]
    rows = [{"id": n, "at": written(at), "messages": messages(f"q{n}")} for n, at in enumerate(times)]
    run("INSERT INTO requests VALUES (:id, :at, :messages)", rows)
    tally = Tally()
    assert prompts(tally) == ["q2", "q3", "q4"]
    assert set(reasons(tally)) <= {LeftOutReason.BEFORE, LeftOutReason.AFTER}


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
def test_times_of_postgres_are_utc_whatever_the_zone_of_the_server(
    kind: str, run_postgres: Callable[..., None]
) -> None:
    run_postgres(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', current_database()); END $$"
    )
    run_postgres(f"CREATE TABLE requests (id uuid PRIMARY KEY, at {kind}, messages jsonb)")
    zone = "" if kind == "timestamp" else "+00"
    rows = [
        {"id": UUID(int=n), "at": (UNTIL + timedelta(hours=hours)).strftime(f"%Y-%m-%d %H:%M:%S{zone}"),
         "messages": messages(f"q{n}")}
        for n, hours in enumerate(HOURS)
    ]  # fmt: skip
    run_postgres(f"INSERT INTO requests VALUES (:id, CAST(:at AS {kind}), CAST(:messages AS jsonb))", rows)
    inside = ["q2", "q3", "q4"] if kind != "date" else ["q3", "q4", "q5", "q6"]  # a date is the midnight before
    assert prompts() == inside


def test_pages_continue_inside_a_second_and_repeat_nothing(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "PAGE_ROWS", 7)
    run("CREATE TABLE requests (at TEXT, id TEXT, messages TEXT)")
    rows = [{"at": f"2026-11-30T0{n % 3}:00:00Z", "id": f"r{n:03}", "messages": messages(f"q{n}")} for n in range(200)]
    run("INSERT INTO requests VALUES (:at, :id, :messages)", rows)
    assert Counter(prompts()) == Counter(f"q{n}" for n in range(200))


RUBBISH: dict[str, tuple[Any, LeftOutReason | None]] = {
    "a list": (messages("asked"), None),
    "a body": (json.dumps({"messages": json.loads(messages("asked")), "model": "m"}), None),
    "twice encoded": (json.dumps(messages("asked")), None),
    "nothing": (None, LeftOutReason.NO_MESSAGES),
    "an empty object": ("{}", LeftOutReason.NO_MESSAGES),
    "the word null": ("null", LeftOutReason.NO_MESSAGES),
    "a cut text": (messages("a long question")[:-9], LeftOutReason.CUT_SHORT),
    "a mark of a cut": (messages("a... (litellm_truncated skipped 9 chars) ...z"), LeftOutReason.MARKER),
    "a placeholder": (messages("[REDACTED]"), LeftOutReason.PLACEHOLDER),
    "printed objects": ("[HumanMessage(content='hello')]", LeftOutReason.SERIALISED),
    "tools": (json.dumps({"messages": json.loads(messages("q")), "tools": [{"type": "function"}]}),
              LeftOutReason.TOOLS_OFFERED),
    "too deep": ("[" * 100_000 + "]" * 100_000, LeftOutReason.SERIALISED),
    "too large": (messages("x" * (9 * 2**20)), LeftOutReason.LINE_TOO_LONG),
    "a number": ("7", None),
}  # fmt: skip


@pytest.mark.parametrize("column", ["TEXT", "bytea"])
def test_rubbish_is_counted_by_reason_and_place_and_never_fatal(column: str, run: Callable[..., None]) -> None:
    run(f"CREATE TABLE requests (id TEXT, at TEXT, messages {column})")
    for name, (value, _) in RUBBISH.items():
        given = value if column == "TEXT" or value is None else value.encode()
        run("INSERT INTO requests VALUES (:id, '2026-11-30T00:00:00Z', :messages)", [{"id": name, "messages": given}])
    run("INSERT INTO requests (id, at) VALUES ('without', NULL), ('word', 'yesterday'), ('low', '!'), "
        "('odd', '2026-11-30 or so')")  # fmt: skip
    tally = Tally()
    assert Counter(prompts(tally)) == Counter(["asked"] * 3 + ["7"])
    expected = Counter(reason for _, reason in RUBBISH.values() if reason)
    expected[LeftOutReason.NO_TIME] = 4
    assert reasons(tally) == expected
    places = {one.reason: one.place for one in tally.account([]).reasons}
    assert places[LeftOutReason.PLACEHOLDER] == "table requests a placeholder"


def test_a_dotted_path_leads_into_json_and_finds_the_system_prompt(run: Callable[..., None]) -> None:
    run("CREATE TABLE requests (id INTEGER, at TEXT, body TEXT, team TEXT)")
    body = {"request": {"system": "Be kind.", "messages": json.loads(messages("hello"))}, "meta": {"bot": "x"}}
    bodies = [json.dumps(body), json.dumps(body)[:40], json.dumps({**body, "meta": {"bot": "y"}})]
    rows = [{"id": n, "body": one} for n, one in enumerate(bodies)]
    run("INSERT INTO requests VALUES (:id, '2026-11-30T00:00:00Z', :body, 'red')", rows)
    tally = Tally()
    where = {"body.meta.bot": "x", "team": "red"}
    found = [*sql.read(source(messages="body.request.messages", where=where), "team", WEEK, tally)]
    assert [(one.stratum, [(m.role, m.content) for m in one.messages]) for one in found] == [
        ("red", [("system", "Be kind."), ("user", "hello")])
    ]
    assert (reasons(tally), tally.filtered) == ({LeftOutReason.CUT_SHORT: 1}, 1)


def test_names_are_quoted(run: Callable[..., None]) -> None:
    run('CREATE TABLE "Odd ""table""; --" ("the id" INTEGER, "at.time" TEXT, "select" TEXT)')
    run("""INSERT INTO "Odd ""table""; --" VALUES (1, '2026-11-30T00:00:00Z', 'hello')""")
    assert prompts(table='Odd "table"; --', key="the id", time="at.time", prompt="select") == ["hello"]


def test_a_query_is_a_subquery(run: Callable[..., None]) -> None:
    run("CREATE TABLE t (n INTEGER, at TEXT, words TEXT)")
    rows = [{"n": n, "words": words} for n, words in enumerate(["hello :x %s", "not this"])]
    run("INSERT INTO t VALUES (:n, '2026-11-30T00:00:00Z', :words)", rows)
    query = "SELECT n AS id, at, words AS prompt FROM t WHERE words LIKE '%:x %s' OR words = ' :y'; -- the end"
    with_comment = query.replace(";", "")
    assert prompts(query=with_comment, prompt="prompt") == ["hello :x %s"]
    assert "syntax" in failure(query="SELECT 1; DROP TABLE t", prompt="prompt")
    assert prompts(query=with_comment, prompt="prompt") == ["hello :x %s"]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_hundred_thousand_rows_stream_with_flat_memory(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "sqlite":
        run, series = _runner(f"sqlite:///{tmp_path}/big.db", monkeypatch), (
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n FROM s"
        )  # fmt: skip
    else:
        server: Postgres = request.getfixturevalue("postgres_server")
        run, series = _runner(server.fresh(), monkeypatch), "SELECT n FROM generate_series(1, 100000) AS s(n)"
    run("CREATE TABLE requests (at BIGINT, id INTEGER, prompt TEXT, PRIMARY KEY (at, id))")
    begin = int(UNTIL.timestamp()) - 600_000
    filler = "because it leaks. " * 50
    run(f"INSERT INTO requests SELECT {begin} + n / 10, n, 'question ' || n || ' {filler}' FROM ({series}) AS q")
    process, tally, rss = psutil.Process(), Tally(), []
    for number, _ in enumerate(sql.read(source(prompt="prompt"), None, WEEK, tally)):
        if number % 10_000 == 9_999:
            rss.append(process.memory_info().rss)
    assert tally.read == 100_000
    assert max(rss) - rss[0] < 24 * 2**20


def test_a_page_of_large_rows_ends_early(run_postgres: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    run_postgres("CREATE TABLE requests (id int PRIMARY KEY, at timestamp, prompt text)")
    run_postgres(
        "INSERT INTO requests SELECT n, '2026-11-30', repeat('x', 2000000) || n FROM generate_series(1, 60) AS s(n)"
    )
    sizes: list[int] = []
    rows = database.Database.rows

    def counted(self: database.Database, *given: Any) -> list[Any]:
        found = rows(self, *given)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(database.Database, "rows", counted)
    assert len(prompts(prompt="prompt")) == 60
    assert max(sizes) <= database.PAGE_BYTES // 2_000_000 + 1


def test_the_newest_rows_are_looked_at_first(run: Callable[..., None]) -> None:
    run("CREATE TABLE requests (id INTEGER, at TEXT, prompt TEXT)")
    rows = [{"id": n, "at": f"2026-11-{n:02}T00:00:00Z"} for n in range(1, 31)]
    run("INSERT INTO requests VALUES (:id, :at, CASE WHEN :id > 25 THEN 'q' END)", rows)
    production = Production(source=source(prompt="prompt"), sample=10)
    account = peek(production, 8, UNTIL)
    assert (account.lines, account.read, account.malformed) == (8, 5, 3)


def test_an_empty_table_and_an_empty_window_say_so(run: Callable[..., None]) -> None:
    run("CREATE TABLE requests (id INTEGER, at TEXT, prompt TEXT)")
    assert prompts(prompt="prompt") == []
    run("INSERT INTO requests VALUES (1, '2020-01-01T00:00:00Z', 'q')")
    assert prompts(prompt="prompt") == []
    run("INSERT INTO requests VALUES (2, 'Mon, 30 Nov 2026', 'q')")
    run("DELETE FROM requests WHERE id = 1")
    tally = Tally()
    assert prompts(tally, prompt="prompt") == []
    assert reasons(tally) == {LeftOutReason.NO_TIME: 1}


def test_what_is_missing_is_named_with_what_exists(run: Callable[..., None]) -> None:
    run("CREATE TABLE chat_requests (id INTEGER, at TEXT, prompt TEXT)")
    assert "no table `chat_request`; the database has chat_requests" in failure(table="chat_request")
    assert "no column `texts` (source.prompt); its columns are id, at, prompt" in failure(
        table="chat_requests", prompt="texts"
    )
    assert "no column `when` (source.time)" in failure(table="chat_requests", time="when")
    assert "no column `team` (source.where.team.name)" in failure(table="chat_requests", where={"team.name": "x"})


@pytest.mark.parametrize(("key", "told"), [("NULL", "is NULL in a row"), ("1", "is the same in two rows")])
def test_a_key_that_is_none(key: str, told: str, run: Callable[..., None]) -> None:
    run("CREATE TABLE requests (id INTEGER, at TEXT, prompt TEXT)")
    run(f"INSERT INTO requests VALUES ({key}, '2026-11-30T00:00:00Z', 'q'), ({key}, '2026-11-30T00:00:00Z', 'r')")
    found = failure(prompt="prompt")
    assert f"column `id` (source.key) {told}" in found
    assert found.endswith("name a unique column, such as the primary key")


def test_a_column_that_is_no_time(run_postgres: Callable[..., None]) -> None:
    run_postgres("CREATE TABLE requests (id INTEGER, at BOOLEAN, prompt TEXT)")
    run_postgres("INSERT INTO requests VALUES (1, TRUE, 'q')")
    assert "column `at` (source.time) contains" in failure(prompt="prompt")


def test_a_statement_that_takes_too_long(run: Callable[..., None], request: pytest.FixtureRequest) -> None:
    run("CREATE TABLE requests (id INTEGER, at TEXT, prompt TEXT)")
    run("INSERT INTO requests VALUES (1, '2026-11-30T00:00:00Z', 'q')")
    endless = (
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000000) SELECT count(*) FROM s"
    )
    query = f"SELECT id, at, prompt FROM requests WHERE ({endless}) > 0"
    told = failure(query=query, prompt="prompt", timeout_seconds=0.3)
    assert "a statement took longer than 0.3 s; create an index on the columns (time, key)" in told


def test_a_query_that_writes_is_refused(run_postgres: Callable[..., None]) -> None:
    run_postgres("CREATE SEQUENCE reads")
    query = "SELECT 1 AS id, now() AS at, 'q' AS prompt, nextval('reads')"
    assert "the query writes, and sources are only read" in failure(query=query, prompt="prompt")


def test_an_sqlite_file_is_never_created_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "requests.db"
    monkeypatch.setenv(VARIABLE, f"sqlite:///{path}")
    assert f"{path} (production source, {VARIABLE}): no such file" in failure()
    assert not path.exists()
    run = _runner(f"sqlite:///{path}", monkeypatch)
    run("CREATE TABLE requests (id INTEGER, at TEXT, prompt TEXT)")
    run("INSERT INTO requests VALUES (1, '2026-11-30T00:00:00Z', 'q')")
    path.chmod(0o444)
    assert prompts(prompt="prompt") == ["q"]
    with (
        pytest.raises(CouldNotMeasure, match="the query writes"),
        database.Database(database.url_of(VARIABLE), VARIABLE, 5) as opened,
    ):
        opened.run(lambda connection: connection.execute(text("DELETE FROM requests")))
    path.write_text("no database at all, but long enough to have a header of its own" * 20)
    assert "file is not a database" in failure(prompt="prompt")


def test_access_denied(postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server.fresh()
    run = _runner(url, monkeypatch)
    run("CREATE TABLE requests (id int, at timestamp, prompt text)")
    run("DROP ROLE IF EXISTS nobody_in_particular")
    run("CREATE ROLE nobody_in_particular LOGIN")
    monkeypatch.setenv(VARIABLE, url.replace("cliffwatch@", "nobody_in_particular:hunter2-secret@"))
    told = failure(prompt="prompt")
    assert "access denied: permission denied for table requests; grant the user SELECT" in told
    assert "hunter2" not in told


def test_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgres://user:hunter2-secret@127.0.0.1:9/name?sslpassword=swordfish")
    told = failure(prompt="prompt")
    assert told.startswith(f"postgresql database of {VARIABLE} (production source): does not answer: ")
    assert told.endswith("check that the server runs, and its host and port")
    assert "hunter2" not in told
    assert "swordfish" not in told


def test_a_database_that_is_back_at_the_next_attempt(
    run_postgres: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.5)
    run_postgres("CREATE TABLE requests (id int, at timestamp, prompt text)")
    run_postgres("INSERT INTO requests VALUES (1, '2026-11-30', 'q')")
    run_postgres("DROP ROLE IF EXISTS one_at_a_time")
    run_postgres("CREATE ROLE one_at_a_time LOGIN CONNECTION LIMIT 0")
    run_postgres("GRANT SELECT ON requests TO one_at_a_time")
    opened = threading.Timer(0.3, run_postgres, ["ALTER ROLE one_at_a_time CONNECTION LIMIT 5"])
    monkeypatch.setenv(VARIABLE, os.environ[VARIABLE].replace("cliffwatch@", "one_at_a_time@"))
    opened.start()
    try:
        assert prompts(prompt="prompt") == ["q"]
    finally:
        opened.join()


URLS = [
    ("", f"environment variable {VARIABLE} (production source) is not set or empty"),
    ("hunter2-secret", "is not a URL; for example postgresql+psycopg://USER@HOST/NAME"),
    ("sqlite://", "names no file; write sqlite:////FOLDER/FILE.db"),
    ("mysql+pymysql://u:hunter2-secret@h/d",
     "needs a driver for mysql+pymysql, which is not installed: install the package PyMySQL"),
    ("oracle+oracledb://u:hunter2-secret@h/d", "install the package oracledb"),
    ("snowflake://u:hunter2-secret@h/d", "install the package snowflake-sqlalchemy"),
    ("sqlite+aiosqlite:///x.db", "names the asynchronous driver aiosqlite; use a synchronous one"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "told"), URLS, ids=[url.partition(":")[0] or "unset" for url, _ in URLS])
def test_a_url_that_cannot_be_used(url: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, url)
    found = failure()
    assert told in found
    assert "hunter2" not in found


def test_either_a_table_or_a_query() -> None:
    for wrong in ({"table": "t", "query": "SELECT 1"}, {"table": None}):
        with pytest.raises(ValidationError, match="kind sql needs either 'table' or 'query'"):
            source(**wrong)


def configured(folder: Path, given: dict[str, Any]) -> Path:
    subject = {"provider": "script", "model": "tuned"}
    target = {"subject": subject, "production": {"source": given, "sample": 10}}
    return write(folder, HEALTHY, targets={"bot": target})


def test_the_sample_is_drawn_and_the_command_shows_it(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("CREATE TABLE requests (id INTEGER, at BIGINT, prompt TEXT, route TEXT)")
    at = int(datetime.now(UTC).timestamp()) - 3600
    rows = [{"id": n, "at": at, "prompt": f"Where is order {n}?", "route": f"r{n % 2}"} for n in range(40)]
    run("INSERT INTO requests VALUES (:id, :at, :prompt, :route)", rows)
    production = Production(source=source(prompt="prompt"), sample=10, stratify="route")
    drawn = sample_production(production, 1, None, None)
    assert (len(drawn.inputs), drawn.strata, drawn.account.lines) == (10, {"r0": 20, "r1": 20}, 40)
    given = {"kind": "sql", "url_env": VARIABLE, "table": "requests", "time": "at", "key": "id", "prompt": "prompt"}
    config = configured(tmp_path, given)
    shown = CliRunner().invoke(app, ["sample", "bot", "--dry-run", "--json", "--config", str(config)])
    assert (shown.exit_code, json.loads(shown.stdout)["inputs"]) == (0, 10)
    monkeypatch.delenv(VARIABLE)
    checked = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert f"environment variable {VARIABLE} is not set or empty; runs without inputs are unmeasured" in " ".join(
        checked.output.split()
    )


def test_the_name_of_the_variable_is_no_url(tmp_path: Path) -> None:
    given = {"kind": "sql", "url_env": "postgresql://u:hunter2-secret@h/d", "table": "t", "time": "at", "key": "id"}
    config = configured(tmp_path, given)
    checked = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert "is not the name of a variable" in " ".join(checked.output.split())
    assert checked.exit_code != 0


def test_postgres_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://u@h/d")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"cliffwatch\[postgres\]"):
        read()
