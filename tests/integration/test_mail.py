"""Mail from its slot to a real SMTP server, and what becomes of it when that says no."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from typer.testing import CliRunner

from monitor.cli import app
from monitor.core.errors import CliffwatchError
from monitor.core.records import Mail, MailStatus
from monitor.daemon.jobs.mailer import SINCE, Mailer
from monitor.report.email.smtp import GIVEN_UP
from monitor.runs.context import RunContext
from monitor.store import open_store
from tests.daemon import HEALTHY, Clock, context_of, write
from tests.smtp_server import PASSWORD, USER, MailServer, mail_server

SUNDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)
MONDAY = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)
"""Just after the slot."""


@pytest.fixture(autouse=True)
def _planted_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)


@pytest.fixture(autouse=True)
def _nothing_tells_the_password(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever a test did: the password is in no log, no error and no file but those that hold it on purpose."""
    yield
    told = "".join(capfd.readouterr())
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".key":
            told += path.read_bytes().decode("latin-1")
    assert PASSWORD not in told


@asynccontextmanager
async def due_context(folder: Path, email: dict[str, Any], clock: Clock) -> AsyncIterator[RunContext]:
    """A house whose mail is configured since Sunday."""
    async with context_of(write(folder, HEALTHY, email=email), clock) as context:
        if context.store.get_state(SINCE) is None:
            context.store.set_state(SINCE, SUNDAY.isoformat())
        yield context


async def worked(context: RunContext, mailer: Mailer, **later: float) -> Mail:
    """One look of the daemon's after ``later``; the mail as it stands then."""
    clock = context.clock
    assert isinstance(clock, Clock)
    clock.forward(**(later or {"seconds": 20}))
    mailer.begin(context, clock.at)
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mailer"))
    mail = context.store.mail(1)
    assert mail is not None
    return mail


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_a_mail_goes_out_at_its_slot_once_with_tls_and_login(tmp_path: Path, encryption: Any) -> None:
    clock = Clock(SUNDAY)
    async with mail_server(tmp_path, encryption=encryption) as server:
        tls = {"tls": True} if encryption == "tls" else {}
        async with due_context(tmp_path, {**server.email(**tls), "every": "mon 08:00"}, clock) as context:
            mailer = Mailer()
            mailer.begin(context, clock.at)
            await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mailer"))
            assert context.store.mail_state().queued == 0, "its slot has not come"
            clock.at = MONDAY
            mail = await worked(context, mailer)
            assert (mail.status, mail.attempts, mail.error) == (MailStatus.SENT, 1, None)
            await worked(context, mailer, days=1)
            await worked(context, mailer, days=5)
            assert context.store.mail(2) is None
            assert len(server.received) == 1
            await worked(context, mailer, days=1)
            assert len(server.received) == 2, "the next week's"
            assert len(set(server.message_ids)) == 2
    (got, _), (to, _) = server.received, server.recipients
    assert to == ["sre@example.com"]
    assert got["Message-ID"] == mail.message_id
    assert (got["From"], got["To"]) == ("Cliffwatch <cliffwatch@example.com>", "sre@example.com")
    assert got["Subject"] == mail.subject
    assert got["Auto-Submitted"] == "auto-generated"


async def test_a_new_installation_does_not_send_last_weeks_mail(tmp_path: Path) -> None:
    clock = Clock(SUNDAY)
    async with mail_server(tmp_path) as server:
        path = write(tmp_path, HEALTHY, email=server.email())
        async with context_of(path, clock) as context:
            mailer = Mailer()
            for _ in range(3):
                mailer.begin(context, clock.at)
                await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mailer"))
                clock.forward(minutes=1)
            assert context.store.mail(1) is None
            clock.at = MONDAY + timedelta(days=3)
            assert (await worked(context, mailer)).slot == MONDAY.replace(second=0), "late, but not lost"


async def test_refused_credentials_are_refused_for_good_in_the_servers_words(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        (tmp_path / "wrong.key").write_text("not-the-password\n")
        smtp = server.email(password_env=None, password_file="wrong.key")
        async with due_context(tmp_path, smtp, clock) as context:
            mail = await worked(context, Mailer())
            assert mail.status is MailStatus.REFUSED
            assert "535" in str(mail.error)
            assert "not-the-password" not in str(mail.error)
            await worked(context, Mailer(), hours=5)
            assert server.connections == 1, "who insists is locked out"
            assert context.store.mail_state().refused == 1
    assert server.received == []


async def test_a_server_that_repeats_the_password_is_not_quoted(tmp_path: Path) -> None:
    import base64

    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        wire = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        server.login_says = f"535 no such login: {PASSWORD} {wire}"
        async with due_context(tmp_path, server.email(), clock) as context:
            mail = await worked(context, Mailer())
    assert mail.error == (
        "sre@example.com: 535 the login was refused: check email.smtp.username and email.smtp.password_env "
        "(no such login: *** ***)"
    )


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
async def test_an_untrusted_certificate_gets_no_mail_and_no_password(tmp_path: Path, encryption: Any) -> None:
    clock = Clock(MONDAY)
    tls = {"tls": True} if encryption == "tls" else {}
    async with mail_server(tmp_path, encryption=encryption) as server:
        async with due_context(tmp_path, server.email(ca_file=None, **tls), clock) as context:
            mail = await worked(context, Mailer())
        assert (mail.status, server.received) == (MailStatus.QUEUED, [])
        assert "its certificate is not trusted: " in str(mail.error)
    async with mail_server(tmp_path, encryption=encryption, name="other.example.com") as other:
        clock.at = MONDAY
        (tmp_path / "cliffwatch.db").unlink()
        async with due_context(tmp_path, other.email(**tls), clock) as context:
            mail = await worked(context, Mailer())
        assert other.received == []
        assert "its certificate is not trusted: " in str(mail.error)
        assert "localhost" in str(mail.error)


async def test_a_server_without_starttls_gets_nothing(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with (
        mail_server(tmp_path, encryption="none", login=False) as server,
        due_context(tmp_path, server.email(), clock) as context,
    ):
        mail = await worked(context, Mailer())
    assert (mail.status, server.received) == (MailStatus.QUEUED, [])
    assert "STARTTLS" in str(mail.error)


async def test_in_the_clear_where_it_was_written_twice(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path, encryption="none", login=False) as server:
        plain = server.email(starttls=False, tls=False, ca_file=None, username=None, password_env=None)
        async with due_context(tmp_path, plain, clock) as context:
            assert (await worked(context, Mailer())).status is MailStatus.SENT
    assert len(server.received) == 1


async def test_greylisting_is_waited_out(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        server.replies = ["451 4.7.1 Greylisted, come back later", "451 4.7.1 Greylisted, come back later"]
        async with due_context(tmp_path, server.email(), clock) as context:
            mailer = Mailer()
            mail = await worked(context, mailer)
            assert (mail.status, mail.error) == (
                MailStatus.QUEUED,
                "sre@example.com: 451 4.7.1 Greylisted, come back later",
            )
            assert timedelta(seconds=45) <= mail.next_at - clock.at <= timedelta(seconds=75)
            await worked(context, mailer)
            assert server.connections == 1, "not before its time"
            mail = await worked(context, mailer, seconds=80)
            assert (mail.status, mail.attempts) == (MailStatus.QUEUED, 2)
            mail = await worked(context, mailer, minutes=3)
            assert (mail.status, mail.attempts) == (MailStatus.SENT, 3)
    assert server.message_ids == [mail.message_id]


async def test_a_server_that_is_away_is_tried_for_three_days(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        email = server.email()
    async with due_context(tmp_path, email, clock) as context:
        mailer = Mailer()
        mail = await worked(context, mailer)
        waits = []
        while mail.status is MailStatus.QUEUED:
            waits.append(mail.next_at - clock.at)
            clock.at = mail.next_at
            mail = await worked(context, mailer)
        state = context.store.mail_state()
    assert mail.status is MailStatus.REFUSED
    assert "localhost:" in str(mail.error)
    assert clock.at - mail.composed_at <= GIVEN_UP
    assert clock.at - mail.composed_at > GIVEN_UP - timedelta(hours=6)
    assert 15 <= len(waits) <= 40
    assert max(waits) <= timedelta(hours=5)
    assert (state.queued, state.refused) == (0, 1)


@pytest.mark.parametrize("cut", ["in the middle", "after"])
async def test_a_connection_cut_amid_the_mail_is_tried_again_with_the_same_id(tmp_path: Path, cut: Any) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        server.cut = [cut]
        async with due_context(tmp_path, server.email(), clock) as context:
            mailer = Mailer()
            mail = await worked(context, mailer)
            assert mail.status is MailStatus.QUEUED
            mail = await worked(context, mailer, minutes=2)
            assert (mail.status, mail.attempts) == (MailStatus.SENT, 2)
    assert server.message_ids == [mail.message_id] * (2 if cut == "after" else 1)


async def test_a_refused_recipient_keeps_nobody_else_from_it(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        server.refuse = {
            "gone@example.com": ["550 5.1.1 no such user"],
            "slow@example.com": ["451 4.2.1 try later", "250 OK"],
        }
        everyone = ["sre@example.com", "gone@example.com", "slow@example.com"]
        async with due_context(tmp_path, {**server.email(), "to": everyone}, clock) as context:
            mailer = Mailer()
            mail = await worked(context, mailer)
            assert (mail.status, mail.recipients) == (MailStatus.QUEUED, ("slow@example.com",))
            assert "gone@example.com: 550 5.1.1 no such user" in str(mail.error)
            mail = await worked(context, mailer, minutes=2)
            assert mail.status is MailStatus.SENT
    assert server.recipients == [["sre@example.com"], ["slow@example.com"]]
    assert len(set(server.message_ids)) == 1


async def test_a_mail_that_nobody_may_get_is_given_up(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        server.refuse = {"sre@example.com": ["550 5.1.1 no such user"]}
        async with due_context(tmp_path, server.email(), clock) as context:
            mail = await worked(context, Mailer())
    assert (mail.status, mail.error) == (MailStatus.REFUSED, "sre@example.com: 550 5.1.1 no such user")


async def test_two_daemons_send_one_mail(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with (
        mail_server(tmp_path) as server,
        due_context(tmp_path, server.email(), clock) as one,
        due_context(tmp_path, server.email(), clock) as two,
    ):
        for mailer, context in ((Mailer(), one), (Mailer(), two), (Mailer(), one)):
            mailer.begin(context, clock.at)
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "mailer"))
        mail = one.store.mail(1)
        assert one.store.mail(2) is None
    assert mail is not None
    assert mail.status is MailStatus.SENT
    assert server.message_ids == [mail.message_id]


async def test_a_daemon_that_stops_gives_the_mail_back_at_once(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server:
        server.hold = asyncio.Event()
        async with due_context(tmp_path, server.email(), clock) as context:
            mailer = Mailer()
            mailer.begin(context, clock.at)
            await server.got.wait()
            await asyncio.wait_for(mailer.end(), 10)
            mail = context.store.mail(1)
            assert mail is not None
            assert (mail.status, mail.lease_until, mail.next_at) == (MailStatus.QUEUED, None, clock.at)
            mailer.begin(context, clock.at)
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "mailer"], "it has ended"
            server.hold.set()
            assert (await worked(context, Mailer())).status is MailStatus.SENT
    assert server.message_ids == [mail.message_id] * 2


async def test_a_mail_that_cannot_be_composed_holds_up_none_that_was(tmp_path: Path) -> None:
    clock = Clock(MONDAY)
    async with mail_server(tmp_path) as server, due_context(tmp_path, server.email(), clock) as context:
        server.replies, mailer = ["451 4.7.1 Greylisted, come back later"], Mailer()
        assert (await worked(context, mailer)).status is MailStatus.QUEUED
        context.store.set_state(SINCE, "no time at all")
        clock.forward(minutes=5)
        assert (await worked(context, mailer)).status is MailStatus.SENT


async def test_a_daemon_killed_between_the_servers_word_and_its_own_repeats_the_mail(tmp_path: Path) -> None:
    """The real daemon, killed without a word; its successor sends the same mail, and a reader can tell."""
    async with mail_server(tmp_path) as server:
        server.hold = asyncio.Event()
        path = write(tmp_path, HEALTHY, email=server.email())
        store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
        store.set_state(SINCE, "2026-01-01T00:00:00+00:00")
        first = await daemon(path)
        await asyncio.wait_for(server.got.wait(), 60)
        first.send_signal(signal.SIGKILL)
        await first.wait()
        server.hold.set()
        mail = store.mail(1)
        assert mail is not None
        assert (mail.status, mail.attempts) == (MailStatus.QUEUED, 1)
        engine = create_engine(f"sqlite:///{tmp_path}/cliffwatch.db")
        with engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET lease_until = next_at"))  # as if six minutes had passed
        engine.dispose()
        second = await daemon(path)
        try:
            async with asyncio.timeout(60):
                while (mail := store.mail(1)) is None or mail.status is not MailStatus.SENT:
                    await asyncio.sleep(0.1)
        finally:
            second.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(second.wait(), 30) == 0
        store.close()
    assert mail.attempts == 2
    assert server.message_ids == [mail.message_id] * 2


async def daemon(path: Path) -> asyncio.subprocess.Process:
    log = path.with_name("daemon.log").open("ab")
    with log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "run", "--config", str(path), stdout=log, stderr=log
        )


async def report(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """``cliffwatch report`` as a user types it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "monitor", "report", *arguments, cwd=folder, stdout=-1, stderr=-1
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_report_send_says_what_became_of_it(tmp_path: Path) -> None:
    async with mail_server(tmp_path) as server:
        write(tmp_path, HEALTHY, email=server.email())
        open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
        code, out, error = await report(tmp_path, "--send")
        assert (code, out) == (0, f"sent to sre@example.com: {server.received[0]['Subject']}\n")
        assert error.startswith(f"connecting to localhost:{server.port} … (timeout: 60 s per reply, 300 s in total)\n")

        server.replies = ["451 greylisted"]
        code, out, error = await report(tmp_path, "--send", "--json")
        assert code == 3
        assert "did not accept the mail: sre@example.com: 451 greylisted" in error
        assert "a running daemon retries at" in error
        said = json.loads(out)
        assert (said["status"], said["attempts"]) == ("queued", 1)

        server.replies = ["554 no"]
        code, out, error = await report(tmp_path, "--send")
        assert (code, out) == (3, ""), error
        assert "rejected the mail permanently: sre@example.com: 554 no" in error
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    state = store.mail_state()
    store.close()
    assert (state.queued, state.refused) == (1, 1)


async def test_report_send_says_where_it_waits_while_it_waits(tmp_path: Path) -> None:
    """A port that takes the connection and speaks no SMTP."""
    connected = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    plain = {"host": "127.0.0.1", "port": port, "starttls": False, "tls": False}
    write(tmp_path, HEALTHY, email={"to": ["sre@example.com"], "sender": "c@example.com", "smtp": plain})
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    async with silent:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "report", "--send", cwd=tmp_path, stdout=-1, stderr=-1
        )
        try:
            assert process.stderr is not None
            first = await asyncio.wait_for(process.stderr.readline(), 60)
            await asyncio.wait_for(connected.wait(), 60)
            assert process.returncode is None, "it waits for a word of the server"
        finally:
            process.kill()
            await process.communicate()
    assert first.decode().startswith(f"connecting to 127.0.0.1:{port} … ")


def printed(folder: Path, *arguments: str) -> str:
    """What ``cliffwatch report`` prints, in this process; it must succeed."""
    done = CliRunner().invoke(app, ["report", "--config", f"{folder}/cliffwatch.yaml", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(folder: Path, *arguments: str) -> CliffwatchError:
    done = CliRunner().invoke(app, ["report", "--config", f"{folder}/cliffwatch.yaml", *arguments])
    assert isinstance(done.exception, CliffwatchError)
    return done.exception


def test_report_without_a_server_shows_the_mail(tmp_path: Path) -> None:
    write(tmp_path, HEALTHY, http={"url": "https://cliffwatch.example.com/"})
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    out = printed(tmp_path)
    assert out.startswith("1 of 1 target needs attention: bot has no baseline, so it is not compared")
    assert "$ cliffwatch baseline capture bot --suite facts --days 14" in out
    assert printed(tmp_path, "--text").splitlines()[:5] == out.splitlines()[:5]
    assert json.loads(printed(tmp_path, "--json"))["tone"] == "warn"
    assert printed(tmp_path, "--preview", f"{tmp_path}/out.html").startswith(f"wrote {tmp_path}/out.html: 1 of 1")
    assert 'href="https://cliffwatch.example.com/targets/bot"' in (tmp_path / "out.html").read_text()
    error = refused(tmp_path, "--send")
    assert (error.exit_code, str(error).partition(": ")[2]) == (
        2,
        "no 'email' section, so there are no recipients; see docs/email.md",
    )
    assert "--send cannot be combined" in str(refused(tmp_path, "--send", "--text"))
    assert "cannot be written" in str(refused(tmp_path, "--preview", f"{tmp_path}/no/such/folder.html"))


def test_the_servers_own_password_is_the_planted_one() -> None:
    """The check after each test would find nothing if the server took another."""
    assert MailServer().email()["smtp"]["username"] == USER
