"""What a baseline can see: the simulation against the evidence itself, and what it says of baselines that differ."""

from dataclasses import replace

import numpy as np
import pytest

from monitor import detect
from monitor.core import signals
from monitor.core.records import Arm, Severity
from monitor.detect import calibrate, evidence
from monitor.detect.common import quiet
from monitor.detect.evidence import Side
from monitor.detect.measurement import Channel, Reading
from monitor.lab import product
from tests.unit.detect_answers import LINE, compared, rounds

WEEK = (-1.0, 1.0, 0.0, -1.0, 1.0, 0.0, 0.5)
SEVERITIES = {"loss": Severity.PAGE, "flips": Severity.PAGE, "length": Severity.TICKET}


def reading(baseline: tuple[float, ...] = WEEK, *, channels: int = 1, per_score: float = 0.1) -> Reading:
    return Reading(
        channels=tuple(Channel(f"c{n}", 0.0, baseline, "drop") for n in range(channels)),
        effect=(1.0, 0.9, 1.1),
        unit="share",
        per_score=per_score,
        answers_now=48,
        answers_baseline=336,
        tell=lambda verdict: quiet("", ""),
    )


def sight(baseline: tuple[float, ...] = WEEK, *, at_once: bool = False, **changed: int | float) -> calibrate.Sight:
    made = reading(baseline, **changed)  # type: ignore[arg-type]
    return calibrate.sights(compared((), (), at_once=at_once), {"loss": made}, SEVERITIES)[0]


@pytest.mark.parametrize("side", ["rise", "drop", "either"])
@pytest.mark.parametrize("days", [1, 2, 7, 14])
def test_many_paths_at_once_give_what_the_evidence_gives_one_by_one(side: Side, days: int) -> None:
    rng = np.random.default_rng(days)
    days_scores, paths = (3 + 1.3 * rng.standard_normal(days)).tolist(), 3 + 3 * rng.standard_normal((40, 9))
    for at_once, prior in ((False, evidence.PRIOR), (True, evidence.AT_ONCE)):
        one_by_one = [evidence.running(days_scores, path, side, prior=prior).running_log10 for path in paths.tolist()]
        signed = (np.array(days_scores), paths) if side != "drop" else (-np.array(days_scores), -paths)
        together = calibrate.running_log10(*signed, either=side == "either", at_once=at_once)
        assert together == pytest.approx(one_by_one, abs=1e-9)


@pytest.mark.parametrize("evaluations", [1, 7])
@pytest.mark.parametrize("side", ["rise", "drop", "either"])
def test_the_smallest_shift_is_caught_in_four_of_five_cases(side: Side, evaluations: int) -> None:
    """By an own simulation through ``evidence.running``, with other noise and the baseline's own days."""
    shift = calibrate.smallest_shift(WEEK, side, LINE, evaluations)
    assert shift is not None
    rng, sign, spread = np.random.default_rng(5), -1.0 if side == "drop" else 1.0, evidence.likely_spread(WEEK)
    caught, trials = 0, 200
    for _ in range(trials):
        mean = np.mean(WEEK) + spread / np.sqrt(len(WEEK)) * rng.standard_normal() + sign * shift
        path = (mean + spread * rng.standard_normal(evaluations)).tolist()
        caught += any(evidence.running(WEEK, path[:n], side).running_log10 >= LINE for n in range(1, evaluations + 1))
    # two binomial errors, of this simulation of about 3 % and of the other of about 2 %
    assert caught / trials == pytest.approx(calibrate.CHANCE, abs=3 * 0.037)


def test_more_days_more_looks_and_calmer_days_see_smaller_shifts() -> None:
    def smallest(baseline: tuple[float, ...], evaluations: int = 7, line: float = LINE) -> float:
        found = calibrate.smallest_shift(baseline, "rise", line, evaluations)
        assert found is not None
        return found

    assert smallest(WEEK, 1) > smallest(WEEK, 7) > smallest(WEEK, 30)
    assert smallest(WEEK) > smallest(WEEK * 2) > smallest(WEEK * 4)
    assert smallest(tuple(2.5 * day for day in WEEK)) > smallest(WEEK)
    assert smallest(WEEK, line=LINE + 1) > smallest(WEEK)


def test_neither_level_nor_side_nor_order_of_the_days_matters() -> None:
    found = calibrate.smallest_shift(WEEK, "rise", LINE, 7)
    assert calibrate.smallest_shift(tuple(5 - day for day in reversed(WEEK)), "drop", LINE, 7) == found


def test_a_baseline_that_can_see_nothing_says_so() -> None:
    assert calibrate.smallest_shift((0.0,), "rise", 9.0, 1) is None
    assert calibrate.smallest_shift((0.0, 0.0), "rise", LINE, 7) is not None, "days without any spread are days too"


def test_a_sight_tells_the_smallest_change_in_the_signals_own_unit() -> None:
    found = sight(per_score=0.1)
    shift = calibrate.smallest_shift(WEEK, "drop", LINE, 7, evidence.BOUND)
    assert shift is not None
    assert (found.unit, found.days, found.answers_a_day) == ("share", 7, 48)
    assert found.threshold_log10 == pytest.approx(LINE)
    assert found.smallest[7] == pytest.approx(0.1 * shift)
    lenient = calibrate.sights(compared((), ()), {"loss": replace(reading(), tolerance=0.05)}, SEVERITIES)[0]
    assert lenient.smallest[7] == pytest.approx(0.05 + 0.1 * shift), "what is let be comes on top"
    assert set(found.smallest) == set(calibrate.WINDOWS)
    assert found.spread == pytest.approx(np.std(WEEK, ddof=1))


def test_what_does_not_grow_in_proportion_is_read_off_the_signals_own_curve() -> None:
    """A score that saturates: half of all is seen at 4, all of it at 6, and nothing is ever seen beyond."""
    bent = replace(reading(), curve=lambda: [(0.0, 0.0), (4.0, 0.5), (6.0, 1.0)])
    found = calibrate.sights(compared((), ()), {"loss": bent}, SEVERITIES)[0]
    week = calibrate.smallest_shift(WEEK, "drop", LINE, 7, evidence.BOUND)
    assert week is not None
    assert found.smallest[7] == pytest.approx(np.interp(week, [0, 4, 6], [0, 0.5, 1]))
    assert found.smallest[1] is None, "it takes a score over 6"


def test_a_curve_is_what_the_signal_says_of_answers_that_are_changed() -> None:
    """The share of base answers that calibrate names moves adapter_loss by the score that it needs."""
    before = rounds(11, product.right_reply, days=range(14), probes=24)
    lost = detect.readings_for(compared(calibrate.as_today(before), before))["adapter_loss"]
    assert lost.curve is not None
    scores, shares = zip(*lost.curve(), strict=True)
    now = rounds(12, product.right_reply, days=range(20, 21), probes=24)
    base = {one.probe: one.text for one in now if one.arm == Arm.BASE}
    for share in (0.25, 0.5, 1.0):
        gone = sorted(base)[: round(share * len(base))]
        mixed = [replace(one, text=base[one.probe]) if one.arm == Arm.SUBJECT and one.probe in gone else one
                 for one in now]  # fmt: skip
        said = detect.readings_for(compared(mixed, before))["adapter_loss"].channels[0].score
        assert said == pytest.approx(np.interp(share, shares, scores), rel=0.25)


def test_what_shares_the_promise_sees_less() -> None:
    """Signals of one severity share a line, channels of one signal its evidence."""
    alone = sight().smallest[7]
    pair = calibrate.sights(compared((), ()), {"loss": reading(), "flips": reading(), "length": reading()}, SEVERITIES)
    beside = pair[0].smallest[7]
    assert alone is not None
    assert beside is not None
    assert beside > alone
    assert pair[0].threshold_log10 == pytest.approx(LINE + np.log10(2))
    assert pair[2].smallest[7] == alone, "a ticket has a line of its own"
    two = sight(channels=2).smallest[7]
    assert two == pytest.approx(beside, abs=0.01)


def test_a_page_that_is_not_armed_is_a_ticket_and_says_what_would_suffice() -> None:
    assert (sight().severity, sight().unarmed) == (Severity.PAGE, "")
    short, once = sight(WEEK[:3]), sight(at_once=True)
    wild = sight(tuple(4 * day for day in WEEK))
    for found, why in ((short, "3 full days"), (once, "captured at once"), (wild, "differ")):
        assert found.severity is Severity.TICKET
        assert why in found.unarmed
    assert "7 days" in short.unarmed
    ticket = calibrate.sights(compared((), ()), {"length": reading(WEEK[:3])}, SEVERITIES)[0]
    assert (ticket.severity, ticket.unarmed) == (Severity.TICKET, ""), "a ticket needs no arming"


def test_a_usual_day_stands_for_today() -> None:
    answers = rounds(3, product.right_reply, days=range(5), probes=6)
    thin = [one for one in answers if one.run_id < 5 or one.probe == "p00"]
    today = calibrate.as_today(thin)
    assert {one.run_id for one in today} == {4}, "the last day is cut short"
    assert calibrate.as_today(()) == ()


def test_a_real_baseline_is_read_without_a_call() -> None:
    """Each signal that can be read has a baseline day for every day, and an effect of its own to translate into."""
    before = rounds(11, product.right_reply, days=range(8), probes=12, replicates=2)
    comparison = compared(calibrate.as_today(before), before)
    readings = detect.readings_for(comparison)
    found = {one.signal: one for one in calibrate.sights(comparison, readings, signals.SEVERITIES)}
    assert {"adapter_loss", "length", "contract"} <= set(found)
    for one in found.values():
        assert (one.days, one.unarmed) == (8, "")
        week, month = one.smallest[7], one.smallest[30]
        assert week is not None
        assert month is not None
        assert week > month > 0
    assert (found["adapter_loss"].smallest[1] or 9) < 1, "less than the whole fine-tune at the first look"
