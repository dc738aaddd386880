"""A fleet's week as the facts that a mail is made from: twelve targets, four of which need somebody."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from monitor.core.records import (
    Alarm,
    AlarmState,
    Arm,
    AuditEntry,
    Baseline,
    BaselineStatus,
    Confirmation,
    Finding,
    IdentityCheck,
    Match,
    Point,
    Retirement,
    Rollback,
    RunOutcome,
    RunSummary,
    Severity,
    Spend,
    SuiteProgress,
)
from monitor.core.settings import Settings
from monitor.core.signals import TITLES
from monitor.detect.alarms import NOTES
from monitor.report.email.charts import picture
from monitor.report.email.data import Facts
from monitor.report.email.message import preview
from monitor.report.email.report import draft
from monitor.report.explain.context import FindingContext
from tests.summaries import saying, state

NOW: Final = datetime(2026, 11, 23, 7, 0, 4, tzinfo=UTC)
"""Monday, 08:00 in Berlin."""
WEEK: Final = timedelta(days=7)
SUITE: Final = "support"
LOST_DAYS: Final = 5.5
LONGER_DAYS: Final = 1.5
"""Ago, when the first look saw the fine-tune lost, and the answers longer: a look a day."""
UNITS: Final = {
    "adapter_loss": "share of the approved fine-tune's effect",
    "length": "variance of log length, now over baseline",
    "judge_score": "mean score, now minus baseline",
}


def settings(names: Sequence[str], **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "providers": {"vllm": {"kind": "openai", "base_url": "http://vllm:8000/v1", "free": True}},
            "judge": {"provider": "vllm", "model": "judge-70b-2026-05", "anchors": "anchors.yaml"},
            "targets": {
                name: {
                    "subject": {"provider": "vllm", "model": f"{name}-lora"},
                    "base": {"provider": "vllm", "model": "meta-llama/Llama-3.1-8B-Instruct"},
                    "suites": [SUITE],
                    "budget": {"usd_per_day": 2.0},
                }
                for name in names
            },
            "schedule": {"timezone": "Europe/Berlin"},
            "email": {"to": ["ml-oncall@example.com"], "smtp": {"host": "smtp.example.com"}},
            **more,
        }
    )


def finding(target: str, signal: str, summary: str, effect: float, *, alarming: bool = False) -> Finding:
    severity = Severity.TICKET if signal in ("length", "contract", "distribution") else Severity.PAGE
    evidence = 7.2 if alarming else -0.3
    found = Finding(
        412, target, SUITE, signal, severity, state(alarming), effect, effect - 0.06, effect + 0.06,
        UNITS.get(signal, "ratio"), evidence, 0.1, 3.56, 20, 40, 400, NOW - timedelta(days=1),
        NOW - timedelta(hours=3), "",
    )  # fmt: skip
    return saying(summary, found)


def alarm(target: str, signal: str, days: float, *, severity: Severity = Severity.PAGE, **more: Any) -> Alarm:
    at = NOW - timedelta(days=days)
    how = Confirmation.FRESH_SAMPLE if severity is Severity.PAGE else None
    return replace(
        Alarm(target, SUITE, signal, severity, AlarmState.CONFIRMED, at, 400, at + timedelta(minutes=9), 401,
              NOTES[how] if how else "", confirmation=how),
        **more,
    )  # fmt: skip


def baseline(target: str, status: BaselineStatus = BaselineStatus.APPROVED, **more: Any) -> Baseline:
    start = NOW - timedelta(days=60)
    return replace(
        Baseline(3, target, SUITE, status, "0" * 64, "m", "b", start, start + timedelta(days=14), (1, 2), 560, 14,
                 False, "jo@example.com", "read sixty answers", start + timedelta(days=14)),
        **more,
    )  # fmt: skip


def facts(names: Sequence[str], *, since: timedelta = WEEK, now: datetime = NOW, **more: Any) -> Facts:
    """A week in which every target was measured, armed and quiet; ``more`` replaces parts of it."""
    streams = [(name, SUITE) for name in names]
    holds = "The fine-tune holds: 98% of its approved effect is left."
    quiet = Facts(
        settings=settings(names),
        since=now - since,
        now=now,
        progress={key: progress(*key, now) for key in streams},
        baselines={key: [baseline(key[0])] for key in streams},
        outdated=set(),
        alarms={},
        latest={key: {"adapter_loss": finding(key[0], "adapter_loss", holds, 0.98)} for key in streams},
        last={key: RunSummary(412, RunOutcome.MEASURED, 120, 0, 200.0, 0.9, 0.97) for key in streams},
        asked={key: {"": 840} for key in streams},
        spent={name: Spend(0.82, 900) for name in names},
        days=8,
        audit_entries=[],
        retirements=[],
        identity={},
        rollback={},
        blind={},
    )
    return replace(quiet, **more)


def progress(target: str, suite: str, now: datetime, hours: float = 3) -> SuiteProgress:
    at = now - timedelta(hours=hours)
    return SuiteProgress(target, suite, at, at, dict.fromkeys(RunOutcome, 1))


TWELVE: Final = (
    "support-bot", "contract-extractor", "summariser", "sql-writer", "triage", "translate-de", "translate-fr",
    "moderation", "invoice-reader", "faq-search", "onboarding", "release-notes",
)  # fmt: skip


def a_week() -> Facts:
    """The story: a lost fine-tune on a server that loads the base, a target that is not measured, longer answers since
    its prompts changed, a baseline to approve."""
    week = facts(TWELVE)
    support, extractor, summariser, triage = "support-bot", "contract-extractor", "summariser", "triage"
    lost = finding(
        support, "adapter_loss",
        "support-bot answers like its base model: 4% of the fine-tune's effect is left (95% interval 0% to 10%), 39 of "
        "40 answers are nearer to the base than to what was approved. Check which adapter the endpoint serves, and "
        "whether it is applied.", 0.04, alarming=True,
    )  # fmt: skip
    longer = finding(summariser, "length", "Answers are 40% longer than in the baseline.", 2.4, alarming=True)
    page = alarm(support, "adapter_loss", LOST_DAYS, raised_run_id=407, acknowledged_at=NOW - timedelta(days=5),
                 acknowledged_by="kim", acknowledged_why="asking the platform team which adapter is up")  # fmt: skip
    ticket = alarm(summariser, "length", LONGER_DAYS, severity=Severity.TICKET, raised_run_id=411)
    served = IdentityCheck(support, Arm.SUBJECT, "root", Match.DIFFERS, "other weights than those of "
                           "'llama-3.1-8b', the declared base", "loaded from '/models/llama-3.1-8b', as the base is",
                           NOW - timedelta(hours=3), NOW - timedelta(days=5.9))  # fmt: skip
    cleared = alarm(
        "sql-writer", "negative_flips", 12, state=AlarmState.CLEARED, cleared_at=NOW - timedelta(days=4),
        cleared_run_id=390,
    )  # fmt: skip
    return replace(
        week,
        alarms={
            support: [page],
            summariser: [ticket],
            "sql-writer": [cleared],
        },
        beside={
            (support, SUITE, "adapter_loss"): FindingContext(
                points("adapter_loss", 0.04, fell=LOST_DAYS), page, mismatches=[served]
            ),
            (summariser, SUITE, "length"): FindingContext(
                points("length", 2.4, fell=LONGER_DAYS), ticket, contract=["prompt tokens"]
            ),
        },
        latest={
            **week.latest,
            (support, SUITE): {"adapter_loss": lost},
            (triage, SUITE): {},
            (summariser, SUITE): {**week.latest[summariser, SUITE], "length": longer},
        },
        last={**week.last, (extractor, SUITE): RunSummary(412, RunOutcome.UNMEASURED, 120, 120, None, None, None),
              ("judge", "judge_anchors"): RunSummary(410, RunOutcome.MEASURED, 60, 0, 4.0, None, 0.93)},
        progress={**week.progress, (extractor, SUITE): progress(extractor, SUITE, NOW, 121),
                  ("judge", "judge_anchors"): progress("judge", "judge_anchors", NOW)},
        asked={**week.asked, (extractor, SUITE): {"": 480, "timeout": 310, "budget": 50},
               ("translate-de", SUITE): {"": 836, "rate_limited": 4}},
        baselines={**week.baselines, (triage, SUITE): [baseline(triage, BaselineStatus.CAPTURED, id=9)],
                   ("faq-search", SUITE): [baseline("faq-search", approved_at=NOW - timedelta(days=3), id=8,
                                                    approved_why="new suite, all forty read")]},
        spent={**week.spent, support: Spend(11.4, 6200)},
        audit_entries=[AuditEntry(NOW - timedelta(days=5), "kim", "acknowledge", support, SUITE,
                    "alarm 7 (adapter_loss)",
                    "asking the platform team which adapter is up", None)],
        retirements=[Retirement(extractor, Arm.BASE, "gpt-4o-2024-08-06", NOW + timedelta(days=38), "openai", NOW)],
        identity={support: [served]},
        rollback={support: Rollback(support, 1.0, 0.97, True, NOW, 0.97, 12)},
    )  # fmt: skip


def points(signal: str, effect: float, *, fell: float | None = None, count: int = 28) -> list[Point]:
    """Four weeks of looks, the last days at ``effect``; ``fell``: days ago that it went there from where it was.

    The last is run 412, and a look takes one run.
    """
    draw = Random(f"{signal}{effect}")
    before = {"adapter_loss": 1.0, "length": 1.0}.get(signal, 0.0)
    found = []
    for look in range(count):
        ago = count - look - 0.5
        over = fell is not None and ago <= fell
        value = (effect if over or fell is None else before) + draw.gauss(0, 0.02)
        at = NOW - timedelta(days=ago * 28 / count)
        found.append(
            Point(413 - count + look, at, value, value - 0.07, value + 0.07, 7.0 if over else -0.2, 3.56, over)
        )
    return found


def series(charts: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], list[Point]]:
    """Points for each picture of ``a_week``."""
    fell = {
        ("support-bot", "adapter_loss"): (0.04, LOST_DAYS),
        ("summariser", "length"): (2.4, LONGER_DAYS),
    }
    known = {key: fell.get((key[0], key[2])) for key in charts}
    found = {
        key: points(key[2], at[0], fell=at[1]) if at else points(key[2], 0.98 + math.sin(place) / 50)
        for place, (key, at) in enumerate(known.items())
    }
    dark = NOW - timedelta(days=5)  # nothing was read since then
    return {
        key: [one for one in evaluations if key[0] != "contract-extractor" or one.at < dark]
        for key, evaluations in found.items()
    }


def mail_html() -> str:
    """The week's mail as one page with its pictures in it."""
    shown = draft(a_week(), "https://cliffwatch.example.com").report()
    since = NOW - timedelta(days=28)
    drawn = {key: picture(key[2], TITLES[key[2]], found, since, NOW) for key, found in series(shown.charts).items()}
    return preview(shown, {key: one for key, one in drawn.items() if one})
