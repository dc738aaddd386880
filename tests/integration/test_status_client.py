"""``cliffwatch status`` asks a running daemon first: the same answer, also where the file on disk cannot be read."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from monitor.core.clock import HEARTBEAT, SILENT_SECONDS, STOPPED, utcnow
from monitor.core.records import RunOutcome
from monitor.daemon.app import App
from monitor.report.email.compose import compose
from monitor.report.metrics import Internals
from monitor.report.status import client, liveness
from monitor.report.status.fleet import Status, status
from monitor.report.status.liveness import Daemon, Heard
from monitor.report.web import fleet_overview
from monitor.runs.readonly import reading
from monitor.store import open_store
from tests.daemon import HEALTHY, SUITE, write
from tests.programs import free_port
from tests.store_records import answer, recorded


async def started(path: Path, runs: int = 1) -> App:
    """A daemon that has finished its run of today: the ``runs``-th of its store."""
    app = App(path)
    await app.start()
    for _ in range(300):
        assert app.store is not None
        if sum(run.status == "done" for run in app.store.runs("bot")) >= runs:
            return app
        await asyncio.sleep(0.1)
    raise AssertionError("the run was not finished in 30 s")


def read(path: Path) -> Status:
    with reading(path) as found:
        return status(found)


async def said(path: Path) -> Status:
    """What the daemon answers. On a busy machine it may miss the command's patience of a second, but not every time."""
    for _ in range(30):
        reply = await asyncio.to_thread(client.ask, path, everything=False)
        if reply.status is not None:
            return reply.status
        assert reply.heard is Heard.SILENT
    raise AssertionError("the daemon never answered")


async def total_of_the_command(path: Path) -> int:
    """Targets that ``cliffwatch status`` counts with a broken file, which only a daemon's answer can tell."""
    for _ in range(10):
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "status", "--json", "--config", str(path), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await command.communicate()
        if command.returncode == 0:
            return int(json.loads(out)["total"])
    raise AssertionError("the daemon never answered the command")


async def test_the_daemon_says_what_the_store_says_and_goes_on_when_the_file_is_broken(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": free_port()})
    assert client.ask(path, everything=False).heard is Heard.REFUSED, "no daemon runs"
    app = await started(path)
    try:
        told, kept = await said(path), await asyncio.to_thread(read, path)
        assert replace(told, daemon=kept.daemon) == kept
        assert told.watches[0].findings == kept.watches[0].findings
        assert told.daemon.running
        another = tmp_path / "another.yaml"
        another.write_text(path.read_text())
        heard = [(await asyncio.to_thread(client.ask, another, everything=False)).heard for _ in range(5)]
        assert Heard.ANOTHER in heard, "that file is not the daemon's"
        assert Heard.ANSWERED not in heard
        path.write_text(path.read_text().replace("subject", "subjct"))
        assert await total_of_the_command(path) == 1
        assert (await said(path)).total == 1, "the daemon goes on with what it read, and so does status"
    finally:
        await app.stop()


def test_what_a_daemons_answer_needs_is_imported_without_a_database() -> None:
    used = "from monitor.cli import output; from monitor.report.status import client, fleet, liveness"
    code = f"import sys; {used}; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0, "half of what the command takes"


async def test_a_daemon_that_was_stopped_is_not_taken_for_one_at_work(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": free_port()})
    for _ in range(2):
        app = await started(path)
        assert not (await at_work(path)).stopped
        await app.stop()
        daemon = (await asyncio.to_thread(read, path)).daemon
        assert (daemon.running, daemon.stopped) == (False, True)


async def at_work(path: Path) -> Daemon:
    """What the store says once the daemon has given its first sign of life."""
    for _ in range(100):
        daemon = (await asyncio.to_thread(read, path)).daemon
        if daemon.running:
            return daemon
        await asyncio.sleep(0.1)
    raise AssertionError("no sign of life")


async def test_a_changed_suite_disarms_at_the_reload_for_status_pages_mail_and_metrics(tmp_path: Path) -> None:
    """Not at the next run, which may be a week away."""
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": free_port()})
    approve_something(path)
    app = await started(path, runs=2)
    try:
        assert (await disarmed(app, path)) == (False, False, False, False)
        (tmp_path / "probes" / "facts.yaml").write_text(yaml.safe_dump({**SUITE, "probes": SUITE["probes"][1:]}))
        assert await app.reload() is None
        assert app.store is not None
        runs = app.store.runs("bot")
        for _ in range(300):
            if app.store.outdated():
                break
            await asyncio.sleep(0.1)
        assert (await disarmed(app, path)) == (True, True, True, True)
        assert app.store.runs("bot") == runs, "nothing was asked in between"
    finally:
        await app.stop()


def approve_something(path: Path) -> None:
    """A baseline of the suite as it is: a day of last week, too little to compare or to test anything with."""
    open_store(f"sqlite:///{path.parent}/cliffwatch.db").close()
    day, begins = timedelta(days=1), utcnow() - timedelta(days=7)
    with reading(path) as found:
        store, digest = found.store, found.digest("bot", "facts")
        number = store.open_baseline("bot", "facts", digest, "tuned", "plain", begins, begins + day).id
        made = store.ensure_run("bot", "facts", begins, seed=1, suite_digest=digest, next_at=begins)
        run = store.claim(made.id, begins, 60)
        assert run is not None
        assert store.record([recorded(run, answer(), "fact-0")]) == [True]
        assert store.finish(run.id, run.fence, RunOutcome.PARTIAL, (), begins)
        store.close_due_baselines(begins + day)
        store.approve(number, "jo", "as shipped", begins + day)


async def disarmed(app: App, path: Path) -> tuple[bool, bool, bool, bool]:
    """Whether ``bot`` is, in the eyes of status, its page, the mail and the metrics."""
    assert app.store is not None
    assert app.context is not None
    now = utcnow()
    (watch,) = fleet_overview.watches(app.store, app.context.settings, now, fleet_overview.FleetCache())
    exposition = Internals().exposition(app.store, app.context.settings, now)[0].decode()
    return (
        not (await said(path)).watches[0].armed,
        watch.state == "suite changed",
        "its suite changed since the baseline" in compose(app.context, now).report.headline,
        'cliffwatch_baselines{target="bot",suite="facts",status="outdated"} 1' in exposition,
    )


def test_without_a_daemon_a_broken_file_is_said_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, http={"port": free_port()})
    path.write_text(path.read_text().replace("subject:", "subjct:"))
    line = 1 + path.read_text().splitlines().index("    subjct:")
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "status", "--config", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    told = f"cliffwatch: {path}:{line}: targets.bot.subjct: unknown key; did you mean 'subject'?"
    assert told in done.stderr.splitlines()


async def test_whoever_else_listens_there_is_not_believed(tmp_path: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + json.dumps({"config": str(path)}).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    path = write(tmp_path, HEALTHY, http={"port": server.sockets[0].getsockname()[1]}).resolve()
    async with server:
        assert (await asyncio.to_thread(client.ask, path, everything=True)).heard is Heard.ANOTHER


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200])
async def test_what_speaks_no_http_is_no_daemon(tmp_path: Path, greeting: bytes) -> None:
    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    path = write(tmp_path, HEALTHY, http={"port": server.sockets[0].getsockname()[1]})
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    async with server:
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "status", "--config", str(path),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, error = await command.communicate()
    assert (command.returncode, error) == (0, b""), "the store is read instead"
    assert b"bot/facts" in out


def test_a_host_that_is_none_is_the_configuration_s_error(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, http={"host": "a b", "port": 9464})
    path.write_text(path.read_text().replace("subject:", "subjct:"))
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "status", "--config", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "targets.bot.subjct: unknown key" in done.stderr


async def printed(path: Path, *arguments: str) -> str:
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", "status", "--config", str(path), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await asyncio.wait_for(command.communicate(), 60)
    assert (command.returncode, error) == (0, b"")
    return out.decode()


async def test_a_killed_daemon_is_missed_at_once(tmp_path: Path) -> None:
    """Its last sign of life is fresh for three minutes; that nothing listens is known at once."""
    port = free_port()
    path = write(tmp_path, HEALTHY, schedule={"batches": 1}, http={"port": port})
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", "run", "--config", str(path), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await at_work(path)
        assert "the daemon runs (last heartbeat " in await printed(path)
        running = json.loads(await printed(path, "--json"))["daemon"]
        assert (running["running"], running["heard"]) == (True, "answered")
    finally:
        daemon.kill()
        await daemon.wait()
    words = " ".join((await printed(path)).split())
    assert words.startswith(f"nothing answers at http://127.0.0.1:{port} on this machine; last heartbeat ")
    assert "Unless a daemon runs elsewhere, nothing new is measured: cliffwatch run" in words
    gone = json.loads(await printed(path, "--json"))["daemon"]
    assert (gone["running"], gone["heard"], gone["address"]) == (None, "refused", f"http://127.0.0.1:{port}")
    assert gone["silent_seconds"] < SILENT_SECONDS


async def test_a_daemon_too_busy_to_answer_is_not_taken_for_dead(tmp_path: Path) -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the one who asks gives up
        writer.close()

    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = write(tmp_path, HEALTHY, http={"port": port})
    sign_of_life(tmp_path, utcnow().isoformat())
    async with server:
        assert f" s ago; no answer from http://127.0.0.1:{port})" in " ".join((await printed(path)).split())
        found = json.loads(await printed(path, "--json"))["daemon"]
    assert (found["running"], found["heard"]) == (True, "silent")


async def test_where_no_daemon_can_be_asked_its_sign_of_life_is_believed(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY, http={"port": 0})
    sign_of_life(tmp_path, utcnow().isoformat())
    assert (await printed(path)).startswith("the daemon runs (last heartbeat ")
    found = json.loads(await printed(path, "--json"))["daemon"]
    assert (found["running"], found["heard"], found["address"]) == (True, "not asked", None)


def sign_of_life(folder: Path, said: str) -> None:
    store = open_store(f"sqlite:///{folder}/cliffwatch.db")
    store.set_state(HEARTBEAT, said)
    store.close()


LATELY, LONG_AGO = timedelta(seconds=5), timedelta(hours=2)


@pytest.mark.parametrize(
    ("heard", "age", "ending", "running", "words"),
    [
        (Heard.ANSWERED, LATELY, "", True, "the daemon runs (last heartbeat 5 s ago)"),
        (Heard.ANOTHER, LATELY, "", True, "the server at http://here:1 does not use this configuration file)"),
        (Heard.ANSWERED, LONG_AGO, "", False, "the daemon answers at http://here:1, but its last heartbeat is old"),
        (Heard.ANSWERED, LONG_AGO, STOPPED, False, "If it did not just start, see its logs"),
        (Heard.REFUSED, LONG_AGO, "", False, "the daemon does not seem to run"),
        (Heard.REFUSED, LATELY, STOPPED, False, "the daemon was stopped at"),
        (Heard.SILENT, LONG_AGO, "", False, "the daemon does not seem to run"),
    ],
)
def test_sign_of_life_and_answer_are_read_together(
    heard: Heard, age: timedelta, ending: str, running: bool, words: str
) -> None:
    now = utcnow()
    daemon = liveness.asked(liveness.by_sign(f"{(now - age).isoformat()}{ending}", now), heard, "http://here:1")
    assert daemon.running is running
    assert words in liveness.render_liveness(daemon)[0]


def test_a_store_that_no_daemon_has_seen_says_so_whoever_refuses() -> None:
    daemon = liveness.asked(liveness.by_sign(None, utcnow()), Heard.REFUSED, "http://here:1")
    assert "no daemon has worked on this store yet" in liveness.render_liveness(daemon)[0]
