"""What a check of a server's prefix cache reads: probes with a steady answer, and the answers of the check."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import func, select

from monitor.core.records import Arm, GradedAnswer
from monitor.store.answers import SLICE, _to_graded, _usable
from monitor.store.base import Connected
from monitor.store.tables import answer, run

FEWEST_ANSWERS = 2
"""Least baseline answers to a probe that can show whether its answer is steady."""


class CacheCheckReads(Connected):
    """Methods that read checks of a prefix cache."""

    def cache_checks(self, run_id: int) -> list[GradedAnswer]:
        """The run's usable answers of ``Arm.CACHE_CHECK``, by probe and replicate; they have no scores."""
        with self._database.read() as connection:
            rows = connection.execute(_usable([run_id], (Arm.CACHE_CHECK,)))
            return [_to_graded(row, {}) for row in rows]

    def first_texts(self, run_id: int, probes: Collection[str]) -> dict[str, str]:
        """Probe -> the text of the subject's usable answer of the lowest replicate in this run."""
        mine = (answer.c.run_id == run_id, answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
        query = select(answer.c.probe, answer.c.text).where(*mine, answer.c.probe.in_(probes))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(answer.c.replicate.desc()))
            return {row.probe: row.text for row in rows}

    def steady_probes(self, run_ids: Sequence[int]) -> set[str]:
        """The probes that the subject answered at least ``FEWEST_ANSWERS`` times in these runs, always alike."""
        seen: dict[str, tuple[int, set[str]]] = {}
        mine = (answer.c.arm == Arm.SUBJECT.value, answer.c.reason.is_(None))
        columns: Any = (answer.c.probe, func.count(), func.min(answer.c.text), func.max(answer.c.text))
        with self._database.read() as connection:
            for start in range(0, len(run_ids), SLICE):
                which = answer.c.run_id.in_(run_ids[start : start + SLICE])
                rows = connection.execute(select(*columns).where(which, *mine).group_by(answer.c.probe))
                for probe, count, least, most in rows:
                    before, texts = seen.get(probe, (0, set()))
                    seen[probe] = (before + int(count), texts | {least, most})
        return {probe for probe, (count, texts) in seen.items() if count >= FEWEST_ANSWERS and len(texts) == 1}

    def doubted_probes(self, target: str, suite: str, run_id: int) -> set[str]:
        """The probes that the last run before run ``run_id`` asked again, because its two answers differed."""
        mine = (run.c.target == target, run.c.suite == suite, run.c.id < run_id, run.c.status == "done")
        # Not "confirms IS NULL": see ``rollback``.
        last = select(run.c.id).where(*mine, func.coalesce(run.c.confirms, 0) == 0).order_by(run.c.slot.desc()).limit(1)
        asked = (answer.c.arm == Arm.CACHE_CHECK.value, answer.c.replicate > 0)
        query = select(answer.c.probe).where(answer.c.run_id == last.scalar_subquery(), *asked).distinct()
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())
