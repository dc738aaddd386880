"""Completes what servers list with what the store knows: requests, and what was served when a baseline was approved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from monitor.core.records import Arm, ServedMetadata
from monitor.identify import CHECKS, Absence, Checked, Declared, Key, Reading, asked
from monitor.store import StoreReader

ROOT = "root"
"""Part of ``accept`` for the place from which a server loads a model."""


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """Result of one check of one arm's server or files."""

    target: str
    arm: Arm
    kind: str
    """A provider kind with a metadata API, or ``files``."""
    source: str
    """The provider's name, or the adapter's folder."""
    reading: Reading | None
    error: str | None = None
    """Why there is no reading."""
    hidden: bool = False
    """Whether the server answers, and does not show its list."""
    unasked: bool = False
    """Whether one request would show if the model is served: the server's list does not decide, and no run asked it."""

    @property
    def unread(self) -> dict[str, str]:
        """Check -> why it was not possible; all checks of the source if there is no reading."""
        if self.reading is None:
            return dict.fromkeys(CHECKS[self.kind], self.error or "")
        return dict(self.reading.unread)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store knows about servers' metadata, by target and arm."""

    latest: Mapping[Key, ServedMetadata] = field(default_factory=dict)
    approved: Mapping[Key, tuple[ServedMetadata, datetime]] = field(default_factory=dict)
    roots: Mapping[str, Sequence[tuple[str, datetime]]] = field(default_factory=dict)
    """Target -> accepted roots, and when they were accepted."""


def kept(store: StoreReader, only: str | None = None) -> Kept:
    """Read it for one target, or for all."""
    roots: dict[str, list[tuple[str, datetime]]] = {}
    for one in store.accepted(only, ""):
        if one.part == ROOT:
            roots.setdefault(one.target, []).append((one.value, one.at))
    return Kept(
        {(one.target, one.arm): one for one in store.served_metadata(only)},
        {(one.target, one.arm): (one, at) for one, at in store.approved_metadata(only)},
        roots,
    )


def complete(
    store: StoreReader, known: Kept, provider: str, declared: Iterable[Declared], looked: Sequence[CheckedTarget],
    now: datetime,
) -> list[CheckedTarget]:  # fmt: skip
    """Add the checks of one provider's arms that need the store to what its metadata says."""
    by_key = {one.key: one for one in declared}
    return [_complete(store, known, provider, by_key[one.target, one.arm], one, now) for one in looked]


def _complete(
    store: StoreReader, known: Kept, provider: str, one: Declared, looked: CheckedTarget, now: datetime
) -> CheckedTarget:
    reading = looked.reading
    if reading is None:
        return _without_list(store, known, provider, one, looked, now) if looked.hidden else looked
    checks, unasked = list(reading.checks), False
    if reading.absent is not None:
        requests = _asked(store, known, provider, one)
        checks.insert(0, asked.listed(one.model, reading.absent, requests, now))
        unasked = checks[0].matches is None and not requests.requests
    if asked.is_pinned(one.model):
        checks += filter(None, [asked.answered_as(one.model, _requests(store, provider, one))])
    if reading.served is not None:
        checks += filter(None, [_root(known, one, reading.served)])
    return replace(looked, reading=replace(reading, checks=tuple(checks)), unasked=unasked)


def _without_list(
    store: StoreReader, known: Kept, provider: str, one: Declared, looked: CheckedTarget, now: datetime
) -> CheckedTarget:
    """A server without a list is decided by its answers, or not at all."""
    absence = Absence(f"{looked.error}, so its list is not known")
    found = asked.listed(one.model, absence, _asked(store, known, provider, one), now)
    if found.matches is None:
        return looked
    unread = {check: why for check, why in looked.unread.items() if check != found.check}
    pinned = asked.answered_as(one.model, _requests(store, provider, one))
    return replace(looked, reading=Reading((found, *([pinned] if pinned else [])), unread=unread), error=None)


def _asked(store: StoreReader, known: Kept, provider: str, one: Declared) -> asked.Asked:
    before = known.latest.get(one.key)
    listed_at = before.seen_at if before is not None and before.model == one.model else None
    return asked.Asked(_requests(store, provider, one), listed_at)


def _requests(store: StoreReader, provider: str, one: Declared) -> list[asked.Request]:
    return [asked.Request(*found) for found in store.last_requests(one.target, one.arm, provider, one.model)]


def _root(known: Kept, one: Declared, served: Mapping[str, str]) -> Checked | None:
    then = known.approved.get(one.key)
    if then is None or then[0].model != one.model or "root" not in then[0].facts:
        return asked.served_root(one.model, served, (), None, one.adapter)
    before, at = then
    accepted = [root for root, when in known.roots.get(one.target, ()) if when >= at]
    return asked.served_root(one.model, served, [before.facts["root"], *accepted], at, one.adapter)
