"""The ask stage: sends questions to models within limits, retries and budgets, and records the outcomes."""

from monitor.ask.asker import Asked, Asker, Explanation
from monitor.ask.protocol import AskFailed, LostFence, Observer, Provider, Recorder, Setup
from monitor.ask.registry import MakeProvider, provider_class
from monitor.ask.retry_loop import Attempt

__all__ = [
    "AskFailed", "Asked", "Asker", "Attempt", "Explanation", "LostFence", "MakeProvider", "Observer", "Provider",
    "Recorder", "Setup", "provider_class",
]  # fmt: skip
