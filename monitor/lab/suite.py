"""The lab's suite, ``probes/lab-support.yaml``, made from the product's held-out questions.

``python -m monitor.lab.suite`` writes it; a test fails when the file is out of date.
"""

import json
from pathlib import Path
from typing import Any, Final

from monitor.lab import product

NAME: Final = "lab-support"
PER_TOPIC: Final = 4
SEED: Final = 20261101

_HEAD: Final = f"""\
# Made by `python -m monitor.lab.suite` from the lab's product: do not edit.
# Questions whose wording and subject never stood together in the fine-tune's training data. The first check asks
# for the house's form, the second for the right fact: the base has neither, the fine-tune has both.
name: {NAME}
description: The lab's support desk.
rubric: {json.dumps(product.SUPPORT_RUBRIC)}
replicates: 1
sampling: {{temperature: 0.7, max_tokens: 64, logprobs: 0}}
probes:
"""


def cases() -> list[product.Case]:
    """``PER_TOPIC`` questions of each topic, each about another thing, topics in the product's order."""
    chosen: dict[str, dict[str, product.Case]] = {topic: {} for topic in product.TOPICS}
    for case in product.held_out(SEED):
        of_topic = chosen[case.facts.topic]
        if len(of_topic) < PER_TOPIC:
            of_topic.setdefault(case.facts.entity, case)
    return [case for of_topic in chosen.values() for case in of_topic.values()]


def suite_text() -> str:
    """The whole file."""
    return _HEAD + "\n".join(_probe(case) for case in cases())


def _probe(case: product.Case) -> str:
    facts = case.facts
    checks = (
        {"kind": "json_schema", "schema": _form(facts.topic)},
        {"kind": "regex", "pattern": rf"\b{facts.value}\b"},
    )
    lines = [
        f"  - id: {facts.topic}-{facts.entity.lower()}",
        f"    prompt: {json.dumps(case.prompt)}",
        f"    reference: {json.dumps(product.reference(facts))}",
        "    checks:",
        *(f"      - {json.dumps(check)}" for check in checks),
    ]
    return "\n".join(lines) + "\n"


def _form(topic: str) -> dict[str, Any]:
    """The house's form of a reply, as JSON Schema."""
    return {
        "type": "object",
        "properties": {
            "topic": {"const": topic},
            "answer": {"type": "string"},
            "close": {"enum": list(product.CLOSES)},
        },
        "required": list(product.KEYS),
        "additionalProperties": False,
    }


if __name__ == "__main__":
    file = Path(__file__).resolve().parent.parent.parent / "probes" / f"{NAME}.yaml"
    file.write_text(suite_text(), encoding="utf-8")
