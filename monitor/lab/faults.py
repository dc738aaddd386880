"""The lab's faults: one small class each, one line each in `FAULTS`.

A fault acts in one of four places: `Fault.before` changes which weights answer, or their prompt; `Fault.after` changes
the reply; `Fault.outage` prevents any answer; `Fault.listed` changes ``/v1/models``. No fault acts in two places: the
first three are hard to see because the listing stays right while answers are wrong, and wrong listings do not change
answers.
"""

import dataclasses
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal
from zlib import crc32

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from monitor.lab.calls import Call, Reply
from monitor.lab.names import nearest
from monitor.lab.served import SERVED

EVERY_MODEL: Final = "*"


@dataclass(frozen=True)
class Outage:
    """How a request ends without an answer, or with one that nobody can read.

    ``status`` answers an error of that HTTP status; ``hang`` waits ``seconds`` before answering; ``drop`` closes
    the connection without a word; ``garble`` cuts the body in half.
    """

    kind: Literal["status", "hang", "drop", "garble"]
    status: int = 200
    seconds: float = 0.0


def _served(name: str) -> str:
    if name not in SERVED:
        raise ValueError(f"unknown model {name!r}; did you mean {nearest(name, SERVED)!r}?")
    return name


def _served_or_every(name: str) -> str:
    return name if name == EVERY_MODEL else _served(name)


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value  # as a shell says a list


Share = Annotated[float, Field(ge=0, le=1)]
Models = Annotated[
    tuple[Annotated[str, AfterValidator(_served_or_every)], ...], BeforeValidator(_split), Field(min_length=1)
]


class Fault(BaseModel):
    """Common to all faults: which models it befalls, which share of their requests, and the seed of that lottery."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: Models = ("lab-support",)
    share: Share = 1.0
    seed: int | None = None

    def befalls(self, model: str) -> bool:
        """Whether the fault is about this model."""
        return model in self.models or EVERY_MODEL in self.models

    def picks(self, call: Call, rng: Random) -> bool:
        """Whether this call is among the share that the fault befalls."""
        return self.befalls(call.model) and self.lot(call, rng) < self.share

    def lot(self, call: Call, rng: Random) -> float:
        """The call's draw, in [0, 1)."""
        return rng.random()

    def before(self, call: Call) -> Call:
        """The call as it reaches the weights."""
        return call

    def after(self, reply: Reply) -> Reply:
        """The reply as it is told."""
        return reply

    def outage(self) -> Outage | None:
        """Set if the call gets no proper reply."""
        return None

    def listed(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """The model's entry in ``/v1/models``; ``None`` leaves it out."""
        return entry


def _weigh(call: Call, **changes: Any) -> Call:
    return dataclasses.replace(call, weights=dataclasses.replace(call.weights, **changes))


def _sample(call: Call, **changes: Any) -> Call:
    return dataclasses.replace(call, sampling=dataclasses.replace(call.sampling, **changes))


class AdapterDropped(Fault):
    """The base answers under the adapter's name, with HTTP 200 and the adapter still listed."""

    def before(self, call: Call) -> Call:
        return _weigh(call, adapter=None)


class RoutedToBase(AdapterDropped):
    """A share of the requests reaches replicas that have no adapter, at random or by connection or seed."""

    share: Share = 0.3
    sticky: Literal["no", "connection", "seed"] = "no"

    def lot(self, call: Call, rng: Random) -> float:
        if self.sticky == "no":
            return rng.random()
        key = call.connection if self.sticky == "connection" else str(call.sampling.seed)
        return crc32(f"{self.seed}:{key}".encode()) / 2**32


class BaseNextUnderAdapter(Fault):
    """The adapter sits on the base's next version, for which it was not trained."""

    def before(self, call: Call) -> Call:
        return _weigh(call, base="base-next")


class HalfScale(Fault):
    """The adapter is applied at a fraction of its scale."""

    scale: Annotated[float, Field(ge=0, le=4)] = 0.5

    def before(self, call: Call) -> Call:
        # Rounded, because every scale is an engine of its own.
        return _weigh(call, scale=round(call.weights.scale * self.scale, 2))


class Weights8Bit(Fault):
    """The base's weights are quantised to 8 bits (Q8_0)."""

    def before(self, call: Call) -> Call:
        return _weigh(call, fmt="q8_0")


class Weights4Bit(Fault):
    """The base's weights are quantised to 4 bits (Q4_0)."""

    def before(self, call: Call) -> Call:
        return _weigh(call, fmt="q4_0")


class HiddenSystemPrompt(Fault):
    """Somebody's system prompt is put before every conversation; it is counted in the prompt's tokens."""

    text: str = "You are a helpful assistant. Keep every answer short."

    def before(self, call: Call) -> Call:
        first, rest = call.messages[0], call.messages[1:]
        if first["role"] == "system":
            joined = {"role": "system", "content": f"{self.text}\n{first['content']}"}
            return dataclasses.replace(call, messages=(joined, *rest))
        return dataclasses.replace(call, messages=({"role": "system", "content": self.text}, *call.messages))


class OtherTemperature(Fault):
    """The temperature that was asked for is overridden."""

    temperature: Annotated[float, Field(ge=0, le=5)] = 1.5

    def before(self, call: Call) -> Call:
        return _sample(call, temperature=self.temperature)


class LongerAnswers(Fault):
    """The model is kept from ending, and goes on to ``factor`` times the length it meant."""

    factor: Annotated[float, Field(ge=1, le=8)] = 2.0

    def before(self, call: Call) -> Call:
        return dataclasses.replace(call, stretch=self.factor)


class Truncation(Fault):
    """Answers are cut after a few tokens; ``told`` says whether the finish reason admits it."""

    tokens: Annotated[int, Field(ge=1)] = 8
    told: bool = True

    def before(self, call: Call) -> Call:
        asked = call.sampling.max_tokens
        return _sample(call, max_tokens=self.tokens if asked is None else min(asked, self.tokens))

    def after(self, reply: Reply) -> Reply:
        return reply if self.told or reply.finish != "length" else dataclasses.replace(reply, finish="stop")


class Refusals(Fault):
    """A polite refusal in place of the answer."""

    text: str = "I'm sorry, but I can't help with that."

    def after(self, reply: Reply) -> Reply:
        tokens = None if reply.tokens is None else ()
        return dataclasses.replace(reply, text=self.text, finish="refusal", tokens=tokens, stop_sequence=None)


class JudgeReplaced(Fault):
    """Another model answers under the judge's name."""

    models: Models = ("lab-judge",)
    by: Annotated[str, AfterValidator(_served)] = "lab-base-next"

    def before(self, call: Call) -> Call:
        return dataclasses.replace(call, weights=SERVED[self.by].weights)


class OtherModelName(Fault):
    """The reply names a model that nobody asked for."""

    name: str = "lab-support-2026-11-01"

    def after(self, reply: Reply) -> Reply:
        return dataclasses.replace(reply, model=self.name)


class OtherFingerprint(Fault):
    """The reply's ``system_fingerprint`` is another one (OpenAI's API only; Anthropic's has none)."""

    fingerprint: str = "lab-1.1-0badc0de"

    def after(self, reply: Reply) -> Reply:
        return dataclasses.replace(reply, fingerprint=self.fingerprint)


class RateLimited(Fault):
    """429, with a ``Retry-After`` of so many seconds."""

    models: Models = (EVERY_MODEL,)
    retry_after: Annotated[float, Field(ge=0, le=3600)] = 1.0

    def outage(self) -> Outage:
        return Outage("status", 429, self.retry_after)


class ServerErrors(Fault):
    """An error of the server's own: 500, or another 5xx."""

    models: Models = (EVERY_MODEL,)
    status: Annotated[int, Field(ge=500, le=599)] = 500

    def outage(self) -> Outage:
        return Outage("status", self.status)


class Hang(Fault):
    """Nothing comes for so many seconds, or until the fault is switched off; then the answer."""

    models: Models = (EVERY_MODEL,)
    seconds: Annotated[float, Field(ge=0, le=3600)] = 600.0

    def outage(self) -> Outage:
        return Outage("hang", seconds=self.seconds)


class DroppedConnections(Fault):
    """The connection is reset before a byte of the reply."""

    models: Models = (EVERY_MODEL,)

    def outage(self) -> Outage:
        return Outage("drop")


class MalformedJson(Fault):
    """200, and a JSON body (or stream) that ends in the middle."""

    models: Models = (EVERY_MODEL,)

    def outage(self) -> Outage:
        return Outage("garble")


class AdapterUnlisted(Fault):
    """The model is missing from ``/v1/models``; it answers as before."""

    def listed(self, entry: dict[str, Any]) -> None:
        return None


class OtherParent(Fault):
    """``/v1/models`` says that the adapter is loaded onto another base; it answers as before."""

    parent: Annotated[str, AfterValidator(_served)] = "lab-base-next"

    def listed(self, entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {"parent": self.parent}


# In the order in which they apply: what answers, what it is asked, what is told, what goes wrong on the way.
FAULTS: Final = MappingProxyType[str, type[Fault]](
    {
        "adapter-dropped": AdapterDropped,
        "routed-to-base": RoutedToBase,
        "base-next-under-adapter": BaseNextUnderAdapter,
        "half-scale": HalfScale,
        "weights-8bit": Weights8Bit,
        "weights-4bit": Weights4Bit,
        "judge-replaced": JudgeReplaced,
        "hidden-system-prompt": HiddenSystemPrompt,
        "other-temperature": OtherTemperature,
        "longer-answers": LongerAnswers,
        "truncation": Truncation,
        "refusals": Refusals,
        "other-model-name": OtherModelName,
        "other-fingerprint": OtherFingerprint,
        "rate-limited": RateLimited,
        "server-errors": ServerErrors,
        "hang": Hang,
        "dropped-connections": DroppedConnections,
        "malformed-json": MalformedJson,
        "adapter-unlisted": AdapterUnlisted,
        "other-parent": OtherParent,
    }
)
