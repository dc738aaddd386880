"""Records for the store's tests: one run of ``bot``/``support`` with everything around it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from monitor.core.records import (
    Alarm,
    AlarmState,
    Answer,
    Arm,
    Confirmation,
    Exchange,
    Finding,
    Message,
    Outcome,
    Question,
    Reason,
    Recorded,
    Reservation,
    Run,
    Sampling,
    Severity,
    Unmeasured,
    VerdictContext,
)
from monitor.detect.alarms import NOTES
from monitor.store import Store
from tests.summaries import state

NOW = datetime(2026, 11, 22, 6, 0, 0, 123456, tzinfo=UTC)
SLOT = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
LEASE = 10.0
DIGEST = "0" * 64


def make_run(store: Store, slot: datetime = SLOT, target: str = "bot", digest: str = "digest") -> Run:
    return store.ensure_run(target, "support", slot, seed=7, suite_digest=digest, next_at=slot)


def claimed(
    store: Store, slot: datetime = SLOT, now: datetime = NOW, target: str = "bot", digest: str = "digest"
) -> Run:
    run = store.claim(make_run(store, slot, target, digest).id, now, LEASE)
    assert run is not None
    return run


def question(run: Run, probe: str = "p", replicate: int = 0, arm: Arm = Arm.SUBJECT) -> Question:
    return Question(
        run.id, run.target, run.suite, arm, probe, replicate, "vllm", "m", (Message("user", "hi"),), Sampling()
    )


def answer(text: str = "hello", *, usd: float = 0.001, at: datetime = NOW, **more: Any) -> Answer:
    values: dict[str, Any] = {
        "finish_reason": "stop", "refusal": False, "model": "m-1", "fingerprint": "fp", "request_id": "rid",
        "prompt_tokens": 10, "completion_tokens": 20, "latency_seconds": 0.5,
        "exchange": Exchange({"model": "m"}, {"id": "x"}, 200, {"date": "today"}),
    }  # fmt: skip
    return Answer(text=text, asked_at=at, usd=usd, **{**values, **more})


def unmeasured(reason: Reason = Reason.TIMEOUT, attempts: int = 1, usd: float = 0.0) -> Unmeasured:
    return Unmeasured(reason, "no answer", NOW, attempts, usd)


def recorded(
    run: Run, outcome: Outcome | None = None, probe: str = "p", replicate: int = 0, arm: Arm = Arm.SUBJECT,
    fence: int | None = None, reservation: int | None = None, retries: tuple[int, ...] = (),
) -> Recorded:  # fmt: skip
    return Recorded(
        question(run, probe, replicate, arm), outcome or answer(), run.fence if fence is None else fence,
        NOW + 60 * SECOND, reservation, retries,
    )  # fmt: skip


def reservation(
    run: Run, usd: float = 0.001, requests: int = 1, usd_limit: float | None = None,
    requests_limit: int | None = None, expires_at: datetime = NOW + 60 * SECOND,
) -> Reservation:  # fmt: skip
    return Reservation(run.target, run.id, NOW.date(), usd, requests, usd_limit, requests_limit, expires_at)


def finding(
    run: Run, *, alarming: bool, signal: str = "length", measures: Mapping[str, float] | None = None,
    severity: Severity = Severity.TICKET, scores: Mapping[str, float] | None = None, baseline_id: int = 0,
) -> Finding:  # fmt: skip
    return Finding(
        run.id, run.target, run.suite, signal, severity, state(alarming), 1.5, 1.0, 2.0, "ratio",
        4.5 if alarming else 0.25, 2.0, 3.5, 3, 50, 500, SLOT, NOW, "Answers are 1.5 times as long", measures or {},
        scores=scores or {},
        baseline_id=baseline_id,
    )  # fmt: skip


def context(run: Run, baseline_id: int = 1, line: float = 3.5, fleet: float = 0.0) -> VerdictContext:
    return VerdictContext(run.id, baseline_id, line, line + fleet, "0.0")


def alarm(run: Run, at: datetime = NOW, signal: str = "length", severity: Severity = Severity.TICKET) -> Alarm:
    """As a finding of ``run`` raises it: a ticket is confirmed with it, a page is not."""
    page = severity is Severity.PAGE
    state = AlarmState.RAISED if page else AlarmState.CONFIRMED
    confirmed = (None, None) if page else (at, run.id)
    return Alarm(run.target, run.suite, signal, severity, state, at, run.id, *confirmed)


def begun(store: Store, target: str, suite: str, slot: datetime, at: datetime, seed: int = 7) -> Run:
    """A run claimed at ``at`` for an hour."""
    made = store.ensure_run(target, suite, slot, seed=seed, suite_digest=DIGEST, next_at=slot)
    run = store.claim(made.id, at, 3600)
    assert run is not None
    return run


def record_all(store: Store, run: Run, items: Sequence[tuple[Question, Outcome]], at: datetime) -> None:
    """Reserve and record what was asked, as the asker does."""
    until = at + timedelta(hours=1)
    reserved = store.reserve([Reservation(run.target, run.id, at.date(), 0.01, 1, 2.0, None, until) for _ in items])
    done = [
        Recorded(asked, outcome, run.fence, until, number)
        for (asked, outcome), number in zip(items, reserved, strict=True)
    ]
    assert all(store.record(done))


def confirmed(found: Finding, at: datetime, severity: Severity) -> Alarm:
    """The alarm that ``found`` raises, confirmed at once: a page by a fresh sample."""
    how = Confirmation.FRESH_SAMPLE if severity is Severity.PAGE else None
    return Alarm(
        found.target, found.suite, found.signal, severity, AlarmState.CONFIRMED, at, found.run_id, at, found.run_id,
        NOTES[how] if how else "", confirmation=how,
    )  # fmt: skip
