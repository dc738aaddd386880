"""What the ask stage expects of a provider and of the place that records, and how a provider says that it failed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from monitor.core.records import Answer, Arm, Exchange, Question, Reason, Recorded, Reservation
from monitor.core.settings import Endpoint
from monitor.core.settings import Provider as ProviderSettings


class AskFailed(Exception):
    """One attempt brought no usable answer. The provider classifies; whether to try again is the asker's decision."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        exchange: Exchange | None = None,
        parameter: str | None = None,
        tokens: tuple[int, int] | None = None,
        maybe_billed: bool = False,
    ) -> None:
        """
        Args:
            reason: why, as it will be recorded.
            detail: for a person; holds no credentials.
            permanent: another attempt would fail in the same way.
            retry_after: seconds that the provider asks us to wait.
            exchange: the raw exchange, as far as there was one.
            parameter: the request parameter that was refused; without it the same question may be answered.
            tokens: prompt and completion tokens that the reply counted, if it did.
            maybe_billed: the provider may charge for this attempt although it told us no token counts.
        """
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.permanent = permanent
        self.retry_after = retry_after
        self.exchange = exchange
        self.parameter = parameter
        self.tokens = tokens
        self.maybe_billed = maybe_billed


class LostFence(Exception):
    """The run was handed to another worker meanwhile; what this one still brings back is not recorded."""


class Provider(Protocol):
    """One way to reach a model."""

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        """Make one attempt, without any retry of its own.

        Args:
            question: what to ask.
            accepts: request parameter -> whether the model takes it; one that is not in it is unknown and is sent.

        Raises:
            AskFailed: there is no usable answer; nothing else may be raised.
        """

    async def aclose(self) -> None:
        """Free connections, threads and weights."""


@runtime_checkable
class Looks(Protocol):
    """A provider whose API also says what it serves."""

    async def look(self, path: str) -> tuple[int, Any]:
        """GET metadata: status and parsed body, ``None`` where an error's body is not JSON. Raises AskFailed."""


class Secret:
    """A key that shows itself only on demand: not in a repr, a log line or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a provider is made from."""

    name: str
    settings: ProviderSettings
    key: Secret | None
    endpoints: Mapping[tuple[str, Arm], Endpoint]
    """(target, arm) -> endpoint, for those at this provider."""
    clock: Callable[[], datetime]


class Recorder(Protocol):
    """The part of the store that the ask stage writes to; every method is called from a worker thread."""

    def record(self, items: Sequence[Recorded]) -> Sequence[bool]:
        """Write all items in one transaction; False for each whose fence is stale or whose answer is there already."""

    def reserve(self, items: Sequence[Reservation]) -> Sequence[int | None]:
        """Set money and requests aside in one transaction; ``None`` for each that would go over its budget."""

    def capability(self, provider: str, base_url: str, model: str) -> Mapping[str, bool]:
        """Request parameter -> whether the model takes it, as far as it is known."""

    def set_capability(
        self, provider: str, base_url: str, model: str, name: str, accepted: bool, now: datetime
    ) -> None: ...


Observer = Callable[[str, Arm, str, str, float], None]
"""Told of each attempt: target, arm, provider, outcome (``answer`` or a reason) and its seconds."""
