"""A large fleet's life in a store, written in bulk: every kind of result of every target, so that no metric is missing.

Two suites a target, every signal, a snapshot, budgets, identity checks, a retirement; the last target is the judge.
One target in fifty has a confirmed alarm, one in a hundred could not be measured.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from monitor.core.records import JUDGE_GRADER, JUDGE_TARGET, Arm
from monitor.core.settings import Settings
from monitor.core.signals import SEVERITIES
from monitor.store import Store, tables

SUITES: Final = ("support", "tone")
PROBES: Final = 2
RUNS: Final = 3
"""Finished runs a suite; the last one is the one whose summary is shown."""
FAULTS: Final = ("adapter-dropped", "base-answers", "half-routed", "judge-lower", "length", "truncation", "healthy")
MEASURES: Final = {
    "adapter_loss": {"adapter_effect_ratio": 0.98, "base_like_ratio": 0.025},
    "judge_score": {"judge_score": 0.9, "judge_score_baseline": 0.9},
    "negative_flips": {"negative_flip_ratio": 0.0, "positive_flip_ratio": 0.0},
    "length": {
        "answer_length_chars": 51.0, "answer_length_baseline_chars": 50.0, "answer_length_variance_ratio": 1.05,
    },
    "contract": {
        "contract_changed_model_id": 0.0, "contract_changed_fingerprint": 0.0, "contract_changed_prompt_tokens": 0.0,
        "contract_changed_finish_reason": 0.0, "contract_changed_refusals": 0.0, "contract_changed_checks_passed": 0.0,
        "pass_ratio": 1.0, "pass_ratio_baseline": 1.0,
    },
}  # fmt: skip
DIGEST: Final = "0" * 64

Row = dict[str, Any]


def declared(targets: int, base_url: str = "http://vllm:8000/v1") -> dict[str, Any]:
    """``providers`` and ``targets`` of a configuration."""
    endpoint = {"provider": "vllm", "model": "meta-llama/Llama-3.1-8B-Instruct"}
    return {
        "providers": {"vllm": {"kind": "openai", "base_url": base_url, "free": True}},
        "targets": {
            name_of(number): {
                "subject": {"provider": "vllm", "model": f"{name_of(number)}-lora"},
                "base": dict(endpoint),
                "snapshot": dict(endpoint),
                "suites": list(SUITES),
                "budget": {"usd_per_day": 2.0, "requests_per_day": 2000},
            }
            for number in range(targets)
        },
    }


def settings(targets: int, store: str = "sqlite:///cliffwatch.db") -> Settings:
    """``targets`` of them, and the judge as one more."""
    found = declared(targets)
    judge = {"subject": {"provider": "vllm", "model": "judge-2026"}, "suites": list(SUITES[:1])}
    email = {"to": ["sre@example.com"], "smtp": {"host": "127.0.0.1", "port": 25, "starttls": False}}
    targets_and_judge = found["targets"] | {JUDGE_TARGET: judge}
    return Settings.model_validate({**found, "targets": targets_and_judge, "store": store, "email": email})


def name_of(number: int) -> str:
    return f"assistant-{number:05}"


def fill(store: Store, fleet: Settings, now: datetime) -> None:
    """Write everything that the fleet's targets have come to; the store is empty before."""
    streams = [(target, suite) for target, found in fleet.targets.items() for suite in found.run_suites]
    with store._database.write() as connection:
        for table, rows in (
            (tables.run, _runs(streams, now)),
            (tables.answer, _answers(streams, now)),
            (tables.score, _scores(streams)),
            (tables.unscored, _unscored(streams)),
            (tables.progress, _progress(streams, now)),
            (tables.baseline, _baselines(streams, now)),
            (tables.baseline_run, _members(streams)),
            (tables.finding, _findings(streams, now)),
            (tables.latest_finding, _latest(streams)),
            (tables.alarm, _alarms(streams, now)),
            (tables.self_test, _self_tests(streams, now)),
            (tables.usage, _by_target(fleet, _usage)),
            (tables.spend, _by_target(fleet, lambda name: [_spend(name, now)])),
            (tables.identity_check, _by_target(fleet, lambda name: _identity(name, now))),
            (tables.retirement, _by_target(fleet, lambda name: [_retirement(name, now)])),
            (tables.outbox, iter(_mails(now))),
        ):
            _insert(connection, table, rows)


def _insert(connection: Connection, table: Any, rows: Iterator[Row]) -> None:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == 5_000:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)


def _run_id(stream: int, run: int) -> int:
    return stream * RUNS + run + 1


def _runs(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for number, (target, suite) in enumerate(streams):
        for run in range(RUNS):
            slot = _slot(now, run)
            lost = run == RUNS - 1 and number % 100 == 7
            yield {
                "id": _run_id(number, run), "target": target, "suite": suite, "slot": slot, "status": "done",
                "outcome": "unmeasured" if lost else "measured", "attempt": 6, "fence": 6, "starts_at": slot,
                "next_at": slot, "seed": number, "suite_digest": DIGEST, "scheduled": True,
                "finished_at": slot + timedelta(hours=11), "confirms": None, "lease_until": None,
            }  # fmt: skip


def _slot(now: datetime, run: int) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=RUNS - 1 - run)


def _answers(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    arms = (Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT)
    for number, _ in enumerate(streams):
        refused = number % 100 == 7
        for run in range(RUNS):
            asked_at = _slot(now, run) + timedelta(hours=10)
            for arm in arms:
                for probe in range(PROBES):
                    yield {
                        "run_id": _run_id(number, run), "arm": arm.value, "probe": f"probe-{probe}", "replicate": 0,
                        "provider": "vllm", "asked_model": "model", "reason": "budget" if refused else None,
                        "text": "" if refused else "Refunds take 5 days. Ticket: #RF-21.", "asked_at": asked_at,
                    }  # fmt: skip


def _scores(streams: list[tuple[str, str]]) -> Iterator[Row]:
    for number, _ in enumerate(streams):
        for run in range(RUNS):
            for arm in (Arm.SUBJECT, Arm.BASE, Arm.SNAPSHOT):
                for probe in range(PROBES):
                    key = {"run_id": _run_id(number, run), "arm": arm.value, "probe": f"probe-{probe}", "replicate": 0}
                    yield {**key, "grader": "check:contains", "value": 1.0, "detail": ""}
                    yield {**key, "grader": JUDGE_GRADER, "value": 0.9, "detail": ""}


def _unscored(streams: list[tuple[str, str]]) -> Iterator[Row]:
    """One check of each newest run that ran out of time."""
    for number, _ in enumerate(streams):
        yield {
            "run_id": _run_id(number, RUNS - 1), "arm": Arm.SUBJECT.value, "probe": "probe-0", "replicate": 0,
            "grader": "check:regex", "reason": "time", "detail": "",
        }  # fmt: skip


def _progress(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for target, suite in streams:
        yield {
            "target": target, "suite": suite, "latest_slot": _slot(now, RUNS - 1), "last_attempt": now,
            "last_success": now, "measured": RUNS, "partial": 0, "unmeasured": 0,
        }  # fmt: skip


def _baselines(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for number, (target, suite) in enumerate(streams):
        start = _slot(now, 0)
        yield {
            "id": number + 1, "target": target, "suite": suite, "status": "approved", "suite_digest": DIGEST,
            "subject_model": "model", "base_model": "base", "starts_at": start, "ends_at": start + timedelta(days=2),
            "day_seconds": 86_400, "at_once": False, "approved_by": "jo", "approved_why": "read thirty answers",
            "approved_at": now - timedelta(days=1),
        }  # fmt: skip


def _members(streams: list[tuple[str, str]]) -> Iterator[Row]:
    for number, _ in enumerate(streams):
        for run in range(RUNS - 1):
            yield {"baseline_id": number + 1, "run_id": _run_id(number, run)}


def _findings(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for number, (target, suite) in enumerate(streams):
        for place, (signal, severity) in enumerate(SEVERITIES.items()):
            alarming = _alarming(number, signal)
            last = {
                "id": _finding_id(number, place), "run_id": _run_id(number, RUNS - 1), "target": target,
                "suite": suite, "signal": signal, "severity": severity.value, "alarming": alarming,
                "effect": 0.98 - place / 7, "effect_low": 0.9 - place / 7, "effect_high": 1.06 - place / 7,
                "unit": "share of the approved effect", "answers_now": 40, "answers_baseline": 120,
                "window_start": now, "window_end": now, "measures": MEASURES.get(signal, {}), "exhibits": [],
                "what": "The fine-tune is lost" if alarming else "The fine-tune holds", "numbers": "", "caveat": "",
                "state": "alarming" if alarming else "quiet", "cause": "adapter_lost" if alarming else "unknown",
                "advice": "check_adapter" if alarming else "none", "traffic_share": 1.0 if alarming else None,
                "disagrees": False,
                "found_at": now, "evidence_log10": 7.4 if alarming else -0.2 - place / 11, "evaluation_log10": -0.4,
                "threshold_log10": 4.04, "evaluations": 12, "scores": {"mean": 0.3}, "recovered": False,
                "confirming": False,
                "baseline_id": number + 1,
            }  # fmt: skip
            if alarming:  # a healthy look, the day before
                yield last | {
                    "id": _finding_id(number, place) - 1, "run_id": _run_id(number, RUNS - 2), "alarming": False,
                    "state": "quiet", "cause": "unknown", "advice": "none", "traffic_share": None,
                    "found_at": now - timedelta(days=1), "evidence_log10": -0.2, "evaluations": 11,
                }  # fmt: skip
            yield last


def _finding_id(stream: int, place: int) -> int:
    """Of a stream's newest verdict on a signal; the number below is that of one before it."""
    return 2 * (stream * len(SEVERITIES) + place) + 2


def _alarming(stream: int, signal: str) -> bool:
    return stream % 100 == 0 and signal == "adapter_loss"


def _latest(streams: list[tuple[str, str]]) -> Iterator[Row]:
    for number, (target, suite) in enumerate(streams):
        for place, signal in enumerate(SEVERITIES):
            yield {"target": target, "suite": suite, "signal": signal, "finding_id": _finding_id(number, place)}


def _alarms(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for number, (target, suite) in enumerate(streams):
        for signal, severity in SEVERITIES.items():
            if _alarming(number, signal):
                run = _run_id(number, RUNS - 1)
                yield {
                    "target": target, "suite": suite, "signal": signal, "severity": severity.value,
                    "raised_at": now - timedelta(hours=3), "raised_run_id": run, "state": "confirmed",
                    "confirmed_at": now - timedelta(hours=2), "confirmed_run_id": run,
                    "note": "A fresh sample, asked at once, agrees.",
                }  # fmt: skip


def _self_tests(streams: list[tuple[str, str]], now: datetime) -> Iterator[Row]:
    for target, suite in streams:
        for fault in FAULTS:
            caught = 0 if fault == "healthy" else 20
            yield {"target": target, "suite": suite, "fault": fault, "caught": caught, "trials": 20, "tested_at": now}


def _by_target(fleet: Settings, rows: Callable[[str], list[Row]]) -> Iterator[Row]:
    for name in fleet.targets:
        yield from rows(name)


def _usage(name: str) -> list[Row]:
    return [
        {
            "target": name, "arm": arm, "provider": "vllm", "model": "model", "outcome": outcome, "requests": 400,
            "prompt_tokens": 16_000, "completion_tokens": 4_000, "nano": 400_000_000,
        }
        for arm in ("subject", "base", "snapshot", "judge-subject", "judge-base")
        for outcome in ("ok", "timeout")
    ]  # fmt: skip


def _spend(name: str, now: datetime) -> Row:
    return {
        "target": name, "day": now.date(), "nano": 40_000_000, "requests": 40, "reserved_nano": 0,
        "reserved_requests": 0,
    }  # fmt: skip


def _identity(name: str, now: datetime) -> list[Row]:
    def result(arm: str, check: str) -> str:
        if check == "root":
            return "differs" if name.endswith("0") else "matches"
        return "cannot_tell" if arm == "base" and name.endswith("1") else "matches"

    return [
        {
            "target": name, "arm": arm, "check": check, "expected": "x", "found": "x",
            "result": result(arm, check), "checked_at": now, "since": now,
        }
        for arm in ("subject", "base")
        for check in ("listed", "root")
    ]  # fmt: skip


def _retirement(name: str, now: datetime) -> Row:
    return {
        "target": name, "arm": "base", "model": "model", "retires_at": now + timedelta(days=90), "source": "config",
        "checked_at": now,
    }  # fmt: skip


def _mails(now: datetime) -> list[Row]:
    mail = {"kind": "weekly", "subject": "Cliffwatch", "recipients": ["sre@example.com"], "body": b"", "attempts": 1}
    week = timedelta(days=7)
    return [
        {**mail, "slot": now - week, "message_id": "1", "composed_at": now - week, "status": "sent", "next_at": now,
         "sent_at": now - week},
        {**mail, "slot": now, "message_id": "2", "composed_at": now, "status": "queued", "next_at": now,
         "sent_at": None},
    ]  # fmt: skip
