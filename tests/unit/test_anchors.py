"""Anchors: the judge's own question about a labelled answer, checked by the person's verdict; the judge a target."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from monitor.config import Report, check, load
from monitor.config.anchors import is_anchors
from monitor.config.suites import load_suite, suite_body, suite_from_body
from monitor.core.records import Arm, GradedAnswer, Message, Probe, Question, Run, Suite
from monitor.core.settings import Endpoint, Judge
from monitor.judge.checks import score_answer
from monitor.judge.llm import judge_questions
from monitor.runs.questions import questions_of

SLOT = datetime(2026, 11, 22, tzinfo=UTC)
RUN = Run(1, "judge", "labelled", SLOT, "running", None, 1, 1, None, SLOT, seed=5, suite_digest="d")
RUBRIC = "Pass if the reply is kind."
JUDGE = Judge(provider="mine", model="big")
LABELLED = """\
name: labelled
rubric: Pass if the reply is kind.
anchors:
  - {id: kind, prompt: "Where is it?", answer: "On its <b>way</b>!", reference: tomorrow, verdict: pass, by: kim}
  - {id: rude, prompt: "Where is it?", answer: Find it yourself., verdict: fail, rubric: Pass if polite., why: rude}
"""
CONFIG = """\
providers: {mine: {kind: openai, base_url: "http://127.0.0.1:1/v1"}}
judge: {provider: mine, model: big, anchors: labelled.yaml, budget: {requests_per_day: 1}}
targets: {bot: {subject: {provider: mine, model: tuned}, base: {provider: mine, model: plain}, suites: [format]}}
"""


def labelled(folder: Path, text: str = LABELLED) -> Suite:
    (folder / "labelled.yaml").write_text(text, encoding="utf-8")
    return load_suite("labelled.yaml", folder)


def checked(folder: Path, text: str = CONFIG) -> Report:
    (folder / "cliffwatch.yaml").write_text(text, encoding="utf-8")
    return check(folder / "cliffwatch.yaml", {})


def as_judged(answer: str, rubric: str, reference: str | None) -> Question:
    """What the judge is asked about the same answer in a run."""
    suite = Suite("support", "d", (Probe("p", (Message("user", "Where is it?"),), reference),), rubric=rubric)
    graded = GradedAnswer(1, SLOT, Arm.SUBJECT, "p", 0, answer, "stop", False, "tuned", None, 0, 0)
    (question,) = judge_questions(RUN, suite, [graded], JUDGE)
    return question


def test_an_anchor_is_asked_as_the_answer_of_a_run_is(tmp_path: Path) -> None:
    suite = labelled(tmp_path)
    checked(tmp_path)
    target = load(tmp_path / "cliffwatch.yaml", {}).targets["judge"]
    kind, rude = questions_of(target, RUN, suite)
    for asked, judged in (
        (kind, as_judged("On its <b>way</b>!", RUBRIC, "tomorrow")),
        (rude, as_judged("Find it yourself.", "Pass if polite.", None)),
    ):
        assert asked.messages == judged.messages
        assert (asked.provider, asked.model) == (judged.provider, judged.model)
        assert (asked.sampling, asked.response_schema) == (judged.sampling, judged.response_schema)
    assert (kind.arm, kind.target) == (Arm.SUBJECT, "judge")
    assert "<b>" not in kind.messages[-1].content, "an answer cannot speak to the judge"


@pytest.mark.parametrize(
    ("reply", "kind", "rude"),
    [
        ('{"verdict": "pass"}', 1.0, 0.0),
        ('```json\n{"verdict": "fail"}\n```', 0.0, 1.0),
        ("pass", 0.0, 0.0),
        ('{"verdict": "pass", "because": "kind"}', 0.0, 0.0),
        ('{"verdict": "pass"}' + " " * 300, 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_the_check_is_that_the_verdict_is_the_persons(tmp_path: Path, reply: str, kind: float, rude: float) -> None:
    for probe, value in zip(labelled(tmp_path).probes, (kind, rude), strict=True):
        grades = {grade.grader: grade.value for grade in score_answer(probe, reply)}
        assert grades == {"check:verdict": value, "checks": value}, probe.id


def test_nobody_judges_the_judge(tmp_path: Path) -> None:
    suite = labelled(tmp_path)
    told = GradedAnswer(1, SLOT, Arm.SUBJECT, "kind", 0, '{"verdict": "pass"}', "stop", False, "big", None, 0, 0)
    assert judge_questions(RUN, suite, [told], JUDGE) == []


def test_the_digest_holds_what_the_judge_is_asked_and_the_verdicts_and_nothing_else(tmp_path: Path) -> None:
    suite = labelled(tmp_path)
    assert suite_from_body(suite.digest, suite_body(suite)).response_schema == suite.response_schema
    assert is_anchors(suite)
    same = labelled(
        tmp_path, LABELLED.replace("kim", "jo").replace("why: rude", "why: so").replace("name:", "#x\nname:")
    )
    assert same.digest == suite.digest
    for old, new in (
        ("verdict: pass", "verdict: fail"),
        ("Find it", "Look for it"),
        ("tomorrow", "today"),
        ("is kind", "is so"),
    ):
        assert labelled(tmp_path, LABELLED.replace(old, new)).digest != suite.digest, new


def test_the_judge_becomes_a_target_where_it_has_anchors(tmp_path: Path) -> None:
    labelled(tmp_path)
    report = checked(tmp_path)
    assert report.settings is not None
    judge = report.settings.targets["judge"]
    assert judge.subject == Endpoint(provider="mine", model="big")
    assert (judge.base, judge.production, judge.run_suites) == (None, None, ["labelled"])
    assert report.settings.judge is not None
    assert judge.budget == report.settings.judge.budget
    assert report.suites["labelled"].probes[0].id == "kind"
    without = checked(tmp_path, CONFIG.replace(", anchors: labelled.yaml", "")).settings
    assert without is not None
    assert without.targets.keys() == {"bot"}


def test_anchors_that_tell_little_are_warned_of_snapshot(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    labelled(tmp_path, LABELLED.replace("verdict: fail", "verdict: pass"))

    def warned(text: str) -> list[str]:
        report = checked(tmp_path, text)
        assert report.problems == ()
        return sorted(f"{one.where}: {one.text}" for one in report.warnings)

    assert warned(CONFIG) == snapshot
    assert warned(CONFIG.replace("[format]", "[lab-support]").replace("anchors: labelled.yaml, ", "")) == snapshot
