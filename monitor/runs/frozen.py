"""The frozen sample: production inputs that are drawn once, kept, and asked again and again.

A fresh sample never asks the same input twice, so only distributions can be compared. The frozen sample of a target is
a suite like any other, whose probes come from production instead of a file: each item is compared with its own past. It
is drawn once, from the logs of one interval of the ``production`` schedule, redacted as every sample is. A person reads
the items and their answers at the baseline's approval. Its digest is that of its content, so a baseline belongs to
exactly one set of items.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from monitor.config.suites import suite_body, with_digest
from monitor.core import schedule
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import FROZEN_SUITE, Suite
from monitor.core.sampling import nothing_to_ask
from monitor.core.settings import Production, Settings
from monitor.runs.draw import draw_sample
from monitor.sample import Sampled
from monitor.store import Store, StoreReader

log = structlog.get_logger()

NOT_TAKEN: Final = ""
"""Digest of the frozen sample of a target that has none yet."""


@dataclass(frozen=True, slots=True)
class Taken:
    """When and from what a target's present frozen sample was taken."""

    digest: str
    at: datetime
    since: datetime
    until: datetime
    """The requests' times: from ``since`` to before ``until``."""
    items: int


def present(store: StoreReader, target: str) -> Taken | None:
    """The target's frozen sample; ``None`` if none was taken yet."""
    body = store.get_state(_key(target))
    if body is None:
        return None
    found = json.loads(body)
    times = {name: datetime.fromisoformat(found[name]) for name in ("at", "since", "until")}
    return Taken(found["digest"], items=found["items"], **times)


def digest(store: StoreReader, target: str) -> str:
    """Digest of the target's frozen sample; ``NOT_TAKEN`` without one."""
    found = present(store, target)
    return NOT_TAKEN if found is None else found.digest


def take(store: Store, settings: Settings, target: str, until: datetime, now: datetime) -> Taken:
    """Draw the target's frozen sample from the requests of the interval before ``until``, in place of the present one.

    Reproducible: the same requests give the same items. Raises CouldNotMeasure if the source cannot be read or has
    nothing to ask.
    """
    production = settings.targets[target].production
    assert production is not None, "the configuration has no frozen sample without a production section"
    since = until - timedelta(seconds=schedule.interval_seconds(settings.schedule, FROZEN_SUITE))
    sampled = _drawn(store, production, target, since, until, now)
    suite = _suite(production, sampled)
    store.save_suite(suite.digest, suite.name, suite_body(suite))
    taken = Taken(suite.digest, now, since, until, len(suite.probes))
    times = {name: getattr(taken, name).isoformat() for name in ("at", "since", "until")}
    store.set_state(_key(target), json.dumps({"digest": taken.digest, "items": taken.items, **times}))
    store.declare_one((target, FROZEN_SUITE), suite.digest)
    log.info("frozen_sample_taken", target=target, items=taken.items, digest=taken.digest[:12], **times)
    return taken


def take_once(store: Store, settings: Settings, target: str, until: datetime, now: datetime) -> None:
    """``take`` if the target has no frozen sample yet. A failure is logged, and the run without items tells it."""
    if present(store, target) is None:
        try:
            take(store, settings, target, until, now)
        except CouldNotMeasure as error:
            log.warning("frozen_sample_not_taken", target=target, error=str(error))


def _drawn(
    store: StoreReader, production: Production, target: str, since: datetime, until: datetime, now: datetime
) -> Sampled:
    asked = production.model_copy(update={"sample": production.frozen})
    seed = schedule.run_seed(target, FROZEN_SUITE, until)
    sampled = draw_sample(store, target, asked, seed, since, until, now)
    if not sampled.inputs:
        why = nothing_to_ask(sampled.account)
        raise CouldNotMeasure(f"{target}/{FROZEN_SUITE}: no production input to freeze: {why}")
    return sampled


def _suite(production: Production, sampled: Sampled) -> Suite:
    suite = Suite(FROZEN_SUITE, NOT_TAKEN, tuple(one.probe for one in sampled.inputs), rubric=production.rubric)
    return with_digest(suite)


def _key(target: str) -> str:
    return f"frozen_sample/{target}"
