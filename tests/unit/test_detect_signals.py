"""``length``, ``judge_score`` and ``contract`` on answers whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from monitor.core.records import PRODUCTION_SUITE, Arm, Comparison, FindingState, GradedAnswer, Severity
from monitor.core.signals import CONTRACT_PARTS
from monitor.detect import contract, judge_score, length
from monitor.detect.measurement import Reading
from monitor.lab import product
from monitor.report.explain import sentences
from tests.unit.detect_answers import Grade, Speak, Told, compared, graded, mixed, padded, rounds, told

BASELINE = rounds(1, product.right_reply, days=range(14))


def judge(subject: float, base: float) -> Grade:
    """A judge who passes this share of JSON replies (the subject's) and of plain ones (the base's)."""
    return lambda text, rng: {"judge": float(rng.random() < (subject if text.startswith("{") else base))}


def scored(seed: int, days: range, grade: Grade) -> list[GradedAnswer]:
    return rounds(seed, product.right_reply, days=days, grade=grade)


def now_of(speak: Speak, seed: int = 70) -> list[GradedAnswer]:
    return rounds(seed, speak, days=range(20, 21))


def seen(measure: Callable[[Comparison], Reading | None], comparison: Comparison) -> Told:
    severity = Severity.PAGE if measure is judge_score.measure else Severity.TICKET
    found = told(measure, comparison, severity)
    assert found is not None
    return found


class TestLength:
    def test_longer_answers_are_a_ticket_with_both_measures(self) -> None:
        found = seen(length.measure, compared(now_of(padded(product.right_reply)), BASELINE))
        assert found.verdict.alarming
        assert found.verdict.severity == "ticket"
        assert "are longer by" in found.summary
        assert found.reading.measures["answer_length_chars"] > 200
        assert found.reading.measures["answer_length_variance_ratio"] == found.reading.effect[0]

    def test_uneven_lengths_show_as_variance(self) -> None:
        found = seen(length.measure, compared(now_of(mixed(0.4)), BASELINE))
        assert found.verdict.alarming
        assert "less even in length" in found.summary
        assert found.reading.effect[1] > 2

    def test_variance_ratio_by_hand(self) -> None:
        """Five characters, 0 to 2 log units away; B = 2 answers a probe: now weighs 2/3, baseline has 5 free of 10."""
        logs_then = [(4, 9)] * 5
        lengths_now = [1, 4, 9, 24, 49]
        baseline = [
            graded(f"p{probe}", "x" * (size - 1), day=day)
            for probe, pair in enumerate(logs_then)
            for day, size in enumerate(pair)
        ]
        now = [graded(f"p{probe}", "x" * size, day=7) for probe, size in enumerate(lengths_now)]
        found = seen(length.measure, compared(now, baseline))
        centre = np.log([4, 9]).mean()
        rest = np.log1p(lengths_now) - centre
        new = ((rest - rest.mean()) ** 2).mean() * (2 / 3) * 5 / 4
        old = (np.log(9 / 4) / 2) ** 2 * 10 / 5
        assert found.reading.effect[0] == pytest.approx((new + length.FLOOR) / (old + length.FLOOR))
        assert found.reading.measures["answer_length_chars"] == pytest.approx(np.mean(lengths_now))

    def test_honest_and_covering_when_nothing_changed(self) -> None:
        evaluations, covered = [], 0
        for seed in range(40):
            baseline = rounds(1000 + seed, product.right_reply, days=range(14), probes=12)
            now = rounds(3000 + seed, product.right_reply, days=range(20, 21), probes=12)
            found = seen(length.measure, compared(now, baseline))
            evaluations.append(found.look)
            covered += found.reading.effect[1] <= 1 <= found.reading.effect[2]
        assert np.mean(evaluations) <= 1 + 3 * np.std(evaluations) / np.sqrt(40)
        assert covered >= 34

    def test_one_more_character_each_is_nobodys_ticket(self) -> None:
        rigid = [graded(f"p{index}", "x" * (90 + index), day=day) for index in range(24) for day in range(7)]
        now = [graded(f"p{index}", "x" * (91 + index), day=7) for index in range(24)]
        found = seen(length.measure, compared(now, rigid))
        assert not found.verdict.alarming
        assert np.isfinite([found.reading.effect[0], found.reading.effect[1], found.reading.effect[2]]).all()

    def test_moved_but_too_few_to_alarm_is_not_as_they_were(self) -> None:
        baseline = [graded(f"p{index}", "x" * (90 + day), day=day) for index in range(6) for day in range(2)]
        even = [graded(f"p{index}", "x" * 91, day=7) for index in range(6)]
        assert seen(length.measure, compared(even, baseline)).summary.startswith(
            "Answer lengths are as in the baseline: 9"
        )
        longer = [graded(f"p{index}", "x" * 196, day=7) for index in range(6)]
        wild = [graded(f"p{index}", "x" * (30 if index % 2 else 270), day=7) for index in range(6)]
        for now, says in (
            (longer, "are longer by 115%: 196 characters"),
            (wild, "less even in length: 150 characters"),
        ):
            found = seen(length.measure, compared(now, baseline))
            assert not found.verdict.alarming
            assert "as in the baseline" not in found.summary
            assert found.summary.startswith(f"{sentences.BELOW}: answers of support-bot are ")
            assert says in found.summary

    def test_empty_answers_and_production_samples(self) -> None:
        found = seen(length.measure, compared(now_of(lambda facts, rng: ""), BASELINE))
        assert found.verdict.alarming
        fresh = [replace(one, probe=f"new-{one.probe}") for one in now_of(padded(product.right_reply))]
        assert length.measure(compared(fresh, BASELINE)) is None
        assert seen(length.measure, compared(fresh, BASELINE, suite=PRODUCTION_SUITE)).verdict.alarming


class TestJudgeScore:
    baseline = scored(1, range(14), judge(0.95, 0.1))

    def test_a_deep_drop_pages(self) -> None:
        found = seen(judge_score.measure, compared(scored(2, range(20, 21), judge(0.2, 0.1)), self.baseline))
        assert found.verdict.alarming
        assert found.verdict.severity == "page"
        assert found.reading.effect[0] == pytest.approx(
            found.reading.measures["judge_score"] - found.reading.measures["judge_score_baseline"]
        )
        assert found.reading.effect[2] < -0.3
        assert "dropped by" in found.summary
        assert found.reading.exhibits[0].weight > 0.5

    def test_no_drop_no_page(self) -> None:
        for seed in range(10, 30):
            found = seen(judge_score.measure, compared(scored(seed, range(20, 21), judge(0.95, 0.1)), self.baseline))
            assert not found.verdict.alarming

    def test_a_judge_that_changes_for_both_arms_cancels(self) -> None:
        baseline = scored(1, range(14), judge(0.95, 0.9))
        both = seen(judge_score.measure, compared(scored(2, range(20, 21), judge(0.3, 0.25)), baseline))
        assert not both.verdict.alarming
        assert both.reading.effect[0] < -0.4  # shown all the same
        one = seen(judge_score.measure, compared(scored(2, range(20, 21), judge(0.1, 0.9)), baseline))
        assert one.verdict.alarming

    def test_a_better_base_is_no_drop(self) -> None:
        found = seen(judge_score.measure, compared(scored(3, range(20, 21), judge(0.95, 1.0)), self.baseline))
        assert found.verdict.evaluation_log10 < 0

    def test_an_unjudged_base_leaves_the_subjects_own_score(self) -> None:
        def own(found: list[GradedAnswer]) -> list[GradedAnswer]:
            return [one if one.arm is Arm.SUBJECT else replace(one, scores={}) for one in found]

        comparison = compared(own(scored(2, range(20, 21), judge(0.2, 0.1))), own(self.baseline))
        assert seen(judge_score.measure, (comparison)).verdict.alarming

    def test_all_passed_then_two_failed_is_within_chance(self) -> None:
        """Spotless days say little about the next: not a naive z's infinity."""
        perfect = scored(1, range(14), judge(1, 1))
        now = [
            replace(one, scores={"judge": 0.0}) if one.arm is Arm.SUBJECT and one.probe in ("p00", "p01") else one
            for one in scored(2, range(20, 21), judge(1, 1))
        ]
        found = seen(judge_score.measure, compared(now, perfect))
        assert 0 < found.verdict.evaluation_log10 < 1.2
        assert found.reading.effect[1] < found.reading.effect[0] < found.reading.effect[2]

    def test_fewer_base_answers_than_the_subjects_are_paired_with_their_mean(self) -> None:
        def once(found: list[GradedAnswer]) -> list[GradedAnswer]:
            return [one for one in found if one.arm is Arm.SUBJECT or one.replicate == 0]

        def thrice(seed: int, days: range, grade: Grade) -> list[GradedAnswer]:
            return once(rounds(seed, product.right_reply, days=days, replicates=3, probes=12, grade=grade))

        baseline = thrice(1, range(14), judge(0.95, 0.9))
        both = seen(judge_score.measure, compared(thrice(2, range(20, 21), judge(0.3, 0.2)), baseline))
        one = seen(judge_score.measure, compared(thrice(2, range(20, 21), judge(0.3, 0.9)), baseline))
        assert both.verdict.evaluation_log10 < 1 < one.verdict.evaluation_log10

    def test_few_base_answers_show_a_change_of_both_and_hide_no_drop(self) -> None:
        """The base of today's run was asked 4 of 24 probes, or all: a judge that became stricter on both, and a drop of
        the subject alone."""
        baseline = scored(1, range(14), judge(0.95, 0.9))

        def few(found: list[GradedAnswer]) -> list[GradedAnswer]:
            return [one for one in found if one.arm is Arm.SUBJECT or one.probe in ("p03", "p09", "p15", "p21")]

        stricter, worse = (scored(2, range(20, 21), judge(*rates)) for rates in ((0.3, 0.25), (0.1, 0.9)))
        for both in (few(stricter), stricter):
            held = seen(judge_score.measure, compared(both, baseline))
            assert not held.verdict.moved
            assert held.finding(held.verdict).state is FindingState.LOOK  # so the next run asks the base all
        alone, full = (seen(judge_score.measure, compared(now, baseline)) for now in (few(worse), worse))
        assert alone.reading.effect == full.reading.effect
        assert alone.reading.channels[0].baseline == full.reading.channels[0].baseline
        assert alone.verdict.alarming
        assert full.verdict.alarming
        assert "relative to the base" in full.summary
        assert "relative to the base" not in alone.summary

    @pytest.mark.parametrize("rates", [(0.9, 0.2), (0.98, 0.5), (0.6, 0.6)])
    def test_honest_with_few_base_answers(self, rates: tuple[float, float]) -> None:
        """Also beside a past of runs that asked all, and the other way round."""
        evaluations = []
        for seed in range(40):
            found = scored(300 + seed, range(20), judge(*rates))
            before = [one for one in found if one.run_id <= 14]
            history: list[dict[str, float]] = []
            for day in range(14, 20):
                now = [
                    one
                    for one in found
                    if one.run_id == day + 1
                    and (one.arm is Arm.SUBJECT or int(one.probe[1:]) % 6 == day % 6 or (day + seed) % 5 == 0)
                ]
                last = seen(judge_score.measure, compared(now, before, history={"signal": history}))
                history.append(last.scores)
            evaluations.append(last.look)
            assert last.verdict.evidence_log10 < 2
        assert np.mean(evaluations) <= 1 + 3 * np.std(evaluations) / np.sqrt(40)

    def test_honest_when_nothing_changed(self) -> None:
        evaluations = []
        for seed in range(25):
            found = scored(100 + seed, range(15), judge(0.9, 0.2))
            now = [one for one in found if one.run_id == 15]
            evaluations.append(seen(judge_score.measure, compared(now, [one for one in found if one.run_id < 15])).look)
        assert np.mean(evaluations) <= 1 + 3 * np.std(evaluations) / np.sqrt(25)

    def test_a_drop_too_small_to_alarm_is_not_no_drop(self) -> None:
        baseline = scored(1, range(2), judge(1, 1))
        fine = seen(judge_score.measure, compared(scored(2, range(20, 21), judge(1, 1)), baseline))
        assert fine.summary.startswith(
            "The judge sees no drop: mean score 1.00, 1.00 in the baseline (difference +0.00"
        )
        spotless = scored(2, range(20, 21), judge(1, 1))
        now = [replace(one, scores={"judge": float(one.probe > "p05")}) for one in spotless]
        base_too = seen(judge_score.measure, compared(now, baseline))
        base_liked = [replace(one, scores={"judge": 1.0}) if one.arm is Arm.BASE else one for one in now]
        found = seen(judge_score.measure, compared(base_liked, baseline))
        for one in (found, base_too):
            assert not one.verdict.alarming
            assert one.reading.effect[0] == pytest.approx(-0.25)
            assert one.summary.startswith(f"{sentences.BELOW}: the judge's score of support-bot drop")
            assert "no drop" not in one.summary
        assert "and by 0.25 relative to the base" in found.summary
        assert sentences.BOTH_DROPPED in base_too.summary
        assert sentences.BOTH_DROPPED not in found.summary

    def test_none_without_a_judge(self) -> None:
        assert judge_score.measure(compared(now_of(product.right_reply), BASELINE)) is None


def changed_parts(told: Told) -> list[str]:
    """The parts of the contract that a finding counts as changed."""
    measures = told.reading.measures
    return sorted(name.removeprefix("contract_changed_") for name, value in measures.items() if value == 1.0)


class TestContract:
    def test_honest_when_nothing_changed(self) -> None:
        """Checks that fail now and then, refusals that are rarer than a baseline is long."""

        def checked(text: str, rng: Random) -> dict[str, float]:
            return {"check:json": float(rng.random() < 0.95)}

        evaluations = []
        for seed in range(25):
            drawn = rounds(200 + seed, product.right_reply, days=range(15), grade=checked)
            rng = Random(seed)
            found = [replace(one, refusal=rng.random() < 0.002) for one in drawn]
            now = [one for one in found if one.run_id == 15]
            evaluations.append(seen(contract.measure, compared(now, [one for one in found if one.run_id < 15])).look)
        assert np.mean(evaluations) <= 1 + 3 * np.std(evaluations) / np.sqrt(25)

    def test_a_fact_that_never_wavered_is_certain_on_one_day_too(self) -> None:
        one_day = [one for one in BASELINE if one.run_id == 1]
        now = [replace(one, model="stranger") for one in now_of(product.right_reply)]
        assert seen(contract.measure, compared(now, one_day)).verdict.alarming

    def test_a_wavering_fact_scores_as_its_days_did(self) -> None:
        """Of 14 days two had a fingerprint of their own: another has a chance of 3 in 15."""
        baseline = [replace(one, fingerprint=f"odd-{one.run_id}") if one.run_id in (3, 9) else one for one in BASELINE]
        now = [replace(one, fingerprint="new") for one in now_of(product.right_reply)]
        found = seen(contract.measure, compared(now, baseline))
        channel = next(one for one in found.reading.channels if one.name == "fingerprint")
        assert channel.score == pytest.approx(0.8416, abs=1e-4)
        assert sorted(channel.baseline) == pytest.approx([0.0] * 12 + [channel.score] * 2)
        assert not found.verdict.alarming

    def changed(self, **fields: object) -> Told:
        now = [replace(one, **fields) for one in now_of(product.right_reply)]  # type: ignore[arg-type]
        return seen(contract.measure, compared(now, BASELINE))

    def test_nothing_changed(self) -> None:
        found = self.changed()
        assert not found.verdict.alarming
        assert found.verdict.evaluation_log10 < 0
        assert found.reading.effect[0] == 0

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("model", "support-2", "model id 'support-2' instead of 'support' (24 of 24 answers)"),
            ("fingerprint", "fp-2", "fingerprint 'fp-2' instead of 'fp-1' (24 of 24 answers)"),
            ("fingerprint", None, "fingerprint 'none' instead of 'fp-1'"),
            ("prompt_tokens", 99, "prompt tokens of 24 of 24 unchanged prompts, e.g. 99 instead of 23 for p00"),
            ("finish_reason", "length", "finish reason 'stop' on 0% of answers instead of 100% (now also 'length')"),
            ("refusal", True, "refusals 100% of answers instead of 0%"),
        ],
    )
    def test_names_what_changed_from_what_to_what(self, field: str, value: object, says: str) -> None:
        found = self.changed(**{field: value})
        assert found.verdict.alarming
        assert says in found.summary
        assert found.reading.effect[0] == 1
        assert found.reading.exhibits
        part = {"model": "model_id", "refusal": "refusals"}.get(field, field)
        assert changed_parts(found) == [part]

    def test_its_measures_tell_of_each_part_by_the_name_that_is_exported(self) -> None:
        assert changed_parts(self.changed()) == []
        checked = {"check:json": 1.0}
        told = self.changed(scores=checked, model="support-2", prompt_tokens=99)
        assert changed_parts(told) == ["model_id", "prompt_tokens"]
        baseline = [replace(one, scores=checked, text=one.text if index else "") for index, one in enumerate(BASELINE)]
        whole = seen(contract.measure, compared([replace(one, scores=checked) for one in BASELINE[:24]], baseline))
        parts = {f"contract_changed_{part}" for part in CONTRACT_PARTS}
        parts.remove("contract_changed_served")  # replies of neither say who served them
        parts.remove("contract_changed_prefix_cache")  # nothing was asked past a cache
        assert parts == set(whole.reading.measures) - {"pass_ratio", "pass_ratio_baseline"}
        assert set(told.reading.measures) == parts - {
            "contract_changed_checks_passed",
            "contract_changed_empty",
        }, "not looked at, not told"

    def test_one_answer_from_another_model_is_certain(self) -> None:
        now = now_of(product.right_reply)
        now[0] = replace(now[0], model="stranger")
        found = seen(contract.measure, compared(now, BASELINE))
        assert found.verdict.alarming
        assert found.reading.effect[0] == pytest.approx(1 / 24)

    def test_values_that_alternated_are_known(self) -> None:
        baseline = [replace(one, model=f"m{one.slot.day % 2}") for one in BASELINE]
        now = [replace(one, model="m1") for one in now_of(product.right_reply)]
        assert not seen(contract.measure, compared(now, baseline)).verdict.alarming
        never_seen = seen(contract.measure, compared(now_of(product.right_reply), baseline))
        assert never_seen.verdict.alarming

    def test_a_fingerprint_that_changes_daily_is_no_news(self) -> None:
        baseline = [replace(one, fingerprint=f"fp-{one.slot:%d}") for one in BASELINE]
        found = seen(contract.measure, compared(now_of(product.right_reply), baseline))
        assert not found.verdict.alarming
        assert found.summary.startswith("New values, but the baseline also had new values: fingerprint 'fp-1' instead")

    def test_missing_token_counts_say_nothing(self) -> None:
        assert not self.changed(prompt_tokens=0).verdict.alarming

    @pytest.mark.parametrize("changed", [{"refusal": True}, {"text": ""}])
    def test_most_answers_refused_or_empty_is_a_fact_even_for_a_short_baseline(self, changed: dict[str, Any]) -> None:
        baseline = [graded(f"p{index}", "{}", day=day) for index in range(6) for day in range(3)]
        now = [replace(graded(f"p{index}", "no", day=7), **changed) for index in range(6)]
        found = seen(contract.measure, compared(now, baseline, at_once=True))
        assert found.verdict.alarming
        few = [
            replace(one, **changed) if index < 2 else one
            for index, one in enumerate(graded(f"p{index}", "no", day=7) for index in range(6))
        ]
        assert not seen(contract.measure, compared(few, baseline, at_once=True)).verdict.alarming

    def test_answers_that_come_as_an_http_error_name_no_model(self) -> None:
        baseline = [graded(f"p{index}", "{}", day=day) for index in range(6) for day in range(3)]
        now = [
            graded(f"p{index}", "", day=7, refusal=True, model=None, finish_reason="content_filter")
            for index in range(6)
        ]
        found = seen(contract.measure, compared(now, baseline, at_once=True))
        assert "model id" not in found.summary
        assert "refusals 100% of answers instead of 0%" in found.summary

    def test_a_few_refused_but_too_few_to_alarm_says_what_differs(self) -> None:
        checked = {"check:json": 1.0}
        baseline = [graded(f"p{index}", "{}", day=day, scores=checked) for index in range(6) for day in range(2)]
        now = [
            graded(f"p{index}", "no", day=7, refusal=index < 2, scores={"check:json": float(index >= 2)})
            for index in range(6)
        ]
        found = seen(contract.measure, compared(now, baseline))
        assert not found.verdict.alarming
        assert found.reading.effect[0] == pytest.approx(1 / 3)
        assert found.summary.startswith(f"{sentences.BELOW}: at the endpoint of support-bot, ")
        assert "checks passed by 67% of answers instead of 100%; refusals 33% of answers instead of 0%" in found.summary
        assert "finish reason" not in found.summary
        same = [graded(f"p{i}", "{}", day=7, scores=checked) for i in range(6)]
        fine = seen(contract.measure, compared(same, baseline))
        assert fine.summary.startswith(
            "No new model id, fingerprint or prompt-token count. Within chance of the baseline"
        )
        assert "checks passed 100% (100% in the baseline); " in fine.summary

    def test_checks_pass_ratio(self) -> None:
        def checked(text: str, rng: Random) -> dict[str, float]:
            return {"check:json": float(text.startswith("{")), "check:short": float(rng.random() < 0.97)}

        baseline = rounds(1, product.right_reply, days=range(14), grade=checked)
        fine = rounds(2, product.right_reply, days=range(20, 21), grade=checked)
        broken = rounds(2, mixed(0.9), days=range(20, 21), grade=checked)
        assert not seen(contract.measure, compared(fine, baseline)).verdict.alarming
        found = seen(contract.measure, compared(broken, baseline))
        assert found.verdict.alarming
        assert "checks passed by" in found.summary
        assert found.reading.measures["pass_ratio"] < 0.5
