"""When a change began, read out of the answers: the same for the metrics and for whoever tells of one finding."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from monitor.core.records import Arm, Exhibit, Finding, Reason, Run, RunOutcome, Unmeasured
from monitor.report.explain.claim import claim_of
from monitor.report.explain.onset import beginnings
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, alarm, answer, claimed, finding, recorded


def asked(store: Store, run: Run, subject: datetime, others: datetime) -> None:
    """The subject's answers, the last of them asked at ``subject``; a base's and a question that is lost come later."""
    lost = Unmeasured(Reason.TIMEOUT, "no reply in 60 s", others, 4)
    items = (
        ("p0", Arm.SUBJECT, answer(at=subject)),
        ("p1", Arm.SUBJECT, answer(at=subject - 9 * SECOND)),
        ("p2", Arm.SUBJECT, lost),
        ("p0", Arm.BASE, answer(at=others)),
    )
    assert all(store.record([recorded(run, one, probe, arm=arm) for probe, arm, one in items]))


def look(store: Store, day: int, *, takes: timedelta, alarming: bool, answers: bool = True) -> Finding:
    """The day's run: the subject's last answer is asked at ``NOW``, the verdict comes after ``takes``."""
    at = NOW + day * DAY
    run = claimed(store, SLOT + day * DAY, at)
    if answers:
        asked(store, run, at, at + takes / 2)
    found = replace(finding(run, alarming=alarming), evaluations=day + 1, evidence_log10=4.5 if alarming else -0.2)
    moves = [alarm(run, at + takes)] if alarming else []
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [found], at + takes, moves=moves)
    return found


def told(store: Store, found: Finding) -> tuple[datetime, datetime | None]:
    """What the metrics say, once it is what the finding's page says."""
    (between,) = beginnings(store, store.open_alarms()).values()
    claim = claim_of(store, found)
    assert claim.began == between.began
    assert between.healthy is None or f"{between.healthy:%Y-%m-%d %H:%M}" in claim.since
    return between.began, between.healthy


@pytest.mark.parametrize("slow", [SECOND, DAY / 4], ids=["as newcomers see it", "a judge that takes hours"])
def test_what_breaks_while_a_healthy_look_is_judged_began_after_it(store: Store, slow: timedelta) -> None:
    look(store, 0, takes=slow, alarming=False)
    broke = NOW + slow / 10
    began, healthy = told(store, look(store, 1, takes=slow, alarming=True))
    assert healthy is not None
    assert healthy < broke < began
    assert (healthy, began) == (NOW, NOW + DAY)


def test_a_look_whose_answers_are_not_kept_counts_as_of_its_verdict(store: Store) -> None:
    look(store, 0, takes=SECOND, alarming=False, answers=False)
    assert told(store, look(store, 1, takes=SECOND, alarming=True)) == (NOW + DAY, NOW + SECOND)


def test_last_asked_reads_the_subject_s_usable_answers_of_the_runs_asked_for(store: Store) -> None:
    first, second, third = (claimed(store, SLOT + day * DAY, NOW + day * DAY) for day in range(3))
    asked(store, first, NOW, NOW + DAY)
    asked(store, second, NOW + DAY, NOW + 2 * DAY)
    assert store.record([recorded(third, Unmeasured(Reason.TIMEOUT, "no reply in 60 s", NOW, 4))]) == [True]
    assert store.last_asked([first.id, third.id, 999]) == {first.id: NOW}
    assert store.last_asked([]) == {}


def test_run_findings_has_every_signal_of_the_runs_asked_for_without_its_answers(store: Store) -> None:
    signals, shown = ("adapter_loss", "length"), Exhibit("p0", "How long?", "5 days", "It depends.", None, 0.5)
    for day in range(2):
        run = claimed(store, SLOT + day * DAY, NOW + day * DAY)
        found = [replace(finding(run, alarming=True), signal=one, exhibits=(shown,)) for one in signals]
        assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW + DAY)
    read = store.run_findings({run.id, 999})
    assert read == {run.id: [replace(one, exhibits=()) for one in found], 999: []}
    assert store.run_findings(()) == {}


def test_however_many_alarms_there_are_the_answers_of_few_runs_are_read(store: Store) -> None:
    """One statement for all of them, by the runs' numbers; the looks of before are none of its business."""
    for day in range(5):
        look(store, day, takes=SECOND, alarming=day == 4)
    run = claimed(store, SLOT + 5 * DAY, NOW + 5 * DAY)
    more = ("logprobs", "border", "contract")
    found = [finding(run, alarming=True, signal=signal) for signal in more]
    moves = [alarm(run, NOW + 5 * DAY, signal) for signal in more]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW + 5 * DAY, moves=moves)
    alarms = store.open_alarms()
    seen: list[tuple[str, Any]] = []
    assert len(alarms) == 4
    event.listen(store._database.engine, "before_cursor_execute", lambda *a: seen.append((a[2], a[3])))
    beginnings(store, alarms)
    assert len([query for query, _ in seen if query.startswith("SELECT")]) == 3
    ((_, parameters),) = [one for one in seen if "FROM answer" in one[0]]
    numbers = parameters.values() if isinstance(parameters, dict) else parameters
    assert sorted(one for one in numbers if isinstance(one, int)) == [run.id - 2, run.id - 1, run.id]
