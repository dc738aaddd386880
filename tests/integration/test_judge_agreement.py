"""The judge stage whole, on the lab's real judge: it agrees with the truth as often as its model card says."""

import re
from datetime import UTC, datetime
from math import sqrt
from typing import Any

import openai
import pytest

from monitor.core.records import Answer, Arm, Exchange, GradedAnswer, Message, Probe, Question, Run, Suite
from monitor.core.settings import Judge
from monitor.judge.agreement import Share, agreement, share
from monitor.judge.llm import judge_questions, verdict_score
from monitor.lab import judging, product
from monitor.lab.process import LabServer
from monitor.lab.served import weights_dir

COUNT = 40
SLOT = datetime(2026, 11, 22, tzinfo=UTC)
RUN = Run(1, "shop", "support", SLOT, "running", None, 1, 1, None, SLOT, seed=5, suite_digest="d")

pytestmark = pytest.mark.skipif(
    not (weights_dir() / "judge" / "README.md").exists(), reason="the lab's judge has not been trained here"
)


def stated() -> Share:
    """What the card says of verdicts with a reference."""
    card = (weights_dir() / "judge" / "README.md").read_text(encoding="utf-8")
    row = re.search(r"^\| agrees with the truth, with reference.* \| (\d+) / (\d+) \|$", card, re.MULTILINE)
    assert row is not None
    return share(int(row[1]), int(row[2]))


def asked(client: openai.OpenAI, question: Question) -> Answer:
    messages: Any = [{"role": message.role, "content": message.content} for message in question.messages]
    made = client.chat.completions.create(
        model=question.model,
        messages=messages,
        temperature=question.sampling.temperature,
        max_tokens=question.sampling.max_tokens,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": dict(question.response_schema or {})},
        },
    )
    text = made.choices[0].message.content or ""
    return Answer(text, "stop", False, made.model, None, made.id, 0, 0, 0.0, SLOT, Exchange({}, {}))


def test_the_lab_judge_is_as_good_as_its_card_says(lab_server: LabServer) -> None:
    cases = judging.held_out(seed=31, count=COUNT)
    probes = tuple(
        Probe(f"case-{n}", (Message("user", one.case.prompt),), reference=product.reference(one.case.facts))
        for n, one in enumerate(cases)
    )
    answers = [
        GradedAnswer(1, SLOT, Arm.SUBJECT, f"case-{n}", 0, one.reply, "stop", False, "lab-support", None, 0, 0)
        for n, one in enumerate(cases)
    ]
    suite = Suite("support", "d", probes, rubric=product.SUPPORT_RUBRIC)
    judge = Judge(provider="lab", model="lab-judge", revision=None, adapter=None)
    verdicts: list[bool | None] = []
    with openai.OpenAI(base_url=lab_server.openai_url, api_key="any") as client:
        for question in judge_questions(RUN, suite, answers, judge):
            score = verdict_score(question.arm, question.probe, question.replicate, asked(client, question))
            verdicts.append(None if score is None else score.value == 1)
    truths = [product.is_right(one.case, one.reply) for one in cases]
    assert truths == [one.kind == "right" for one in cases]
    found = agreement(verdicts, truths)
    assert found.unmeasured == 0
    low = stated().low
    error = sqrt(low * (1 - low) / COUNT)
    assert found.accuracy.value is not None
    assert found.accuracy.value >= low - 3 * error, f"{found} against {stated()}"
