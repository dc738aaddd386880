"""Regularly reads from every endpoint what it serves, and stores differences from the configuration.

It reads metadata only and sends no prompts. During an outage the last result stays. A mismatch is checked twice before
it is stored, so that a restarting server does not alarm.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Final

import structlog

from monitor.core import schedule
from monitor.core.errors import CliffwatchError
from monitor.core.providers import PROVIDERS
from monitor.core.records import Arm, IdentityCheck, Match, Retirement, ServedMetadata
from monitor.core.run_kinds import JUDGE
from monitor.core.settings import Endpoint, Settings, Target
from monitor.daemon.jobs import identity_evidence, identity_question
from monitor.daemon.jobs.identity_evidence import CheckedTarget
from monitor.identify import CHECKS, Declared, Files, HiddenError, Key, Reading, UnreadableError, server_source
from monitor.identify import adapter as adapter_files
from monitor.runs.context import RunContext
from monitor.store import Store

log = structlog.get_logger()

EVERY_SECONDS: Final = 3600
"""Seconds between two rounds on a full day; a shorter day has the same number of rounds."""

AGAIN_SECONDS: Final = 300
"""Seconds until a mismatch is checked again, on a full day."""

LEAST_SECONDS: Final = 1.0
"""Minimum seconds between two rounds, on short days."""

FILES: Final = "files"
CheckKey = tuple[str, Arm, str]


def arms_of(settings: Settings, only: str | None = None) -> Iterator[tuple[str, Arm, Endpoint, Target | None]]:
    """(target, arm, endpoint, settings of the target) of every endpoint, including the judge's, as target ``judge``."""
    for name, target in settings.targets.items():
        arms = {Arm.SUBJECT: target.subject, Arm.BASE: target.base, Arm.SNAPSHOT: target.snapshot}
        for arm, endpoint in arms.items():
            if endpoint is not None and only in (None, name):
                yield name, arm, endpoint, target
    if settings.judge is not None and JUDGE.target not in settings.targets and only in (None, JUDGE.target):
        yield JUDGE.target, Arm.SUBJECT, settings.judge, None


def declared_at(settings: Settings, only: str | None = None) -> dict[str, list[Declared]]:
    """Provider -> its arms, for providers with a metadata API."""
    found: dict[str, list[Declared]] = {}
    for name, arm, endpoint, target in arms_of(settings, only):
        if PROVIDERS[settings.providers[endpoint.provider].kind].identity is None:
            continue
        base = trained_on = adapter = None
        if arm is Arm.SUBJECT and target is not None:
            same = target.base is not None and _one_api(settings, target.base, endpoint)
            base = target.base.model if same and target.base is not None else None
            if target.adapter is not None:
                trained_on, adapter = target.adapter.base_model, str(target.adapter.path)
        found.setdefault(endpoint.provider, []).append(Declared(name, arm, endpoint.model, base, trained_on, adapter))
    return found


def _one_api(settings: Settings, one: Endpoint, other: Endpoint) -> bool:
    """Whether two endpoints are on the same server, independent of the providers' names."""
    a, b = settings.providers[one.provider], settings.providers[other.provider]
    return (a.kind, a.server.rstrip("/")) == (b.kind, b.server.rstrip("/"))


def files_of(settings: Settings, only: str | None = None) -> list[Files]:
    """Adapters on this machine: declared ones, and those that kind ``local`` loads."""
    found = []
    for name, arm, endpoint, target in arms_of(settings, only):
        declared = target.adapter if target is not None and arm is Arm.SUBJECT else None
        if declared is not None and target is not None:
            folder = _folder(declared.base_model) or _base_folder(settings, target)
            found.append(Files(name, arm, declared.path, declared.base_model, declared.revision, folder))
        elif endpoint.adapter is not None:
            folder = _folder(endpoint.model)
            found.append(Files(name, arm, endpoint.adapter, endpoint.model, endpoint.revision, folder))
    return found


def _base_folder(settings: Settings, target: Target) -> Path | None:
    """Folder of the base's weights, if an arm on this machine loads them."""
    adapted = target.subject if target.subject.adapter is not None else None
    for endpoint in (target.base, adapted):
        if endpoint is not None and PROVIDERS[settings.providers[endpoint.provider].kind].loads_weights:
            return _folder(endpoint.model)
    return None


def _folder(name: str) -> Path | None:
    return Path(name) if Path(name).is_dir() else None


async def look(context: RunContext, only: str | None = None) -> list[CheckedTarget]:
    """Check every server and adapter, or those of one target. Never raises because of their content."""
    known = await asyncio.to_thread(identity_evidence.kept, context.store, only)
    servers = [
        _look_at(context, known, provider, declared)
        for provider, declared in declared_at(context.settings, only).items()
    ]
    files = asyncio.to_thread(_look_into, files_of(context.settings, only))
    found = await asyncio.gather(*servers, files)
    return [one for some in found for one in some]


async def _look_at(
    context: RunContext, known: identity_evidence.Kept, provider: str, declared: Sequence[Declared]
) -> list[CheckedTarget]:
    kind = context.settings.providers[provider].kind
    readings: dict[Key, Reading] = {}
    error: str | None = None
    hidden = False
    try:
        source = await asyncio.to_thread(server_source, kind)
        assert source is not None
        readings = await source(declared, lambda path: context.asker.look(provider, path))
    except (UnreadableError, CliffwatchError) as failed:
        error, hidden = str(failed), isinstance(failed, HiddenError)
    except Exception as failed:
        log.exception("identity_crashed", provider=provider)
        error = type(failed).__name__
    found = [
        CheckedTarget(one.target, one.arm, kind, provider, readings.get(one.key), error, hidden) for one in declared
    ]
    now = context.clock()
    return await asyncio.to_thread(identity_evidence.complete, context.store, known, provider, declared, found, now)


def _look_into(files: Iterable[Files]) -> list[CheckedTarget]:
    found = []
    for one in files:
        reading, error = None, None
        try:
            reading = adapter_files.read(one)
        except UnreadableError as failed:
            error = str(failed)
        except Exception as failed:
            log.exception("identity_crashed", adapter=str(one.path))
            error = type(failed).__name__
        found.append(CheckedTarget(one.target, one.arm, FILES, str(one.path), reading, error))
    return found


@dataclass(slots=True)
class Memory:
    """State of the daemon between two rounds."""

    doubted: set[CheckKey] = field(default_factory=set)
    """Mismatches that were found once."""
    logged: dict[str, str] = field(default_factory=dict)
    """Source -> its last logged error."""


def settle(
    context: RunContext,
    looked: Sequence[CheckedTarget],
    now: datetime,
    memory: Memory | None = None,
    only: str | None = None,
) -> list[IdentityCheck]:
    """Store the results and remove outdated ones. Returns the checks of this round.

    With a ``memory``, a new mismatch is only remembered, and stored if the next round finds it again.
    ``only``: the target that was checked; default: all targets.
    """
    stored = {(one.target, one.arm, one.check): one for one in context.store.identity_checks()}
    checks = [one for found in looked for one in _results(found, stored, now)]
    kept, doubts = [], set()
    for new in checks:
        key = (new.target, new.arm, new.check)
        before = stored.get(key)
        fresh = new.differs and (before is None or not before.differs)
        if fresh and memory is not None and key not in memory.doubted:
            doubts.add(key)
            continue
        if before is None or before.result is not new.result:
            _tell(new, known=before is not None)
        kept.append(new)
    if memory is not None:
        memory.doubted = doubts
    context.store.save_identity_checks(kept)
    context.store.drop_identity_checks(_gone(context.settings, looked, checks, stored, only))
    _settle_served(context, looked, now, only)
    _settle_retirements(context.settings, context.store, looked, now)
    return checks


def _results(one: CheckedTarget, stored: Mapping[CheckKey, IdentityCheck], now: datetime) -> Iterator[IdentityCheck]:
    """The results of one source. What a server did not say this time is stored only if nothing is known.

    Files that were read and do not decide a check are no outage: their earlier result was about other content.
    """
    for made in one.reading.checks if one.reading is not None else ():
        result = Match.of(made.matches)
        yield IdentityCheck(one.target, one.arm, made.check, result, made.expected, made.found, now, now)
    first = CHECKS[one.kind][0]
    for check, why in one.unread.items():
        before = stored.get((one.target, one.arm, check))
        unknown = before is None or before.result is Match.CANNOT_TELL
        files = one.kind == FILES and one.reading is not None
        if files or (unknown and check == first):
            yield IdentityCheck(one.target, one.arm, check, Match.CANNOT_TELL, "", why, now, now)


def _settle_served(context: RunContext, looked: Sequence[CheckedTarget], now: datetime, only: str | None) -> None:
    """Store what servers say about the models that they list."""
    models = {(target, arm): endpoint.model for target, arm, endpoint, _ in arms_of(context.settings, only)}
    context.store.save_served_metadata([
        ServedMetadata(one.target, one.arm, models[one.target, one.arm], one.reading.served, now)
        for one in looked
        if one.reading is not None and one.reading.served is not None
    ])  # fmt: skip


def _tell(check: IdentityCheck, *, known: bool) -> None:
    told = {"target": check.target, "arm": check.arm, "check": check.check, "found": check.found}
    if check.differs:
        log.error("identity_mismatch", expected=check.expected, **told)
    elif known and check.result is Match.MATCHES:
        log.info("identity_matches_again", **told)


def _gone(
    settings: Settings, looked: Sequence[CheckedTarget], checks: Sequence[IdentityCheck], stored: Iterable[CheckKey],
    only: str | None,
) -> list[CheckKey]:  # fmt: skip
    """Stored checks of the checked targets that are no longer made. Checks of other daemons' targets stay.

    Includes targets without anything to check, whose endpoints no longer have a metadata API.
    """
    made = {(one.target, one.arm, one.check) for one in checks}
    made |= {(one.target, one.arm, check) for one in looked for check in one.unread}
    seen = {name for name, _, _, _ in arms_of(settings, only)}
    return [key for key in stored if key[0] in seen and key not in made]


def _settle_retirements(settings: Settings, store: Store, looked: Sequence[CheckedTarget], now: datetime) -> None:
    """Store retirement dates. The configuration overrides the API, whose last date stays during an outage."""
    before = {(one.target, one.arm): one for one in store.retirements()}
    said = {(one.target, one.arm): one for one in looked if one.kind != FILES}
    keep: list[Retirement] = []
    gone: list[Key] = []
    for target, arm, endpoint, _ in arms_of(settings):
        key, old, api = (target, arm), before.get((target, arm)), said.get((target, arm))
        if endpoint.retires is not None:
            at = datetime.combine(endpoint.retires, time(), UTC)
            keep.append(Retirement(target, arm, endpoint.model, at, "config", now))
        elif api is not None and api.reading is not None and api.reading.retires_at is not None:
            keep.append(Retirement(target, arm, endpoint.model, api.reading.retires_at, api.source, now))
        elif old is not None and (old.source == "config" or old.model != endpoint.model or _answered(api)):
            gone.append(key)
    arms = {(target, arm) for target, arm, _, _ in arms_of(settings)}
    gone += [key for key in before if key[0] in settings.targets and key not in arms]
    store.save_retirements(keep)
    store.drop_retirements(gone)


def _answered(api: CheckedTarget | None) -> bool:
    return api is not None and api.reading is not None and not api.reading.unread


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read, and why."""

    target: str
    arm: Arm
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Identified:
    """Results of one manual check."""

    checks: list[IdentityCheck]
    unread: list[Unread]
    retirements: list[Retirement]
    told: bool = True
    """Whether every endpoint and adapter could be read, and every server says whether it serves its model."""


async def identify_now(context: RunContext, target: str | None) -> Identified:
    """Check one target or all targets now, and store the results. Models that only a request can show are asked."""
    try:
        looked = await look(context, target)
        if await identity_question.ask(context, looked):
            looked = await look(context, target)
    finally:
        await context.asker.aclose()
    settle(context, looked, context.clock(), only=target)
    made = {(one.target, one.arm, check.check): check for one in looked if one.reading for check in one.reading.checks}
    names = dict.fromkeys(name for name, _, _, _ in arms_of(context.settings, target))
    return Identified(
        [one for name in names for one in context.store.identity_checks(name) if (name, one.arm, one.check) in made],
        sorted(
            {Unread(one.target, one.arm, one.source, why) for one in looked for why in one.unread.values()},
            key=lambda one: (one.target, one.arm, one.source, one.why),
        ),
        [one for name in names for one in context.store.retirements(name)],
        all(one.reading is not None and "listed" not in one.unread for one in looked)
        and all(check.matches is not None for check in made.values() if check.check == "listed"),
    )


def _same_endpoints(one: Settings, other: Settings) -> bool:
    """Whether two configurations check the same endpoints and files."""
    mine, theirs = (
        [(name, arm, endpoint, target and target.adapter) for name, arm, endpoint, target in arms_of(settings)]
        for settings in (one, other)
    )
    return one.providers == other.providers and mine == theirs


class Identities:
    """The daemon's job: a round every hour, after the start and after a reload with other endpoints, and a second
    check of mismatches."""

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._task: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[object] | None = None
        self._looked: datetime | None = None
        self._memory = Memory()

    def begin(self, context: RunContext, now: datetime) -> None:
        """Start a round if one is due and none is in progress. A reload with other endpoints cancels the round."""
        if context is not self._context:
            known = self._context is not None and _same_endpoints(context.settings, self._context.settings)
            if self._task is not None and not known:
                self._task.cancel()
            if not known:
                self._task, self._looked = None, None
            self._context = context
        share = context.settings.schedule.day_seconds / schedule.FULL_DAY
        wait = max(LEAST_SECONDS, share * (AGAIN_SECONDS if self._memory.doubted else EVERY_SECONDS))
        busy = self._task is not None and not self._task.done()
        # A last round in the future was made by a clock that was ahead.
        if not busy and (self._looked is None or not 0 <= (now - self._looked).total_seconds() < wait):
            self._looked = now
            self._task = asyncio.create_task(self._round(context), name="identities")

    @property
    def in_progress(self) -> list[asyncio.Task[None]]:
        """The current round, which uses the context that it was started with."""
        return [] if self._task is None or self._task.done() else [self._task]

    async def end(self) -> None:
        """Cancel the current round; the next one reads everything again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._settling is not None:  # a writing thread cannot be cancelled
            await asyncio.gather(self._settling, return_exceptions=True)

    async def _round(self, context: RunContext) -> None:
        try:
            looked = await look(context)
            self._tell_unread(looked)
            writing = asyncio.to_thread(settle, context, looked, context.clock(), self._memory)
            self._settling = asyncio.create_task(writing)
            await asyncio.shield(self._settling)
        except Exception:
            log.exception("identities_crashed")

    def _tell_unread(self, looked: Sequence[CheckedTarget]) -> None:
        """Log each source's error once, and its end."""
        errors = {one.source: one.error for one in looked if one.error is not None}
        for source, error in errors.items():
            if self._memory.logged.get(source) != error:
                log.warning("identity_unread", source=source, error=error)
        for source in self._memory.logged.keys() - errors.keys():
            log.info("identity_read_again", source=source)
        self._memory.logged = errors
