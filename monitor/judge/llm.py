"""The LLM judge: its questions, and how its replies become scores.

The verdict is binary and bound to a schema. Any other reply gives no score: a judge that rambles is unmeasured, and its
verdict is never guessed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from monitor.core.records import JUDGE_GRADER, Arm, GradedAnswer, Probe, Question, Run, Score, Suite
from monitor.core.run_kinds import run_kind
from monitor.core.seeds import question_seed
from monitor.core.settings import Judge
from monitor.judge.prompt import JUDGE_SAMPLING, VERDICT_SCHEMA, verdict_messages, verdict_of

JUDGED_BY: Final[Mapping[Arm, Arm]] = MappingProxyType({Arm.SUBJECT: Arm.JUDGE_SUBJECT, Arm.BASE: Arm.JUDGE_BASE})
"""Arm of an answer -> arm of the question about it."""

_ABOUT: Final[Mapping[Arm, Arm]] = MappingProxyType({judge: arm for arm, judge in JUDGED_BY.items()})


class Reply(Protocol):
    """The parts of the judge's answer that ``verdict_score`` reads."""

    @property
    def text(self) -> str: ...
    @property
    def refusal(self) -> bool: ...
    @property
    def model(self) -> str | None: ...


def judge_questions(run: Run, suite: Suite, answers: Sequence[GradedAnswer], judge: Judge) -> list[Question]:
    """One question to the judge for each of the run's answers whose probe, or suite, has a rubric.

    Ordered by replicate, probe (as in the suite) and arm, so that a resumed run asks the same questions.
    Answers of other runs, and of probes that the suite no longer has, are skipped, and so are second answers of the
    base to production inputs, which only show how alike its own answers are.
    """
    place = {probe.id: index for index, probe in enumerate(suite.probes)}
    mine = [a for a in answers if a.run_id == run.id and a.arm in JUDGED_BY and a.probe in place]
    if not run_kind(run.target, run.suite).frozen_items:
        mine = [a for a in mine if a.arm is not Arm.BASE or a.replicate == 0]
    mine.sort(key=lambda a: (a.replicate, place[a.probe], list(JUDGED_BY).index(a.arm)))
    questions = []
    for answer in mine:
        probe = suite.probes[place[answer.probe]]
        if rubric := probe.rubric or suite.rubric:
            questions.append(_question(run, suite, probe, answer, rubric, judge))
    return questions


def _question(run: Run, suite: Suite, probe: Probe, answer: GradedAnswer, rubric: str, judge: Judge) -> Question:
    arm = JUDGED_BY[answer.arm]
    return Question(
        run_id=run.id,
        target=run.target,
        suite=suite.name,
        arm=arm,
        probe=probe.id,
        replicate=answer.replicate,
        provider=judge.provider,
        model=judge.model,
        messages=verdict_messages(rubric, conversation(probe), answer.text, probe.reference),
        sampling=JUDGE_SAMPLING,
        seed=question_seed(run.seed, arm, probe.id, answer.replicate),
        response_schema=VERDICT_SCHEMA,
    )


def conversation(probe: Probe) -> str:
    """The question as shown to the judge: the user's message, or the whole exchange if there are several.

    The system prompt is left out: it belongs to the deployment, and its requirements belong in the rubric.
    """
    spoken = [message for message in probe.messages if message.role != "system"]
    if len(spoken) <= 1:
        return probe.prompt
    return "\n".join(f"{message.role}: {message.content}" for message in spoken)


def verdict_score(arm: Arm, probe: str, replicate: int, answer: Reply) -> Score | None:
    """The judge's ``answer`` as a score of the judged answer: 1 pass, 0 fail; ``None`` without a verdict.

    ``arm`` is the judge's (``judge-subject``, ``judge-base``); the score has the judged arm. A refusal is no verdict.
    """
    verdict = None if answer.refusal else verdict_of(answer.text)
    if verdict is None:
        return None
    detail = f"{verdict}, says {answer.model or 'the judge'}"
    return Score(_ABOUT[arm], probe, replicate, JUDGE_GRADER, float(verdict == "pass"), detail)
