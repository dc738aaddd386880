"""What a self-test says of a baseline that lacks what its signals need."""

from datetime import UTC, datetime

import pytest

from monitor.cli import selftest_output
from monitor.core.records import (
    Arm,
    Baseline,
    BaselineStatus,
    Condition,
    ConditionReason,
    ConditionState,
    Holds,
    SelfTest,
)
from monitor.detect.selftest import failures

AT = datetime(2026, 11, 22, tzinfo=UTC)
ALIKE = ConditionState(
    Condition.BASE_DIFFERS, Arm.BASE, Holds.FAILS, ConditionReason.ALIKE, 3, 200,
    ("adapter_loss", "base_match", "canaries"),
)  # fmt: skip
SAMPLED = ConditionState(
    Condition.TEMPERATURE, Arm.SUBJECT, Holds.FAILS, ConditionReason.NOT_REPEATED, 20, 20, ("base_match", "border")
)


def baseline(target: str, *conditions: ConditionState) -> Baseline:
    return Baseline(
        1, target, "desk", BaselineStatus.APPROVED, "digest", "tuned", "plain", AT, AT, (1,), 200, 14, False,
        conditions=conditions,
    )  # fmt: skip


def told(capsys: pytest.CaptureFixture[str], *tested: Baseline) -> str:
    tests = [SelfTest(one.target, one.suite, "base-answers", 0, 10, AT) for one in tested]
    selftest_output.results(tests, failures(tests), tested, as_json=False)
    return capsys.readouterr().out


def test_a_base_that_answers_as_the_subject_explains_a_miss_that_no_longer_baseline_would_mend(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = told(capsys, baseline("bot", ALIKE))
    assert "bot/desk: base-answers was caught in 0 of 10 trials" in out
    assert (
        "bot/desk: The base answers as the subject does: adapter_loss, base_match and canaries cannot be read." in out
    )
    assert "too few baseline days" not in out
    assert "cliffwatch calibrate bot" not in out


def test_other_targets_are_still_explained_by_days_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    out = told(capsys, baseline("bot", ALIKE), baseline("chat", SAMPLED))
    assert "too few baseline days" in out
    assert "see: cliffwatch calibrate chat" in out
    assert "calibrate bot" not in out
    assert "chat/desk: At temperature 0, the subject gave different answers to 20 of 20 repeated questions" in out


def test_json_has_the_conditions_as_values(capsys: pytest.CaptureFixture[str]) -> None:
    tests = [SelfTest("bot", "desk", "base-answers", 0, 10, AT)]
    selftest_output.results(tests, failures(tests), [baseline("bot", ALIKE)], as_json=True)
    out = capsys.readouterr().out
    assert '"condition": "base_differs"' in out
    assert '"reason": "alike"' in out
