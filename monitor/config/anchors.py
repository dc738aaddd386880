"""Anchors: answers with a person's verdict. The judge scores them exactly like the answers of a run.

The file is read into a ``records.Suite``, so that the judge is watched like any target. Each probe is a question to the
judge, with one check: the verdict must equal the person's. ``monitor.config`` creates the target.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from monitor.core.records import Check, Probe, Suite
from monitor.core.section import Name, Section, Text
from monitor.core.settings import Endpoint, Judge, Target
from monitor.judge.prompt import JUDGE_SAMPLING, VERDICT_SCHEMA, verdict_messages

FEWEST: Final = 20
"""With fewer anchors, a drifted judge may go undetected for a long time."""

Verdict = Literal["pass", "fail"]


class AnchorFile(Section):
    """One answer with the verdict of a person."""

    id: Name = Field(description="id of the anchor, unique in the file; verdicts are compared by id")
    prompt: Text = Field(description="the prompt; for a conversation, all turns as `user: ...` lines")
    answer: Text = Field(description="the exact answer, right or wrong")
    verdict: Verdict = Field(description="a person's verdict on the answer, by the rubric")
    reference: Text | None = Field(None, description="a correct answer, shown to the judge")
    rubric: Text | None = Field(None, description="criterion for this answer, instead of the file's rubric")
    by: str | None = Field(None, max_length=200, description="who gave the verdict; not used by Cliffwatch")
    why: str | None = Field(None, max_length=10_000, description="reason for the verdict; not used by Cliffwatch")


class AnchorsFile(Section):
    """A file of anchors."""

    name: Name = Field(description="name of the file, without .yaml")
    description: str | None = Field(None, max_length=10_000, description="for people; changes need no new baseline")
    rubric: Text = Field(description="criterion for every answer: the rubric of the suite that the anchors represent")
    anchors: Annotated[tuple[AnchorFile, ...], Field(min_length=1, max_length=2000)] = Field(
        description="answers with their verdicts, some pass and some fail"
    )


def suite_of(parsed: AnchorsFile) -> Suite:
    """Returns the anchors as a suite, without digest."""
    probes = tuple(_probe(anchor, anchor.rubric or parsed.rubric) for anchor in parsed.anchors)
    return Suite(parsed.name, "", probes, sampling=JUDGE_SAMPLING, response_schema=VERDICT_SCHEMA)


def _probe(anchor: AnchorFile, rubric: str) -> Probe:
    messages = verdict_messages(rubric, anchor.prompt, anchor.answer, anchor.reference)
    return Probe(anchor.id, messages, checks=(Check("verdict", {"verdict": anchor.verdict}),))


def is_anchors(suite: Suite) -> bool:
    """Whether a suite was read from a file of anchors."""
    return suite.response_schema == VERDICT_SCHEMA


def verdicts(suite: Suite) -> list[str]:
    """Returns the people's verdicts in a suite of anchors."""
    return [str(check.options["verdict"]) for probe in suite.probes for check in probe.checks]


def as_target(judge: Judge) -> Target:
    """Returns a judge with anchors as a target. Validates nothing, so that `check` can report its problems."""
    endpoint = {name: getattr(judge, name) for name in Endpoint.model_fields}
    return Target.model_construct(
        subject=Endpoint.model_construct(**endpoint), suites=(str(judge.anchors),), budget=judge.budget
    )
