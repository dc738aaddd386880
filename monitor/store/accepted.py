"""Values of the contract that people accepted after the baseline was approved."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select

from monitor.core.records import Accepted, Alarm, AuditEntry
from monitor.store import alarms, audit, ledger
from monitor.store.base import Connected
from monitor.store.column_types import clean
from monitor.store.dialect import insert
from monitor.store.tables import accepted


class AcceptedReads(Connected):
    """Methods that read accepted values."""

    def accepted(self, target: str | None = None, suite: str | None = None) -> list[Accepted]:
        """Accepted values, oldest first. ``suite``: "" for those of the whole target."""
        query = select(accepted).order_by(accepted.c.at, accepted.c.part, accepted.c.value)
        query = query if target is None else query.where(accepted.c.target == target)
        query = query if suite is None else query.where(accepted.c.suite == suite)
        with self._database.read() as connection:
            return [Accepted(**row._mapping) for row in connection.execute(query)]

    def accepted_values(
        self, target: str, suite: str, since: datetime | None, until: datetime | None
    ) -> Mapping[str, frozenset[str]]:
        """Part -> its values that were accepted for one suite of a target, from ``since`` to ``until``, inclusive.

        ``None``: without that limit. A verdict counts the values from its baseline's approval to its own time.
        """
        found: dict[str, set[str]] = defaultdict(set)
        for one in self.accepted(target, suite):
            if (since is None or one.at >= since) and (until is None or one.at <= until):
                found[one.part].add(one.value)
        return {part: frozenset(values) for part, values in found.items()}


class Acceptance(Connected):
    """Methods that accept values."""

    def accept(self, items: Sequence[Accepted], entry: AuditEntry, cleared: Alarm | None = None) -> bool:
        """Store accepted values of one target and suite, with the audit entry, in one transaction.

        ``cleared``: an open alarm that ends with it; ``False``, and nothing is written, if it was cleared meanwhile.
        """
        with self._database.write() as c:
            for suite in sorted({one.suite for one in items if one.suite}):
                ledger.lock_series(c, items[0].target, suite)
            if cleared is not None and not alarms.clear(c, cleared):
                return False
            rows = [{**asdict(one), **{name: clean(getattr(one, name)) for name in ("value", "who", "why")}}
                    for one in items]  # fmt: skip
            c.execute(insert(c, accepted).on_conflict_do_nothing(), rows)
            audit.add(c, entry)
            return True
