"""Production inputs: read from a source, redacted, folded and sampled; nothing leaves this stage unredacted."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from monitor.core import settings
from monitor.core.records import Message, Probe
from monitor.core.redaction import redact
from monitor.sample import jsonl
from monitor.sample.request_log import Logged, ReadSource, Tally, Window
from monitor.sample.reservoir import Strata

SOURCES: Final[dict[str, ReadSource]] = {"jsonl": jsonl.read}

Item = tuple[tuple[Literal["system", "user", "assistant"], str], ...]
"""The redacted messages of one input, in a form that can be ordered."""

_STRATUM_CHARS: Final = 80
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class SampledInput:
    """One production input to ask: redacted."""

    probe: Probe
    """``id`` is the first 16 hex digits of the sha256 of the redacted content, blanks folded: the same input has
    the same id in every sample."""
    stratum: str
    """Value of the field that the sample is shared by; ``(none)`` without one."""
    count: int
    """Requests of its stratum in the window that asked this."""


@dataclass(frozen=True, slots=True)
class Sampled:
    inputs: tuple[SampledInput, ...]
    read: int
    """Requests in the window that match ``where``."""
    malformed: int
    """Lines that could not be read as a request."""
    duplicates: int
    """Requests that only repeated one of ``inputs``."""
    strata: dict[str, int]
    """Requests by stratum."""
    unsupported: int
    """Requests passed over because text alone cannot repeat them: images, tool calls."""
    outside: int
    """Requests that match ``where`` and lie before or after the window."""
    first_malformed: str | None
    """File and line number of the first of ``malformed``, never what stands there."""


def sample_production(
    production: settings.Production, seed: int, since: datetime | None, until: datetime | None
) -> Sampled:
    """At most ``production.sample`` distinct inputs logged from ``since`` to before ``until`` (aware; ``None``: open).

    The same seed and the same requests give the same sample, in whatever files and order they stand. Without
    ``request_log.time`` every request counts as inside the window. Memory is bounded by the sample, not by the logs.
    Raises CouldNotMeasure if the source cannot be read.
    """
    tally = Tally()
    strata: Strata[Item] = Strata(production.sample, seed)
    stream = SOURCES[production.source.kind](production.source, production.stratify, Window(since, until), tally)
    for request in stream:
        item, stratum = _redacted(request)
        strata.add(stratum, _identity(item), item)
    inputs = [
        SampledInput(Probe(_probe_id(kept.item), tuple(Message(*one) for one in kept.item)), stratum, kept.count)
        for stratum, kept in strata.draw()
    ]
    return Sampled(
        inputs=tuple(inputs),
        read=tally.read,
        malformed=tally.malformed,
        duplicates=sum(one.count - 1 for one in inputs),
        strata=strata.requests(),
        unsupported=tally.unsupported,
        outside=tally.outside,
        first_malformed=tally.first_malformed,
    )


def _redacted(request: Logged) -> tuple[Item, str]:
    item = tuple((message.role, redact(_storable(message.content))) for message in request.messages)
    return item, redact(_storable(request.stratum))[:_STRATUM_CHARS]


def _storable(text: str) -> str:
    """Without lone surrogates and NUL, which JSON can hold and neither UTF-8 nor PostgreSQL takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def _identity(item: Item) -> bytes:
    """What makes two inputs the same: roles and redacted texts, up to Unicode form and blanks."""
    parts = [f"{role}\x1f{_SPACE.sub(' ', unicodedata.normalize('NFC', text)).strip()}" for role, text in item]
    return sha256("\x1e".join(parts).encode()).digest()


def _probe_id(item: Item) -> str:
    return _identity(item).hex()[:16]
