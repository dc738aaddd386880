"""The anchors of the lab's judge, ``probes/lab-anchors.yaml``: right and wrong replies to held-out questions.

Their verdicts follow from the product's facts, so no person had to label them. ``python -m monitor.lab.anchors`` writes
the file; a test fails when it is out of date.
"""

import json
from pathlib import Path
from typing import Final

from monitor.lab import judging, product

NAME: Final = "lab-anchors"
EACH: Final = 15
"""Right replies, and as many wrong ones."""
SEED: Final = 20261122

_WHY: Final = {
    "right": "form, fact and tone are right",
    "wrong_fact": "another thing's value",
    "plain": "no JSON, no fact",
    "missing_key": "a key is missing",
    "rude": "the close is unkind",
    "truncated": "cut off, so no JSON",
}

_HEAD: Final = f"""\
# Made by `python -m monitor.lab.anchors` from the lab's product: do not edit.
# Replies to questions that the judge was not trained on, {EACH} right and {EACH} wrong.
name: {NAME}
description: The lab's judge, held against the truth.
rubric: {json.dumps(product.SUPPORT_RUBRIC)}
anchors:
"""


def cases() -> list[judging.Judged]:
    """``EACH`` right replies and ``EACH`` wrong ones, no question twice; the wrong in turn of each kind."""
    right: list[judging.Judged] = []
    wrong: dict[str, list[judging.Judged]] = {kind: [] for kind in product.WRONG_KINDS}
    seen: set[product.Facts] = set()
    for one in judging.held_out(SEED):
        mine = right if one.kind == "right" else wrong[one.kind]
        if len(mine) < (EACH if one.kind == "right" else EACH // len(wrong)) and one.case.facts not in seen:
            seen.add(one.case.facts)
            mine.append(one)
    return [*right, *(one for found in wrong.values() for one in found)]


def anchors_text() -> str:
    """The whole file."""
    return _HEAD + "\n".join(_anchor(one) for one in cases())


def _anchor(one: judging.Judged) -> str:
    facts = one.case.facts
    verdict = "pass" if product.is_right(one.case, one.reply) else "fail"
    lines = [
        f"  - id: {one.kind.replace('_', '-')}-{facts.topic}-{facts.entity.lower()}",
        f"    prompt: {json.dumps(one.case.prompt)}",
        f"    reference: {json.dumps(product.reference(facts))}",
        f"    answer: {json.dumps(one.reply)}",
        f"    verdict: {verdict}",
        "    by: the product's facts",
        f"    why: {_WHY[one.kind]}",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    file = Path(__file__).resolve().parent.parent.parent / "probes" / f"{NAME}.yaml"
    file.write_text(anchors_text(), encoding="utf-8")
