"""What the retention deletes, what it keeps beyond its days, and for what."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DataKind(StrEnum):
    """Kinds of stored data, each with its own days in ``retention``."""

    TEXTS = "texts"
    """Answers, verdicts, sampled inputs, the examples of findings, log-probabilities, details of scores."""
    EXCHANGES = "exchanges"
    EMBEDDINGS = "embeddings"
    SCORES = "scores"
    FINDINGS = "findings"


class DeletedWhy(StrEnum):
    RETENTION = "retention"
    FORGOTTEN = "forgotten"
    """``cliffwatch forget`` deleted the inputs of a person, with their answers."""
    NOT_KEPT = "not_kept"
    """``keep: hashes``: texts are not stored in the first place."""


class KeptFor(StrEnum):
    """Why data is kept beyond its days."""

    OPEN_ALARM = "open_alarm"
    CAPTURING_BASELINE = "capturing_baseline"
    CAPTURED_BASELINE = "captured_baseline"
    APPROVED_BASELINE = "approved_baseline"
    RUNNING_VERDICT = "running_verdict"
    """A run that is not done refers to it."""
    NEWEST_FINDING = "newest_finding"
    """It is the newest finding of its signal."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Data of one run that was deleted."""

    run_id: int
    kind: DataKind
    why: DeletedWhy
    days: int | None
    """Its days in ``retention``; ``None`` if a person asked for the deletion."""
    at: datetime


@dataclass(frozen=True, slots=True)
class KeptRuns:
    """The number of runs whose data of one kind is kept beyond its days for one reason."""

    kind: DataKind
    reason: KeptFor
    runs: int
