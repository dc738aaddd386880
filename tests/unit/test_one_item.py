"""One item that fails for good is too small a part of a suite to page for."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from monitor.core.records import AT, Arm, GradedAnswer, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, findings_for
from monitor.lab import product
from tests.unit.detect_answers import compared, rounds

PAGES = [name for name in SIGNALS if SEVERITIES[name] is Severity.PAGE]


def grade(text: str, rng: Random) -> Mapping[str, float]:
    right = float(text.startswith("{"))
    return {"judge": right, "check:json": right}


def failing(now: list[GradedAnswer], items: int) -> list[GradedAnswer]:
    names = sorted({one.probe for one in now})[:items]
    wrong = {"judge": 0.0, "check:json": 0.0}
    return [
        replace(one, text=f"{one.text} ...", scores=wrong) if one.arm is Arm.SUBJECT and one.probe in names else one
        for one in now
    ]


@pytest.mark.parametrize(("items", "pages"), [(1, False), (8, True)])
def test_one_item_of_24_never_pages_and_a_third_does(items: int, pages: bool) -> None:
    baseline = rounds(1, product.right_reply, days=range(14), probes=24, grade=grade)
    history: dict[str, tuple[Mapping[str, float], ...]] = {}
    alarming = set[str]()
    for day in range(14, 44):
        now = failing(rounds(day, product.right_reply, days=range(day, day + 1), probes=24, grade=grade), items)
        at = (now[0].slot + timedelta(0)).timestamp()
        found = findings_for(replace(compared(now, baseline), history=history, at=at))
        alarming |= {one.signal for one in found if one.alarming and one.signal in PAGES}
        for one in found:
            history[one.signal] = (*history.get(one.signal, ()), {**one.scores, AT: at})
        if alarming:
            break
    assert bool(alarming) is pages, alarming
