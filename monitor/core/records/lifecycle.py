"""Records that outlive a run: the run ledger, baselines, alarms, and the inputs of verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from monitor.core.records.conditions import ConditionState, Holds
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
    """End of the capture window, which has the runs with a slot in [starts_at, ends_at)."""
    run_ids: tuple[int, ...]
    answers: int
    """Number of usable subject answers."""
    days: int
    """Days of the schedule that its runs span; see ``schedule.days_spanned``."""
    at_once: bool
    approved_by: str | None = None
    approved_why: str | None = None
    approved_at: datetime | None = None
    retired_by: str | None = None
    retired_why: str | None = None
    retired_at: datetime | None = None
    day_seconds: float = 86_400
    """Length of a day of the schedule when it was captured."""
    conditions: tuple[ConditionState, ...] = ()
    """What its answers fulfil, as determined at its approval; empty before, and from versions without conditions."""

    @property
    def unread(self) -> frozenset[str]:
        """Signals that cannot be read with it."""
        lacking = (one for one in self.conditions if one.holds in (Holds.FAILS, Holds.PARTLY))
        return frozenset(name for one in lacking for name in one.signals)


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
    """When it has work again: the slot, then the next batch."""
    seed: int
    suite_digest: str
    finished_at: datetime | None = None
    confirms: int | None = None
    """Run whose page this run, a fresh sample, confirms."""
    follows: int | None = None
    """Scheduled run after which this one is asked in addition, because the evidence grew. It counts as evidence like a
    scheduled run."""
    starts_at: datetime | None = None
    """When it was first due: the slot, or later if the run was created late (a new target, a daemon that was down). Its
    batches are spread over the rest of the period."""
    scheduled: bool = True
    """``False``: created manually, to confirm a page or because evidence grew; all questions are due at once."""

    @property
    def by_hand(self) -> bool:
        """Whether a person created it."""
        return not self.scheduled and self.confirms is None and self.follows is None


class AlarmState(StrEnum):
    RAISED = "raised"
    """The evidence crossed the threshold; a fresh sample or another day must confirm it before it pages."""
    CONFIRMED = "confirmed"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A finding that crossed its threshold, from raised to confirmed to cleared."""

    target: str
    suite: str
    signal: str
    severity: Severity
    """A page that was not confirmed is a ticket."""
    state: AlarmState
    raised_at: datetime
    raised_run_id: int
    confirmed_at: datetime | None = None
    confirmed_run_id: int | None = None
    note: str = ""
    """Text: how it was confirmed, or why not. Never parsed; see ``confirmation``."""
    cleared_at: datetime | None = None
    cleared_run_id: int | None = None
    """Run whose answers showed the recovery; ``None`` if a person cleared it."""
    cleared_by: str | None = None
    cleared_why: str | None = None
    acknowledged_at: datetime | None = None
    """When a person acknowledged it; the alarm stays open."""
    acknowledged_by: str | None = None
    acknowledged_why: str | None = None
    id: int | None = None
    """Set by the store."""
    confirmation: Confirmation | None = None
    """``None``: it waits for its fresh sample, or is a ticket, which needs none."""
    waits_until: datetime | None = None
    """While it waits for another day: the earliest window of an evaluation that counts as one. Else ``None``."""
    waits_past: datetime | None = None
    """The same for the evaluation's end."""


@dataclass(frozen=True, slots=True)
class VerdictContext:
    """Inputs of a run's verdict other than answers, stored so that it can be recomputed."""

    run_id: int
    baseline_id: int
    page_threshold_log10: float
    ticket_threshold_log10: float
    cliffwatch: str
    """Version that computed it."""
    judge_moved: bool = False
    """Whether the judge had an open alarm: signals that use its verdicts then do not page."""
    fleet: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """See ``Comparison.fleet``."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Number of copies of stored answers with one injected fault that were detected."""

    target: str
    suite: str
    fault: str
    caught: int
    trials: int
    tested_at: datetime


class Match(StrEnum):
    """Result of an identity check."""

    MATCHES = "matches"
    DIFFERS = "differs"
    """A positive contradiction. It pages."""
    CANNOT_TELL = "cannot_tell"
    """Neither: the metadata is missing, hidden or incomplete. It never pages."""

    @classmethod
    def of(cls, matches: bool | None) -> "Match":
        """``None``: cannot tell."""
        if matches is None:
            return cls.CANNOT_TELL
        return cls.MATCHES if matches else cls.DIFFERS


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """What an endpoint serves according to its metadata, compared with the configuration."""

    target: str
    arm: Arm
    check: str
    """``listed``, ``parent``, ``adapter_base`` ...: one name per comparison."""
    result: Match
    expected: str
    found: str
    """What was found; for ``cannot_tell`` also why."""
    checked_at: datetime
    since: datetime
    """When ``result`` last changed."""
    matches: bool | None = field(init=False)
    """``result`` for programs: ``None`` if it cannot tell."""

    def __post_init__(self) -> None:
        told = None if self.result is Match.CANNOT_TELL else self.result is Match.MATCHES
        object.__setattr__(self, "matches", told)

    @property
    def differs(self) -> bool:
        """Whether it contradicts the declaration."""
        return self.result is Match.DIFFERS


@dataclass(frozen=True, slots=True)
class ServedMetadata:
    """What a server's list said about a model when it last listed it, or when a baseline was approved."""

    target: str
    arm: Arm
    model: str
    facts: Mapping[str, str]
    """Fields of its entry, such as ``root``, ``parent`` and ``max_model_len``."""
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class ServedBy:
    """One thing that a run's replies say about who served them."""

    name: str
    """Such as ``provider``."""
    value: str
    answers: int
    """Number of answers that say it."""
    of: int
    """Number of the run's answers."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A value of the contract that a person accepted after the baseline was approved."""

    target: str
    suite: str
    """Empty for what belongs to the whole target."""
    part: str
    """``fingerprint``, ``model_id``, ``prompt_tokens``, ``served`` or ``root``."""
    value: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Retirement:
    """Shutdown date of a target's model, and its source."""

    target: str
    arm: Arm
    model: str
    retires_at: datetime
    source: str
    """``config``, or the provider's name if its API returned the date."""
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Rollback:
    """Whether the version to roll back to still answers as expected, from its last few runs."""

    target: str
    answered: float
    """Share of its questions with a usable answer, 0 to 1."""
    passed: float | None
    """Share of its answers that pass their checks, 0 to 1; ``None`` if none of its probes has checks."""
    ready: bool
    asked_at: datetime
    """End of the newest run that asked it."""
    expected: float | None
    """Share of the approved baseline's answers to the same probes that pass; ``None`` without one."""
    questions: int
    """Number of questions in ``answered``, without those withheld because the budget was spent."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit log: what a person did on the pages or with a command."""

    at: datetime
    who: str
    action: str
    """``approve``, ``retire``, ``acknowledge``, ``clear``, ``run``, ``accept``, ``forget``; ``judge anew`` by the
    daemon itself."""
    target: str | None
    suite: str | None
    subject: str | None
    """Object of the action: ``baseline 3``, ``alarm 7 (adapter_loss)``, ``run 12``."""
    why: str
    address: str | None
    """Source address of the request; ``None``: a command on the daemon's machine."""
    id: int | None = None
    """Set by the store."""


class MailStatus(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    REFUSED = "refused"
    """Not retried: permanently rejected, or too old."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail of the outbox: composed once, sent at least once."""

    kind: str
    """``weekly``."""
    slot: datetime
    """Time of the schedule that it belongs to; (kind, slot) is unique."""
    message_id: str
    """The same for every attempt."""
    subject: str
    recipients: tuple[str, ...]
    body: bytes
    """The complete message, as it is sent."""
    composed_at: datetime
    status: MailStatus
    attempts: int
    next_at: datetime
    lease_until: datetime | None = None
    sent_at: datetime | None = None
    failed_at: datetime | None = None
    error: str | None = None
    """Last reply of the server, without credentials."""
    id: int | None = None
    """Set by the store."""


@dataclass(frozen=True, slots=True)
class MailState:
    """The outbox in four numbers."""

    last_sent_at: datetime | None
    """When a server last accepted a mail; ``None``: never."""
    queued: int
    oldest_queued_at: datetime | None
    """When the oldest queued mail was composed."""
    refused: int
    """Number of mails refused since ``last_sent_at``."""
