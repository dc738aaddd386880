"""``cliffwatch demo``: the whole product on a small real model, without keys or external servers.

A lab server answers as a fine-tuned support assistant. The daemon watches it on a fast clock, on which one round is one
day, and captures a baseline over a week of such days. The demo approves the baseline and drops the adapter. The daemon
detects the loss, confirms it on a fresh sample and shows it.
"""

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from monitor.cli import output
from monitor.cli.terminal import console
from monitor.core.logs import configure
from monitor.core.records import Alarm, AlarmState, BaselineStatus, Finding, Run, Severity
from monitor.core.wording import alarm_state

if TYPE_CHECKING:
    from monitor.store import Store

TARGET: Final = "support-bot"
SUITE: Final = "lab-support"
BASELINE_DAYS: Final = 9
"""A week, which arms pages, plus spare days: the first day may be too short, a busy machine may miss one."""
HEALTHY_ROUNDS: Final = 4
LEAST_ROUND_SECONDS: Final = 5.0
"""Shortest length of a "day"; longer if this machine needs longer for a round."""
ROOM: Final = 2.0
"""Length of a day in rounds: time to finish, and for a fresh sample at the same time."""
CAUGHT_WITHIN_SECONDS: Final = 60
CAUGHT_WITHIN_DAYS: Final = 6
"""The longer limit applies, from the first round after the drop: days are longer on a slow machine."""
UNDER_WAY_SECONDS: Final = 600
"""Time limit for the rounds that started before the drop."""
FAULT: Final = "adapter-dropped"

CONFIG: Final = """\
# Written by `cliffwatch demo`: the lab's model, on a clock on which a day lasts {round_seconds} seconds.
store: sqlite:///{folder}/cliffwatch.db
providers:
  lab: {{kind: openai, base_url: {lab_url}/v1, free: true, concurrency: 8}}
judge: {{provider: lab, model: lab-judge}}
targets:
  {target}:
    subject: {{provider: lab, model: lab-support}}
    base: {{provider: lab, model: lab-base}}
    suites: [{suite}]
schedule: {{probes: daily, batches: 1, day_seconds: {round_seconds}}}
http: {{port: {port}}}
"""


async def run_demo(folder: Path | None, *, watch: bool) -> int:
    """Run the demo in ``folder``; with ``watch`` until interrupted, and the user drops the adapter.

    Returns the exit code: 0 if the healthy rounds raised no alarm and the loss was detected; 1 otherwise.
    """
    out = console()
    configure(service=False, least=logging.WARNING)  # the demo prints its own progress; the daemon's log is in a file
    work = folder or Path(tempfile.mkdtemp(prefix="cliffwatch-demo-"))
    work.mkdir(parents=True, exist_ok=True)
    keep = True  # after a failure the folder is kept for inspection
    try:
        with contextlib.ExitStack() as stack:
            code = await _demo(out, work.resolve(), stack, watch=watch)
        keep = code != 0
    except asyncio.CancelledError:
        keep = False
        raise
    finally:
        if folder is None and not keep:
            shutil.rmtree(work)
    return code


async def _demo(out: Console, work: Path, stack: contextlib.ExitStack, *, watch: bool) -> int:
    from monitor.lab.process import LabServer
    from monitor.store import open_store

    say(out, "starting the lab: a small base model, its fine-tune and a judge, served over HTTP")
    started = monotonic()
    lab = stack.enter_context(LabServer(port=free_port(9465)))
    say(out, f"lab ready at {lab.url} after {monotonic() - started:.1f} s")
    config = write_config(work, lab.url, LEAST_ROUND_SECONDS)
    seconds = await one_round(out, config)
    day_seconds = max(LEAST_ROUND_SECONDS, ceil(ROOM * seconds))
    config = write_config(work, lab.url, day_seconds)
    daemon = stack.enter_context(daemon_process(config, work))
    store = stack.enter_context(contextlib.closing(open_store(f"sqlite:///{work}/cliffwatch.db")))
    tell_where_to_look(out, config, work)
    rounds = Rounds(out, store, daemon, work)
    await capture_baseline(out, config, rounds)
    if watch:
        return await watch_rounds(out, rounds, lab.url)
    return await unattended(out, rounds, lab, max(CAUGHT_WITHIN_SECONDS, CAUGHT_WITHIN_DAYS * day_seconds))


def write_config(work: Path, lab_url: str, round_seconds: float) -> Path:
    path = work / "cliffwatch.yaml"
    text = CONFIG.format(
        folder=work, lab_url=lab_url, target=TARGET, suite=SUITE, round_seconds=round_seconds, port=free_port(9464)
    )
    path.write_text(text, encoding="utf-8")
    return path


async def one_round(out: Console, config: Path) -> float:
    """Seconds per round on this machine once the lab is warm: the shorter of two manual rounds."""
    from monitor.cli import operations
    from monitor.runs.manual import run_now

    took = []
    with operations.opened(config, operations.ASKS) as context:
        for _ in range(2):
            started = monotonic()
            await run_now(context, TARGET, SUITE)
            took.append(monotonic() - started)
        await context.asker.aclose()
    say(out, f"a round takes {min(took):.1f} s on this machine")
    return min(took)


async def capture_baseline(out: Console, config: Path, rounds: "Rounds") -> None:
    """Let the daemon capture a baseline over days of its clock, and approve it."""
    from monitor.cli import operations

    with operations.opened(config, operations.ASKS) as context:
        await operations.capture(context, TARGET, None, days=BASELINE_DAYS, at_once=None)
        say(out, f"capturing a baseline over {BASELINE_DAYS} days (in production: 14 days of 24 hours)")
        captured = context.store.baselines(TARGET, SUITE, BaselineStatus.CAPTURED)
        while not captured:
            with contextlib.suppress(TimeoutError):
                await rounds.next(timeout=2)
            captured = context.store.baselines(TARGET, SUITE, BaselineStatus.CAPTURED)
        approved = context.store.approve(
            captured[0].id, "demo", "the lab's adapter is known to be loaded", context.clock()
        )
    say(out, f"baseline approved: {approved.answers} answers over {approved.days} days")


@contextlib.contextmanager
def daemon_process(config: Path, work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon as a separate process, with its log in the demo's folder."""
    with (work / "daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run", "--config", str(config)], stderr=log, stdout=log
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def tell_where_to_look(out: Console, config: Path, work: Path) -> None:
    from monitor.config import load

    settings = load(config)
    url = f"http://{settings.http.host}:{settings.http.port}"
    say(out, f"daemon started; one round every {settings.schedule.day_seconds:.0f} s is one day")
    for name, where in (
        ("pages", f"{url}/"),
        ("metrics", f"{url}/metrics"),
        ("config", config),
        ("log", work / "daemon.log"),
    ):
        out.print(Text.assemble(f"  {name:<8}", (str(where), "cyan")), soft_wrap=True)


@dataclass(slots=True)
class Rounds:
    """The daemon's finished rounds, as they appear in the store."""

    out: Console
    store: "Store"
    daemon: subprocess.Popen[bytes]
    work: Path
    seen: int = 0

    def __post_init__(self) -> None:
        self.seen = max((run.id for run in self.store.runs(TARGET, SUITE, limit=1)), default=0)

    async def next(self, timeout: float) -> tuple[Run, list[Finding]]:
        """Wait for the next finished round and print its result.

        Raises TimeoutError after ``timeout`` seconds, RuntimeError if the daemon has exited.
        """
        deadline = monotonic() + timeout
        while monotonic() < deadline:
            if self.daemon.poll() is not None:
                raise RuntimeError(f"the daemon stopped with exit code {self.daemon.returncode}; see its log")
            done = [r for r in self.latest() if r.status == "done" and r.id > self.seen]
            if done:
                run = min(done, key=lambda r: r.id)
                self.seen = run.id
                found = self.store.findings(run_id=run.id)
                self.out.print(Text.assemble(f"{now()}  ", round_words(run, found)))
                return run, found
            await asyncio.sleep(0.2)
        raise TimeoutError(f"no round was finished within {timeout:.0f} s")

    def latest(self) -> list[Run]:
        """The last hundred rounds, newest first: more than a slow machine has in progress."""
        return self.store.runs(TARGET, SUITE)

    def loss(self) -> Alarm | None:
        """The open alarm for the lost fine-tune."""
        found = self.store.alarms(TARGET, SUITE, raised=True)
        return next((one for one in found if one.signal == "adapter_loss"), None)


def round_words(run: Run, found: list[Finding]) -> Text:
    """How a finished round went: it is quiet only where it was compared with a baseline."""
    raised = sorted(f.signal for f in found if f.alarming)
    effect = next((f.measures.get("adapter_effect_ratio") for f in found if f.signal == "adapter_loss"), None)
    quiet = Text("quiet", "green") if found else Text("not compared")
    state = Text("ALARM " + ", ".join(raised), "bold red") if raised else quiet
    adapter = "" if effect is None else f"   adapter effect {max(0.0, effect):.2f} (1 healthy, 0 gone)"
    fresh = " (a fresh sample)" if run.confirms else ""
    return Text.assemble(f"round {run.id}{fresh}: {run.outcome}, ", state, adapter)


async def unattended(out: Console, rounds: Rounds, lab: object, seconds: float) -> int:
    """Healthy rounds, the fault, the page. Returns 0 if the rounds were quiet and the page came within ``seconds``.

    The time counts from the start of the first round after the drop, because earlier rounds do not show the fault.
    """
    from monitor.lab.process import LabServer

    assert isinstance(lab, LabServer)
    raised = []
    for _ in range(HEALTHY_ROUNDS):
        _, found = await rounds.next(timeout=max(120, seconds))
        raised += [f.signal for f in found if f.alarming]
    say(out, f"healthy: {HEALTHY_ROUNDS} rounds, {len(raised)} alarms {raised or ''}")
    lab.switch_on(FAULT)
    dropped = monotonic()
    say(out, "dropped the adapter: the server now answers with the base model, under the adapter's name, with HTTP 200")
    if not await caught(out, rounds, datetime.now(UTC), seconds):
        say(out, f"NOT detected and confirmed within {seconds:.0f} s of the first round after the drop", "bold red")
        tell_what_was_seen(out, rounds)
        return 1
    say(out, f"detected and confirmed {monotonic() - dropped:.0f} s after the adapter was dropped")
    return 1 if raised else 0


async def caught(out: Console, rounds: "Rounds", dropped: datetime, seconds: float) -> bool:
    """Print the alarm's states until it is confirmed. Returns whether it pages within ``seconds`` of a round."""
    shown: AlarmState | None = None
    until = monotonic() + UNDER_WAY_SECONDS
    asked = False
    while monotonic() < until:
        if not asked and any(run.slot >= dropped and run.attempt for run in rounds.latest()):
            asked, until = True, monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            _, found = await rounds.next(timeout=min(1.0, until - monotonic()))
            shown = tell_alarm(out, rounds.loss(), found, shown)
        alarm = rounds.loss()
        if alarm is not None and alarm.state is AlarmState.CONFIRMED:
            return alarm.severity is Severity.PAGE
    return False


def tell_what_was_seen(out: Console, rounds: "Rounds") -> None:
    """Print what the store has about a fault that was not confirmed in time, and how late the machine is."""
    for alarm in rounds.store.alarms(TARGET, SUITE, raised=True):
        state = alarm_state(alarm, alarm.raised_at)
        say(out, f"  {alarm.severity} {alarm.signal}: {alarm.state} by run {alarm.raised_run_id}. {state}")
    fresh = rounds.store.under_way(TARGET, SUITE)
    if fresh is not None:
        say(out, f"  waiting for run {fresh.id}, a fresh sample, {fresh.status} since {fresh.slot:%H:%M:%S}")
    late = [run for run in rounds.latest() if run.status != "done"]
    behind = max(((datetime.now(UTC) - run.slot).total_seconds() for run in late), default=0.0)
    say(out, f"  unfinished rounds: {len(late)}, the oldest {behind:.0f} s late")
    say(out, f"  store and log are kept in {rounds.work}")


def tell_alarm(out: Console, alarm: Alarm | None, found: list[Finding], shown: AlarmState | None) -> AlarmState | None:
    """Print the finding that raised an alarm, then each new state. Returns the state printed last."""
    state = alarm.state if alarm is not None else None
    if alarm is None or state is shown:
        return state
    loss = next((one for one in found if one.signal == alarm.signal and one.alarming), None)
    if shown is None and loss is not None:
        output.finding_view(out, loss)
    say(out, f"{alarm.severity} {alarm.signal}: {alarm.state}. {alarm_state(alarm, alarm.raised_at)}", "bold red")
    return state


async def watch_rounds(out: Console, rounds: Rounds, lab_url: str) -> int:
    """Print every round until interrupted; after healthy rounds, print how to break the model."""
    quiet, told = 0, False
    shown: AlarmState | None = None
    while True:
        _, found = await rounds.next(timeout=300)
        before, shown = shown, tell_alarm(out, rounds.loss(), found, shown)
        quiet = 0 if any(f.alarming for f in found) else quiet + bool(found)
        if before is None and shown is not None:
            say(out, f"to fix it: {command(f'lab fault --off {FAULT}', lab_url)}    (Ctrl-C ends the demo)")
        if before is not None and shown is None:
            say(out, "the fine-tune is back: the answers cleared the alarm")
        if quiet >= HEALTHY_ROUNDS and not told:
            told = True
            say(out, f"healthy for {quiet} rounds. Now drop the adapter. In another terminal, in this folder, run:")
            out.print(Text(f"\n    {command(f'lab fault {FAULT}', lab_url)}\n", "bold"), soft_wrap=True)


def command(arguments: str, lab_url: str) -> str:
    """A ``cliffwatch`` command as the user of this terminal types it."""
    installed = Path(sys.executable).with_name("cliffwatch")
    program = str(installed.relative_to(Path.cwd())) if installed.is_relative_to(Path.cwd()) else "cliffwatch"
    elsewhere = "" if lab_url.endswith(":9465") else f" --url {lab_url}"
    return f"{program} {arguments}{elsewhere}"


def free_port(wanted: int) -> int:
    """``wanted`` if nothing listens there, else a free port."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"


def say(out: Console, words: str, style: str = "") -> None:
    out.print(Text.assemble((f"{now()}  ", "dim"), (words, style)), soft_wrap=True)
