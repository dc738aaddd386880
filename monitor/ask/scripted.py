"""Answers from a YAML script, for dry runs of a configuration, demos and tests. Deterministic by seed.

::

    seed: 7
    rules:                                # the first matching rule answers a question
      - {model: "support.*", prompt: "(?i)refund", answers: ["REF-{replicate}", {text: "No.", weight: 0.2}]}
      - {model: ".*", answers: ["{prompt}"], fingerprint: fp-1, latency_seconds: 0.05}
      - {probe: "p7", error: {reason: rate_limited, times: 2, retry_after: 1}, answers: ["back again"]}
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor.ask.protocol import AskFailed, Setup
from monitor.core.errors import ConfigError
from monitor.core.providers import ScriptedSettings
from monitor.core.records import Answer, Arm, Exchange, Question, Reason, TokenLogprob

_PERMANENT: Final = frozenset(
    {Reason.REJECTED, Reason.UNAUTHORIZED, Reason.QUOTA, Reason.TRUNCATED, Reason.BUDGET, Reason.UNPRICED}
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedAnswer(_Part):
    """One possible answer. ``{prompt}``, ``{probe}``, ``{replicate}``, ``{model}`` and ``{arm}`` are replaced."""

    text: str
    weight: float = Field(1.0, gt=0)
    finish_reason: str = "stop"
    refusal: bool = False


class ScriptedError(_Part):
    """A failure instead of an answer: for a share of the questions, or for the first ``times`` attempts of each."""

    reason: Reason
    rate: float = Field(1.0, ge=0, le=1)
    times: int | None = Field(None, ge=1)
    retry_after: float | None = Field(None, ge=0)


class Rule(_Part):
    """Answers to questions that match ``model``, ``probe`` (fully), ``prompt`` (anywhere) and ``arm``."""

    model: re.Pattern[str] = re.compile(".*")
    probe: re.Pattern[str] = re.compile(".*")
    prompt: re.Pattern[str] = re.compile("")
    arm: Arm | None = None
    answers: tuple[ScriptedAnswer | str, ...] = ()
    error: ScriptedError | None = None
    fingerprint: str | None = None
    reply_model: str | None = None
    latency_seconds: float = Field(0.0, ge=0)

    def fits(self, question: Question) -> bool:
        return (
            self.arm in (None, question.arm)
            and self.model.fullmatch(question.model) is not None
            and self.probe.fullmatch(question.probe) is not None
            and self.prompt.search(_prompt(question)) is not None
        )


class Script(_Part):
    seed: int = 0
    rules: tuple[Rule, ...] = Field(min_length=1)


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        ConfigError: it is unreadable, not YAML, or has an unknown key or value; the message names it.
    """
    try:
        return Script.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: is not a valid script of answers: {error}") from None
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from None


class ScriptedProvider:
    """Answers from the script. The same question always gets the same answer."""

    def __init__(self, setup: Setup) -> None:
        script = setup.own(ScriptedSettings).script
        assert script is not None  # the settings require it
        self._script = load_script(script)
        self._clock = setup.clock
        self._asked: Counter[tuple[object, ...]] = Counter()

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        asked_at = self._clock()
        messages = [{"role": m.role, "content": m.content} for m in question.messages]
        request = {"model": question.model, "messages": messages}
        rule = next((rule for rule in self._script.rules if rule.fits(question)), None)
        if rule is None:
            detail = f"no rule of the script matches model {question.model}, probe {question.probe}"
            raise AskFailed(Reason.REJECTED, detail, permanent=True, exchange=Exchange(request, None))
        if rule.latency_seconds:
            await asyncio.sleep(rule.latency_seconds)
        draw = random.Random(f"{self._script.seed}/{question.model}/{question.seed}/{question.run_id}/{question.key}")
        self._fail_if_told(rule, question, draw, request)
        return _answer(rule, question, draw, request, asked_at, wants_logprobs=accepts.get("logprobs", True))

    def _fail_if_told(self, rule: Rule, question: Question, draw: random.Random, request: Mapping[str, Any]) -> None:
        error = rule.error
        struck = error is not None and draw.random() < error.rate
        if error is None or not struck:
            return
        key = (question.run_id, *question.key)
        if error.times is not None and self._asked[key] >= error.times:
            del self._asked[key]
            return
        self._asked[key] += 1
        raise AskFailed(
            error.reason,
            "failed as scripted",
            permanent=error.reason in _PERMANENT,
            retry_after=error.retry_after,
            exchange=Exchange(request, None),
        )

    async def aclose(self) -> None:
        self._asked.clear()


def _answer(
    rule: Rule, question: Question, draw: random.Random, request: Mapping[str, Any], asked_at: datetime, *,
    wants_logprobs: bool,
) -> Answer:  # fmt: skip
    answers = [a if isinstance(a, ScriptedAnswer) else ScriptedAnswer(text=a) for a in rule.answers]
    if not answers:
        detail = "the script's rule has no answers"
        raise AskFailed(Reason.MALFORMED, detail, permanent=True, exchange=Exchange(request, None))
    chosen = draw.choices(answers, [a.weight for a in answers])[0]
    text = _fill(chosen.text, question)
    words = text.split()
    logprobs = tuple(TokenLogprob(w, -0.1, {w: -0.1}) for w in words)
    prompt_tokens = sum(len(m.content.split()) for m in question.messages)
    response = {"model": rule.reply_model or question.model, "text": text, "finish_reason": chosen.finish_reason}
    return Answer(
        text=text,
        finish_reason=chosen.finish_reason,
        refusal=chosen.refusal,
        model=rule.reply_model or question.model,
        fingerprint=rule.fingerprint,
        request_id=None,
        prompt_tokens=prompt_tokens,
        completion_tokens=len(words),
        latency_seconds=rule.latency_seconds,
        asked_at=asked_at,
        exchange=Exchange(request, response),
        logprobs=logprobs if question.sampling.logprobs and wants_logprobs else None,
    )


def _fill(text: str, question: Question) -> str:
    """Replace the known placeholders. Other braces are kept, because answers are often JSON."""
    known = {"prompt": _prompt(question), "probe": question.probe, "replicate": str(question.replicate),
             "model": question.model, "arm": str(question.arm)}  # fmt: skip
    return re.sub(r"\{(prompt|probe|replicate|model|arm)\}", lambda m: known[m[1]], text)


def _prompt(question: Question) -> str:
    return next((m.content for m in reversed(question.messages) if m.role == "user"), "")
