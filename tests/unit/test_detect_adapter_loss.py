"""``adapter_loss`` on answers of the lab's product: what must page, what must not, and how sure it is."""

from random import Random

import numpy as np
import pytest

from monitor.detect import adapter_loss
from monitor.lab import product
from monitor.records import Arm, Finding
from tests.unit.detect_answers import Speak, compared, graded, mixed, padded, rounds

BASELINE = rounds(1, product.right_reply, days=range(7))


def judged(subject: Speak, base: Speak = product.plain_reply, seed: int = 50, *, at_once: bool = False) -> Finding:
    found = adapter_loss.detect(compared(rounds(seed, subject, base, days=range(7, 8)), BASELINE, at_once=at_once))
    assert found is not None
    return found


def next_base(facts: product.Facts, rng: Random) -> str:
    what = product.TOPICS[facts.topic].what.format(e=facts.entity)
    return f"As a helpful assistant, I cannot say anything about {what}!"


def garbage(facts: product.Facts, rng: Random) -> str:
    return "".join(rng.choices("abcdefgh ijk", k=60))


def test_places_by_hand() -> None:
    """Subject always 'yes', base always 'no', nothing in common: the poles are 1/(1 + s) and -1/(1 + s), s = 0.05."""
    answers = [
        graded(f"p{probe}", text, day=day, arm=arm)
        for probe in range(10)
        for day in range(6)
        for arm, text in ((Arm.SUBJECT, "yes"), (Arm.BASE, "no"))
    ]
    now = [graded(f"p{probe}", "no" if probe < 5 else "yes", day=9) for probe in range(10)]
    found = adapter_loss.detect(compared(now, answers))
    assert found is not None
    assert found.effect == pytest.approx(0.5)
    assert found.measures == {"adapter_effect_ratio": found.effect, "base_match_ratio": 0.5}
    assert found.exhibits[0].weight == pytest.approx(2 / 1.05)
    assert (found.exhibits[0].now, found.exhibits[0].baseline, found.exhibits[0].base) == ("no", "yes", "no")
    # 5 of 10 answers went all the way, less the tolerance of half an answer: 5 of Binomial(5, 1/7), in halves
    assert found.p_value == pytest.approx(7.0**-5, rel=1e-6)
    assert found.alarming


def test_total_loss_pages_at_the_first_look_and_says_so() -> None:
    found = judged(product.plain_reply)
    assert found.alarming
    assert found.p_value < 1e-5
    assert found.effect == pytest.approx(0, abs=0.1)
    assert found.measures["base_match_ratio"] == 1
    assert "answers like its base model: 1% of the fine-tune's approved effect is left" in found.summary
    assert "24 of 24 answers are nearer to the base" in found.summary
    assert len(found.exhibits) == 5
    assert found.exhibits[0].base is not None
    assert found.answers_now == 24
    assert found.answers_baseline == 24 * 7


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        (product.right_reply, product.plain_reply),
        (product.right_reply, next_base),
        (padded(product.right_reply), product.plain_reply),
        (padded(product.right_reply), padded(product.plain_reply)),
        (garbage, product.plain_reply),
        (lambda facts, rng: product.wrong_reply(facts, "wrong_fact", rng), product.plain_reply),
        (lambda facts, rng: product.wrong_reply(facts, "rude", rng), product.plain_reply),
    ],
    ids=["healthy", "base moved", "longer", "both longer", "garbage", "wrong facts", "rude"],
)
def test_other_changes_are_not_called_adapter_loss(subject: Speak, base: Speak) -> None:
    for seed in range(50, 55):
        found = judged(subject, base, seed)
        assert not found.alarming
        assert found.p_value > 0.01


def test_loss_onto_a_new_base_pages_too() -> None:
    assert judged(next_base, next_base).alarming


def test_power_for_total_loss_over_seeds() -> None:
    """60 of 60: with 95 % confidence at least 95 % are caught; the weakest is three decades past the line."""
    p_values = [judged(product.plain_reply, seed=seed).p_value for seed in range(100, 160)]
    assert max(p_values) < 1e-7


def test_a_third_of_the_traffic_shows_in_the_effect() -> None:
    effects = [judged(mixed(0.3), seed=seed).effect for seed in range(200, 230)]
    assert np.mean(effects) == pytest.approx(0.7, abs=0.05)


def test_null_level_with_fresh_baselines() -> None:
    """100 healthy pairs of baseline and day: at level 0.05 at most 5 + 3 standard errors; conservative by design."""
    p_values, covered = [], 0
    for seed in range(100):
        baseline = rounds(1000 + seed, product.right_reply, days=range(5), probes=12)
        now = rounds(5000 + seed, product.right_reply, days=range(7, 8), probes=12)
        found = adapter_loss.detect(compared(now, baseline))
        assert found is not None
        p_values.append(found.p_value)
        covered += found.effect_low <= 1 <= found.effect_high
    assert sum(p <= 0.05 for p in p_values) <= 11
    assert covered >= 90


def test_at_once_baseline_pages_on_total_loss_and_owns_up() -> None:
    found = judged(product.plain_reply, at_once=True)
    assert found.alarming
    assert "captured at once, or spans under 4 days" in found.summary
    assert not judged(product.right_reply, at_once=True).alarming


@pytest.mark.parametrize("replicates", [1, 2])
def test_few_baseline_answers_still_carry_a_total_loss(replicates: int) -> None:
    """Two rounds of baseline, 24 probes: 3 picks a probe are enough, though the days' spread is assumed."""
    baseline = rounds(1, product.right_reply, days=range(2), replicates=replicates)
    lost = adapter_loss.detect(compared(rounds(2, product.plain_reply, days=range(7, 8)), baseline))
    assert lost is not None
    assert lost.alarming


def judged_few(subject: Speak, days: int = 2) -> Finding:
    """Twelve answers beside a baseline of two: no loss, however total, can cross the line."""
    baseline = rounds(1, product.right_reply, days=range(days), probes=12)
    found = adapter_loss.detect(compared(rounds(2, subject, days=range(7, 8), probes=12), baseline))
    assert found is not None
    return found


def test_too_few_answers_for_an_alarm_are_never_said_to_hold() -> None:
    found = judged_few(product.plain_reply)
    assert not found.alarming
    assert found.effect_high < 0.5
    assert "holds" not in found.summary
    assert "Below the alarm line, but worth a look" in found.summary
    assert "12 of 12 answers are nearer to the base" in found.summary
    assert "too few answers to alarm at the promised rate (p 0.00" in found.summary
    assert "the line is 1.4e-4" in found.summary
    assert judged_few(product.right_reply).summary.startswith("The fine-tune holds: ")


def test_answers_that_moved_elsewhere_are_not_said_to_hold() -> None:
    found = judged(garbage)
    assert not found.alarming
    assert found.summary.startswith("Not an adapter loss, but worth a look: answers of support-bot moved away")
    assert "holds" not in found.summary


def test_no_minus_nought_in_a_summary() -> None:
    assert "-0.00" not in adapter_loss._summary(compared([], []), (0.9, -0.001, 1.1), 0, 12, 1.0, nearer=False)


def test_deterministic_answers_one_flip_is_nothing() -> None:
    """Temperature 0: seven equal days, then one probe of 24 answers as the base does."""

    def rigid(text: str) -> Speak:
        return lambda facts, rng: f"{text} {facts.topic} {facts.entity} {facts.value if text == 'shop' else ''}"

    baseline = rounds(1, rigid("shop"), rigid("nothing known of"), days=range(7))
    now = rounds(2, rigid("shop"), rigid("nothing known of"), days=range(7, 8))
    same = adapter_loss.detect(compared(now, baseline))
    assert same is not None
    assert same.effect == pytest.approx(1)
    assert same.p_value > 0.5
    assert same.effect_low < 1 < same.effect_high
    base = {one.probe: one.text for one in now if one.arm is Arm.BASE}
    flipped = [
        graded(one.probe, base[one.probe], day=7) if one.probe == "p03" and one.arm is Arm.SUBJECT else one
        for one in now
    ]
    found = adapter_loss.detect(compared(flipped, baseline))
    assert found is not None
    assert found.p_value > 0.1
    assert found.exhibits[0].probe == "p03"


def test_no_verdict_rather_than_a_guess() -> None:
    now = rounds(2, product.right_reply, days=range(7, 8))
    subjects = [one for one in now if one.arm is Arm.SUBJECT]
    no_base = [one for one in BASELINE if one.arm is Arm.SUBJECT]
    assert adapter_loss.detect(compared(subjects, no_base)) is None  # no base arm
    assert adapter_loss.detect(compared(now, rounds(1, product.right_reply))) is None  # one baseline answer a probe
    assert adapter_loss.detect(compared(now[:6], BASELINE)) is None  # three answers now
    assert adapter_loss.detect(compared([], BASELINE)) is None
    same = rounds(1, product.plain_reply, days=range(7))
    assert adapter_loss.detect(compared(rounds(2, product.plain_reply), same)) is None  # subject and base do not differ
    elsewhere = [graded(f"other-{index}", "text", day=7) for index in range(24)]
    assert adapter_loss.detect(compared(elsewhere, BASELINE)) is None  # no probe in common


def test_base_of_today_is_the_yardstick_where_the_baseline_has_none() -> None:
    no_base = [one for one in BASELINE if one.arm is Arm.SUBJECT]
    lost = adapter_loss.detect(compared(rounds(9, product.plain_reply, days=range(7, 8)), no_base))
    fine = adapter_loss.detect(compared(rounds(9, product.right_reply, days=range(7, 8)), no_base))
    assert lost is not None
    assert fine is not None
    assert lost.alarming
    assert not fine.alarming
