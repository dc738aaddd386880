"""JSON models derived from the records, so that a record and its description cannot differ."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, create_model

from monitor.core.records import (
    Alarm,
    AuditEntry,
    Baseline,
    Finding,
    IdentityCheck,
    Point,
    Retirement,
    Rollback,
    Run,
    SampleAccount,
    Score,
    SelfTest,
    ServedBy,
    ServedMetadata,
    Spend,
    Unscored,
)
from monitor.report.explain.claim import Claim
from monitor.report.explain.jsonable import OF_FINDING
from monitor.report.web import baselines, fleet_overview, runs, target_view

LONGEST_ID: Final = 2**63 - 1

Id = Annotated[int, Path(ge=1, le=LONGEST_ID)]
"""An id that the store assigned."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
"""Names of targets, suites and signals, as in the configuration."""

Name = Annotated[str, Path(pattern=NAME)]
Some = Annotated[str | None, Query(pattern=NAME)]
Limit = Annotated[int, Query(ge=1, le=1000, description="maximum number of items")]


@cache
def described(record: type, name: str | None = None) -> type[BaseModel]:
    """The model of the JSON that ``plain`` makes of a record. Every float may be null, because JSON has no NaN."""
    hints = get_type_hints(record)
    shape = {one.name: (_json(hints[one.name]), ...) for one in fields(record)}
    shape |= {name: (kind, ...) for name, kind in OF_FINDING.items()} if record is Finding else {}
    return create_model(name or record.__name__, __config__=ConfigDict(extra="forbid"), **shape)  # type: ignore[call-overload, no-any-return]


def _json(hint: Any) -> Any:
    """The JSON type of a record's field."""
    if is_dataclass(hint):
        return described(hint)  # type: ignore[arg-type]
    if hint is float:
        return float | None
    origin, inner = get_origin(hint), [_json(one) for one in get_args(hint) if one not in (Ellipsis, NoneType)]
    if origin in (Union, UnionType):
        joined: Any = inner[0]
        for one in inner[1:]:
            joined = joined | one
        return joined | None if NoneType in get_args(hint) else joined
    if origin is tuple and (len(inner) > 1 and Ellipsis not in get_args(hint)):
        return list[Any]
    if origin in (tuple, list, Sequence):
        return list[inner[0]]  # type: ignore[valid-type]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, inner[1]]  # type: ignore[valid-type]
    return hint


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(Shape):
    """The reason why the request failed."""

    error: str


AlarmShape: Any = described(Alarm)
BaselineShape: Any = described(Baseline)
ClaimShape: Any = described(Claim)
FindingShape: Any = described(Finding)
PointShape: Any = described(Point)
RowShape: Any = described(fleet_overview.Row, "Target")
RunShape: Any = described(Run)
ScoreShape: Any = described(Score)
UnscoredShape: Any = described(Unscored)
SheetShape: Any = described(baselines.ProbeTexts)
WatchShape: Any = described(fleet_overview.Watch)
CountShape: Any = described(runs.Count)
SampleShape: Any = described(SampleAccount)


class Watched(WatchShape):  # type: ignore[misc]
    """A suite of a target with the newest finding of each signal, without exhibits."""

    findings: list[FindingShape]


class Status(Shape):
    version: str
    watches: list[Watched]


class Loudest(Shape):
    """The signal of a target with the strongest evidence of a change, with its last 30 days."""

    suite: str
    signal: str
    history: list[PointShape]


class Listed(RowShape):  # type: ignore[misc]
    loudest: Loudest | None


class Fleet(Shape):
    headline: str
    tone: str
    """good, warn or bad."""
    states: dict[str, int]
    """State -> number of targets in it."""
    total: int
    """Number of targets that match the filter."""
    targets: list[Listed]


class Series(Shape):
    suite: str
    signal: str
    points: list[PointShape]


class NextRun(Shape):
    suite: str
    at: datetime


class Budget(Shape):
    usd_per_day: float | None
    requests_per_day: int | None


class SelfTested(described(SelfTest)):  # type: ignore[misc]
    """One planted fault of the suite's latest self-test: the number of trials, and of trials that were caught."""

    missed: bool
    """The fault is a total loss and was caught too rarely: CliffwatchSelfTestFailed fires."""


class Borrowed(described(target_view.Borrowed)):  # type: ignore[misc]
    """How much healthy days of one signal are expected to differ, with and without what other suites show."""

    suite: str


class TargetDetail(Shape):
    target: str
    lead: described(target_view.Lead) | None  # type: ignore[valid-type]
    """The newest finding of the most urgent open alarm, and its claim in words."""
    watches: list[Watched]
    series: list[Series]
    borrowed: list[Borrowed]
    baselines: list[BaselineShape]
    runs: list[RunShape]
    next_runs: list[NextRun]
    alarms: list[AlarmShape]
    budget: Budget
    spent_today: described(Spend)  # type: ignore[valid-type]
    identity: list[described(IdentityCheck)]  # type: ignore[valid-type]
    listed: list[described(ServedMetadata)]  # type: ignore[valid-type]
    served: list[described(ServedBy)]  # type: ignore[valid-type]
    retirements: list[described(Retirement)]  # type: ignore[valid-type]
    rollback: described(Rollback) | None  # type: ignore[valid-type]
    audit_entries: list[described(AuditEntry)]  # type: ignore[valid-type]
    self_tests: list[SelfTested]


class Findings(Shape):
    findings: list[FindingShape]


class FindingDetail(FindingShape):  # type: ignore[misc]
    claim: ClaimShape
    alarm: AlarmShape | None
    raised_before: AlarmShape | None
    """The alarm of the same signal that had cleared before this one was raised."""
    raised_again: AlarmShape | None
    """The alarm that was raised again after this one cleared: the open one, else the next."""
    history: list[PointShape]


class Alarms(Shape):
    alarms: list[AlarmShape]


class Runs(Shape):
    runs: list[RunShape]


class Question(Shape):
    """One question of a run. ``reason``: why it has no usable answer."""

    arm: str
    probe: str
    replicate: int
    text: str | None
    reason: str | None
    detail: str | None
    finish_reason: str | None
    model: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_seconds: float | None
    asked_at: datetime
    attempts: int
    usd: float
    scores: list[ScoreShape]
    unscored: list[UnscoredShape]
    """Checks without a score."""


class RunDetail(RunShape):  # type: ignore[misc]
    arms: list[CountShape]
    total: int
    """Number of questions of the run."""
    questions: list[Question]
    sample: SampleShape | None
    """The account of the run's sample of production inputs; null for runs of fixed probes."""


class Exchanged(Question):
    """One question with its raw exchange, without credentials."""

    provider: str
    asked_model: str
    request: dict[str, Any] | None
    response: dict[str, Any] | str | None
    status: int | None
    headers: dict[str, str]


class Baselines(Shape):
    baselines: list[BaselineShape]


class BaselineDetail(BaselineShape):  # type: ignore[misc]
    total: int
    """Number of probes in the baseline."""
    sheets: list[SheetShape]


class Runbook(Shape):
    name: str
    text: str


class Runbooks(Shape):
    runbooks: list[str]
