"""Interfaces of the ask stage: the provider, the recorder, and the error of a failed attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar, runtime_checkable

from monitor.core.providers import Provider as ProviderSettings
from monitor.core.records import Answer, Arm, Exchange, Question, Reason, Recorded, Reservation, TokenUsage
from monitor.core.settings import Endpoint

OwnSettings = TypeVar("OwnSettings", bound=ProviderSettings)


class AskFailed(Exception):
    """One attempt had no usable answer. The provider classifies it; the asker decides whether to retry."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        exchange: Exchange | None = None,
        parameter: str | None = None,
        tokens: TokenUsage | None = None,
        maybe_billed: bool = False,
    ) -> None:
        """
        Args:
            reason: why, as recorded.
            detail: for people; contains no credentials.
            permanent: a retry would fail in the same way.
            retry_after: seconds that the provider asks to wait.
            exchange: the raw exchange, if any.
            parameter: the rejected request parameter; without it the same question may be answered.
            tokens: the tokens that the reply counts, if there is one; unknown parts cost their maximum.
            maybe_billed: the provider may charge for this attempt, although the reply has no token counts.
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
    """Another worker has taken over the run; later outcomes of this one are not recorded."""


class Provider(Protocol):
    """One way to reach a model."""

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        """Make one attempt, without retries.

        Args:
            question: the question.
            accepts: request parameter -> whether the model accepts it; parameters without an entry are sent.

        Raises:
            AskFailed: there is no usable answer. No other exception is allowed.
        """

    async def aclose(self) -> None:
        """Free connections, threads and weights."""


@runtime_checkable
class Looks(Protocol):
    """A provider with a metadata API."""

    async def look(self, path: str) -> tuple[int, Any]:
        """GET metadata. Returns status and parsed body; ``None`` if an error's body is not JSON. Raises AskFailed."""


class Secret:
    """A key that is only visible on demand: not in a repr, a log line or a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True, slots=True)
class Setup:
    """Arguments to create a provider."""

    name: str
    settings: ProviderSettings
    key: Secret | None
    endpoints: Mapping[tuple[str, Arm], Endpoint]
    """(target, arm) -> endpoint, for endpoints at this provider."""
    clock: Callable[[], datetime]

    def own(self, section: type[OwnSettings]) -> OwnSettings:
        """The settings as the section of the provider's kind. Raises TypeError for another kind."""
        if not isinstance(self.settings, section):
            raise TypeError(f"providers.{self.name}: {type(self.settings).__name__}, not {section.__name__}")
        return self.settings


class Recorder(Protocol):
    """The part of the store that the ask stage uses. Every method is called from a worker thread."""

    def record(self, items: Sequence[Recorded]) -> Sequence[bool]:
        """Write all items in one transaction; False for each with a stale fence or an existing answer."""

    def reserve(self, items: Sequence[Reservation]) -> Sequence[int | None]:
        """Reserve money and requests in one transaction; ``None`` for each that would exceed its budget."""

    def capability(self, provider: str, base_url: str, model: str) -> Mapping[str, bool]:
        """Request parameter -> whether the model accepts it, as far as known."""

    def set_capability(
        self, provider: str, base_url: str, model: str, name: str, accepted: bool, now: datetime
    ) -> None: ...


Observer = Callable[[str, Arm, str, str, float], None]
"""Called after each attempt: target, arm, provider, outcome (``answer`` or a reason) and seconds."""
