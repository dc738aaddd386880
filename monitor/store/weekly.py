"""Totals of a range of days: questions by outcome, and money. Read once a week, for the mail."""

from collections import defaultdict
from datetime import date, datetime

from sqlalchemy import func, select

from monitor.core.records import Spend
from monitor.store.base import Connected
from monitor.store.column_types import NANO
from monitor.store.tables import answer, run, spend

USABLE = ""
"""The reason of questions with a usable answer."""


class WeekReads(Connected):
    """The store's methods over these queries; for the weekly mail."""

    def asked_since(self, since: datetime) -> dict[tuple[str, str], dict[str, int]]:
        """(target, suite) -> reason -> questions without a usable answer for it; those with one are under ``""``.

        Questions of every arm and the judge, of runs that finished since ``since``.
        """
        with self._database.read() as connection:
            query = (
                select(run.c.target, run.c.suite, func.coalesce(answer.c.reason, USABLE), func.count())
                .join(answer, answer.c.run_id == run.c.id)
                .where(run.c.finished_at >= since)
                .group_by(run.c.target, run.c.suite, answer.c.reason)
            )
            found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
            for target, suite, reason, count in connection.execute(query):
                found[target, suite][reason] = int(count)
            return dict(found)

    def spent_between(self, first: date, last: date) -> dict[str, Spend]:
        """Target -> money spent on these UTC days, both included, without open reservations."""
        with self._database.read() as connection:
            query = (
                select(spend.c.target, func.sum(spend.c.nano), func.sum(spend.c.requests))
                .where(spend.c.day >= first, spend.c.day <= last)
                .group_by(spend.c.target)
            )
            return {
                target: Spend(int(nano) / NANO, int(requests)) for target, nano, requests in connection.execute(query)
            }
