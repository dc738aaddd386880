"""A signal's history: every verdict in the order in which it was reached, and nothing of another series."""

from dataclasses import replace
from math import isnan, nan

from sqlalchemy import event, text

from monitor.core.records import Finding, Point, RunOutcome
from monitor.store import Store
from tests.store_records import DAY, NOW, SLOT, claimed, finding


def verdict(store: Store, day: float, *signals: str, target: str = "bot", **numbers: float | bool) -> list[Finding]:
    """A run of ``day`` that ends a second after it began, with a finding of each signal."""
    run = claimed(store, SLOT + day * DAY, NOW + day * DAY, target)
    found = [replace(finding(run, alarming=False, signal=signal), **numbers) for signal in signals]  # type: ignore[arg-type]
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, found, NOW + day * DAY)
    return found


def test_a_series_is_its_verdicts_oldest_first(store: Store) -> None:
    first = verdict(store, 0, "length", effect=1.0)[0]
    second = verdict(store, 1, "length", effect=2.0, effect_low=1.5, effect_high=2.5, alarming=True)[0]

    found = store.series(NOW)

    assert found == {
        ("bot", "support", "length"): [
            Point(first.run_id, NOW, 1.0, 1.0, 2.0, 0.25, 3.5, False),
            Point(second.run_id, NOW + DAY, 2.0, 1.5, 2.5, 0.25, 3.5, True),
        ]
    }


def test_the_order_is_that_of_the_verdicts_not_of_the_slots(store: Store) -> None:
    late = claimed(store, SLOT, NOW + 2 * DAY)
    verdict(store, 1, "length")
    assert store.finish(late.id, late.fence, RunOutcome.MEASURED, [finding(late, alarming=False)], NOW + 2 * DAY)

    (points,) = store.series(NOW).values()

    assert [point.at for point in points] == [NOW + DAY, NOW + 2 * DAY]


def test_what_is_older_and_what_is_another_series_stays_out(store: Store) -> None:
    for day in range(3):
        verdict(store, day, "length", "contract")
        verdict(store, day, "length", target="other")

    everything = store.series(NOW + DAY)
    one = ("bot", "support", "contract")

    assert {key: len(points) for key, points in everything.items()} == {
        ("bot", "support", "length"): 2, one: 2, ("other", "support", "length"): 2,
    }  # fmt: skip
    assert set(store.series(NOW, "other")) == {("other", "support", "length")}
    assert set(store.series(NOW, only=[one, ("nobody", "support", "length")])) == {one}
    assert store.series(NOW, only=[]) == {}
    assert store.series(NOW + 9 * DAY) == {}


def test_a_number_that_could_not_be_had_is_none(store: Store) -> None:
    verdict(store, 0, "length", effect=nan, effect_low=nan, effect_high=nan)

    ((point,),) = store.series(NOW).values()

    assert all(isnan(number) for number in (point.effect, point.effect_low, point.effect_high))
    assert point.evidence_log10 == 0.25


def test_a_series_is_read_from_its_index_alone(store: Store) -> None:
    """A finding's row holds its answers: reading thousands of rows for a picture would take seconds."""
    if store._database.engine.dialect.name != "sqlite":
        return
    asked: list[str] = []
    event.listen(store._database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    store.series(NOW, "bot")
    (query,) = [one for one in asked if "FROM finding" in one]
    with store._database.read() as c:
        plan = c.execute(text("EXPLAIN QUERY PLAN " + query.replace("?", "'2026'", 1).replace("?", "'bot'"))).all()
    assert "USING COVERING INDEX ix_finding_series" in str(plan)
