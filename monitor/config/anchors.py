"""Anchors: answers with a person's verdict, put to the judge exactly as the answers of a run are.

The file is read into a ``records.Suite`` like any other, so that all that watches a target watches the judge: its
probes are the judge's own questions, and their one check is that the verdict is the person's. ``monitor.config`` makes
the target of them.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from monitor.core.records import Check, Probe, Suite
from monitor.core.settings import Endpoint, Judge, Name, Section, Target, Text
from monitor.judge.prompt import JUDGE_SAMPLING, VERDICT_SCHEMA, verdict_messages

FEWEST: Final = 20
"""Anchors under which a judge that moved may long go unseen."""

Verdict = Literal["pass", "fail"]


class AnchorFile(Section):
    """One answer with the verdict that a person gave."""

    id: Name = Field(description="its name, unique in the file; verdicts are compared by it")
    prompt: Text = Field(description="what the model was asked; of a conversation all turns, as `user: ...` lines")
    answer: Text = Field(description="what it answered, right or wrong, word for word")
    verdict: Verdict = Field(description="what a person says of the answer by the rubric")
    reference: Text | None = Field(None, description="a right answer, as the probes give one to the judge")
    rubric: Text | None = Field(None, description="what the judge asks of this answer, instead of the file's rubric")
    by: str | None = Field(None, max_length=200, description="who gave the verdict; for people")
    why: str | None = Field(None, max_length=10_000, description="why it is the right one; for people")


class AnchorsFile(Section):
    """A file of anchors."""

    name: Name = Field(description="the file's own name, without .yaml")
    description: str | None = Field(None, max_length=10_000, description="for people; changing it changes no baseline")
    rubric: Text = Field(description="what the judge asks of every answer: the rubric of the suite that it stands for")
    anchors: Annotated[tuple[AnchorFile, ...], Field(min_length=1, max_length=2000)] = Field(
        description="the answers with their verdicts, some pass and some fail"
    )


def suite_of(parsed: AnchorsFile) -> Suite:
    """The anchors as a suite, without its digest."""
    probes = tuple(_probe(anchor, anchor.rubric or parsed.rubric) for anchor in parsed.anchors)
    return Suite(parsed.name, "", probes, sampling=JUDGE_SAMPLING, response_schema=VERDICT_SCHEMA)


def _probe(anchor: AnchorFile, rubric: str) -> Probe:
    messages = verdict_messages(rubric, anchor.prompt, anchor.answer, anchor.reference)
    return Probe(anchor.id, messages, checks=(Check("verdict", {"verdict": anchor.verdict}),))


def is_anchors(suite: Suite) -> bool:
    """Whether a suite was read from a file of anchors."""
    return suite.response_schema == VERDICT_SCHEMA


def verdicts(suite: Suite) -> list[str]:
    """The people's verdicts in a suite of anchors."""
    return [str(check.options["verdict"]) for probe in suite.probes for check in probe.checks]


def as_target(judge: Judge) -> Target:
    """The target that the judge is where it has anchors; nothing is validated, so that `check` can look at it."""
    endpoint = {name: getattr(judge, name) for name in Endpoint.model_fields}
    return Target.model_construct(
        subject=Endpoint.model_construct(**endpoint), suites=(str(judge.anchors),), budget=judge.budget
    )
