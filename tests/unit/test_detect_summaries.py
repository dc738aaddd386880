"""What a summary says where the looks disagree, where a page is withheld, and where nothing happened."""

import re
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from monitor.core.limits import too_short
from monitor.core.records import Arm, Comparison, GradedAnswer, Severity
from monitor.core.signals import SEVERITIES
from monitor.detect import (
    adapter_loss,
    adapter_loss_text,
    base_match,
    canaries,
    contract,
    distribution,
    judge_score,
    length,
    negative_flips,
)
from monitor.detect.measurement import Reading
from monitor.lab import product
from monitor.report.explain import sentences
from tests.unit.detect_answers import compared, graded, rounds, told

BELOW = f"{sentences.BELOW}:"
Measure = Callable[[Comparison], Reading | None]


def said(day: int, *, lost: bool, share: float = 1.0) -> list[GradedAnswer]:
    """One round at temperature 0: the fine-tune's answers, or the base's for a share of the probes, all graded."""
    found = []
    cases = product.held_out(0, 24)
    for index, case in enumerate(cases):
        ours, base = f"shop: {case.facts.entity} {case.facts.topic}", f"nothing is known of {case.facts.entity}"
        theirs = lost and index < share * len(cases)
        for arm, text in ((Arm.SUBJECT, base if theirs else ours), (Arm.BASE, base)):
            right = float(text == ours)
            found.append(graded(f"p{index:02}", text, day=day, arm=arm, scores={"checks": right, "judge": right}))
    return found


BASELINE = [one for day in range(14) for one in said(day, lost=False)]
NUMBERS = {
    adapter_loss: "all of the fine-tune's effect is left",
    canaries: "0 of 24 answers to 24 canaries fail their checks",
    judge_score: "mean score 1.00, 1.00 in the baseline",
    negative_flips: "0 of 24 answers that used to be right are wrong",
    base_match: "0 of 24 answers are identical to the base's",
    contract: "no new model id, fingerprint or prompt-token count; checks passed 100% (100% in the baseline)",
    length: "characters on average",
    distribution: "of the maximum distance",
}


def name_of(signal: ModuleType) -> str:
    return signal.__name__.rpartition(".")[2]


def test_every_page_signal_is_tried() -> None:
    tried = {name_of(one) for one in NUMBERS}
    assert {name for name, kind in SEVERITIES.items() if kind is Severity.PAGE} <= tried


@pytest.mark.parametrize("signal", NUMBERS, ids=lambda one: name_of(one))
def test_the_first_good_look_after_a_loss_is_not_described_as_one(signal: object) -> None:
    measure: Measure = signal.measure  # type: ignore[attr-defined]
    fault = told(measure, compared(said(14, lost=True), BASELINE, temperature=0.0))
    assert fault is not None
    assert fault.verdict.evaluation_log10 > 0
    assert "evaluations so far" not in fault.summary
    history = {"signal": [fault.scores] * 6}
    now = told(measure, compared(said(20, lost=False), BASELINE, temperature=0.0, history=history))
    assert now is not None
    assert now.verdict.alarming
    assert now.verdict.evaluation_disagrees
    assert now.summary.startswith("The evaluations so far indicate that ")
    assert "; this evaluation alone does not: " in now.summary
    assert NUMBERS[signal] in now.summary  # type: ignore[index]
    assert "Read the" not in now.summary
    assert "recovery" not in now.summary
    short = replace(now.verdict, alarming=False, threshold_log10=now.verdict.evidence_log10 + 0.5)
    assert now.say(short).startswith(f"{BELOW} the evaluations so far suggest that ")
    well = replace(now.verdict, recovered=True)
    assert now.say(well).endswith(f". {sentences.RECOVERED}")


def test_a_quiet_finding_has_no_caveat_and_others_say_what_they_would_be() -> None:
    short = [one for one in BASELINE if one.run_id <= 5]
    fine = told(judge_score.measure, compared(said(20, lost=False), short))
    half = told(judge_score.measure, compared(said(20, lost=True, share=0.45), short, page_line=1.5))
    lost = told(judge_score.measure, compared(said(20, lost=True), short, page_line=1.0))
    assert fine is not None
    assert half is not None
    assert lost is not None
    assert fine.verdict.severity is Severity.TICKET
    assert fine.verdict.caveat == ""
    why = too_short(5, at_once=False).removeprefix("The")
    assert not half.verdict.alarming
    assert half.summary.endswith(f" At most a ticket, not a page: the{why}")
    assert lost.verdict.alarming
    assert lost.summary.endswith(f" A ticket instead of a page: the{why}")


def test_intervals_are_told_in_the_effects_own_unit() -> None:
    lost = told(adapter_loss.measure, compared(said(20, lost=True), BASELINE))
    assert lost is not None
    assert (
        "answers like its base model: nothing is left of the fine-tune's effect (95% interval 0% to 4%). 24 of 24 "
        "answers are nearer"
    ) in lost.summary


@pytest.mark.parametrize(
    ("share", "told_as"),
    [
        (0.0, "nothing is left of the fine-tune's effect"),
        (0.004, "nothing is left of the fine-tune's effect"),
        (0.01, "1% of the fine-tune's effect is left"),
        (0.3, "30% of the fine-tune's effect is left"),
        (0.6, "60% of the fine-tune's effect is left"),
        (0.997, "all of the fine-tune's effect is left"),
        (1.12, "the fine-tune's effect is 112% of the approved one"),
        (-0.1, "nothing is left of the fine-tune's effect"),
    ],
)
def test_how_much_is_left_is_said_as_one_says_it(share: float, told_as: str) -> None:
    """Over the range: nothing, a part, all, and more than was approved."""
    assert adapter_loss_text.left_words(share) == told_as


def test_more_than_the_approved_effect_is_no_more_than_all_that_is_left() -> None:
    """In the baseline a fifth of the answers are the base's own, of other probes each day; today none."""
    baseline = [
        one
        for day in range(14)
        for lost in (False, True)
        for one in said(day, lost=lost)
        if lost == ((int(one.probe[1:]) + day) % 5 == 0)
    ]
    found = told(adapter_loss.measure, compared(said(20, lost=False), baseline))
    assert found is not None
    assert re.search(r"the fine-tune's effect is 1\d\d% of the approved one \(95% interval", found.summary)
    assert "is left" not in found.summary


def test_a_loss_on_part_of_the_traffic_says_on_how_much_and_each_answer_which_way_it_leans() -> None:
    part = told(adapter_loss.measure, compared(said(20, lost=True, share=0.5), BASELINE))
    assert part is not None
    assert part.summary.startswith("support-bot answers like its base model on part of the traffic: 51% of the fine-")
    shares = ". 12 of 24 answers are nearer to the base than to the approved answers. About 50% of the answers"
    assert shares in part.summary
    assert part.summary.endswith("on every replica behind it.")
    assert part.summary.count("95% interval") == 1
    assert all(one.leaning is not None and one.leaning < 0 for one in part.reading.exhibits)


def test_a_drop_has_no_sign() -> None:
    lost = told(judge_score.measure, compared(said(20, lost=True), BASELINE))
    assert lost is not None
    assert "dropped by 1.00, and by 1.00 relative to the base: mean score 0.00, 1.00 in the baseline" in lost.summary


def test_answers_nearer_than_usual_are_no_further_apart() -> None:
    baseline = rounds(1, product.right_reply, days=range(14))
    found = (told(distribution.measure, compared(rounds(seed, product.right_reply, days=range(20, 21)), baseline))
             for seed in range(70, 90))  # fmt: skip
    alike = next(one for one in found if one is not None and one.reading.effect[0] < -0.005)
    start = "Answers are distributed as in the baseline: characters differ no more than within the baseline"
    assert alike.summary.startswith(f"{start} (95% interval 0.0% to ")


def test_canaries_that_clearly_fail_more_do_not_hold_however_little_evidence_that_is() -> None:
    found = told(canaries.measure, compared(said(20, lost=True, share=0.3), BASELINE))
    assert found is not None
    assert found.reading.effect[1] > 0
    quiet = replace(found.verdict, alarming=False, evaluation_log10=0.5, evidence_log10=0.5)
    assert not quiet.moved
    assert found.say(quiet).startswith(f"{BELOW} support-bot fails more of the checks")
