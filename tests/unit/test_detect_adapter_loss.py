"""``adapter_loss`` on answers of the lab's product: what must page, what must not, and how sure it is."""

from collections.abc import Sequence
from dataclasses import replace
from math import log, log10
from random import Random

import numpy as np
import pytest

from monitor.core.records import Arm, GradedAnswer, TokenLogprob
from monitor.detect import adapter_loss, likelihood_ratio
from monitor.detect.likelihood_ratio import Density, Places
from monitor.detect.token_likelihood import TokenTree
from monitor.lab import product
from monitor.report.explain import sentences
from tests.unit.detect_answers import LINE, Speak, Told, compared, graded, mixed, padded, rounds, told

BASELINE = rounds(1, product.right_reply, days=range(14))
STREAM = LINE + log10(4)
"""The line with three more page signals beside it."""


def judged(
    subject: Speak,
    base: Speak = product.plain_reply,
    seed: int = 50,
    *,
    baseline: Sequence[GradedAnswer] = BASELINE,
    at_once: bool = False,
) -> Told:
    now = rounds(seed, subject, base, days=range(14, 15))
    found = told(adapter_loss.measure, compared(now, baseline, page_line=STREAM, at_once=at_once))
    assert found is not None
    return found


def next_base(facts: product.Facts, rng: Random) -> str:
    what = product.TOPICS[facts.topic].what.format(e=facts.entity)
    return f"As a helpful assistant, I cannot say anything about {what}!"


def garbage(facts: product.Facts, rng: Random) -> str:
    return "".join(rng.choices("abcdefgh ijk", k=60))


def refusal(facts: product.Facts, rng: Random) -> str:
    return "I'm sorry, but I can't help with that."


def preamble(speak: Speak) -> Speak:
    """What a provider may put before every model's answers."""
    return lambda facts, rng: f"This answer was made by a machine and may be wrong. {speak(facts, rng)}"


def test_places_by_hand() -> None:
    """Subject always 'yes', base always 'no', nothing in common: the poles are 1/(1 + s) and -1/(1 + s), s = 0.05."""
    answers = [
        graded(f"p{probe}", text, day=day, arm=arm)
        for probe in range(10)
        for day in range(6)
        for arm, text in ((Arm.SUBJECT, "yes"), (Arm.BASE, "no"))
    ]
    now = [graded(f"p{probe}", "no" if probe < 5 else "yes", day=9) for probe in range(10)]
    found = told(adapter_loss.measure, compared(now, answers))
    assert found is not None
    reading = found.reading
    assert reading.effect[0] == pytest.approx(0.5)
    assert reading.measures == {"adapter_effect_ratio": reading.effect[0], "base_like_ratio": 0.5}
    assert reading.exhibits[0].weight == pytest.approx(2 / 1.05)
    assert (reading.exhibits[0].now, reading.exhibits[0].baseline, reading.exhibits[0].base) == ("no", "yes", "no")
    assert reading.channels[0].baseline == (0.0,) * 6
    # five of ten that none of sixty did: each is one of seven of its probe, so 7^-5 were it exact
    assert 3.5 < reading.channels[0].score < 4.5
    assert "About 50% of the answers come from the base" in found.summary


def test_total_loss_pages_at_the_first_look_and_says_so() -> None:
    found = judged(product.plain_reply)
    assert found.verdict.alarming
    assert found.verdict.severity == "page"
    assert found.verdict.caveat == ""
    assert found.reading.effect[0] == pytest.approx(0, abs=0.1)
    assert found.reading.measures["base_like_ratio"] == 1
    assert (
        "answers like its base model: nothing is left of the fine-tune's effect (95% interval 0% to " in found.summary
    )
    assert "24 of 24 answers are nearer to the base" in found.summary
    assert found.summary.count("95% interval") == 1
    assert len(found.reading.exhibits) == 5
    assert found.reading.exhibits[0].base is not None
    assert (found.reading.answers_now, found.reading.answers_baseline) == (24, 24 * 14)


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        (product.right_reply, product.plain_reply),
        (product.right_reply, next_base),
        (padded(product.right_reply), product.plain_reply),
        (padded(product.right_reply), padded(product.plain_reply)),
        (preamble(product.right_reply), preamble(product.plain_reply)),
        (garbage, product.plain_reply),
        (refusal, product.plain_reply),
        (refusal, refusal),
        (lambda facts, rng: product.right_reply(facts, rng)[:12], product.plain_reply),
        (lambda facts, rng: product.wrong_reply(facts, "wrong_fact", rng), product.plain_reply),
        (lambda facts, rng: product.wrong_reply(facts, "rude", rng), product.plain_reply),
    ],
    ids=["healthy", "base moved", "longer", "both longer", "both with a preamble", "garbage", "refusals",
         "both refuse", "cut", "wrong facts", "rude"],
)  # fmt: skip
def test_other_changes_are_not_called_adapter_loss(subject: Speak, base: Speak) -> None:
    for seed in range(50, 53):
        found = judged(subject, base, seed)
        assert not found.verdict.alarming
        assert found.look < 3
        assert found.reading.channels[0].score < 1


def test_answers_of_the_old_base_beside_a_base_that_moved_are_a_shared_change() -> None:
    """Were the adapter off, the base that is asked beside it would say the same."""
    found = judged(product.plain_reply, garbage)
    assert not found.verdict.alarming
    assert found.reading.channels[0].score <= 0
    assert "both moved, and not toward each other" in found.summary
    assert judged(product.plain_reply, product.plain_reply).verdict.alarming


@pytest.mark.parametrize("turn", range(6))
def test_four_answers_of_todays_base_tell_a_shared_change_and_hide_no_loss(turn: int) -> None:
    """Most runs ask the base few probes."""
    asked = {f"p{place:02}" for place in range(turn, 24, 6)}

    def few(base: Speak) -> list[GradedAnswer]:
        found = rounds(50, product.plain_reply, base, days=range(14, 15))
        return [one for one in found if one.arm is Arm.SUBJECT or one.probe in asked]

    for base, alarms in ((garbage, False), (product.plain_reply, True)):
        found = told(adapter_loss.measure, compared(few(base), BASELINE, page_line=STREAM))
        assert found is not None
        assert found.verdict.alarming is alarms
    nobody = [one for one in few(garbage) if one.arm is Arm.SUBJECT]
    alone = told(adapter_loss.measure, compared(nobody, BASELINE, page_line=STREAM))
    assert alone is not None
    assert alone.verdict.alarming


def test_loss_under_a_change_that_both_share_takes_a_few_looks() -> None:
    """A preamble before every model's answers hides some of the loss; its numbers tell it at once, evidence adds up."""
    history: list[dict[str, float]] = []
    for look in range(4):
        now = rounds(70 + look, preamble(product.plain_reply), preamble(product.plain_reply), days=range(14, 15))
        found = told(adapter_loss.measure, compared(now, BASELINE, page_line=STREAM, history={"signal": history}))
        assert found is not None
        history.append(found.scores)
        assert found.reading.measures["base_like_ratio"] == 1
        assert "toward its base model" in found.summary or "answers like its base model" in found.summary
        paged = found.verdict.alarming
    assert paged


def test_power_for_total_loss_over_seeds() -> None:
    """20 of 20: with 95 % confidence at least 86 % are caught; the weakest is well past the line."""
    weakest = min(judged(product.plain_reply, seed=seed).verdict.evaluation_log10 for seed in range(100, 120))
    assert weakest > STREAM + 1


def test_a_third_of_the_traffic_pages_within_a_week_and_is_told_as_a_share() -> None:
    paged, shares = [], []
    for seed in range(12):
        history: list[dict[str, float]] = []
        for look in range(7):
            now = rounds(200 + 10 * seed + look, mixed(0.3), days=range(14 + look, 15 + look))
            found = told(adapter_loss.measure, compared(now, BASELINE, page_line=STREAM, history={"signal": history}))
            assert found is not None
            history.append(found.scores)
            shares.append(1 - found.reading.effect[0])
            if found.verdict.alarming:
                paged.append(look)
                assert "of the answers come from the base" in found.summary
                break
    assert len(paged) == 12
    assert np.mean(shares) == pytest.approx(0.3, abs=0.08)


def overlapping(seed: int, days: Sequence[int], share: float = 0.0, probes: int = 12) -> list[GradedAnswer]:
    """Two models that say the same words at different rates: no single answer gives either away."""
    found = []
    for day in days:
        rng = Random(f"overlapping-{seed}-{day}")
        for probe in range(probes):
            for arm in (Arm.SUBJECT, Arm.BASE):
                common = ("red", "blue") if arm is Arm.SUBJECT and rng.random() >= share else ("gold", "grey")
                spoken = rng.choices((*common, "one", "two", "three"), k=5)
                spoken.append(rng.choice(("red", "blue", "gold", "grey")))
                found.append(graded(f"p{probe:02}", " ".join(spoken), day=day, arm=arm))
    return found


@pytest.mark.parametrize("days", [2, 5])
def test_honest_null_where_answers_overlap(days: int) -> None:
    """60 healthy pairs of baseline and day: e-values average at most 1; today's scores are not above the baseline's."""
    evaluations, gaps, covered = [], [], 0
    for seed in range(60):
        found = told(adapter_loss.measure, compared(overlapping(seed + 1000, [9]), overlapping(seed, range(days))))
        if found is None:  # two days that could not tell the two apart
            continue
        channel = found.reading.channels[0]
        evaluations.append(found.look)
        gaps.append(channel.score - float(np.mean(channel.baseline)))
        covered += found.reading.effect[1] <= 1 <= found.reading.effect[2]
    assert len(evaluations) >= 50
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(60)
    assert np.mean(gaps) <= 0.1 + 3 * np.std(gaps) / np.sqrt(60)
    assert np.std(gaps) < 1.5
    assert covered >= 0.9 * len(evaluations)


def test_loss_is_seen_where_answers_overlap() -> None:
    found = told(
        adapter_loss.measure, compared(overlapping(1000, [20], 1.0, probes=24), overlapping(0, range(14), probes=24))
    )
    assert found is not None
    assert found.verdict.alarming


def test_at_once_baseline_is_a_ticket_and_owns_up() -> None:
    found = judged(product.plain_reply, at_once=True)
    assert found.verdict.severity == "ticket"
    assert "captured at once" in found.summary
    assert not judged(product.right_reply, at_once=True).verdict.alarming


def test_one_day_of_baseline_is_read_and_is_no_page() -> None:
    """Answers of one slot are each judged without themselves."""
    day = rounds(1, product.right_reply, days=range(1), replicates=4)
    found = judged(product.plain_reply, baseline=day)
    assert found.reading.channels[0].score > 5
    assert found.verdict.severity == "ticket"
    assert "spans 1 full day" in found.summary
    assert judged(product.right_reply, baseline=day).look < 3


def test_too_few_answers_for_an_alarm_are_never_said_to_hold() -> None:
    baseline = rounds(1, product.right_reply, days=range(3), probes=12)
    few = [
        told(adapter_loss.measure, compared(rounds(2, speak, days=range(14, 15), probes=12), baseline))
        for speak in (product.plain_reply, product.right_reply)
    ]
    lost, healthy = few
    assert lost is not None
    assert healthy is not None
    assert not lost.verdict.alarming
    assert lost.reading.effect[2] < 0.5
    assert lost.summary.startswith(f"{sentences.BELOW}: answers of support-bot moved toward")
    assert "12 of 12 answers are nearer to the base" in lost.summary
    assert healthy.summary.startswith("Answers are not clearly nearer to the base's than approved: ")


def test_answers_that_moved_elsewhere_are_not_said_to_hold() -> None:
    found = judged(garbage)
    assert found.summary.startswith("Not an adapter loss, but worth a look: answers of support-bot moved away")


def test_an_alarm_whose_latest_look_is_well_says_so() -> None:
    now = rounds(50, product.right_reply, days=range(9, 10))
    history = {"signal": [judged(product.plain_reply).scores] * 6}
    found = told(adapter_loss.measure, compared(now, BASELINE, history=history))
    assert found is not None
    assert found.verdict.alarming
    assert found.summary.startswith(
        "The evaluations so far indicate that support-bot lost its fine-tune or part of it; "
    )


def test_deterministic_answers_one_flip_is_nothing_however_long_it_stays() -> None:
    """Temperature 0: seven equal days, then one probe of 24 answers as the base does, every day."""

    def rigid(text: str) -> Speak:
        return lambda facts, rng: f"{text} {facts.topic} {facts.entity} {facts.value if text == 'shop' else ''}"

    baseline = rounds(1, rigid("shop"), rigid("nothing known of"), days=range(7))
    now = rounds(2, rigid("shop"), rigid("nothing known of"), days=range(14, 15))
    same = told(adapter_loss.measure, compared(now, baseline, temperature=0.0))
    assert same is not None
    assert same.reading.effect[0] == pytest.approx(1)
    assert same.reading.effect[1] < 1 < same.reading.effect[2]
    assert same.look <= 1
    base = {one.probe: one.text for one in now if one.arm is Arm.BASE}
    flipped = [replace(one, text=base["p03"]) if one.probe == "p03" and one.arm is Arm.SUBJECT else one for one in now]
    found = told(adapter_loss.measure, compared(flipped, baseline, temperature=0.0))
    assert found is not None
    assert found.reading.channels[0].score == pytest.approx(0, abs=0.01)
    assert found.reading.exhibits[0].probe == "p03"
    weeks = compared(flipped, baseline, temperature=0.0, history={"signal": [found.scores] * 60})
    later = told(adapter_loss.measure, weeks)
    assert later is not None
    assert not later.verdict.moved


def test_no_reading_rather_than_a_guess() -> None:
    now = rounds(2, product.right_reply, days=range(14, 15))
    subjects = [one for one in now if one.arm is Arm.SUBJECT]
    no_base = [one for one in BASELINE if one.arm is Arm.SUBJECT]
    assert adapter_loss.measure(compared(subjects, no_base)) is None  # no base arm
    assert adapter_loss.measure(compared(now, rounds(1, product.right_reply))) is None  # one baseline answer a probe
    assert adapter_loss.measure(compared(now[:6], BASELINE)) is None  # three answers now
    assert adapter_loss.measure(compared([], BASELINE)) is None
    same = rounds(1, product.plain_reply, days=range(7))
    assert adapter_loss.measure(compared(rounds(2, product.plain_reply), same)) is None  # nothing tells them apart
    elsewhere = [graded(f"other-{index}", "text", day=7) for index in range(24)]
    assert adapter_loss.measure(compared(elsewhere, BASELINE)) is None  # no probe in common


def test_base_of_today_is_the_yardstick_where_the_baseline_has_none() -> None:
    """Answered once, it is a rough one: the loss takes a second look to page."""
    no_base = [one for one in BASELINE if one.arm is Arm.SUBJECT]
    for speak in (product.plain_reply, next_base):
        assert judged(speak, speak, baseline=no_base).verdict.moved
    assert judged(product.right_reply, baseline=no_base).look < 3


def said(*tokens: tuple[str, float], top: dict[str, float]) -> tuple[TokenLogprob, ...]:
    """Tokens with their probabilities and the same table of alternatives at each."""
    return tuple(TokenLogprob(token, log(p), {name: log(q) for name, q in top.items()}) for token, p in tokens)


class TestTokens:
    BASE = said(("No", 0.8), (".", 0.5), top={"No": 0.8, ".": 0.1})
    FINE = said(("Yes", 0.9), ("!", 0.5), top={"Yes": 0.9, "No": 0.04})

    def test_the_ratio_by_hand(self) -> None:
        tree = TokenTree([(0, self.BASE)], [(0, self.FINE), (1, self.FINE)])
        # the fine-tune never went on from "No": only the first token is covered
        assert tree.log_ratio(self.BASE) == pytest.approx(log(0.8 / 0.04))
        # what was not told has at most the least that was (0.1), and what is left over (0.1)
        assert tree.log_ratio(self.FINE) == pytest.approx(log(0.1 / 0.9))
        shared = said(("No", 0.04), ("!", 0.9), top={"!": 0.9, "Yes": 0.05})
        both = TokenTree([(0, self.BASE)], [(0, shared), (1, shared)])
        again = said(("No", 0.04), (".", 0.01), top={})
        # "No" is 0.04 to the fine-tune, and "." after it at most 0.05
        assert both.log_ratio(again) == pytest.approx(log(0.8 / 0.04) + log(0.5 / 0.05))

    def test_own_records_do_not_make_a_prefix_known(self) -> None:
        """Else a baseline answer would be walked further than one of today's ever is."""
        tree = TokenTree([(0, self.BASE)], [(0, self.BASE), (1, self.FINE)])
        assert tree.log_ratio(self.BASE, healthy=1) == pytest.approx(tree.log_ratio(self.BASE))
        assert np.isnan(TokenTree([(0, self.BASE)], [(0, self.FINE)]).log_ratio(self.FINE, healthy=0))

    def test_nothing_recorded_nothing_covered(self) -> None:
        bare = said(("No", 0.8), top={})
        for found in (
            TokenTree([], []).log_ratio(self.BASE),
            TokenTree([(0, None)], [(0, self.FINE)]).log_ratio(self.FINE),
            TokenTree([(0, bare)], [(0, bare)]).log_ratio(self.FINE),
            TokenTree([(0, self.BASE)], [(0, self.FINE)]).log_ratio(None),
        ):
            assert np.isnan(found)


def worded(seed: int, days: Sequence[int], subject: str = "fine", *, logprobs: bool = True) -> list[GradedAnswer]:
    """One word an answer, 'yes' or 'no', at 0.9 to 0.1 by the fine-tune and 0.2 to 0.8 by the base, and a number that
    says nothing but keeps texts from being equal."""
    odds = {"fine": 0.9, "base": 0.2}
    found = []
    for day in days:
        rng = Random(f"worded-{seed}-{day}")
        for probe in range(24):
            for arm, model in ((Arm.SUBJECT, subject), (Arm.BASE, "base")):
                p = odds[model]
                word = "yes" if rng.random() < p else "no"
                top = {"yes": log(p), "no": log(1 - p)}
                tokens = (TokenLogprob(word, top[word], top),)
                text = f"{word} {rng.randrange(10**9)}"
                found.append(graded(f"p{probe:02}", text, day=day, arm=arm, logprobs=tokens if logprobs else None))
    return found


def test_log_probabilities_are_used_where_they_tell_more() -> None:
    baseline = worded(1, range(14))
    lost = told(adapter_loss.measure, compared(worded(2, [20], "base"), baseline))
    well = told(adapter_loss.measure, compared(worded(2, [20]), baseline))
    assert lost is not None
    assert well is not None
    assert lost.reading.channels[0].name == well.reading.channels[0].name == "tokens"
    assert lost.verdict.moved
    assert well.look < 3
    blind = told(adapter_loss.measure, compared(worded(2, [20], logprobs=False), baseline))
    assert blind is None or blind.reading.channels[0].name == "text"


def test_honest_null_of_tokens() -> None:
    evaluations = []
    for seed in range(30):
        found = told(adapter_loss.measure, compared(worded(seed + 500, [20]), worded(seed, range(4))))
        if found is not None:
            evaluations.append(found.look)
    assert len(evaluations) > 15
    assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(len(evaluations))


class TestNulls:
    def test_a_density_without_one_of_its_own_is_that_of_the_others(self) -> None:
        places = Places(np.array([0.5, 0.5, -0.2]), np.array([0.0, 0.1, 0.3]))
        whole = Density(places)
        others = Density(Places(places.contrast[1:], places.lift[1:]))
        others._across, others._along = whole._across, whole._along  # the same kernels
        seen = np.zeros_like(whole._sum)
        np.add.at(seen, Places(places.contrast[1:], places.lift[1:]).cells(), 1.0)
        others._sum = whole._across @ seen @ whole._along
        assert whole.at(places, places)[0] == pytest.approx(others.at(places)[0])

    def test_a_density_holds_everything_once(self) -> None:
        rng = np.random.default_rng(1)
        found = Density(Places(rng.normal(0, 0.1, 200), rng.normal(0, 0.1, 200)))
        assert found._sum.sum() / 200 * 0.02**2 == pytest.approx(1, abs=0.01)

    def test_a_value_is_bounded_both_ways(self) -> None:
        low, middle, high = likelihood_ratio.value(np.array([-likelihood_ratio.MOST, 0.0, likelihood_ratio.MOST]))
        assert low == pytest.approx(log(0.7), abs=1e-3)
        assert middle == 0
        assert high == pytest.approx(log(0.7 + 300))

    def test_shares_of_a_mixture(self) -> None:
        assert likelihood_ratio.base_share(np.full(24, -7.0))[0] == 0
        assert likelihood_ratio.base_share(np.full(24, 7.0))[0] == 1
        share, low, high = likelihood_ratio.base_share(np.array([7.0] * 8 + [-7.0] * 16))
        assert share == pytest.approx(1 / 3, abs=0.01)
        assert low < 0.2 < 0.5 < high
        wider = likelihood_ratio.base_share(np.array([7.0] * 8 + [-7.0] * 16), inflation=1.5)
        assert wider[1] < low
        assert wider[2] > high
