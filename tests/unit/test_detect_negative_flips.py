"""``negative_flips`` and the rates it reports: by hand, on seeded rounds, and against the promised power."""

from dataclasses import replace
from math import log10

import numpy as np
import pytest

from monitor.core.records import PRODUCTION_SUITE, Arm, Exhibit, GradedAnswer
from monitor.detect import evidence, flips, negative_flips
from tests.unit.detect_answers import Told, compared, e_value, graded, told

WEEKLY = log10(52 / 0.1) + log10(2)
"""The line of two page signals that look weekly, at 0.1 false pages a year."""


def items(right: int, negative: float, positive: float) -> np.ndarray:
    """Chance of a right answer of each of 100 items, ``right`` of which are usually right; flips as shares of 100."""
    wrong = 100 - right
    return np.concatenate([np.full(right, 1 - negative * 100 / right), np.full(wrong, positive * 100 / wrong)])


def week(rng: np.random.Generator, chances: np.ndarray, day: int) -> list[GradedAnswer]:
    return [
        graded(f"p{i:03}", "ok" if right else "no", day=day, scores={"check:exact": float(right)})
        for i, right in enumerate(rng.random(chances.size) < chances)
    ]


def seen(now: list[GradedAnswer], baseline: list[GradedAnswer], **more: object) -> Told:
    found = told(negative_flips.measure, compared(now, baseline, **more))  # type: ignore[arg-type]
    assert found is not None
    return found


def by_hand(rights: dict[str, str], day: int = 0) -> list[GradedAnswer]:
    """One answer a letter: ``+`` right, ``-`` wrong, on following days."""
    return [
        graded(probe, sign, day=day + at, scores={"checks": float(sign == "+")})
        for probe, signs in rights.items()
        for at, sign in enumerate(signs)
    ]


class TestRates:
    """MUSCLE's definitions on ten items: A to D are the answers, the last column is right."""

    old = "AABBCCDDAB"
    new = "ABBACDDCCC"
    truth = "AAABCDDBDC"

    def test_by_hand(self) -> None:
        old_right = [one == true for one, true in zip(self.old, self.truth, strict=True)]
        new_right = [one == true for one, true in zip(self.new, self.truth, strict=True)]
        assert sum(old_right) == 5
        assert sum(new_right) == 5  # the same accuracy, and yet
        assert flips.negative_flip_rate(old_right, new_right) == 0.2  # items 2 and 4
        assert flips.positive_flip_rate(old_right, new_right) == 0.2  # items 6 and 10
        # items 2 and 4, and one wrong answer for another in 8 and 9; item 3 stays wrong as it was
        assert flips.inconsistent_wrong_rate(self.old, self.new, new_right) == 0.4
        assert flips.generative_negative_flip_rate([0.9, 0.5, 0.0, 1.0], [0.8, 0.5, 0.2, 0.0]) == 0.5
        with pytest.raises(ValueError, match="at least one item"):
            flips.negative_flip_rate([], [])


class TestReading:
    baseline = by_hand({f"r{i}": "+" * 14 for i in range(10)} | {f"w{i}": "-" * 14 for i in range(5)}
                       | {"t0": "+-" * 7, "t1": "++-" * 4 + "++"})  # fmt: skip

    def test_names_numbers_and_shows_the_flipped_items(self) -> None:
        now = by_hand({f"r{i}": "-" if i < 6 else "+" for i in range(10)} | {"w0": "+", "w1": "-", "t0": "-"}, day=20)
        found = seen(now, self.baseline)
        assert (
            "6 of 10 answers that used to be right are wrong; 1 of 2 that used to be wrong are right" in found.summary
        )
        assert "1 to near ties do not count" in found.summary
        assert found.reading.measures["negative_flip_ratio"] == pytest.approx(6 / 13)
        assert found.reading.measures["positive_flip_ratio"] == pytest.approx(1 / 13)
        assert found.reading.effect[0] == pytest.approx(5 / 13)
        assert found.reading.effect[1] < 5 / 13 < found.reading.effect[2]
        first: Exhibit = found.reading.exhibits[0]
        assert (first.probe, first.baseline, first.now) == ("r0", "+", "-")

    def test_near_ties_never_add(self) -> None:
        steady = {f"r{i}": "+" for i in range(10)}
        apart = [seen(by_hand(steady | {"t0": sign, "t1": sign}, day=20), self.baseline) for sign in "+-"]
        assert apart[0].scores == apart[1].scores

    def test_the_score_by_hand(self) -> None:
        """One item failed once in 14; two fail today. Expected 1/14; variance floored at 1; nothing gained."""
        baseline = by_hand({f"r{i}": "+" * 14 for i in range(9)} | {"r9": "+" * 13 + "-"})
        found = seen(by_hand({f"r{i}": "-" if i < 4 else "+" for i in range(10)}, day=20), baseline)
        assert found.scores["flips"] == pytest.approx(4 - 1 / 14)
        # the day that failed is told by 13 spotless others; the others by one failure in 13
        assert found.reading.channels[0].baseline == pytest.approx((*[-1 / 13] * 13, 1.0))

    def test_gains_offset_losses(self) -> None:
        losses = {f"r{i}": "-" if i < 4 else "+" for i in range(10)}
        alone = seen(by_hand(losses | {f"w{i}": "-" for i in range(5)}, day=20), self.baseline)
        offset = seen(by_hand(losses | {f"w{i}": "+" for i in range(5)}, day=20), self.baseline)
        assert alone.scores["flips"] > 3
        assert offset.scores["flips"] < 1

    def test_the_judge_says_what_is_right_where_no_check_does(self) -> None:
        def judged(found: list[GradedAnswer]) -> list[GradedAnswer]:
            return [replace(one, scores={"judge": one.scores["checks"]}) for one in found]

        now = by_hand({f"r{i}": "-" if i < 6 else "+" for i in range(10)}, day=20)
        by_checks, by_judge = seen(now, self.baseline), seen(judged(now), judged(self.baseline))
        assert by_judge.scores == by_checks.scores
        assert by_judge.reading.measures["generative_negative_flip_ratio"] == pytest.approx(0.6)

    def test_no_reading(self) -> None:
        now = by_hand({f"r{i}": "-" for i in range(10)}, day=20)
        ungraded = [replace(one, scores={}) for one in now]
        bases = [replace(one, arm=Arm.BASE) for one in now]
        one_day = [one for one in self.baseline if one.slot == self.baseline[0].slot]
        for mine, then in ((ungraded, self.baseline), (bases, self.baseline), (now[:4], self.baseline), (now, one_day)):
            assert negative_flips.measure(compared(mine, then)) is None
        assert negative_flips.measure(compared(now, self.baseline, suite=PRODUCTION_SUITE)) is None

    def test_temperature_0_one_item_is_no_page_and_half_of_them_are(self) -> None:
        baseline = by_hand({f"r{i:02}": "+" * 14 for i in range(24)})
        one = seen(by_hand({f"r{i:02}": "-" if i < 1 else "+" for i in range(24)}, day=20), baseline)
        assert not one.verdict.alarming
        assert one.summary.startswith("No more answers flip than usual: 1 of 24")
        half = seen(by_hand({f"r{i:02}": "-" if i < 12 else "+" for i in range(24)}, day=20), baseline)
        assert half.verdict.alarming
        assert half.summary.startswith("support-bot gets wrong what it used to get right: 12 of 24")


def tallied(rng: np.random.Generator, chances: np.ndarray, days: int) -> np.ndarray:
    return np.asarray(rng.random((days, chances.size)) < chances)


def scores(then: np.ndarray, now: np.ndarray) -> tuple[list[float], list[float]]:
    """Baseline's and looks' scores of tables days x items, by the signal's own arithmetic, without making answers."""
    days, right = len(then), then.sum(0)
    whole = {f"{i:03}": (days, int(right[i])) for i in range(then.shape[1])}

    def one(row: np.ndarray) -> dict[str, tuple[int, int]]:
        return {f"{i:03}": (1, int(row[i])) for i in range(row.size)}

    baseline = [
        negative_flips._day(
            one(row), {f"{i:03}": (days - 1, int(right[i] - row[i])) for i in range(row.size)}
        ).score(0.0)
        for row in then
    ]  # fmt: skip
    after = [(day := negative_flips._day(one(row), whole)).score(negative_flips.ignored(day)) for row in now]
    return [evidence.bounded(score, evidence.RATE_BOUND) for score in baseline], [
        evidence.bounded(score, evidence.RATE_BOUND) for score in after
    ]


def test_the_short_cut_is_the_signal() -> None:
    rng = np.random.default_rng(4)
    chances = items(60, 0.02, 0.02)
    then = [week(rng, chances, day) for day in range(14)]
    now = week(rng, items(60, 0.12, 0.02), 20)
    channel = seen(now, [one for day in then for one in day]).reading.counted().channels[0]
    table = np.array([[one.scores["check:exact"] for one in day] for day in [*then, now]])
    baseline, evaluations = scores(table[:14], table[14:])
    assert channel.baseline == pytest.approx(tuple(baseline))
    assert channel.score == pytest.approx(evaluations[0])


def test_ten_points_worse_is_seen_in_two_weeks() -> None:
    """100 items a week, 14 weeks of baseline, churn 2 %/2 %; then 12 % negative, 2 % positive. The evidence grows, so
    each weekly run is followed by one a day."""
    rng, trials = np.random.default_rng(5), 60
    days = (*range(0, 98, 7), *range(98, 114))
    run_of = []
    for _ in range(trials):
        then, now = tallied(rng, items(60, 0.02, 0.02), 14), tallied(rng, items(60, 0.12, 0.02), 16)
        baseline, evaluations = scores(then, now)
        grown = [
            evidence.running(baseline, evaluations[: k + 1], "rise", days=days[: 15 + k]).running_log10
            for k in range(15)
        ]
        run_of.append(next((k for k in range(15) if grown[k] >= WEEKLY), 15))
    assert np.mean([k <= 7 for k in run_of]) >= 0.8, "by the second weekly run"
    assert np.mean([k <= 14 for k in run_of]) >= 0.95, "by the third"


def test_days_with_a_few_failures_together_do_not_page() -> None:
    """Eight years of a suite of 24 whose failures (3 in 100 answers) come in clumps: days differ 1.2 times as much as
    chance, gamma-distributed. Promised is 0.1 false pages a year; each signal's share of four is far less."""
    rng, usual, line = np.random.default_rng(8), 24 * 0.03, log10(365 / 0.1) + log10(4)
    extra = (1.2**2 - 1) * usual
    pages = 0
    for _ in range(8):
        rates = rng.gamma(usual**2 / extra, extra / usual, size=14 + 365) / 24
        table = rng.random((379, 24)) >= np.minimum(1, rates)[:, None]
        baseline, evaluations = scores(table[:14], table[14:])
        hopeful = [day for day, score in enumerate(evaluations) if score >= 2]
        pages += any(
            evidence.running(baseline, evaluations[: day + 1], "rise").running_log10 >= line for day in hopeful
        )
    assert pages <= 2


@pytest.mark.parametrize(("negative", "positive"), [(0.02, 0.02), (0.002, 0.002), (0.0, 0.0)])
def test_honest_when_nothing_changed(negative: float, positive: float) -> None:
    rng = np.random.default_rng(6)
    chances = items(60, negative, positive)
    found = []
    for _ in range(100):
        baseline, evaluations = scores(tallied(rng, chances, 14), tallied(rng, chances, 1))
        found.append(e_value(baseline, evaluations[0], "rise"))
    assert np.mean(found) <= 1 + 3 * np.std(found) / np.sqrt(len(found))


def test_as_many_gains_as_losses_is_no_page_at_first_sight() -> None:
    rng = np.random.default_rng(7)
    baseline, evaluations = scores(tallied(rng, items(60, 0.02, 0.02), 14), tallied(rng, items(60, 0.12, 0.12), 20))
    assert np.mean([e_value(baseline, look, "rise") >= 10**WEEKLY for look in evaluations]) <= 0.1
