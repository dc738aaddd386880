"""Old data is deleted, what is needed is kept and named, on SQLite and PostgreSQL."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from monitor.core.records import (
    Answer,
    Arm,
    DataKind,
    DeletedWhy,
    Exchange,
    Exhibit,
    KeptFor,
    KeptRuns,
    RunOutcome,
    Score,
)
from monitor.core.settings import Retention as Days
from monitor.core.texts import deleted_text
from monitor.daemon.jobs.retention import TRUSTED_DAYS, enforce, jumped
from monitor.report import retention
from monitor.store import Store, open_store
from tests.store_records import DAY, NOW, SLOT, alarm, answer, claimed, finding, recorded

LATER = NOW + 400 * DAY
DAYS = Days()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    yield opened
    opened.close()


def asked(store: Store, number: int, *, target: str = "bot", alarming: bool = False) -> int:
    """A finished run with answers, scores, an embedding and a finding; returns its id."""
    run = claimed(store, SLOT + number * DAY, NOW + number * DAY, target)
    for place in range(3):
        told = answer(f"secret {number}-{place}", exchange=Exchange({"m": "secret"}, "secret"))
        assert store.record([recorded(run, told, f"p{place}")]) == [True]
    store.add_scores(run.id, run.fence, [Score(Arm.SUBJECT, "p0", 0, "contains", 1.0, "secret detail")])
    store.save_embeddings(run.id, run.fence, {(Arm.SUBJECT, "p0", 0): [0.5, 0.25]})
    moves = [alarm(run)] if alarming else []
    shown = Exhibit("p0", "secret?", "secret then", "secret now", None, 1.0)
    found = [replace(finding(run, alarming=alarming), exhibits=(shown,))]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW + number * DAY, moves=moves)
    return run.id


def texts(store: Store, run_id: int) -> list[str]:
    return [one.text for _, one in store.outcomes(run_id) if isinstance(one, Answer)]


def test_old_data_is_deleted_and_a_second_pass_changes_nothing(store: Store) -> None:
    old, newest = asked(store, 0), asked(store, 1)
    assert enforce(store, DAYS, LATER, Event()) == ()
    for run_id in (old, newest):
        assert texts(store, run_id) == [deleted_text(365)] * 3
        assert all(one.exchange is None or not one.exchange.request for _, one in store.outcomes(run_id))
        assert [one.embedding for one in store.answers([run_id])] == [None] * 3
        assert store.answers([run_id])[0].scores == {"contains": 1.0}, "scores are kept longer"
        assert [one.exhibits for one in store.findings(run_id=run_id)] == [()]
        told = {(one.kind, one.why, one.days) for one in store.deletions([run_id])}
        assert told == {(kind, DeletedWhy.RETENTION, days) for kind, days in
                        ((DataKind.TEXTS, 365), (DataKind.EXCHANGES, 90), (DataKind.EMBEDDINGS, 365))}  # fmt: skip
    before = store.deletions([old, newest])
    enforce(store, DAYS, LATER + DAY, Event())
    assert store.deletions([old, newest]) == before
    last = retention.read(store)
    assert last is not None
    assert last.at == LATER + DAY


def test_findings_go_last_and_the_newest_stays(store: Store) -> None:
    old, newest = asked(store, 0), asked(store, 1)
    kept = enforce(store, DAYS, NOW + 800 * DAY, Event())
    assert kept == (KeptRuns(DataKind.FINDINGS, KeptFor.NEWEST_FINDING, 1),)
    assert store.findings(run_id=old) == []
    assert len(store.findings(run_id=newest)) == 1
    assert store.answers([old])[0].scores == {}


def test_null_keeps(store: Store) -> None:
    run_id = asked(store, 0)
    assert enforce(store, Days(texts=None, exchanges=None, embeddings=None, scores=None, findings=None),
                   NOW + 9_000 * DAY, Event()) == ()  # fmt: skip
    assert store.deletions([run_id]) == []
    assert texts(store, run_id)[0].startswith("secret")


def test_exchanges_do_not_outlive_the_texts_that_they_contain() -> None:
    assert Days(texts=7, exchanges=None).days[DataKind.EXCHANGES] == 7
    assert Days(texts=7, exchanges=90).days[DataKind.EXCHANGES] == 7
    assert Days(texts=None, exchanges=3).days[DataKind.EXCHANGES] == 3


def test_what_an_open_alarm_and_a_baseline_need_is_kept_and_named(store: Store) -> None:
    of_baseline, raised, free = asked(store, 0), asked(store, 1, alarming=True), asked(store, 2, target="other")
    store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + timedelta(hours=1))
    kept = enforce(store, DAYS, LATER, Event())
    assert set(kept) == {
        KeptRuns(DataKind.TEXTS, KeptFor.CAPTURING_BASELINE, 1),
        KeptRuns(DataKind.TEXTS, KeptFor.OPEN_ALARM, 1),
        KeptRuns(DataKind.EXCHANGES, KeptFor.OPEN_ALARM, 1),
        KeptRuns(DataKind.EMBEDDINGS, KeptFor.CAPTURING_BASELINE, 1),
        KeptRuns(DataKind.EMBEDDINGS, KeptFor.OPEN_ALARM, 1),
    }
    assert texts(store, of_baseline)[0].startswith("secret")
    assert texts(store, raised)[0].startswith("secret")
    assert texts(store, free) == [deleted_text(365)] * 3
    store.close_due_baselines(LATER)
    (captured,) = store.baselines("bot")
    assert KeptRuns(DataKind.TEXTS, KeptFor.CAPTURED_BASELINE, 1) in enforce(store, DAYS, LATER, Event())
    store.approve(captured.id, "kim", "healthy", LATER)
    assert KeptRuns(DataKind.TEXTS, KeptFor.APPROVED_BASELINE, 1) in enforce(store, DAYS, LATER, Event())
    store.retire(captured.id, "kim", "over", LATER)
    assert store.open_alarms() == [], "nothing is compared with a retired baseline"
    assert enforce(store, DAYS, LATER, Event()) == ()
    assert texts(store, of_baseline) == texts(store, raised) == [deleted_text(365)] * 3


def test_a_run_that_is_not_done_is_not_touched(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, answer("secret"))])
    assert enforce(store, DAYS, LATER, Event()) == ()
    assert texts(store, run.id) == ["secret"]


def test_a_run_without_its_texts_joins_no_baseline(store: Store) -> None:
    asked(store, 0)
    enforce(store, DAYS, LATER, Event())
    opened = store.open_baseline("bot", "support", "digest", "m", None, SLOT, SLOT + DAY)
    assert opened.run_ids == ()


def test_a_killed_pass_continues_where_it_stopped(store: Store) -> None:
    run_id = asked(store, 0)
    assert not store.delete_old(DataKind.TEXTS, run_id, 365, LATER, most=1), "two probes are left"
    assert [one.startswith("secret") for one in texts(store, run_id)] == [False, True, True]
    assert [one.kind for one in store.deletions([run_id])] == [DataKind.TEXTS], "it counts as deleted from now on"
    enforce(store, DAYS, LATER, Event())
    assert texts(store, run_id) == [deleted_text(365)] * 3


def test_a_stopped_pass_reports_nothing(store: Store) -> None:
    asked(store, 0)
    stop = Event()
    stop.set()
    assert enforce(store, DAYS, LATER, stop) == ()
    assert retention.read(store) is None


def test_an_empty_answer_stays_empty(store: Store) -> None:
    run = claimed(store)
    store.record([recorded(run, answer(""))])
    store.finish(run.id, run.fence, RunOutcome.MEASURED, [], NOW)
    enforce(store, DAYS, LATER, Event())
    assert texts(store, run.id) == [""]


PASS = """
import sys
from datetime import datetime
from pathlib import Path
from threading import Event
from monitor.core.settings import Retention
from monitor.daemon.jobs.retention import TRUSTED_DAYS, enforce, jumped
from monitor.store import open_store
print("begins", flush=True)
enforce(open_store(sys.argv[1]), Retention(), datetime.fromisoformat(sys.argv[2]), Event(), pause=0.05)
"""


def test_a_pass_survives_kill_9(store: Store, store_url: str) -> None:
    runs = [asked(store, number) for number in range(30)]
    command = [sys.executable, "-c", PASS, store_url, LATER.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        while len(store.deletions(runs)) < 5:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert len(store.deletions(runs)) < 3 * len(runs), "it was killed in the middle"
    enforce(store, DAYS, LATER, Event())
    assert [texts(store, run_id) for run_id in runs] == [[deleted_text(365)] * 3] * len(runs)


def test_deleted_text_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    opened = open_store(f"sqlite:///{path}")
    for number in range(5):
        asked(opened, number)
    enforce(opened, Days(scores=1), LATER, Event())
    opened.close()  # the last connection empties the log
    assert b"secret" not in path.read_bytes()


def test_a_clock_that_may_be_ahead_deletes_nothing_until_there_were_runs_on_seven_days(store: Store) -> None:
    for number in range(10):
        asked(store, number)
    assert not jumped(store, SLOT + 12 * DAY)
    ahead = 400
    assert jumped(store, SLOT + ahead * DAY), "no run for a year"
    for number in range(TRUSTED_DAYS):
        assert jumped(store, SLOT + (ahead + number) * DAY)
        asked(store, ahead + number)
    assert not jumped(store, SLOT + (ahead + TRUSTED_DAYS) * DAY)
    assert not jumped(store, SLOT + 12 * DAY), "back at the right time, slots ahead do not count"
