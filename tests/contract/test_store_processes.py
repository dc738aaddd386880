"""Several real processes on one store: one wins a run, none passes a budget, and a killed one loses nothing."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monitor.core.records import Arm
from monitor.store import Store, open_store
from tests.postgres import Postgres
from tests.store_records import LEASE, NOW, SECOND, claimed, make_run, recorded, reservation

ROOT = Path(__file__).parents[2]
Worker = subprocess.Popen[str]


@contextmanager
def workers(job: str, url: str, run_id: int, number: int) -> Iterator[Sequence[Worker]]:
    """``number`` processes that have opened the store and begin together."""
    command = [sys.executable, "-m", "tests.contract.store_worker", job, url, str(run_id)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started: list[Worker] = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(number)]  # type: ignore[call-overload]
    try:
        for worker in started:
            assert line(worker) == "ready"
        for worker in started:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        yield started
    finally:
        for worker in started:
            worker.kill()
            worker.communicate()


def line(worker: Worker) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_one_of_several_processes_gets_a_run(store: Store, migrated_url: str) -> None:
    run = make_run(store)
    with workers("claim", migrated_url, run.id, 3) as claiming:
        answers = sorted(line(worker) for worker in claiming)
    assert answers == ["-", "-", "1"]


def test_processes_together_never_pass_the_budget(store: Store, migrated_url: str) -> None:
    run = claimed(store)
    with workers("spend", migrated_url, run.id, 3) as spending:
        granted = sum(int(line(worker)) for worker in spending)
    assert granted == 200, "2 USD at a cent each, to the last cent"
    spent = store.spent("bot", NOW.date())
    assert round(spent.usd + spent.reserved_usd, 9) == 2.0
    assert spent.requests + spent.reserved_requests == 200


def test_a_killed_writer_loses_nothing_that_was_committed(store: Store, migrated_url: str) -> None:
    run = claimed(store)
    with workers("write", migrated_url, run.id, 1) as (writer,):
        told = -1
        while told < 30:
            told = int(line(writer))
        writer.send_signal(signal.SIGKILL)
        told = max([told, *(int(number) for number in writer.communicate()[0].split())])
    survivor = open_store(migrated_url)
    keys = survivor.answered(run.id)
    assert keys >= {(Arm.SUBJECT, str(number), i) for number in range(told + 1) for i in range(8)}
    assert len(keys) % 8 == 0, "a list is in whole or not at all"
    spent = survivor.spent("bot", NOW.date())
    assert spent.requests == len(keys)
    assert spent.reserved_requests in (0, 8), "what was in flight stays reserved"
    assert survivor.release_expired(NOW + 3600 * SECOND) == spent.reserved_requests
    after = survivor.spent("bot", NOW.date())
    assert after.reserved_requests == 0
    assert after.requests == spent.requests + spent.reserved_requests, "calls in flight at the kill count as made"
    again = survivor.claim(run.id, NOW + 10**7 * SECOND, LEASE)
    assert again is not None
    assert again.fence == run.fence + 1
    survivor.close()


def test_a_stopped_worker_freezes_nobody(postgres_server: Postgres, migrated_template: str) -> None:
    # The trap of a settling transaction of several statements: its hot row stays locked while the worker stands.
    # PostgreSQL only: SQLite has one writer, and a process that is stopped while it writes holds up the others.
    url = postgres_server.fresh(migrated_template)
    store = open_store(url)
    run, other = claimed(store), claimed(store, target="other")
    with workers("write", url, run.id, 1) as (writer,):
        for stop in range(5):
            assert line(writer)
            writer.send_signal(signal.SIGSTOP)
            for number in range(20):
                (held,) = store.reserve([reservation(run)])
                assert store.record([recorded(other, probe=f"{stop}/{number}", reservation=held)]) == [True]
            writer.send_signal(signal.SIGCONT)
    store.close()
