"""Records of the lab's gateway: a call, its reply, and an error, which each vendor's API words differently."""

from dataclasses import dataclass, field
from typing import Any

from monitor.lab.engine import Finish, Message, Sampling
from monitor.lab.served import Weights


@dataclass(frozen=True)
class Call:
    """One request, understood: which name was asked for, which weights will answer, and what.

    ``stretch`` is how many times longer than the model meant the answer becomes; ``connection`` names the
    client's TCP connection, for routing that sticks to it.
    """

    model: str
    weights: Weights
    messages: tuple[Message, ...]
    sampling: Sampling
    connection: str = ""
    stream: bool = False
    stream_usage: bool = False
    stretch: float = 1.0


@dataclass(frozen=True)
class Reply:
    """One answer as it is about to be told: ``model`` and ``fingerprint`` are what it claims about itself."""

    model: str
    fingerprint: str
    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    tokens: tuple[dict[str, Any], ...] | None = None
    stop_sequence: str | None = None


@dataclass
class ApiError(Exception):
    """A request that gets no answer. ``kind`` is OpenAI's ``type``; Anthropic's follows from ``status``."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message
