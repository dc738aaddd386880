"""What is stored of one person, and what was deleted of it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What ``cliffwatch forget`` deleted."""

    inputs: int = 0
    """Distinct inputs of the person."""
    runs: int = 0
    """Runs that had asked them."""
    answers: int = 0
    """Answers and verdicts of the judge, with their exchanges, embeddings, scores and log-probabilities."""
    examples: int = 0
    """Examples in findings."""
    waiting: tuple[int, ...] = ()
    """Runs in progress that ask inputs of the person: nothing of them is deleted yet."""
    log_emptied: bool = True
    """Whether SQLite's log was emptied, so that it holds no older pages. ``True`` on PostgreSQL."""
    not_reached: tuple[str, ...] = field(default=())
    """What may still have texts of the person."""
