"""Three weeks in the life of a small fleet, written day by day through the store's own methods.

Every number that a dashboard shows moves in it, and each target has a story: ``support-bot`` lost its fine-tune two
days ago (whatever it once did better is worse since, and its judge's score falls as a ticket, as the judge drifted),
``summariser`` grew wordy for three days and recovered, ``extractor`` cannot be measured, ``translator`` waits for the
approval of its baseline, ``classifier`` has a model that retires and a snapshot that is not ready, ``tagger`` has a
budget that was spent, and the judge has grown stricter than the people who labelled its anchors.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log10
from random import Random
from typing import Any, Final

from monitor.core.records import (
    Alarm,
    AlarmState,
    Answer,
    Arm,
    Exchange,
    Exhibit,
    Finding,
    IdentityCheck,
    Mail,
    MailStatus,
    Match,
    Message,
    Outcome,
    Question,
    Reason,
    Retirement,
    Run,
    RunOutcome,
    Sampling,
    Score,
    SelfTest,
    Severity,
    Unmeasured,
    VerdictContext,
)
from monitor.core.settings import Settings, Target
from monitor.core.signals import CONTRACT_PARTS
from monitor.store import Store
from tests.store_records import DIGEST, begun, confirmed, record_all
from tests.summaries import saying, state

SUITE, ANCHORS = "support", "judge_anchors"
PROBES: Final = tuple(f"probe-{n:02}" for n in range(10))
BASELINE_DAYS: Final = 7
DAYS: Final = 21
LINE: Final = log10(3650)
"""Daily looks, one suite, 0.1 false pages a year."""
LOST_SINCE: Final = DAYS - 2
"""The day on which support-bot answers like its base."""
WORDY: Final = range(11, 14)
DOWN_SINCE: Final = DAYS - 3
STRICT_SINCE: Final = DAYS - 6
"""The day on which the judge begins to fail what people pass."""
STRICTER: Final = 0.08
"""What that takes from every score: too little for a target's score to alarm."""
AGREED: Final = 0.957
"""Share of the anchors on which the judge agreed in its baseline: nine of ten always, the tenth on four days of seven.
"""
BROKEN: Final = ("checks_passed", "finish_reason")
"""Parts of the contract that change with a lost fine-tune."""
BASE: Final = "meta-llama/Llama-3.1-8B-Instruct"
JUDGE: Final = "judge-2026-06"

SIGNALS: Final = {
    "adapter_loss": (Severity.PAGE, "share of the approved fine-tune's effect"),
    "base_match": (Severity.PAGE, "share of answers equal to the base's, now minus baseline"),
    "canaries": (Severity.PAGE, "share of canaries that pass, now minus baseline"),
    "judge_score": (Severity.PAGE, "mean score, now minus baseline"),
    "negative_flips": (Severity.PAGE, "net share of items that flipped to wrong"),
    "distribution": (Severity.TICKET, "distance of wording from the baseline's"),
    "length": (Severity.TICKET, "variance of log length, now over baseline"),
    "contract": (Severity.TICKET, "share of answers that break the contract, now minus baseline"),
}
"""Signal -> its severity and unit."""


def settings(url: str = "https://cliffwatch.example.com") -> Settings:
    """The configuration of the fleet; ``url`` is where people reach the pages."""

    def watched(name: str, **more: Any) -> dict[str, Any]:
        subject = {"provider": "vllm", "model": f"{name}-lora-v3"}
        base = {"provider": "vllm", "model": BASE}
        return {"subject": subject, "base": base, "suites": [SUITE], "budget": {"usd_per_day": 2.0}, **more}

    snapshot = {"provider": "vllm", "model": "classifier-lora-v2"}
    return Settings.model_validate(
        {
            "providers": {
                "vllm": {"kind": "openai", "base_url": "http://vllm:8000/v1"},
                "claude": {"kind": "anthropic"},
            },
            "judge": {"provider": "claude", "model": JUDGE, "anchors": f"probes/{ANCHORS}.yaml"},
            "targets": {
                "support-bot": watched("support-bot", snapshot={"provider": "vllm", "model": "support-bot-lora-v2"}),
                "summariser": watched("summariser"),
                "extractor": watched("extractor"),
                "translator": watched("translator"),
                "classifier": watched("classifier", snapshot=snapshot),
                "tagger": watched("tagger", budget={"usd_per_day": 0.5, "requests_per_day": 35}),
                "judge": {
                    "subject": {"provider": "claude", "model": JUDGE},
                    "suites": [ANCHORS],
                    "budget": {"usd_per_day": 0.2},
                },
            },
            "email": {"to": ["ml-oncall@example.com"], "smtp": {"host": "mail.example.com"}},
            "http": {"url": url},
        }
    )  # fmt: skip


class Weeks:
    """``Weeks(store, end).live()``; between two hours of it ``seen`` is called with the time."""

    def __init__(self, store: Store, end: datetime, seen: Callable[[datetime], None] = lambda now: None) -> None:
        self.store = store
        self.end = end
        self.today = end.astimezone(UTC) - timedelta(hours=12)
        """When the last day began: days are counted back from ``end``, which is noon of it."""
        self.first = self.today - timedelta(days=DAYS - 1)
        self.targets = settings().targets
        self._seen = seen
        self._random = Random(7)
        self._evidence: dict[tuple[str, str], float] = {}
        self._baselines: dict[str, int] = {}

    def live(self) -> None:
        """All three weeks, up to ``end``."""
        self._open()
        for day in range(DAYS):
            start = self.first + timedelta(days=day)
            for hour in range(24):
                now = start + timedelta(hours=hour)
                if now > self.end:
                    break
                self._hour(day, hour, now)
                self._seen(now)

    def one_more_run(self, at: datetime) -> None:
        """Of every target, finished at ``at``: what the last day was like goes on."""
        for name in self.targets:
            self._run(name, DAYS, at)

    def _hour(self, day: int, hour: int, now: datetime) -> None:
        if hour == 2:
            for place, name in enumerate(self.targets):
                self._run(name, day, now + timedelta(minutes=place))
        if hour == 4:
            self._identity(day, now)
        if day == BASELINE_DAYS and hour == 9:
            self._approve(now)
        if day % 7 == 0 and day >= BASELINE_DAYS and hour == 3:
            self._self_tests(now)
        if hour == 8 and day % 7 == 1:
            self._mail(day, now)
        if hour == 11 and day % 7 == 1:
            self._mail_leaves(now)

    def _open(self) -> None:
        for name, target in self.targets.items():
            base = target.base.model if target.base else None
            last = self.first + timedelta(days=BASELINE_DAYS)
            opened = self.store.open_baseline(
                name, suite_of(name), DIGEST, target.subject.model, base, self.first, last
            )  # fmt: skip
            self._baselines[name] = opened.id

    def _approve(self, now: datetime) -> None:
        self.store.close_due_baselines(now)
        for name, number in self._baselines.items():
            if name != "translator":
                self.store.approve(number, "jo@example.com", "read thirty answers, all as shipped", now)

    def _run(self, name: str, day: int, at: datetime) -> None:
        slot = self.first + timedelta(days=day)
        run = begun(self.store, name, suite_of(name), slot, at, seed=day)
        items = list(self._asked(run, day, at))
        record_all(self.store, run, items, at)
        self.store.add_scores(run.id, run.fence, list(self._scores(name, day, items)))
        failed = any(isinstance(outcome, Unmeasured) for _, outcome in items)
        found = self._findings(run, day) if day >= BASELINE_DAYS + 1 and name not in ("translator", "extractor") else ()
        found = found or (self._findings(run, day) if name == "extractor" and BASELINE_DAYS < day < DOWN_SINCE else ())
        context = VerdictContext(run.id, self._baselines[name], LINE, LINE, "0.1.0") if found else None
        outcome = RunOutcome.PARTIAL if failed else RunOutcome.MEASURED
        moves = list(self._moves(found, at))
        assert self.store.finish(run.id, run.fence, outcome, found, at, context=context, moves=moves)

    def _asked(self, run: Run, day: int, at: datetime) -> Iterator[tuple[Question, Outcome]]:
        target = self.targets[run.target]
        for arm, model in arms(target):
            for index, probe in enumerate(PROBES[:5] if arm is Arm.SNAPSHOT else PROBES):
                provider = "claude" if model == JUDGE else "vllm"
                message = (Message("user", f"Question {index}?"),)
                question = Question(
                    run.id, run.target, run.suite, arm, probe, 0, provider, model, message, Sampling(), seed=index
                )
                yield question, self._outcome(run.target, day, arm, index, model, at)

    def _outcome(self, name: str, day: int, arm: Arm, index: int, model: str, at: datetime) -> Outcome:
        if name == "extractor" and day >= DOWN_SINCE and arm in (Arm.SUBJECT, Arm.JUDGE_SUBJECT) and index >= 2:
            reason = Reason.RATE_LIMITED if index % 2 else Reason.TIMEOUT
            return Unmeasured(reason, "no reply in 60 s", at, attempts=4)
        if name == "tagger" and day >= DAYS - 1 and arm is Arm.JUDGE_BASE and index >= 5:
            return Unmeasured(Reason.BUDGET, "requests_per_day is spent", at, attempts=0)
        if name == "classifier" and arm is Arm.SNAPSHOT and day >= DAYS - 5 and index >= 2:
            return Unmeasured(Reason.REJECTED, "404: no such model", at, attempts=1)
        wordy = name == "summariser" and day in WORDY
        like_base = arm is Arm.BASE or (arm is Arm.SUBJECT and lost(name, day))
        text = "I'd be happy to help! Could you share more details?" if like_base else "Refunds take 5 days. #RF-21."
        text = text * 2 if wordy and arm is Arm.SUBJECT else text + "." * self._random.randrange(4)
        usd = 0.0031 if model == JUDGE else 0.0042
        tokens = len(text) // 4
        return Answer(
            text, "stop", False, model, "fp_1", "req-1", 40, tokens, 0.4, at, Exchange({}, {}, 200), usd=usd
        )  # fmt: skip

    def _scores(self, name: str, day: int, items: list[tuple[Question, Outcome]]) -> Iterator[Score]:
        for question, outcome in items:
            if not isinstance(outcome, Answer) or question.arm in (Arm.JUDGE_SUBJECT, Arm.JUDGE_BASE):
                continue
            place = PROBES.index(question.probe)
            kind = "check:verdict" if name == "judge" else "check:contains"
            good = question.arm is not Arm.BASE and not (question.arm is Arm.SUBJECT and lost(name, day) and place < 7)
            if name == "judge":
                good = place < 7 or ((place < 9 or day % 3 > 0) and day < STRICT_SINCE)
            yield Score(question.arm, question.probe, 0, kind, float(good))
            if name != "judge" and question.arm is not Arm.SNAPSHOT:
                judged = (0.9 if good else 0.35) - (STRICTER if day >= STRICT_SINCE else 0.0)
                yield Score(question.arm, question.probe, 0, "judge", judged + self._random.uniform(-0.05, 0.05))

    def _findings(self, run: Run, day: int) -> tuple[Finding, ...]:
        chosen = ("contract", "negative_flips") if run.target == "judge" else tuple(SIGNALS)
        return tuple(self._finding(run, day, signal) for signal in chosen)

    def _finding(self, run: Run, day: int, signal: str) -> Finding:
        severity, unit = SIGNALS[signal]
        name = run.target
        severity = Severity.TICKET if name == "judge" else severity
        gone = lost(name, day) and signal != "canaries"  # its base knows those too
        gone = gone or (name == "judge" and signal == "negative_flips" and day >= STRICT_SINCE)
        wordy = name == "summariser" and day in WORDY and signal == "length"
        before = self._evidence.get((name, signal), 0.0)
        over = max(0.8, LINE + 0.4 - before) + self._random.uniform(
            0, 0.9
        )  # it alarms where it crosses its line, and goes on
        step = over if gone or wordy else self._random.uniform(-0.45, 0.4)
        after = -0.3 if name == "summariser" and signal == "length" and day == WORDY.stop else before + step
        after = max(after, -2.0) if gone or wordy else max(min(after, 2.6), -2.0)
        self._evidence[name, signal] = after
        effect, half, measures = reading(signal, gone, wordy, self._random)
        if signal == "judge_score" and day >= STRICT_SINCE:
            effect, half = effect - STRICTER, 0.09
        if name == "judge" and signal == "contract":
            measures = {**measures, "pass_ratio_baseline": AGREED}
        found = Finding(
            run.id, name, run.suite, signal, severity, state(gone or wordy), effect, effect - half, effect + half, unit,
            after, step, LINE, day - BASELINE_DAYS, len(PROBES), len(PROBES) * BASELINE_DAYS, run.slot, run.slot,
            "", measures, (EXHIBIT,), {"mean": 0.3}, baseline_id=self._baselines[name],
        )  # fmt: skip
        return saying(words(name, signal, gone or wordy), found)

    def _moves(self, found: tuple[Finding, ...], at: datetime) -> Iterator[Alarm]:
        for one in found:
            open_now = self.store.open_alarms(one.target, one.suite)
            up = next((alarm for alarm in open_now if alarm.signal == one.signal), None)
            if one.alarming and up is None:
                # The judge has drifted by then: a score that falls wakes nobody.
                yield confirmed(one, at, Severity.TICKET if one.signal == "judge_score" else one.severity)
            elif up is not None and not one.alarming:
                yield replace(up, state=AlarmState.CLEARED, cleared_at=at, cleared_run_id=one.run_id)

    def _identity(self, day: int, at: datetime) -> None:
        def check(name: str, kind: str, matches: bool) -> IdentityCheck:
            return IdentityCheck(name, Arm.SUBJECT, kind, Match.of(matches), f"{name}-lora-v3", "?", at, at)

        checks = [check(name, "listed", True) for name in self.targets if name != "extractor"]
        checks += [check("support-bot", "root", not lost("support-bot", day)), check("classifier", "parent", True)]
        self.store.save_identity_checks(checks)
        retires = self.end + timedelta(days=20)
        self.store.save_retirements(
            [Retirement("classifier", Arm.SUBJECT, "classifier-lora-v3", retires, "config", at),
             Retirement("support-bot", Arm.BASE, BASE, self.today + timedelta(days=200), "config", at)]
        )  # fmt: skip

    def _self_tests(self, at: datetime) -> None:
        caught = {"base-answers": 20, "truncation": 19, "quantised": 18, "routed-30": 20, "healthy": 0}
        self.store.save_self_tests(
            [
                SelfTest(name, SUITE, fault, number, 20, at)
                for name in self.targets
                if name not in ("translator", "judge")
                for fault, number in caught.items()
            ]
        )

    def _mail(self, day: int, at: datetime) -> None:
        queued = Mail(
            "weekly", at, f"<{day}@cliffwatch>", "Cliffwatch: the week", ("ml-oncall@example.com",), b"...", at,
            MailStatus.QUEUED, 0, at,
        )  # fmt: skip
        assert self.store.enqueue(queued) is not None

    def _mail_leaves(self, at: datetime) -> None:
        taken = self.store.take_mail(at, 60)
        assert taken is not None
        assert taken.id is not None
        self.store.mail_sent(taken.id, at + timedelta(seconds=2))


def suite_of(name: str) -> str:
    """The one suite of a target."""
    return ANCHORS if name == "judge" else SUITE


def arms(target: Target) -> Iterator[tuple[Arm, str]]:
    """Whom a run asks, and the judge about each, with their models."""
    yield Arm.SUBJECT, target.subject.model
    if target.base is not None:
        yield Arm.BASE, target.base.model
        yield Arm.JUDGE_SUBJECT, JUDGE
        yield Arm.JUDGE_BASE, JUDGE
    if target.snapshot is not None:
        yield Arm.SNAPSHOT, target.snapshot.model


def lost(name: str, day: int) -> bool:
    """Whether the target answers like its base on that day."""
    return name == "support-bot" and day >= LOST_SINCE


def reading(signal: str, gone: bool, wordy: bool, random: Random) -> tuple[float, float, dict[str, float]]:
    """Effect, half of its interval, and the measures of one signal."""
    if signal == "adapter_loss":
        ratio = 0.04 if gone else 0.98 + random.uniform(-0.03, 0.03)
        return ratio, 0.04, {"adapter_effect_ratio": ratio, "base_like_ratio": 0.975 if gone else 0.025}
    if signal == "judge_score":
        return (-0.38 if gone else random.uniform(-0.02, 0.02)), 0.05, {"judge_score_baseline": 0.9}
    if signal == "negative_flips":
        share = 0.7 if gone else random.choice((0.0, 0.0, 0.1))
        return share, 0.15, {"negative_flip_ratio": share, "positive_flip_ratio": 0.0 if gone else 0.05}
    if signal == "length":
        spread = 2.4 if gone or wordy else 1 + random.uniform(-0.15, 0.15)
        return spread, 0.4, {"answer_length_variance_ratio": spread, "answer_length_baseline_chars": 29.5}
    if signal == "contract":
        parts = {f"contract_changed_{part}": float(gone and part in BROKEN) for part in CONTRACT_PARTS}
        return (0.7 if gone else random.uniform(-0.02, 0.02)), 0.05, {**parts, "pass_ratio_baseline": 1.0}
    return ({"base_match": 0.95}.get(signal, 0.6) if gone else random.uniform(-0.02, 0.02)), 0.05, {}


def words(name: str, signal: str, alarming: bool) -> str:
    """The finding in a sentence."""
    return f"{name}: {signal} has moved away from the approved baseline." if alarming else f"{signal} holds."


EXHIBIT: Final = Exhibit(
    "probe-00",
    "How long does a refund take?",
    "Refunds take 5 days. #RF-21.",
    "I'd be happy to help! Could you share more details?",
    "I'd be happy to help! Could you share more details?",
    0.97,
)
