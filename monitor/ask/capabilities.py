"""The request parameters that a model accepts: learned from calls and stored, so that no one must configure them."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import structlog

from monitor.ask.protocol import Recorder
from monitor.core.records import Answer, Question

log = structlog.get_logger()

KEPT: Final = (
    "temperature", "top_p", "stop", "seed", "logprobs", "top_logprobs", "response_format", "reasoning_effort",
    "max_completion_tokens", "max_tokens", "thinking", "output_config", "cache_salt",
)  # fmt: skip
"""Request parameters that may be omitted or replaced, by their name in the request."""


class Capabilities:
    """Per model: request parameter -> whether it is accepted. Parameters without an entry are unknown and are tried."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._known: dict[tuple[str, str, str], dict[str, bool]] = {}

    async def of(self, provider: str, base_url: str, model: str) -> Mapping[str, bool]:
        """The known parameters. The same mapping is updated in place later."""
        key = (provider, base_url, model)
        known = self._known.get(key)
        if known is None:
            stored = await asyncio.to_thread(self._recorder.capability, *key)
            known = self._known.setdefault(key, dict(stored))
        return known

    async def learn(self, key: tuple[str, str, str], name: str, accepted: bool, now: datetime) -> None:
        """Remember in memory and in the store; only changes are written."""
        known = self._known.setdefault(key, {})
        if known.get(name) == accepted:
            return
        known[name] = accepted
        if not accepted:
            log.info("parameter_not_accepted", provider=key[0], model=key[2], parameter=name)
        await asyncio.to_thread(self._recorder.set_capability, *key, name, accepted, now)


def shown_by(question: Question, answer: Answer, known: Mapping[str, bool]) -> dict[str, bool]:
    """New knowledge from an answer about the parameters of its request.

    Requested logprobs that are missing were silently ignored, so they count as not accepted. A refusal shows nothing:
    a filter may answer before the request is checked, and gives no logprobs.
    """
    if answer.refusal:
        return {}
    shown: dict[str, bool] = {}
    if question.sampling.logprobs and "logprobs" not in known and answer.text:
        shown["logprobs"] = answer.logprobs is not None
    sent = answer.exchange.request
    for name in KEPT:
        if name in sent and name not in known and name not in ("logprobs", "top_logprobs"):
            shown[name] = True
    return shown
