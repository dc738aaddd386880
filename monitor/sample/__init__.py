"""Production inputs: read from a source, redacted, deduplicated and sampled. Only redacted text leaves this stage."""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any, Final, Literal, cast

from monitor.core import settings
from monitor.core.keyed_hash import keyed_hash
from monitor.core.kinds import load
from monitor.core.records import Message, Probe, SampleAccount
from monitor.core.redaction import redact
from monitor.core.sources import SOURCES, Source
from monitor.sample.request_log import Logged, ReadSource, Tally, Window
from monitor.sample.reservoir import Strata

Item = tuple[tuple[tuple[Literal["system", "user", "assistant"], str], ...], str]
"""The redacted messages of one input and its parameters as JSON, in a sortable form."""
NO_PARAMETERS: Final = "{}"

_STRATUM_CHARS: Final = 80

_REMEMBERED: Final = 65_536
"""Characters of the longest system prompt whose redacted form is remembered."""

MOST_PATHS: Final = 20
"""Different paths of messages, time and stratum that a sample shows."""


@dataclass(frozen=True, slots=True)
class SampledInput:
    """One redacted production input to ask."""

    probe: Probe
    """``id`` is the first 16 hex digits of the sha256 of the redacted content with normalized blanks: the same input
    has the same id in every sample. With ``keep: hashes`` it is a keyed hash, which tells nothing of the content."""
    stratum: str
    """Value of the ``stratify`` field; ``(none)`` without one."""
    count: int
    """Requests of its stratum in the window with this input."""
    subjects: tuple[str, ...] = ()
    """Keyed hashes of the people who sent it."""


@dataclass(frozen=True, slots=True)
class MappedPaths:
    """Dotted paths at which requests were read; empty where they have none."""

    messages: str
    time: str
    stratum: str
    requests: int


@dataclass(frozen=True, slots=True)
class Sampled:
    inputs: tuple[SampledInput, ...]
    strata: dict[str, int]
    """Requests by stratum."""
    account: SampleAccount
    mapping: tuple[MappedPaths, ...] = ()
    """Where the requests were found, the most frequent first."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """What records are that the source's format knows to be no requests; part of ``account.filtered``."""


def sample_production(
    production: settings.Production,
    seed: int,
    since: datetime | None,
    until: datetime | None,
    now: datetime | None = None,
    max_lines: int | None = None,
    key: bytes | None = None,
) -> Sampled:
    """At most ``production.sample`` distinct inputs logged from ``since`` to before ``until`` (aware; ``None``: open).

    The same seed and requests give the same sample, independent of files and order. Without a ``time`` key in the
    source, every request is inside the window. Memory is bounded by the sample, not by the logs. ``now``: the present;
    it tells times in the future apart. ``max_lines``: lines to read
    of the newest file; ``None``: all files. ``key``: of keyed hashes; without it, people are not kept.
    Raises CouldNotMeasure if the source cannot be read.
    """
    tally = Tally(
        max_lines=max_lines,
        whole=production.replay == "whole",
        subject_key=None if key is None else production.subject_key,
    )
    strata: Strata[Item] = Strata(production.sample, seed)
    read = reader(production.source)
    for request in islice(read(production.source, production.stratify, Window(since, until, now), tally), max_lines):
        item, stratum = redacted(request)
        identity = identity_of(item)
        strata.add(stratum, identity, item, _subjects(request, key))
        tally.seen(identity)
    return drawn(strata, tally, None if production.keeps_texts else key)


def drawn(strata: Strata[Item], tally: Tally, key: bytes | None = None) -> Sampled:
    """The sample of what was added to ``strata``, with its account. ``key``: of the inputs' ids, if they are hashed."""
    inputs = tuple(
        SampledInput(_probe(kept.item, key), stratum, kept.count, tuple(sorted(kept.subjects)))
        for stratum, kept in strata.draw()
    )
    mapping = tuple(MappedPaths(*paths, count) for paths, count in tally.paths.most_common(MOST_PATHS))
    account = tally.account(one.count for one in inputs)
    return Sampled(inputs, strata.requests(), account, mapping, dict(tally.passed_over.most_common()))


def peek(production: settings.Production, max_lines: int, now: datetime) -> SampleAccount:
    """The account of the first ``max_lines`` lines in the newest readable part of the source, whatever their time.

    Raises CouldNotMeasure if the source cannot be read.
    """
    return sample_production(production, 0, None, None, now, max_lines).account


def reader(source: Source) -> ReadSource:
    """The function that reads ``source``. Imports its module."""
    return cast(ReadSource, load(SOURCES[source.kind].read))


def _probe(item: Item, key: bytes | None) -> Probe:
    identity = identity_of(item).hex()
    messages = tuple(Message(*one) for one in item[0])
    named = identity if key is None else keyed_hash(key, identity)
    return Probe(named[:16], messages, parameters=json.loads(item[1]))


def redacted(request: Logged) -> tuple[Item, str]:
    """The redacted messages, parameters and stratum of a request."""
    messages = tuple((message.role, _redacted_text(message.role, message.content)) for message in request.messages)
    item = messages, json.dumps(_redacted_leaves(request.parameters), sort_keys=True)
    return item, _redacted_stratum(request.stratum)


def _redacted_text(role: str, content: str) -> str:
    if role == "system" and len(content) <= _REMEMBERED:
        return _redacted_system(content)
    return redact(_storable(content))


@lru_cache(maxsize=64)
def _redacted_system(content: str) -> str:
    """Remembers the last system prompts: most requests of a target share one."""
    return redact(_storable(content))


@lru_cache(maxsize=512)
def _redacted_stratum(stratum: str) -> str:
    return redact(_storable(stratum))[:_STRATUM_CHARS]


def _redacted_leaves(value: Any) -> Any:
    """``value`` with its texts redacted; keys stay."""
    if isinstance(value, str):
        return redact(_storable(value))
    if isinstance(value, Mapping):
        return {key: _redacted_leaves(one) for key, one in value.items()}
    return [_redacted_leaves(one) for one in value] if isinstance(value, list) else value


def _subjects(request: Logged, key: bytes | None) -> tuple[str, ...]:
    """The keyed hash of the person who sent the request, if it names one."""
    return (keyed_hash(key, request.subject),) if key is not None and request.subject else ()


def _storable(text: str) -> str:
    """``text`` without lone surrogates and NUL, which JSON allows but UTF-8 and PostgreSQL reject."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def identity_of(item: Item) -> bytes:
    """Identity of an input: roles and redacted texts, normalized by Unicode form and blanks.

    Without parameters, so that an input has the same id however it is asked.
    """
    return sha256("\x1e".join([f"{role}\x1f{_normalized(text)}" for role, text in item[0]]).encode()).digest()


def _normalized(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())
