"""The ask stage: put questions to models, within limits, retries and budgets, and record what comes back."""

from importlib import import_module
from typing import Final, cast

from monitor.ask.asker import Asked, Asker, Explanation, MakeProvider
from monitor.ask.protocol import AskFailed, LostFence, Observer, Provider, Recorder, Setup
from monitor.ask.retry_loop import Attempt

PROVIDERS: Final = {
    "openai": "monitor.ask.openai:OpenAIProvider",
    "anthropic": "monitor.ask.anthropic:AnthropicProvider",
    "local": "monitor.ask.local:LocalProvider",
    "scripted": "monitor.ask.scripted:ScriptedProvider",
}
"""Kind -> module and class; imported on first use, since the vendors' clients and torch import slowly."""


def provider_class(kind: str) -> MakeProvider:
    """The class behind a provider kind. Takes about a second the first time."""
    module, _, name = PROVIDERS[kind].partition(":")
    return cast(MakeProvider, getattr(import_module(module), name))


__all__ = [
    "PROVIDERS", "AskFailed", "Asked", "Asker", "Attempt", "Explanation", "LostFence", "MakeProvider", "Observer",
    "Provider", "Recorder", "Setup", "provider_class",
]  # fmt: skip
