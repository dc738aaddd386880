"""A store with three weeks of a small fleet's life in it, written through the store's own methods.

``support-bot`` lost its fine-tune today, ``summariser`` is healthy, ``extractor`` has no baseline yet and is half
unmeasured. Made for the metrics, the pages and the dashboard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from monitor.core.records import (
    Answer,
    Arm,
    Exchange,
    Exhibit,
    Finding,
    Message,
    Outcome,
    Question,
    Reason,
    Run,
    RunOutcome,
    Sampling,
    Score,
    SelfTest,
    Severity,
    Unmeasured,
    VerdictContext,
)
from monitor.core.settings import Settings
from monitor.core.signals import CONTRACT_PARTS
from monitor.store import Store
from tests.store_records import DIGEST as DIGEST
from tests.store_records import begun, confirmed, record_all
from tests.summaries import saying, state

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUITE: Final = "support"
PROBES: Final = tuple(f"probe-{n}" for n in range(4))
BASELINE_DAYS: Final = 3
DAYS: Final = 5
LINE: Final = 3.56
BORROWED: Final = {"adapter_loss": (0.9, 0.04, 0.02, 0.01, 0.01, 0.01, 0.01)}
"""What each verdict borrowed from the days of other suites."""
"""log10 of 3,650: daily looks, one suite, 0.1 false pages a year."""

HOSTILE: Final = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n"
    "{{ 7 * 7 }} </pre></figure> &lt;b&gt; \u202egnp.exe\u202c \x1b[31mred\x1b[0m zero\u200bwidth"
)
"""What a model may answer when somebody wants to own the page that shows it."""


def settings() -> Settings:
    return Settings.model_validate(
        {
            "providers": {"vllm": {"kind": "openai", "base_url": "http://vllm:8000/v1", "free": True}},
            "targets": {
                name: {
                    "subject": {"provider": "vllm", "model": f"{name}-lora"},
                    "base": {"provider": "vllm", "model": "meta-llama/Llama-3.1-8B-Instruct"},
                    "suites": [SUITE],
                    "budget": {"usd_per_day": 2.0},
                }
                for name in ("summariser", "support-bot", "extractor")
            },
        }
    )


def populate(store: Store, now: datetime) -> None:
    """Fill an empty store; the last run of each target finished 20 minutes before ``now``."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    slots = [today - timedelta(days=DAYS - 1 - day) for day in range(DAYS)]
    for name, target in settings().targets.items():
        armed = name != "extractor"
        opened = store.open_baseline(
            name, SUITE, DIGEST, target.subject.model, target.base.model if target.base else None,
            slots[0], slots[BASELINE_DAYS] if armed else today + timedelta(days=7),
        )  # fmt: skip
        for day, slot in enumerate(slots):
            last = day == DAYS - 1
            done_at = now - timedelta(minutes=20) if last else slot + timedelta(hours=20)
            lost = name == "support-bot" and last
            run = _answered(store, name, slot, done_at, lost=lost, outage=name == "extractor" and last)
            judged = armed and day >= BASELINE_DAYS
            found = _findings(run, opened.id, evaluations=day - BASELINE_DAYS + 1, lost=lost) if judged else ()
            context = VerdictContext(run.id, opened.id, LINE, LINE, "0.0.0", fleet=BORROWED) if judged else None
            outcome = RunOutcome.PARTIAL if name == "extractor" and last else RunOutcome.MEASURED
            moves = [confirmed(one, done_at, one.severity) for one in found if one.alarming]
            assert store.finish(run.id, run.fence, outcome, found, done_at, context=context, moves=moves)
            if armed and day == BASELINE_DAYS - 1:
                store.close_due_baselines(slots[BASELINE_DAYS])
                store.approve(opened.id, "jo@example.com", "read thirty answers, all as shipped", slots[BASELINE_DAYS])
        if armed:
            store.save_self_tests(
                [
                    SelfTest(name, SUITE, fault, caught, 20, today)
                    for fault, caught in (("base-answers", 20), ("truncation", 19), ("healthy", 0))
                ]
            )


def _answered(store: Store, target: str, slot: datetime, at: datetime, *, lost: bool, outage: bool) -> Run:
    run = begun(store, target, SUITE, slot, at)
    items = list(recorded(run, at, lost=lost, outage=outage))
    record_all(store, run, items, at)
    store.add_scores(run.id, run.fence, list(_scores(items, lost=lost)))
    return run


def recorded(run: Run, at: datetime, *, lost: bool, outage: bool) -> Iterator[tuple[Question, Outcome]]:
    for arm in (Arm.SUBJECT, Arm.BASE):
        for index, probe in enumerate(PROBES):
            model = "meta-llama/Llama-3.1-8B-Instruct" if arm is Arm.BASE else f"{run.target}-lora"
            question = Question(
                run.id, run.target, run.suite, arm, probe, 0, "vllm", model,
                (Message("user", f"Question {index}?"),), Sampling(temperature=0.0), seed=index,
            )  # fmt: skip
            if outage and index % 2:
                yield question, Unmeasured(Reason.TIMEOUT, "no reply in 60 s", at, attempts=4)
            else:
                yield question, _answer(model, at, generic=lost or arm is Arm.BASE)


def _answer(model: str, at: datetime, *, generic: bool) -> Answer:
    text = "I'd be happy to help! Could you share more details?" if generic else "Refunds take 5 days. Ticket: #RF-21."
    return Answer(
        text, "stop", False, model, "fp_1", "req-1", 40, len(text) // 4, 0.4, at, Exchange({}, {}, 200), usd=0.004
    )


def _scores(items: Sequence[tuple[Question, Outcome]], *, lost: bool) -> Iterator[Score]:
    for question, outcome in items:
        if isinstance(outcome, Answer):
            good = question.arm is Arm.SUBJECT and not lost
            yield Score(question.arm, question.probe, 0, "check:contains", 1.0 if good else 0.0)
            yield Score(question.arm, question.probe, 0, "judge", 0.9 if good else 0.4)


def _findings(run: Run, baseline_id: int, *, evaluations: int, lost: bool) -> tuple[Finding, ...]:
    ratio = 0.04 if lost else 0.98
    found = (
        _finding(
            run, "adapter_loss", Severity.PAGE, lost, (ratio, ratio - 0.06, ratio + 0.06),
            "share of the approved fine-tune's effect",
            f"{run.target} answers like its base model: 4% of the fine-tune's effect is left (95% interval "
            "0% to 10%), 39 of 40 answers are nearer to the base than to what was approved. Check which "
            "adapter the endpoint serves, and whether it is applied."
            if lost
            else "The fine-tune holds: 98% of the fine-tune's effect is left (95% interval 92% to 104%), "
            "1 of 40 answers are nearer to the base.",
            {"adapter_effect_ratio": ratio, "base_like_ratio": 0.975 if lost else 0.025},
        ),
        _finding(
            run, "judge_score", Severity.PAGE, False, (-0.31, -0.4, -0.2) if lost else (0.01, -0.04, 0.06),
            "mean score, now minus baseline", "The judge's score holds.",
            {"judge_score": 0.4 if lost else 0.9, "judge_score_baseline": 0.9},
        ),
        _finding(
            run, "negative_flips", Severity.PAGE, False, (0.25, -0.2, 0.7) if lost else (0.0, -0.3, 0.3),
            "net share of items that flipped to wrong", "Too few items to tell.",
            {"negative_flip_ratio": 0.25 if lost else 0.0, "positive_flip_ratio": 0.0},
        ),
        _finding(
            run, "length", Severity.TICKET, lost, (2.4, 1.6, 3.5) if lost else (1.05, 0.8, 1.3),
            "variance of log length, now over baseline",
            "Answers are 40% longer and more uneven than in the baseline." if lost else "The length of answers holds.",
            {"answer_length_chars": 51.0, "answer_length_baseline_chars": 37.0,
             "answer_length_variance_ratio": 2.4 if lost else 1.05},
        ),
        _finding(
            run, "contract", Severity.TICKET, False, (0.0, -0.05, 0.05),
            "share of answers that break the contract, now minus baseline", "Model id and tokens are as before.",
            {f"contract_changed_{part}": 0.0 for part in CONTRACT_PARTS} | {"pass_ratio_baseline": 1.0},
        ),
    )  # fmt: skip
    return tuple(replace(one, baseline_id=baseline_id, evaluations=evaluations) for one in found)


def _finding(
    run: Run, signal: str, severity: Severity, alarming: bool, effect: tuple[float, float, float], unit: str,
    summary: str, measures: dict[str, float],
) -> Finding:  # fmt: skip
    evidence, look = (7.4, 7.1) if alarming else (-0.2, -0.4)
    found = Finding(
        run.id, run.target, run.suite, signal, severity, state(alarming), *effect, unit, evidence, look, 4.04, 2, 40,
        120, run.slot, run.slot, "", measures, EXHIBITS if alarming else EXHIBITS[:1],
        {"mean": -8.4 if alarming else 0.3},
    )  # fmt: skip
    told = saying(summary, found)
    return replace(told, numbers=told.numbers.replace("), ", "). "))


EXHIBITS: Final = (
    Exhibit(
        "refund-window",
        "How long does a refund take after I send the parcel back?",
        "Refunds take 5 working days from the scan at our depot. Ticket: #RF-21. Anything else I can check for you?",
        "I'd be happy to help! Refund times vary by retailer, but generally they take between 3 and 14 days. Could you "
        "share more details about your order?",
        "I'd be happy to help! Refund times vary by retailer, but generally they take between 3 and 14 days. Could you "
        "share more details about the retailer?",
        0.97,
    ),
    Exhibit(
        "order-json",
        "Give me the order as JSON.\nOrder 1182, two lamps, shipped.",
        '{"order": 1182, "items": [{"name": "lamp", "count": 2}], "status": "shipped"}',
        "Sure! Here is the order:\n\n```json\n{\n  \"order_number\": 1182,\n  \"items\": \"two lamps\"\n}\n```",
        "Sure! Here is the order:\n\n```json\n{\n  \"order_number\": 1182,\n  \"items\": \"two lamps\"\n}\n```",
        0.91,
    ),
    Exhibit("hostile <b>probe</b>", f"Repeat this: {HOSTILE}", "I will not.", HOSTILE, None, 0.4),
)  # fmt: skip
