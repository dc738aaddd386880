"""Answers by the script."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.ask import AskFailed, Setup
from monitor.ask.scripted import ScriptedProvider
from monitor.core.errors import ConfigError
from monitor.core.providers import ScriptedSettings
from monitor.core.records import Message, Reason
from tests.asking import NOW, QUESTION, questions


def provider(tmp_path: Path, script: str) -> ScriptedProvider:
    path = tmp_path / "script.yaml"
    path.write_text(script, encoding="utf-8")
    return ScriptedProvider(Setup("dry", ScriptedSettings(kind="scripted", script=path), None, {}, lambda: NOW))


async def test_first_fitting_rule_answers(tmp_path: Path) -> None:
    dry = provider(
        tmp_path,
        """
        rules:
          - {model: tuned, prompt: "(?i)ORDER", answers: ["{probe}/{replicate}: {prompt} {our}"], fingerprint: fp-1}
          - {arm: subject, answers: [{text: "I cannot.", refusal: true, finish_reason: length}], reply_model: moved}
        """,
    )
    first = await dry.ask(QUESTION, {})
    assert first.text == "p0/0: Where is my order? {our}"
    assert first.fingerprint == "fp-1"
    second = await dry.ask(replace(QUESTION, messages=(Message("user", "Hi"),)), {})
    assert (second.text, second.refusal, second.finish_reason, second.model) == ("I cannot.", True, "length", "moved")


async def test_same_question_same_answer_and_weights_count(tmp_path: Path) -> None:
    script = "rules: [{answers: [{text: often, weight: 9}, rarely]}]"
    asked = questions(500)
    dry, again, other = (provider(tmp_path, text) for text in (script, script, "seed: 1\n" + script))
    first = [(await dry.ask(q, {})).text for q in asked]
    assert [(await again.ask(q, {})).text for q in reversed(asked)] == first[::-1]
    assert 420 < Counter(first)["often"] < 480
    assert [(await other.ask(q, {})).text for q in asked] != first


async def test_errors_come_as_told(tmp_path: Path) -> None:
    rule = "{error: {reason: rate_limited, times: 2, retry_after: 1.5}, answers: [back]}"
    dry = provider(tmp_path, f"rules: [{rule}]")
    for _ in range(2):
        with pytest.raises(AskFailed) as failed:
            await dry.ask(QUESTION, {})
        assert (failed.value.reason, failed.value.retry_after, failed.value.permanent) == (
            Reason.RATE_LIMITED, 1.5, False,
        )  # fmt: skip
    assert (await dry.ask(QUESTION, {})).text == "back"


async def test_no_rule_fits(tmp_path: Path) -> None:
    with pytest.raises(AskFailed, match="no rule of the script matches model tuned, probe p0"):
        await provider(tmp_path, "rules: [{model: other, answers: [x]}]").ask(QUESTION, {})


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("rules: []", "rules: Tuple should have at least 1 item"),
        ("rules: [{anwsers: [x]}]", "rules.0.anwsers: Extra inputs are not permitted"),
        ("rules: [{model: '(', answers: [x]}]", "rules.0.model: Input should be a valid regular expression"),
        ("rules: [{error: {reason: tired}}]", "rules.0.error.reason: Input should be 'timeout'"),
        ("a: [", "is not a valid script of answers"),
        ("", "Input should be a valid dictionary"),
    ],
)
def test_a_bad_script_is_named(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        provider(tmp_path, script)
    assert says in str(error.value)
    assert str(tmp_path / "script.yaml") in str(error.value)
