"""Draws a sample of production inputs: from a source that is read, or from what was pushed to the daemon."""

from datetime import datetime

from monitor.core.settings import Production
from monitor.sample import Sampled, pushed, sample_production
from monitor.store import StoreReader


def draw_sample(
    store: StoreReader, target: str, production: Production, seed: int, since: datetime | None, until: datetime | None,
    now: datetime, key: bytes | None = None,
) -> Sampled:  # fmt: skip
    """At most ``production.sample`` inputs from ``since`` to before ``until``, see ``sample_production``.

    Pushed inputs are drawn by whole days, those that begin in this time, with the seed of their sampling period.
    Raises CouldNotMeasure if the source cannot be read.
    """
    if production.source.pushed:
        return pushed.draw(production.sample, store.pushed_windows(target, since, until))
    return sample_production(production, seed, since, until, now, key=key)
