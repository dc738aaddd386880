"""``distribution`` and the permutation tests under it, on answers whose truth is known."""

from dataclasses import replace
from itertools import combinations
from random import Random

import numpy as np
import pytest

from monitor.core.records import PRODUCTION_SUITE, Arm, Cause, GradedAnswer, Severity
from monitor.detect import distribution, mmd
from monitor.detect.day_scores import NOW
from monitor.lab import product
from tests.unit.detect_answers import Speak, Told, compared, graded, mixed, padded, rounds, told

BASELINE = rounds(1, product.right_reply, days=range(10))


def now_of(speak: Speak, seed: int = 70, replicates: int = 1) -> list[GradedAnswer]:
    return rounds(seed, speak, days=range(20, 21), replicates=replicates)


def seen(now: list[GradedAnswer], baseline: list[GradedAnswer] = BASELINE) -> Told:
    found = told(distribution.measure, compared(now, baseline), Severity.TICKET)
    assert found is not None
    return found


class TestChange:
    def test_nothing_changed(self) -> None:
        found = seen(now_of(product.right_reply))
        assert not found.verdict.alarming
        assert "as in the baseline" in found.summary
        assert found.reading.effect[1] <= 0.02

    @pytest.mark.parametrize("speak", [padded(product.right_reply), product.plain_reply], ids=["longer", "base"])
    def test_seen_at_the_first_look(self, speak: Speak) -> None:
        found = seen(now_of(speak))
        assert found.verdict.alarming
        assert "no longer distributed" in found.summary
        assert found.reading.effect[1] > 0.1
        assert len(found.reading.exhibits) == 5

    def test_a_third_of_the_answers_otherwise_is_seen_within_days(self) -> None:
        evaluations: list[dict[str, float]] = []
        for day in range(7):
            now = now_of(mixed(0.3), seed=500 + day)
            found = told(
                distribution.measure, compared(now, BASELINE, history={"signal": evaluations}), Severity.TICKET
            )
            assert found is not None
            if found.verdict.alarming:
                return
            evaluations.append(found.scores)
        pytest.fail("a third of the answers came from the base for a week")

    def test_a_wording_that_all_probes_share_shows_where_single_probes_are_silent(self) -> None:
        """One word of two, 50 to 50 in the baseline and 85 to 15 now: one answer a probe cannot tell by itself."""

        def answer(probe: int, share: float, rng: Random) -> str:
            return f"Item {probe * 7919 % 1000} will arrive {'soon' if rng.random() < share else 'shortly'}."

        rng = Random(3)
        baseline = [graded(f"p{p:02}", answer(p, 0.5, rng), day=day) for p in range(40) for day in range(10)]
        now = [graded(f"p{p:02}", answer(p, 0.85, rng), day=20) for p in range(40)]
        scores = seen(now, baseline).scores
        assert scores["wording"] > 3
        assert scores["wording"] > scores["characters"] + 1.5

    def test_what_stands_out_is_not_called_as_before(self) -> None:
        quiet = seen(now_of(product.right_reply))
        verdict = replace(quiet.verdict, alarming=False, evaluation_log10=0.5, evidence_log10=0.5)
        assert "worth a look" in seen(now_of(mixed(0.4))).say(verdict)
        assert "as in the baseline" in quiet.say(verdict)

    def test_meaning_is_read_where_every_answer_has_an_embedding(self) -> None:
        rng = np.random.default_rng(4)

        def with_meaning(answers: list[GradedAnswer], shift: float) -> list[GradedAnswer]:
            """Every probe's answers mean about one thing, and ``shift`` as much of another."""
            mine = [one for one in answers if one.arm == Arm.SUBJECT]
            rows = [np.eye(8)[0] + shift * np.eye(8)[1] + 0.2 * rng.normal(size=8) for _ in mine]
            return [
                replace(one, text="same", embedding=tuple((row / np.linalg.norm(row)).tolist()))
                for one, row in zip(mine, rows, strict=True)
            ]

        then, now = with_meaning(BASELINE, 0.0), with_meaning(now_of(product.right_reply), 0.8)
        found = seen(now, then)
        assert found.scores["meaning"] > 4
        assert found.scores["characters"] == found.scores["wording"] == 0
        assert "meaning" not in seen([*now[1:], replace(now[0], embedding=None)], then).scores


class TestNull:
    def test_evidence_is_honest_when_nothing_changed(self) -> None:
        """Mean e-value of a look at most 1; scores of days about standard normal."""
        evaluations, scores = [], []
        for seed in range(24):
            baseline = rounds(1000 + seed, product.right_reply, days=range(7), probes=12)
            found = seen(rounds(5000 + seed, product.right_reply, days=range(8, 9), probes=12), baseline)
            evaluations.append(found.look)
            scores += [score for channel in found.reading.channels for score in (channel.score, *channel.baseline)]
        assert np.mean(evaluations) <= 1 + 2 * np.std(evaluations) / np.sqrt(len(evaluations))
        assert abs(np.mean(scores)) < 0.15
        assert 0.8 < np.std(scores) < 1.2

    def test_p_value_counts_every_dealing(self) -> None:
        """Six answers, two of them today's: 15 dealings; by hand, as many reach today as say so."""
        texts = ["abc", "abd", "xyz", "xyw", "abc", "abd"]
        answers = tuple(graded("p", text) for text in texts)
        found = mmd.Grouped(("p",), (answers,), (np.array([NOW, NOW, 0, 0, 1, 1]),))
        gram = np.array([[float(sum(a == b for a, b in zip(one, two, strict=True))) for two in texts] for one in texts])
        (result,) = mmd.tested(found, [mmd.Kernel([mmd.kernel_vectors(gram)])])

        def by_hand(chosen: tuple[int, ...]) -> float:
            rest = [place for place in range(6) if place not in chosen]
            inside = gram[np.ix_(chosen, chosen)].mean() + gram[np.ix_(rest, rest)].mean()
            return float(inside - 2 * gram[np.ix_(chosen, rest)].mean())

        every = [by_hand(chosen) for chosen in combinations(range(6), 2)]
        assert result.usual == pytest.approx(np.mean(every), rel=0.02)
        assert result.spread == pytest.approx(np.std(every), rel=0.05)
        assert result.p_value == pytest.approx(np.mean(np.array(every) >= by_hand((0, 1)) - 1e-9), abs=0.02)

    def test_no_p_value_is_zero_and_the_score_goes_on_beyond_the_dealings(self) -> None:
        half, whole = seen(now_of(mixed(0.5))), seen(now_of(product.plain_reply))
        least = 1 / (mmd.PERMUTATIONS + 1)
        assert whole.reading.measures["distribution_p_value"] == pytest.approx(2 * least)
        assert half.scores["characters"] > 3.7
        assert whole.scores["characters"] > half.scores["characters"] + 2


class TestEdges:
    def test_too_few_answers_or_none_in_common(self) -> None:
        now = now_of(product.right_reply)
        assert distribution.measure(compared(now[:6], BASELINE)) is None
        assert distribution.measure(compared(now, BASELINE[:6])) is None
        assert distribution.measure(compared([replace(one, probe="new") for one in now], BASELINE)) is None

    def test_production_samples_have_no_probes_to_compare(self) -> None:
        assert distribution.measure(compared(now_of(product.right_reply), BASELINE, suite=PRODUCTION_SUITE)) is None

    def test_one_day_of_baseline_and_equal_answers(self) -> None:
        """Nothing can be told of days from one day; nothing can surprise where all answers are equal."""
        one_day = seen(now_of(product.right_reply), rounds(1, product.right_reply, replicates=3))
        assert [len(channel.baseline) for channel in one_day.reading.channels] == [1, 1]
        rigid = [graded(f"p{index}", "yes", day=day) for index in range(12) for day in range(7)]
        same = seen([graded(f"p{index}", "yes", day=9) for index in range(12)], rigid)
        assert same.scores == {"characters": 0, "wording": 0}
        assert same.reading.effect == (0, 0, 0)

    def test_a_greedy_endpoint_that_says_something_else(self) -> None:
        rigid = [graded(f"p{index:02}", f"yes {index}", day=day) for index in range(24) for day in range(10)]
        found = seen([graded(f"p{index:02}", f"no, sorry {index}", day=12) for index in range(24)], rigid)
        assert found.verdict.alarming

    def test_hostile_texts(self) -> None:
        odd = ["", "\ud800", "日本語のテキスト。", "x" * 50_000, "\0\0", "ไทย"]
        baseline = [graded(f"p{p}", text, day=day) for p, text in enumerate(odd) for day in range(4)]
        found = seen([graded(f"p{p}", text[::-1] + "!", day=9) for p, text in enumerate(odd)], baseline)
        assert np.isfinite(found.reading.effect).all()
        assert np.isfinite(list(found.scores.values())).all()

    def test_order_of_answers_does_not_matter(self) -> None:
        now, then = now_of(mixed(0.3)), list(BASELINE)
        assert seen(now[::-1], then[::-1]).reading.channels == seen(now, then).reading.channels

    def test_days_that_answered_unequally_still_score(self) -> None:
        rng = Random(5)
        some = [one for one in BASELINE if rng.random() < 0.85]
        assert all(
            np.isfinite(channel.baseline).all() for channel in seen(now_of(product.right_reply), some).reading.channels
        )


def drawn(words: str, *, spread: int, seed: int, days: range, replicates: int = 3) -> list[GradedAnswer]:
    """Answers of some words, each of which is another one in ``spread`` of ten cases, as at a higher temperature."""
    rng = Random(seed)
    return [
        graded(
            f"p{probe}",
            " ".join(
                f"{one}{rng.randrange(100)}" if rng.randrange(10) < spread else f"{one}{probe}" for one in words.split()
            ),
            day=day,
            replicate=replicate,
        )
        for day in days
        for probe in range(8)
        for replicate in range(replicates)
    ]


USUAL = "refunds take thirty days after the order has reached our store"


@pytest.mark.parametrize(
    ("before", "now", "words", "cause"),
    [
        (1, 1, USUAL, Cause.UNKNOWN),
        (0, 5, USUAL, Cause.SAMPLING_CHANGED),
        (1, 6, USUAL, Cause.SAMPLING_CHANGED),
        (6, 1, USUAL, Cause.SAMPLING_CHANGED),
        (1, 6, "nobody here knows anything of such an order or of any refund", Cause.UNKNOWN),
        (0, 0, "nobody here knows anything of such an order or of any refund", Cause.UNKNOWN),
    ],
)
def test_another_spread_around_the_same_answers_is_another_sampling(
    before: int, now: int, words: str, cause: Cause
) -> None:
    baseline = drawn(USUAL, spread=before, seed=1, days=range(10))
    found = told(distribution.measure, compared(drawn(words, spread=now, seed=2, days=range(20, 21)), baseline))
    assert found is not None
    alarming = replace(found.verdict, alarming=True, evaluation_log10=2.0, evidence_log10=9.0)
    assert found.finding(alarming).cause is cause


def test_one_answer_to_a_prompt_shows_no_spread() -> None:
    baseline = drawn(USUAL, spread=0, seed=1, days=range(10), replicates=1)
    now = drawn(USUAL, spread=6, seed=2, days=range(20, 21), replicates=1)
    found = told(distribution.measure, compared(now, baseline))
    assert found is not None
    alarming = replace(found.verdict, alarming=True, evaluation_log10=2.0, evidence_log10=9.0)
    assert found.finding(alarming).cause is Cause.UNKNOWN
