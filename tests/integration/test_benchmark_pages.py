"""The pages' benchmark on a small fleet: its store fills, and every page that it times is there."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select

from benchmarks import fleets, pages
from monitor.core.signals import SEVERITIES
from monitor.store import open_store, tables

TARGETS = 1


def test_a_months_findings_are_served_page_by_page(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    with closing(open_store(url)) as store:
        pages.fill(store, fleets.settings(TARGETS))
        last = [store.get_run(stream.last_run_id) for stream in store.streams() if stream.last_run_id]
        with store._database.read() as connection:
            found = tables.finding.c
            days = connection.execute(
                select(func.count(found.id)).group_by(found.target, found.suite, found.signal)
            ).scalars()
            counted = list(days)
    streams = TARGETS * len(fleets.SUITES) + 1  # the judge is one
    assert len(last) == streams
    assert len(counted) == streams * len(SEVERITIES)
    earlier = pages.DAYS - fleets.RUNS + 1  # copies, and the last day
    assert sorted(set(counted)) == [earlier, earlier + 1], "one that alarms has a healthy look before it"

    with pages.served(url, TARGETS) as site:
        rows = list(pages.measured(site, TARGETS, last, 2, ""))

    held = [row for row in rows if row.limit is not None]
    assert {row.measure for row in held} == {"p95 seconds"}
    assert len(held) == 17
    assert all(row.value > 0 for row in rows)
