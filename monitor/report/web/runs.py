"""A run's page: every question with its outcome, and the page of one complete exchange."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from monitor.core import sampling
from monitor.core.records import (
    JUDGE_GRADER,
    Answer,
    Arm,
    LeftOut,
    Outcome,
    SampleAccount,
    Score,
    Unmeasured,
    Unscored,
)
from monitor.report.web.formatting import Turn, turn

if TYPE_CHECKING:
    from monitor.store import StoreReader

PER_PAGE: Final = 100
"""Questions on one page."""

SHOWN: Final = 4_000
"""Maximum number of characters of an answer in the list; its exchange page has the full text."""

LONGEST: Final = 200_000
"""Maximum number of characters of a request or reply on the page; its JSON has the full text."""

JUDGES: Final[Mapping[Arm, Arm]] = {Arm.JUDGE_SUBJECT: Arm.SUBJECT, Arm.JUDGE_BASE: Arm.BASE}
"""Arm of a verdict -> arm of the judged answer."""

JUDGED: Final[Mapping[Arm, Arm]] = {answer: judge for judge, answer in JUDGES.items()}

CREDENTIAL: Final = re.compile(r"authori[sz]ation|api[-_]?key|cookie|secret|password|access[-_]?token", re.IGNORECASE)
"""Names whose values are hidden."""

HIDDEN: Final = "[hidden]"

Show = Literal["all", "answers", "judge", "lost"]
"""All questions, questions to the models, questions to the judge, or questions without a usable answer."""

AnswerKey = tuple[Arm, str, int]


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One question and its outcome."""

    arm: Arm
    probe: str
    replicate: int
    outcome: Outcome
    scores: tuple[Score, ...]
    unscored: tuple[Unscored, ...] = ()
    """Checks without a score."""

    @property
    def answer(self) -> Answer | None:
        return self.outcome if isinstance(self.outcome, Answer) else None

    @property
    def lost(self) -> Unmeasured | None:
        return self.outcome if isinstance(self.outcome, Unmeasured) else None

    @property
    def judges(self) -> Arm | None:
        """The arm whose answer this question judges."""
        return JUDGES.get(self.arm)

    @property
    def judged_by(self) -> Arm | None:
        """The arm of the verdict on this answer, if a judge gave one."""
        return JUDGED.get(self.arm) if any(one.grader == JUDGE_GRADER and one.detail for one in self.scores) else None


@dataclass(frozen=True, slots=True)
class Count:
    """Counts of one arm's questions in a run."""

    arm: Arm
    questions: int
    answered: int
    lost: Mapping[str, int]
    """Reason -> number of questions without a usable answer for this reason."""
    usd: float


def counts(tally: Mapping[tuple[Arm, str | None], tuple[int, float]]) -> list[Count]:
    found = []
    for arm in Arm:
        mine = {reason: both for (one, reason), both in tally.items() if one is arm}
        if mine:
            lost = {reason: count for reason, (count, _) in sorted(mine.items(), key=str) if reason is not None}
            answered = mine.get(None, (0, 0.0))[0]
            total = answered + sum(lost.values())
            found.append(Count(arm, total, answered, lost, sum(usd for _, usd in mine.values())))
    return found


@dataclass(frozen=True, slots=True)
class SampleView:
    """The account of a sample, as its run's page shows it."""

    account: SampleAccount
    summary: str
    notes: tuple[str, ...]
    """What a reader must know, one sentence each."""
    outside: tuple[str, ...]
    """Requests outside, by reason."""
    attention: bool
    """Whether the sample is empty, or leaves out more than a fifth."""


def sample_view(account: SampleAccount | None) -> SampleView | None:
    if account is None:
        return None
    notes = tuple(sampling.notes(account))
    outside = (one for one in account.reasons if one.left_out is LeftOut.OUTSIDE)
    lines = (sampling.reason_line(account, one) for one in outside)
    return SampleView(
        account, sampling.summary(account), notes, tuple(line for line in lines if line not in notes),
        sampling.needs_attention(account),
    )  # fmt: skip


def arms_of(show: Show) -> list[Arm] | None:
    if show == "judge":
        return list(JUDGES)
    return [arm for arm in Arm if arm not in JUDGES] if show == "answers" else None


def lines(store: "StoreReader", run_id: int, show: Show, page: int) -> tuple[Turn, list[QuestionRow]]:
    """One page of a run's questions, by probe, replicate and arm."""
    wanted, lost = arms_of(show), show == "lost"
    total, found = store.questions(run_id, wanted, lost=lost, offset=(page - 1) * PER_PAGE, limit=PER_PAGE)
    where = turn(page, total, PER_PAGE)
    if where.page != page:
        found = store.questions(run_id, wanted, lost=lost, offset=where.first, limit=PER_PAGE)[1]
    return where, graded(store, run_id, found)


def graded(store: "StoreReader", run_id: int, found: Sequence[tuple[AnswerKey, Outcome]]) -> list[QuestionRow]:
    scores = store.scores_of(run_id, {probe for (_, probe, _), _ in found})
    missing = store.unscored_of(run_id)
    return [
        QuestionRow(*key, outcome, tuple(scores.get(key, ())), tuple(missing.get(key, ()))) for key, outcome in found
    ]


def unfinished(store: "StoreReader", run_id: int) -> Mapping[str, int]:
    """Reason -> number of the run's checks without a score for this reason."""
    missing = (one for found in store.unscored_of(run_id).values() for one in found)
    return dict(sorted(Counter(one.reason for one in missing).items()))


@dataclass(frozen=True, slots=True)
class Asked:
    """One complete exchange."""

    line: QuestionRow
    provider: str
    model: str
    request: str
    response: str
    status: int
    headers: Mapping[str, str]
    cut: bool
    """Whether the request or reply is longer than what is shown."""


def asked(store: "StoreReader", run_id: int, arm: Arm, probe: str, replicate: int) -> Asked:
    """One question with its exchange. Raises CliffwatchError if the question does not exist."""
    outcome, provider, model = store.question(run_id, arm, probe, replicate)
    (line,) = graded(store, run_id, [((arm, probe, replicate), outcome)])
    exchange = outcome.exchange
    sent = _text(redacted(exchange.request) if exchange else None)
    came = _text(redacted(exchange.response) if exchange else None)
    return Asked(
        line, provider, model, sent[:LONGEST], came[:LONGEST], (exchange.status or 0) if exchange else 0,
        redacted(exchange.headers) if exchange else {}, max(len(sent), len(came)) > LONGEST,
    )  # fmt: skip


def redacted(value: Any) -> Any:
    """A copy with the values of credentials hidden. Exchanges are stored without them; this is a second safeguard."""
    if isinstance(value, Mapping):
        return {name: HIDDEN if CREDENTIAL.search(str(name)) else redacted(one) for name, one in value.items()}
    return [redacted(one) for one in value] if isinstance(value, list | tuple) else value


def _text(value: object) -> str:
    if not value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
