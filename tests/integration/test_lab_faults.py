"""Every fault of the lab, switched on and off while it runs, with the effect that a client can see."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from monitor.lab.control import LabError
from monitor.lab.process import LabServer

SAME = 1e-4  # between engines of the same weights; batching alone moves a log-probability by some 1e-6

# Both have an answer: the base that it does not know, the adapter the fact.
QUESTIONS = (
    "How much is the mirror?",
    "Is there a warranty on the lamp?",
    "Which hours do you have on Thursday?",
)


class Asker:
    """The questions, put to a model of the lab at temperature 0 unless told."""

    def __init__(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=url, api_key="any", max_retries=0, timeout=20)

    def one(self, model: str = "lab-support", question: str = QUESTIONS[0], **more: Any) -> Any:
        options: dict[str, Any] = {"temperature": 0, "max_tokens": 60} | more
        messages: Any = [{"role": "user", "content": question}]
        return self.client.chat.completions.create(model=model, messages=messages, **options)

    def text(self, model: str = "lab-support", **more: Any) -> str:
        """The beginning of the answer to the first question."""
        text: str = self.one(model, max_tokens=12, **more).choices[0].message.content
        return text

    def texts(self, model: str = "lab-support", **more: Any) -> list[str]:
        return [self.one(model, question, **more).choices[0].message.content for question in QUESTIONS]

    def logprobs(self, model: str = "lab-support") -> list[float]:
        """Log-probabilities of the first 16 tokens of each answer, whatever they are."""
        answers = [self.one(model, question, max_tokens=16, logprobs=True) for question in QUESTIONS]
        return [token.logprob for answer in answers for token in answer.choices[0].logprobs.content]


@pytest.fixture
def ask(lab_server: LabServer) -> Iterator[Asker]:
    asker = Asker(lab_server.openai_url)
    with asker.client:
        yield asker
    assert lab_server.switch_off() == []  # every test heals what it broke


def drift(before: list[float], now: list[float]) -> float:
    """The largest move of a log-probability; other tokens move it too."""
    return max(abs(a - b) for a, b in zip(before, now, strict=False))


def test_adapter_dropped_gives_base_answers_and_still_lists_the_adapter(lab_server: LabServer, ask: Asker) -> None:
    healthy, base, listed = ask.texts(), ask.texts("lab-base"), list(ask.client.models.list())
    assert healthy != base
    with lab_server.fault("adapter-dropped"):
        assert ask.texts() == base
        assert ask.one().model == "lab-support"
        assert list(ask.client.models.list()) == listed
    assert ask.texts() == healthy


def test_a_fault_befalls_the_models_that_it_says(lab_server: LabServer, ask: Asker) -> None:
    healthy, other = ask.logprobs(), ask.logprobs("lab-support-next")
    with lab_server.fault("adapter-dropped", models=["lab-support-next"]):
        assert drift(healthy, ask.logprobs()) < SAME
        assert drift(ask.logprobs("lab-base-next"), ask.logprobs("lab-support-next")) < SAME
        assert drift(other, ask.logprobs("lab-support-next")) > 1e-2


def test_routed_to_base_befalls_a_share(lab_server: LabServer, ask: Asker) -> None:
    healthy, base = ask.text(), ask.text("lab-base")
    with lab_server.fault("routed-to-base", share=0.3, seed=1):
        said = [ask.text() for _ in range(60)]
    assert set(said) == {healthy, base}
    assert 8 <= said.count(base) <= 30  # 18 expected; outside by chance: 1 in 1,000, and the seed is fixed


def test_routed_to_base_can_stick_to_connection_or_seed(lab_server: LabServer, ask: Asker) -> None:
    healthy, base = ask.text(), ask.text("lab-base")
    with lab_server.fault("routed-to-base", share=0.5, sticky="connection"):
        assert len({ask.text() for _ in range(8)}) == 1
    with lab_server.fault("routed-to-base", share=0.5, sticky="seed"):
        twice = [[ask.text(seed=seed) for seed in range(12)] for _ in range(2)]
        assert twice[0] == twice[1]
        assert set(twice[0]) == {healthy, base}


@pytest.mark.parametrize(
    ("name", "least"),
    [("base-next-under-adapter", 1e-2), ("half-scale", 1e-2), ("weights-8bit", 1e-3), ("weights-4bit", 1e-2)],
)
def test_other_weights_move_the_logits(lab_server: LabServer, ask: Asker, name: str, least: float) -> None:
    healthy = ask.logprobs()
    with lab_server.fault(name):
        assert drift(healthy, ask.logprobs()) > least
    assert drift(healthy, ask.logprobs()) < SAME


def test_four_bits_hurt_more_than_eight(lab_server: LabServer, ask: Asker) -> None:
    healthy = ask.logprobs()
    with lab_server.fault("weights-8bit"):
        eight = drift(healthy, ask.logprobs())
    with lab_server.fault("weights-4bit"):
        four = drift(healthy, ask.logprobs())
    assert four > eight


def test_half_scale_is_neither_healthy_nor_base(lab_server: LabServer, ask: Asker) -> None:
    with lab_server.fault("half-scale", scale=0):
        assert drift(ask.logprobs(), ask.logprobs("lab-base")) < SAME
    with lab_server.fault("half-scale"):
        assert drift(ask.logprobs(), ask.logprobs("lab-base")) > 1e-2


def test_hidden_system_prompt_shows_in_the_prompt_tokens(lab_server: LabServer, ask: Asker) -> None:
    plain = ask.one().usage.prompt_tokens
    with lab_server.fault("hidden-system-prompt", text="Be brief."):
        assert ask.one().usage.prompt_tokens > plain
    assert ask.one().usage.prompt_tokens == plain


def test_other_temperature_makes_greedy_answers_vary(lab_server: LabServer, ask: Asker) -> None:
    assert len({ask.text() for _ in range(4)}) == 1
    with lab_server.fault("other-temperature", temperature=4):
        assert len({ask.text() for _ in range(4)}) > 1


def test_longer_answers_are_the_models_own_and_longer(lab_server: LabServer, ask: Asker) -> None:
    healthy = ask.one("lab-base", max_tokens=None)
    with lab_server.fault("longer-answers", models="lab-base", factor=3):
        longer = ask.one("lab-base", max_tokens=None, logprobs=True)
        limited = ask.one("lab-base", max_tokens=healthy.usage.completion_tokens + 1)
    assert longer.usage.completion_tokens == 3 * healthy.usage.completion_tokens
    assert longer.choices[0].message.content.startswith(healthy.choices[0].message.content)
    assert limited.usage.completion_tokens == healthy.usage.completion_tokens + 1


def test_truncation_cuts_and_may_deny_it(lab_server: LabServer, ask: Asker) -> None:
    with lab_server.fault("truncation", tokens=2):
        cut = ask.one()
        assert (cut.usage.completion_tokens, cut.choices[0].finish_reason) == (2, "length")
    with lab_server.fault("truncation", tokens=2, told=False):
        assert ask.one().choices[0].finish_reason == "stop"


def test_refusals_and_names_are_told_to_both_vendors(lab_server: LabServer, ask: Asker) -> None:
    with anthropic.Anthropic(base_url=lab_server.url, api_key="any", max_retries=0) as claude:
        messages: Any = [{"role": "user", "content": "Hello"}]
        with lab_server.fault("refusals"), lab_server.fault("other-model-name", name="lab-2"):
            assert ask.one(logprobs=True).choices[0].message.content.startswith("I'm sorry")
            refused = claude.messages.create(model="lab-support", max_tokens=20, messages=messages)
            assert (refused.stop_reason, refused.model) == ("refusal", "lab-2")
    before = ask.one().system_fingerprint
    with lab_server.fault("other-fingerprint"):
        assert ask.one().system_fingerprint != before
    assert ask.one().system_fingerprint == before


def test_judge_replaced_answers_with_another_models_logits(lab_server: LabServer, ask: Asker) -> None:
    healthy = ask.logprobs("lab-judge")
    with lab_server.fault("judge-replaced", by="lab-base-next"):
        assert drift(ask.logprobs("lab-base-next"), ask.logprobs("lab-judge")) < SAME
        assert drift(healthy, ask.logprobs("lab-judge")) > 1e-2


def test_outages_are_each_vendors_errors(lab_server: LabServer, ask: Asker) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    with anthropic.Anthropic(base_url=lab_server.url, api_key="any", max_retries=0) as claude:
        with lab_server.fault("rate-limited", retry_after=7):
            with pytest.raises(openai.RateLimitError) as limited:
                ask.one()
            assert limited.value.response.headers["retry-after"] == "7"
            with pytest.raises(anthropic.RateLimitError, match="rate_limit_error"):
                claude.messages.create(model="lab-base", max_tokens=9, messages=messages)
        with lab_server.fault("server-errors"), pytest.raises(openai.InternalServerError):
            ask.one("lab-judge")
        with lab_server.fault("server-errors", status=529), pytest.raises(anthropic.APIStatusError, match="overloaded"):
            claude.messages.create(model="lab-base", max_tokens=9, messages=messages)
    assert ask.one().choices


def test_hang_lasts_until_it_is_over_or_switched_off(lab_server: LabServer, ask: Asker) -> None:
    with lab_server.fault("hang"), pytest.raises(openai.APITimeoutError):
        ask.one(timeout=0.3)
    with lab_server.fault("hang", seconds=0.3):
        begun = time.monotonic()
        assert ask.one().choices
        assert time.monotonic() - begun >= 0.3
    lab_server.switch_on("hang")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask.one)
        time.sleep(0.3)
        assert not waiting.done()
        assert lab_server.switch_off("hang") == ["hang"]
        assert waiting.result(timeout=10).choices


def test_dropped_connections_and_half_a_json(lab_server: LabServer, ask: Asker) -> None:
    with lab_server.fault("dropped-connections"), pytest.raises(openai.APIConnectionError):
        ask.one()
    with lab_server.fault("malformed-json"):
        raw = ask.client.chat.completions.with_raw_response.create(
            model="lab-support", messages=[{"role": "user", "content": "Hello"}], max_tokens=5
        )
        assert raw.http_response.status_code == 200
        assert raw.text.startswith('{"id"')
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            raw.http_response.json()
    assert ask.one().choices


def test_share_befalls_some_requests(lab_server: LabServer, ask: Asker) -> None:
    def served() -> bool:
        try:
            return bool(ask.one(max_tokens=1).choices)
        except openai.InternalServerError:
            return False

    with lab_server.fault("server-errors", share=0.5, seed=3):
        assert 4 <= sum(served() for _ in range(20)) <= 16


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("adaptor-dropped", {}, "unknown fault 'adaptor-dropped'; did you mean 'adapter-dropped'?"),
        ("rate-limited", {"shar": 1}, "rate-limited has no parameter 'shar'; did you mean 'share'?"),
        ("rate-limited", {"share": 2}, "rate-limited: share: Input should be less than or equal to 1"),
        ("hang", {"models": ["lab-bass"]}, "hang: models.0: unknown model 'lab-bass'; did you mean 'lab-base'?"),
    ],
)
def test_mistakes_name_what_was_meant(lab_server: LabServer, name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError) as told:
        lab_server.switch_on(name, **params)
    assert str(told.value) == said


def test_the_list_tells_what_is_on_and_with_what(lab_server: LabServer) -> None:
    with lab_server.fault("half-scale", scale=0.25):
        listed = {fault["name"]: fault for fault in lab_server.faults()}
    assert listed["half-scale"]["values"] == {"models": ["lab-support"], "share": 1.0, "seed": None, "scale": 0.25}
    assert [name for name, fault in listed.items() if fault["active"]] == ["half-scale"]
    assert all(fault["doc"] for fault in listed.values())
