"""Cases for the lab's judge: right and wrong support replies whose verdict is known without a model."""

from random import Random
from typing import Final, NamedTuple

from monitor.judge.prompt import judge_messages
from monitor.lab import product

PASS: Final = '{"verdict": "pass"}'
FAIL: Final = '{"verdict": "fail"}'

WRONG_WEIGHTS: Final = {"wrong_fact": 0.4, "plain": 0.15, "missing_key": 0.15, "rude": 0.15, "truncated": 0.15}


class Judged(NamedTuple):
    """A reply to a support case: ``kind`` is ``right`` or the defect; ``verdict`` is what the judge should say."""

    case: product.Case
    reply: str
    kind: str

    @property
    def verdict(self) -> str:
        """The true verdict as JSON text."""
        return PASS if self.kind == "right" else FAIL


def judged(case: product.Case, rng: Random) -> Judged:
    """``case`` with a reply that is right half of the time, else has one defect."""
    if rng.random() < 0.5:
        return Judged(case, product.right_reply(case.facts, rng), "right")
    kind = product.weighted(rng, WRONG_WEIGHTS)
    return Judged(case, product.wrong_reply(case.facts, kind, rng), kind)


def messages(one: Judged, with_reference: bool) -> list[dict[str, str]]:
    """The product's own judge prompt for the reply, with or without the right value as reference."""
    reference = product.reference(one.case.facts) if with_reference else None
    return judge_messages(product.SUPPORT_RUBRIC, one.case.prompt, one.reply, reference)


def example(rng: Random) -> tuple[list[dict[str, str]], str]:
    """A training example: two of three with a reference."""
    one = judged(product.draw(rng), rng)
    return messages(one, rng.random() < 2 / 3), one.verdict


def held_out(seed: int, count: int = 300) -> list[Judged]:
    """Judged replies to held-out prompts, kinds drawn as in training."""
    rng = Random(seed)
    cases = product.held_out(seed)
    return [judged(cases[index % len(cases)], rng) for index in range(count)]
