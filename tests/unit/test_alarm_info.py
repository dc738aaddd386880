"""``cliffwatch_alarm_info``: what alerts print, over a real store."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.core.records import (
    JUDGE_TARGET,
    Alarm,
    AlarmState,
    Arm,
    Confirmation,
    Finding,
    FindingState,
    IdentityCheck,
    Match,
    Retirement,
    RunOutcome,
    Severity,
)
from monitor.core.settings import Settings
from monitor.detect import alarms
from monitor.report.explain import alert_lines
from monitor.report.explain.alert_lines import JUDGE_ITSELF
from monitor.report.explain.blame import BLAME, ranked
from monitor.report.explain.claim import claim_of
from monitor.report.metrics import Internals
from monitor.report.metrics.process_metrics import web_url
from monitor.store import Store, open_store
from tests import fleet
from tests.summaries import saying, summary_of

NOW = fleet.NOW
BOT = "support-bot"
LOST = "CliffwatchFineTuneLost"
UNMEASURED = ("CliffwatchUnmeasured", "extractor", "ticket", "")
"""The fleet's extractor is down."""


@pytest.fixture
def store(fleet_file: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{fleet_file}")
    yield opened
    opened.close()


def told(
    store: Store, internals: Internals | None = None, settings: Settings | None = None, now: datetime = NOW
) -> dict[tuple[str, str, str, str], dict[str, str]]:
    """(alert, target, severity, check) -> the labels, and the value as ``value``."""
    body, _ = (internals or Internals()).exposition(store, settings or fleet.settings(), now)
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for one in family.samples:
            if one.name == "cliffwatch_alarm_info":
                key = tuple(one.labels[name] for name in ("alert", "target", "severity", "check"))
                assert key not in found, "an alert finds one series"
                found[key] = {**one.labels, "value": str(one.value)}
    return found  # type: ignore[return-value]


def verdict(
    store: Store,
    signal: str,
    at: datetime,
    target: str = BOT,
    severity: Severity = Severity.PAGE,
    summary: str | None = None,
    **changed: object,
) -> Finding:
    """A further run of the target with one alarming finding, and its alarm where none is open."""
    made = store.ensure_run(target, fleet.SUITE, at, seed=7, suite_digest=fleet.DIGEST, next_at=at)
    run = store.claim(made.id, at, 3600)
    assert run is not None
    lost = next(one for one in store.latest_findings("support-bot", fleet.SUITE) if one.signal == "adapter_loss")
    found: Finding = replace(
        lost,
        run_id=run.id,
        target=target,
        signal=signal,
        severity=severity,
        window_end=at,
        **changed,  # type: ignore[arg-type]
    )
    found = found if summary is None else saying(summary, found)
    alarm = Alarm(target, fleet.SUITE, signal, severity, AlarmState.CONFIRMED, at, run.id, at, run.id)
    known = {one.signal for one in store.open_alarms(target, fleet.SUITE)}
    moves = [] if signal in known else [alarm]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [found], at, moves=moves)
    return found


def mismatch(store: Store, check: str, at: datetime = NOW, target: str = BOT, *, matches: bool = False) -> None:
    store.save_identity_checks(
        [IdentityCheck(target, Arm.SUBJECT, check, Match.of(matches), "bot-lora", "llama\n\x1b[31m", at, at)]
    )


def test_an_alert_says_what_its_evidence_page_says(store: Store) -> None:
    found = told(store)
    assert set(found) == {(LOST, BOT, "page", ""), ("CliffwatchLengthShift", BOT, "ticket", ""), UNMEASURED}
    lost = found[LOST, BOT, "page", ""]
    finding = next(one for one in store.latest_findings(BOT) if one.signal == "adapter_loss")
    claim = claim_of(store, finding)
    assert lost["what"] == f"{claim.headline} (adapter_loss)."
    assert lost["how_bad"] == f"{claim.bad.removesuffix('.')} (suite support)."
    assert lost["cause"] == f"{claim.suspect}. {claim.why}"
    assert claim.began is not None
    assert float(lost["value"]) == claim.began.timestamp()
    assert lost["since"] == (
        "between Sat 2026-11-21 20:00 (last healthy evaluation) and Sun 2026-11-22 11:40 UTC (first seen)"
    )
    confirmed = alarms.NOTES[Confirmation.FRESH_SAMPLE]
    assert lost["evidence"] == f"more than a million to 1 that something changed. {confirmed}"
    assert lost["advice"].startswith("check which adapter the endpoint serves and whether it is applied. ")
    assert lost["advice"].endswith(" served at the last healthy evaluation, 2026-11-21 20:00 UTC."), (
        "read days later, with its date"
    )


def test_nothing_in_it_changes_with_the_clock_or_with_a_look_that_says_the_same(store: Store) -> None:
    internals = Internals()
    before = told(store, internals)
    assert told(store, internals, now=NOW + timedelta(hours=7)) == before
    same = next(one for one in store.latest_findings(BOT) if one.signal == "adapter_loss")
    verdict(store, "adapter_loss", NOW, summary=summary_of(same), evidence_log10=9.1)
    assert told(store, internals)[LOST, BOT, "page", ""] == before[LOST, BOT, "page", ""]


def test_a_new_verdict_changes_it_and_the_end_of_the_alarm_takes_it_away(store: Store) -> None:
    internals = Internals()
    told(store, internals)
    verdict(store, "adapter_loss", NOW, summary=f"{BOT} answers like its base model: 2% of the effect is left. Check.")
    assert told(store, internals)[LOST, BOT, "page", ""]["how_bad"] == "2% of the effect is left (suite support)."
    (one,) = (one for one in store.open_alarms(BOT) if one.signal == "adapter_loss")
    assert store.clear_alarm(
        replace(one, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="jo", cleared_why="planned")
    )
    assert set(told(store, internals)) == {("CliffwatchLengthShift", BOT, "ticket", ""), UNMEASURED}


def test_an_alarm_that_waits_for_its_fresh_sample_says_nothing_yet(store: Store) -> None:
    made = store.ensure_run(BOT, fleet.SUITE, NOW, seed=7, suite_digest=fleet.DIGEST, next_at=NOW)
    run = store.claim(made.id, NOW, 3600)
    assert run is not None
    found = replace(store.latest_findings(BOT)[0], run_id=run.id, signal="canaries", state=FindingState.ALARMING)
    raised = Alarm(BOT, fleet.SUITE, "canaries", Severity.PAGE, AlarmState.RAISED, NOW, run.id)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [found], NOW, moves=[raised])
    assert "canaries" not in told(store)[LOST, BOT, "page", ""]["what"]


def test_signals_that_agree_are_one_series_which_the_one_leads_that_says_most(store: Store) -> None:
    verdict(store, "canaries", NOW, summary=f"{BOT} fails at what only its fine-tune can do: 9 of 9. Read.")
    verdict(store, "logprobs", NOW + timedelta(seconds=1), severity=Severity.TICKET, summary="First-token moved: by 1.")
    verdict(store, "distribution", NOW + timedelta(seconds=2), severity=Severity.TICKET, summary="Answers moved: 9%.")
    found = told(store)
    lost, shift = found[LOST, BOT, "page", ""], found["CliffwatchDistributionShift", BOT, "ticket", ""]
    assert (lost["signal"], shift["signal"]) == ("adapter_loss", "distribution")
    assert lost["what"] == (
        f"{BOT} answers like its base model (adapter_loss); {BOT} fails at what only its fine-tune can do (canaries)."
    )
    assert "canaries" not in lost["how_bad"]
    assert "9 of 9" not in lost["how_bad"]


def test_a_ticket_and_a_page_of_one_alert_are_two_series(store: Store) -> None:
    verdict(store, "canaries", NOW, severity=Severity.TICKET, summary=f"{BOT} fails at canaries: 9 of 9. Read.")
    found = told(store)
    assert found[LOST, BOT, "ticket", ""]["signal"] == "canaries"
    assert "canaries" not in found[LOST, BOT, "page", ""]["what"]


def test_what_models_and_servers_say_is_made_harmless_and_short(store: Store) -> None:
    news = f"The endpoint of {BOT} changed: model id {fleet.HOSTILE!s} {'x' * 3000} instead of 'a'. Compare."
    verdict(store, "contract", NOW, severity=Severity.TICKET, summary=news)
    mismatch(store, "root")
    found = told(store)
    bad = found["CliffwatchContractChanged", BOT, "ticket", ""]["how_bad"]
    assert "<script>" in bad, "text as it is: who shows it escapes it"
    assert "\\u{202e}" in bad
    for labels in found.values():
        for name, text in labels.items():
            assert text.isprintable(), name
            assert len(text) <= alert_lines.LIMIT + 60, name
    assert "found: llama \\u{1b}[31m" in found["CliffwatchIdentityMismatch", BOT, "page", "root"]["evidence"]


def test_the_cause_is_that_of_the_evidence_page(store: Store) -> None:
    """A lost fine-tune in the same run; a mismatch, which comes and goes without a new verdict; the judge."""
    internals, length = Internals(), ("CliffwatchLengthShift", BOT, "ticket", "")
    assert told(store, internals)[length]["cause"].startswith("the served model. The likely cause is a lost fine-tune")
    mismatch(store, "root")
    assert told(store, internals)[length]["cause"] == (
        "the served model. The server loads the base model itself under this name. Declared: bot-lora; "
        "found: llama \\u{1b}[31m."
    )
    mismatch(store, "root", matches=True)
    assert told(store, internals)[length]["cause"].startswith("the served model. The likely cause is a lost fine-tune")
    verdict(store, "judge_score", NOW, summary=f"The judge's score of {BOT} dropped by 0.3: mean score 0.4. Read.")
    score = ("CliffwatchScoreDrop", BOT, "page", "")
    assert told(store, internals)[score]["cause"].startswith("the judge or the model. ")
    verdict(store, "negative_flips", NOW, JUDGE_TARGET, summary="judge no longer agrees with people: 9 of 30. Read.")
    assert told(store, internals)[score]["cause"].startswith("the judge. ")


def test_the_judges_own_drift_is_its_own_alert_and_a_ticket(store: Store) -> None:
    judge = {"subject": {"provider": "vllm", "model": "judge"}, "suites": [fleet.SUITE]}
    dumped = fleet.settings().model_dump(mode="json", exclude_unset=True)
    settings = Settings.model_validate({**dumped, "targets": {**dumped["targets"], JUDGE_TARGET: judge}})
    verdict(store, "negative_flips", NOW, JUDGE_TARGET, summary="judge no longer agrees with people: 9 of 30. Read.")
    verdict(store, "canaries", NOW + timedelta(seconds=1), JUDGE_TARGET, summary="judge fails canaries: 9 of 30. Read.")
    found = {key: labels for key, labels in told(store, settings=settings).items() if key[1] == JUDGE_TARGET}
    assert set(found) == {("CliffwatchJudgeDrift", JUDGE_TARGET, "ticket", "")}, "no alert carries its canaries"


@pytest.mark.parametrize(
    ("left", "moved", "bad", "cause"),
    [
        (None, False, "unknown: it was not measured on the answers.",
         "the served model, or the declaration in cliffwatch.yaml: no measurement of the answers shows which."),
        (None, True, "unknown: it was not measured on the answers.", "the served model: its answers changed too."),
        (-0.02, False, "nothing is left of the fine-tune's effect in its answers.",
         "the served model: its answers changed too."),
        (0.04, False, "4% of the fine-tune's effect is left in its answers (100% is healthy).",
         "the served model: its answers changed too."),
        (0.97, True, "97% of the fine-tune's effect is left in its answers (100% is healthy).",
         "the served model: its answers changed too."),
        (1.12, False, "the fine-tune's effect is 112% of the approved one in its answers (100% is healthy).",
         "the declaration in cliffwatch.yaml, or a deployment since the last run, whose answers were as approved."),
    ],
)  # fmt: skip
def test_a_mismatch_says_whether_the_answers_changed_too(left: float | None, moved: bool, bad: str, cause: str) -> None:
    check = IdentityCheck(BOT, Arm.SUBJECT, "root", Match.DIFFERS, "a", "b", NOW, NOW - timedelta(hours=2))
    lines = alert_lines.of_mismatch(check, left, moved=moved)
    assert (lines.how_bad, lines.cause) == (bad, cause)
    assert (lines.what, lines.since) == (
        "The server loads the base model itself under this name.", "Sun 2026-11-22 10:00 UTC",
    )  # fmt: skip
    assert lines.began == check.since


def test_each_check_that_fails_has_a_series_with_what_the_verdict_says(store: Store) -> None:
    internals = Internals()
    told(store, internals)
    mismatch(store, "root")
    mismatch(store, "parent", NOW - timedelta(hours=3), "summariser")
    found = told(store, internals)
    assert found["CliffwatchIdentityMismatch", BOT, "page", "root"]["how_bad"].startswith(
        "4% of the fine-tune's effect"
    )
    healthy = found["CliffwatchIdentityMismatch", "summariser", "page", "parent"]
    assert healthy["cause"].startswith("the declaration in cliffwatch.yaml")
    assert float(healthy["value"]) == (NOW - timedelta(hours=3)).timestamp()
    mismatch(store, "root", matches=True)
    assert ("CliffwatchIdentityMismatch", BOT, "page", "root") not in told(store, internals)


def test_looks_that_are_close_together_are_told_with_seconds() -> None:
    assert alert_lines.when(NOW, NOW - timedelta(seconds=7)) == (
        "between Sun 2026-11-22 11:59:53 (last healthy evaluation) and Sun 2026-11-22 12:00:00 UTC (first seen)"
    )
    assert alert_lines.when(NOW, None) == "first seen Sun 2026-11-22 12:00 UTC"


@pytest.mark.parametrize(
    ("log10", "words"),
    [(1.9, "less than 100"), (2.0, "more than 100"), (3.5, "more than 1,000"), (4.2, "more than 10,000"),
     (5.0, "more than 100,000"), (300.0, "more than a million")],
)  # fmt: skip
def test_evidence_is_told_in_powers_of_ten(log10: float, words: str) -> None:
    assert alert_lines.odds(log10) == words


def test_what_cannot_be_measured_says_why_and_whose_fault_that_likely_is(store: Store) -> None:
    found = told(store)[UNMEASURED]
    last = store.last_done(["extractor"])["extractor", fleet.SUITE]
    reason = ranked(store.unmeasured(last))[0][0]
    assert found["suite"] == fleet.SUITE
    assert found["evidence"] == f"Most frequent reason in the last run: {reason}."
    assert found["cause"] == f"{BLAME[reason].who}. {BLAME[reason].why}"


def test_a_model_that_is_shut_down_is_named_with_who_says_so(store: Store) -> None:
    internals = Internals()
    told(store, internals)
    store.save_retirements([Retirement(BOT, Arm.BASE, "llama", NOW + timedelta(days=9), "config", NOW)])
    found = told(store, internals)["CliffwatchModelRetiring", BOT, "ticket", ""]
    assert (found["arm"], found["what"]) == ("base", "llama will be shut down (source: cliffwatch.yaml).")


def test_links_start_with_the_address_of_the_pages_and_follow_it(store: Store) -> None:
    internals, settings = Internals(), fleet.settings()
    mismatch(store, "root")
    found = told(store, internals)
    assert found[LOST, BOT, "page", ""]["evidence_url"] == f"{web_url(settings)}/targets/{BOT}/adapter_loss"
    assert found["CliffwatchIdentityMismatch", BOT, "page", "root"]["evidence_url"] == (
        f"{web_url(settings)}/targets/{BOT}"
    )
    moved = settings.model_copy(update={"http": settings.http.model_copy(update={"url": "https://cw.example.com/"})})
    assert told(store, internals, moved)[LOST, BOT, "page", ""]["evidence_url"] == (
        f"https://cw.example.com/targets/{BOT}/adapter_loss"
    )


def test_what_any_endpoint_may_raise_says_of_the_judge_that_it_is_the_judge(store: Store) -> None:
    judge = {"subject": {"provider": "vllm", "model": "judge"}, "suites": [fleet.SUITE]}
    dumped = fleet.settings().model_dump(mode="json", exclude_unset=True)
    settings = Settings.model_validate({**dumped, "targets": {**dumped["targets"], JUDGE_TARGET: judge}})
    verdict(store, "length", NOW, JUDGE_TARGET, Severity.TICKET, summary="judge answers longer: by 9%. Read.")
    verdict(store, "negative_flips", NOW + timedelta(seconds=1), JUDGE_TARGET, summary="judge drifted: 9 of 30. Read.")
    found = told(store, settings=settings)
    assert found["CliffwatchLengthShift", JUDGE_TARGET, "ticket", ""]["what"].endswith(f". {JUDGE_ITSELF}")
    assert JUDGE_ITSELF not in found["CliffwatchJudgeDrift", JUDGE_TARGET, "ticket", ""]["what"]
    assert JUDGE_ITSELF not in found["CliffwatchLengthShift", BOT, "ticket", ""]["what"]
