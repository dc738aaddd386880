"""What a stretch of days came to: questions by what became of them, and money."""

from datetime import date

from monitor.core.records import Arm, Reason, RunOutcome, Spend
from monitor.store import Store
from tests.store_records import DAY, NOW, SECOND, SLOT, answer, claimed, recorded, reservation, unmeasured


def finished(store: Store, days: int, reasons: list[Reason | None], target: str = "bot") -> None:
    """A run that ended ``days`` after NOW, with one question for each of ``reasons``; ``None``: an answer."""
    run = claimed(store, SLOT + days * DAY, NOW, target)
    items = [
        recorded(
            run, unmeasured(reason) if reason else answer(), str(place), arm=Arm.BASE if place % 2 else Arm.SUBJECT
        )
        for place, reason in enumerate(reasons)
    ]
    assert all(store.record(items))
    assert store.finish(run.id, run.fence, RunOutcome.PARTIAL, [], NOW + days * DAY)


def test_questions_are_counted_by_what_became_of_them(store: Store) -> None:
    finished(store, 0, [None, None, Reason.TIMEOUT])
    finished(store, 3, [None, Reason.TIMEOUT, Reason.BUDGET])
    finished(store, 3, [Reason.TIMEOUT], target="other")
    claimed(store, SLOT + 9 * DAY)
    both = {"": 3, "timeout": 2, "budget": 1}
    assert store.asked_since(NOW) == {("bot", "support"): both, ("other", "support"): {"timeout": 1}}
    assert store.asked_since(NOW + SECOND)["bot", "support"] == {"": 1, "timeout": 1, "budget": 1}
    assert store.asked_since(NOW + 4 * DAY) == {}


def test_money_is_summed_over_days(store: Store) -> None:
    run = claimed(store)
    for place, usd in enumerate((0.25, 0.5)):
        (held,) = store.reserve([reservation(run, usd=usd)])
        assert store.record([recorded(run, answer(usd=usd), str(place), reservation=held)]) == [True]
    store.reserve([reservation(run, usd=9.0)])
    today = NOW.date()
    assert store.spent_between(today, today) == {"bot": Spend(0.75, 2)}, "what is only set aside is not spent"
    assert store.spent_between(today - 7 * DAY, today + 7 * DAY)["bot"].usd == 0.75
    assert store.spent_between(date(2026, 1, 1), today - DAY) == {}
