"""The peers that benchmarks compare us with: that our adapters call them right, and that their scores point the way."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks import peers
from monitor.core.records import Arm, GradedAnswer

FACTS = ("France takes 4 days", "Sweden takes 7 days", "the chair is 60 euros", "we open from 9 to 18")


def answer(probe: str, text: str, **changes: object) -> GradedAnswer:
    plain = GradedAnswer(
        run_id=1,
        slot=datetime(2026, 1, 1, tzinfo=UTC),
        arm=Arm.SUBJECT,
        probe=probe,
        replicate=0,
        text=text,
        finish_reason="stop",
        refusal=False,
        model="lab-support",
        fingerprint="fp",
        prompt_tokens=9,
        completion_tokens=12,
        scores={"checks": 1.0},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def varied(seed: int, each: int, ending: str = "") -> dict[str, list[str]]:
    """Four probes, ``each`` answers of one of six wordings."""
    rng = np.random.default_rng(seed)
    forms = ("{}.", "Well, {}.", "Sure: {}!", "{}, happy to help", "I think {}", "As you know, {}.")
    return {
        f"p{i}": [forms[k].format(fact) + ending for k in rng.integers(len(forms), size=each)]
        for i, fact in enumerate(FACTS)
    }


def test_our_kernel_gives_the_very_number_of_the_package() -> None:
    now, baseline = varied(1, 3), varied(2, 7)
    now["p0"] = ["", "é" * 300]
    baseline["p3"] = ["only one"]
    assert peers.met_score(now, baseline) == pytest.approx(peers.met_statistic(now, baseline), abs=1e-12)


def test_our_p_value_is_the_packages_as_far_as_two_draws_of_permutations_agree() -> None:
    from model_equality_testing.algorithm import run_two_sample_test
    from model_equality_testing.distribution import CompletionSample
    from model_equality_testing.utils import pad_to_length, tokenize_unicode

    now, baseline = varied(3, 4), varied(11, 8)

    def sample(side: dict[str, list[str]]) -> CompletionSample:
        prompts = np.repeat(np.arange(len(side)), [len(texts) for texts in side.values()])
        rows = [text for texts in side.values() for text in texts]
        return CompletionSample(prompts, pad_to_length(tokenize_unicode(rows), L=200), m=len(side))

    theirs, statistic = run_two_sample_test(
        sample(now), sample(baseline), pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=300
    )
    assert statistic == pytest.approx(peers.met_score(now, baseline), abs=1e-12)
    assert peers.met_p(now, baseline, 2000, 1) == pytest.approx(theirs, abs=0.12)


@pytest.mark.parametrize("within_probe", [False, True])
def test_met_p_is_never_nothing_and_holds_its_level(within_probe: bool) -> None:
    changed = varied(5, 6, ending=" Anything else I can do for you today?")
    assert peers.met_p(changed, varied(6, 6), 99, within_probe=within_probe) == 1 / 100
    found = [peers.met_p(varied(s, 3), varied(s + 10_000, 6), 99, s, within_probe=within_probe) for s in range(300)]
    assert np.mean([p <= 0.1 for p in found]) <= 0.15  # 0.1 expected; 0.15 is nearly three standard errors off
    assert 0.4 < np.mean(found) < 0.65


def test_met_says_that_it_needs_pairs() -> None:
    with pytest.raises(ValueError, match="now has none"):
        peers.met_p(varied(1, 1), varied(2, 5))
    with pytest.raises(ValueError, match="baseline has none"):
        peers.met_statistic(varied(1, 2), varied(2, 1))


def graded(texts: dict[str, list[str]]) -> list[GradedAnswer]:
    return [answer(probe, text) for probe, found in texts.items() for text in found]


def same(each: int) -> list[GradedAnswer]:
    return graded({"p0": ["France takes 4 days."] * each})


def test_stillsane_passes_what_is_the_same() -> None:
    verdict = peers.stillsane_flags(same(3), same(5))
    assert (verdict.level, verdict.score, verdict.alarming, verdict.warning) == ("pass", 0.0, False, False)


@pytest.mark.parametrize(
    ("changes", "moved"),
    [({"finish_reason": "length"}, "response_complete"), ({"model": "another"}, "model_id")],
)
def test_stillsane_calls_a_broken_contract_drift(changes: dict[str, str], moved: str) -> None:
    verdict = peers.stillsane_flags([replace(one, **changes) for one in same(3)], same(5))  # type: ignore[arg-type]
    assert verdict.alarming
    assert verdict.score == math.inf
    assert verdict.moved == (f"p0: {moved}",)


def test_stillsane_only_warns_of_a_fingerprint() -> None:
    verdict = peers.stillsane_flags([replace(one, fingerprint="other") for one in same(3)], same(5))
    assert (verdict.level, verdict.warning, verdict.alarming) == ("warn", True, False)


def test_stillsane_scores_how_far_answers_moved() -> None:
    scores = [
        peers.stillsane_flags(graded({"p0": [text] * 3}), same(5)).score
        for text in ("France takes 4 days.", "France takes 4 days", "A parcel to France takes 4 days, to the door")
    ]
    assert scores == sorted(scores)
    assert scores[0] < scores[2]


def test_stillsane_asked_as_little_as_it_would_ask_sees_five_and_three() -> None:
    late = [answer("p0", "a quite different answer altogether")]
    assert peers.stillsane_flags(same(3) + late * 9, same(5), most=False).level == "pass"
    assert peers.stillsane_flags(same(3) + late * 9, same(5)).warning


def test_stillsane_takes_configured_checks() -> None:
    baseline = graded({"p0": ['{"a": 1}'] * 5})
    verdict = peers.stillsane_flags(
        graded({"p0": ['{"a": 1}', '{"a": 1}', '{"a": 1'] * 2}), baseline, checks=["valid_json"]
    )
    assert "p0: valid_json" in verdict.moved


def test_first_token_l1_by_hand() -> None:
    now = {"x": [{"a": -1.0, "b": -2.0}]}
    baseline = {"x": [{"a": -1.0, "c": -3.0}, {"a": -2.0, "c": -5.0}]}
    # means over a, b, c: now -1, -2, -2 (c is censored at -2); baseline -1.5, -4 (b at -3 and -5), -4
    assert peers.first_token_l1(now, baseline) == pytest.approx((0.5 + 2 + 2) / 3)
    assert peers.first_token_l1(now, now) == 0.0


def test_first_token_l1_of_nothing_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="log-probabilities"):
        peers.first_token_l1({"x": []}, {"x": [{"a": -1.0}]})


def test_cosine_is_one_for_the_same_and_less_the_further_answers_are() -> None:
    baseline = varied(1, 5)
    constant = {"p0": ["France takes 4 days."] * 3}
    assert peers.cosine_to_baseline(constant, constant) == pytest.approx(1.0)
    near = peers.cosine_to_baseline(varied(2, 5), baseline)
    far = peers.cosine_to_baseline({probe: ["I do not know that."] for probe in baseline}, baseline)
    assert 1.0 > near > far > 0.0
    assert peers.cosine_to_baseline({"p0": ["", "x"]}, baseline) < 0.3


def test_an_embedder_that_remembers_encodes_each_text_once() -> None:
    asked: list[str] = []

    def encode(texts: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        asked.extend(texts)
        return np.array([[float(len(text))] for text in texts])

    embedder = peers.Remembering(encode)
    assert embedder.encode(["a", "bb", "a"]).tolist() == [[1.0], [2.0], [1.0]]
    assert embedder.encode(["bb", "ccc"]).tolist() == [[2.0], [3.0]]
    assert asked == ["a", "bb", "ccc"]


def test_naive_daily_tests_length_and_passes() -> None:
    baseline = graded(varied(1, 10))
    quiet = peers.naive_daily(graded(varied(2, 5)), baseline)
    assert quiet.judge is None
    assert quiet.checks == 1.0
    assert quiet.least == min(quiet.length, 1.0)
    longer = peers.naive_daily(graded(varied(2, 5, ending=" Anything else that I can do?")), baseline)
    assert longer.alarming
    assert longer.length < 1e-6
    failing = [replace(one, scores={"checks": 0.0, "judge": 0.0}) for one in baseline]
    assert (peers.naive_daily(failing, baseline).checks or 1) < 1e-6
    judged = [replace(one, scores={"checks": 1.0, "judge": 1.0}) for one in baseline]
    assert (peers.naive_daily(failing, judged).judge or 1) < 1e-6


def test_naive_daily_where_nothing_varies() -> None:
    assert peers.naive_daily(same(3), same(5)).length == 1.0
    assert peers.naive_daily(graded({"p0": ["short"] * 3}), same(5)).length == 0.0
