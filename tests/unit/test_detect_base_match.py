"""``base_match``: the base's very answers, at temperature 0 and nowhere else."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from monitor.core.records import Arm, Cause, FindingState, GradedAnswer
from monitor.detect import base_match
from monitor.lab import product
from tests.unit.detect_answers import Speak, Told, compared, graded, rounds, told


def greedy(form: str, near_tie: float = 0.0) -> Speak:
    """One answer to each question, but for a near-tie that falls the base's way at times."""
    return lambda facts, rng: (
        f"not known: {facts.entity}" if rng.random() < near_tie else f"{form}: {facts.entity} {facts.topic}"
    )


FINE, BASE = greedy("shop"), greedy("", near_tie=1.0)
BASELINE = rounds(1, FINE, BASE, days=range(14))


def judged(now: Sequence[GradedAnswer], baseline: Sequence[GradedAnswer] = BASELINE, **options: object) -> Told | None:
    return told(base_match.measure, compared(now, baseline, temperature=0.0, **options))  # type: ignore[arg-type]


def looked(subject: Speak, base: Speak = BASE, seed: int = 5) -> Told:
    found = judged(rounds(seed, subject, base, days=range(14, 15)))
    assert found is not None
    return found


def test_a_no_op_adapter_pages_at_the_first_look() -> None:
    found = looked(BASE)
    assert found.verdict.alarming
    assert found.reading.effect[0] == 1
    assert found.reading.effect[1] > 0.7
    assert "24 of 24 answers are identical to the base's and not to approved ones, 0% in the baseline" in found.summary
    assert "whether it is applied" in found.summary
    assert len(found.reading.exhibits) == 5
    assert found.reading.exhibits[0].now == found.reading.exhibits[0].base


def test_a_base_that_changed_with_it_still_matches() -> None:
    """Both answer as the next base does: the pinned base's answers would show nothing."""
    assert looked(greedy("next"), greedy("next")).verdict.alarming


def test_a_base_that_moved_to_the_subject_s_answers_is_no_loss_of_the_subject() -> None:
    """Only the reference moved: the subject answers letter for letter as approved."""
    found = looked(FINE, FINE)
    assert not found.verdict.moved
    assert found.reading.effect[0] == 0
    told_ = found.reading.tell(found.verdict)
    assert (told_.state, told_.cause) == (FindingState.LOOK, Cause.BASE_MOVED)
    assert "24 of 24 answers are identical to the base's and to approved ones" in found.summary


@pytest.mark.parametrize("kept", [0, 6, 12])
def test_a_subject_that_lost_its_fine_tune_is_found_whatever_its_base_does(kept: int) -> None:
    """``kept`` answers are as approved; the others are the moved base's, which differ from all approved ones."""
    lost = rounds(5, greedy("next"), greedy("next"), days=range(14, 15))
    approved = {(one.probe, one.arm): one for one in BASELINE if one.arm is Arm.SUBJECT}
    probes = sorted({one.probe for one in lost})[:kept]
    now = [replace(one, text=approved[one.probe, Arm.SUBJECT].text) if one.probe in probes else one for one in lost]
    found = judged(now)
    assert found is not None
    assert found.verdict.alarming
    assert found.reading.effect[0] == pytest.approx(1 - kept / 24)


def test_answers_without_text_are_neither_equal_nor_different() -> None:
    silent: Speak = lambda facts, rng: " \n"  # noqa: E731
    assert judged(rounds(5, silent, BASE, days=range(14, 15))) is None
    lost = rounds(5, BASE, silent, days=range(14, 15))
    assert judged(lost, rounds(1, FINE, silent, days=range(14))) is None
    against_the_approved = judged(lost)
    assert against_the_approved is not None
    assert against_the_approved.reading.effect[0] == 1


@pytest.mark.parametrize("subject", [FINE, greedy("another"), product.plain_reply])
def test_other_changes_do_not_match(subject: Speak) -> None:
    found = looked(subject)
    assert not found.verdict.moved
    assert found.reading.effect[0] == 0
    assert found.summary.startswith("No more answers than approved are identical to the base's: 0 of 24")


def test_a_share_of_the_traffic_adds_up() -> None:
    history: list[dict[str, float]] = []
    for seed in range(7):
        now = rounds(seed, greedy("shop", near_tie=0.3), BASE, days=range(14 + seed, 15 + seed))
        found = judged(now, history={"signal": history})
        assert found is not None
        history.append(found.scores)
        paged = found.verdict.alarming
    assert paged


def test_one_near_tie_that_stays_flipped_never_pages() -> None:
    now = rounds(5, FINE, BASE, days=range(14, 15))
    base = {one.probe: one.text for one in now if one.arm is Arm.BASE}
    flipped = [replace(one, text=base["p03"]) if one.probe == "p03" else one for one in now]
    found = judged(flipped)
    assert found is not None
    assert found.reading.channels[0].score == pytest.approx(0, abs=0.01)
    later = judged(flipped, history={"signal": [found.scores] * 60})
    assert later is not None
    assert not later.verdict.moved
    assert [one.probe for one in later.reading.exhibits] == ["p03"]


def test_honest_null() -> None:
    """60 healthy pairs; one answer in ten falls the base's way by a near-tie, then as now."""
    evaluations = []
    for seed in range(60):
        baseline = rounds(seed, greedy("shop", 0.1), BASE, days=range(7), probes=12)
        now = rounds(900 + seed, greedy("shop", 0.1), BASE, days=range(7, 8), probes=12)
        found = judged(now, baseline)
        assert found is not None
        evaluations.append(found.look)
        assert found.reading.effect[1] <= 0 <= found.reading.effect[2]
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(60)


def test_any_of_the_base_answers_of_the_same_run_counts_and_none_of_another_run() -> None:
    def day(number: int, subject: str, bases: Sequence[str]) -> list[GradedAnswer]:
        return [
            one
            for probe in range(6)
            for one in (
                graded(f"p{probe}", subject, day=number),
                *(graded(f"p{probe}", text, day=number, arm=Arm.BASE, replicate=k) for k, text in enumerate(bases)),
            )
        ]

    baseline = [one for number in range(3) for one in day(number, "mine", ["theirs", "also theirs"])]
    second = judged(day(9, "also theirs", ["theirs", "also theirs"]), baseline)
    other_run = judged(day(9, "theirs", ["new", "newer"]), baseline)
    assert second is not None
    assert other_run is not None
    assert second.reading.effect[0] == 1
    assert other_run.reading.effect[0] == 0


@pytest.mark.parametrize("asked", [0, 4, 12])
def test_a_lost_fine_tune_is_found_whatever_share_of_the_base_is_asked(asked: int) -> None:
    now = rounds(5, BASE, BASE, days=range(14, 15))
    kept = [one for one in now if one.arm is Arm.SUBJECT or one.probe < f"p{asked:02}"]
    found = judged(kept)
    assert found is not None
    assert found.verdict.alarming
    assert found.reading.effect[0] == 1
    assert "24 of 24 answers are identical to the base's" in found.summary


@pytest.mark.parametrize("asked", [0, 4, 24])
@pytest.mark.parametrize("near_tie", [0.02, 0.1, 0.4])
def test_the_null_is_honest_whatever_share_of_the_base_is_asked(asked: int, near_tie: float) -> None:
    """The subject falls the base's way by near ties, and the base gives one of two answers: then as now."""
    two = greedy("", near_tie=0.5)
    evaluations = []
    for seed in range(40):
        baseline = rounds(seed, greedy("shop", near_tie), two, days=range(14))
        now = rounds(900 + seed, greedy("shop", near_tie), two, days=range(14, 15))
        found = judged([one for one in now if one.arm is Arm.SUBJECT or one.probe < f"p{asked:02}"], baseline)
        assert found is not None
        evaluations.append(found.look)
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(40)


def test_an_approved_answer_counts_for_nothing_where_the_base_was_not_asked() -> None:
    """Half of the subject's answers turn into the base's, the other half stay; the base was asked nothing today."""
    lost = [one for one in rounds(5, BASE, BASE, days=range(14, 15)) if one.arm is Arm.SUBJECT]
    kept = [one for one in rounds(5, FINE, BASE, days=range(14, 15)) if one.arm is Arm.SUBJECT]
    found = judged([*lost[:12], *kept[12:]])
    assert found is not None
    assert found.reading.effect[0] == pytest.approx(0.5)


def test_the_base_s_answers_of_the_same_day_are_left_out_for_a_baseline_answer() -> None:
    """The subject equalled the base on one day, whose answer the base gave only then: in the place of that day's
    answer, it is compared with the base's other days, so it is new there and today."""

    def day(number: int, subject: str, base: str | None) -> list[GradedAnswer]:
        return [
            graded(f"p{probe}", text, day=number, arm=arm)
            for probe in range(8)
            for arm, text in ((Arm.SUBJECT, subject), (Arm.BASE, base))
            if text is not None
        ]

    baseline = [one for number in range(6) for one in day(number, "mine", "once" if number == 3 else "theirs")]
    odd = [replace(one, text="once") if one.arm is Arm.SUBJECT and one.run_id == 4 else one for one in baseline]
    found = judged(day(9, "mine", None), odd)
    assert found is not None
    assert found.reading.channels[0].baseline == (0.0,) * 6
    assert found.reading.effect[0] == 0


def test_no_reading_rather_than_a_guess() -> None:
    now = rounds(5, BASE, BASE, days=range(14, 15))
    for temperature in (None, 0.2, 1.0):
        assert base_match.measure(compared(now, BASELINE, temperature=temperature)) is None
    assert judged(now, [one for one in BASELINE if one.arm is Arm.SUBJECT]) is None
    assert judged(now, rounds(1, BASE, BASE, days=range(14))) is None  # they agreed all along
    assert judged(now[:6]) is None
    assert judged([]) is None


def test_one_day_of_baseline_is_a_ticket() -> None:
    found = judged(rounds(5, BASE, BASE, days=range(1, 2)), rounds(1, FINE, BASE, days=range(1)))
    assert found is not None
    assert found.reading.effect[0] == 1
    assert found.verdict.severity == "ticket"
