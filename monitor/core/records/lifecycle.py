"""What outlives a run: the ledger's rows, baselines, alarms, and what a verdict depended on."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from monitor.core.records.exchange import Arm, RunOutcome, Severity
from monitor.core.records.states import Confirmation


class BaselineStatus(StrEnum):
    CAPTURING = "capturing"
    CAPTURED = "captured"
    APPROVED = "approved"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Baseline:
    id: int
    target: str
    suite: str
    status: BaselineStatus
    suite_digest: str
    subject_model: str
    base_model: str | None
    starts_at: datetime
    ends_at: datetime
    """End of the capture window; runs whose slot lies in [starts_at, ends_at) belong to it."""
    run_ids: tuple[int, ...]
    answers: int
    """Usable subject answers in it."""
    days: int
    """Days (of the schedule's length) that its runs span: ``schedule.days_spanned``."""
    at_once: bool
    approved_by: str | None = None
    approved_why: str | None = None
    approved_at: datetime | None = None
    retired_by: str | None = None
    retired_why: str | None = None
    retired_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One row of the run ledger."""

    id: int
    target: str
    suite: str
    slot: datetime
    status: Literal["due", "running", "waiting", "done"]
    outcome: RunOutcome | None
    attempt: int
    fence: int
    lease_until: datetime | None
    next_at: datetime
    """When there is something to do for it again: the slot, then the next batch."""
    seed: int
    suite_digest: str
    finished_at: datetime | None = None
    confirms: int | None = None
    """The run whose page this one, a fresh sample asked at once, is to confirm."""
    starts_at: datetime | None = None
    """When its work began to be due: the slot, or later where the run was made late (a new target, a daemon
    that was down). Its batches are spread over what was left of the period then."""
    scheduled: bool = True
    """``False``: made by hand or to confirm a page; all of it is asked at once."""


class AlarmState(StrEnum):
    RAISED = "raised"
    """The line was crossed; a fresh sample is being asked before anybody is woken."""
    CONFIRMED = "confirmed"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding that crossed its line, from raised over confirmed to cleared."""

    target: str
    suite: str
    signal: str
    severity: Severity
    """What it wakes: a page that its fresh sample did not confirm is a ticket."""
    state: AlarmState
    raised_at: datetime
    raised_run_id: int
    confirmed_at: datetime | None = None
    confirmed_run_id: int | None = None
    note: str = ""
    """How it was confirmed, or why it was not, in words: nothing is read out of it, see ``confirmation``."""
    cleared_at: datetime | None = None
    cleared_run_id: int | None = None
    """The run whose answers showed the recovery; ``None`` where a person cleared it."""
    cleared_by: str | None = None
    cleared_why: str | None = None
    acknowledged_at: datetime | None = None
    """When a person said that they look into it; the alarm goes on as it is."""
    acknowledged_by: str | None = None
    acknowledged_why: str | None = None
    id: int | None = None
    """Set by the store."""
    confirmation: Confirmation | None = None
    """``None``: it waits for its fresh sample, or is a ticket that needs none."""


@dataclass(frozen=True, slots=True)
class VerdictContext:
    """What a run's verdict depended on besides answers, kept so that it can be computed again."""

    run_id: int
    baseline_id: int
    page_threshold_log10: float
    ticket_threshold_log10: float
    cliffwatch: str
    """The version that reached it."""
    judge_moved: bool = False
    """The judge itself had an open alarm: what rests on its verdicts pages nobody."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """How many copies of stored answers with one fault injected were caught."""

    target: str
    suite: str
    fault: str
    caught: int
    trials: int
    tested_at: datetime


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """What an endpoint says it serves, against what is declared."""

    target: str
    arm: Arm
    check: str
    """``listed``, ``parent``, ``adapter_base`` ...: one for each thing that can be compared."""
    matches: bool
    expected: str
    found: str
    checked_at: datetime
    since: datetime
    """When ``matches`` became what it is."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """When a target's model is to be shut down, and who says so."""

    target: str
    arm: Arm
    model: str
    retires_at: datetime
    source: str
    """``config``, or the provider's name where its API says it."""
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Rollback:
    """Whether the version to roll back to still answers, and as it should: from its last few runs."""

    target: str
    answered: float
    """Share of the questions put to it that have a usable answer, 0 to 1."""
    passed: float | None
    """Share of its answers that pass their checks, 0 to 1; ``None`` where no probe that it was asked has checks."""
    ready: bool
    asked_at: datetime
    """When the newest run that asked it ended."""
    expected: float | None
    """What the approved baseline passes on the same probes; ``None`` where none is approved."""
    questions: int
    """How many questions ``answered`` counts: those withheld for a spent budget are not among them."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a person did, through the pages or by a command: one row of the audit log."""

    at: datetime
    who: str
    action: str
    """``approve``, ``retire``, ``acknowledge``, ``clear``, ``run``."""
    target: str | None
    suite: str | None
    subject: str | None
    """What it was done to: ``baseline 3``, ``alarm 7 (adapter_loss)``, ``run 12``."""
    why: str
    address: str | None
    """Where the request came from; ``None``: a command on the daemon's own machine."""
    id: int | None = None
    """Set by the store."""


class MailStatus(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    REFUSED = "refused"
    """Given up: refused for good, or older than anybody wants to read it."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail of the outbox: composed once, sent at least once."""

    kind: str
    """``weekly``."""
    slot: datetime
    """The moment of the schedule that it belongs to; (kind, slot) is unique."""
    message_id: str
    """Stays the same however often it is sent."""
    subject: str
    recipients: tuple[str, ...]
    body: bytes
    """The whole message as it goes over the wire."""
    composed_at: datetime
    status: MailStatus
    attempts: int
    next_at: datetime
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    error: str | None = None
    """What the server said last, without the credentials."""
    id: int | None = None
    """Set by the store."""


@dataclass(frozen=True, slots=True)
class MailState:
    """The outbox in four numbers."""

    last_sent_at: datetime | None
    """When a server last took one; ``None``: never."""
    queued: int
    oldest_queued_at: datetime | None
    """When the oldest of those that wait was composed."""
    refused: int
    """Given up since ``last_sent_at``."""
