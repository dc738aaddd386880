"""Measures the committed weights: ``python -m monitor.lab.evaluate [--weights DIR]`` prints a table. Needs torch.

Everything is measured on the stored weights (half precision, computed in float32), on prompts that are not in the
training data, against known answers. ``Measured`` is one number with its derivation, as in the model cards.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from monitor.lab import judging, loop, product, tasks, tokens

SEED: Final = 7
SAMPLES: Final = 5


class Measured(NamedTuple):
    """``hits`` of ``total``; ``what`` says what was counted and how."""

    what: str
    hits: int
    total: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.hits / self.total


def base(folder: Path, each: int = 20) -> list[Measured]:
    """A base alone: its tasks, and what it says to the product's prompts."""
    model, tokenizer = loop.load_base(folder), tokens.load_tokenizer(folder)
    items = tasks.held_out(SEED, each)
    said = loop.replies(model, tokenizer, [tokens.user(item.prompt) for item in items])
    right = Counter(item.task for item, reply in zip(items, said, strict=True) if tasks.is_right(item, reply))
    count = Counter(item.task for item in items)
    cases = product.held_out(SEED)
    plain = loop.replies(model, tokenizer, [tokens.user(case.prompt) for case in cases])
    return [
        Measured(f"all {len(count)} tasks, held-out prompts, greedy, exact match", right.total(), count.total()),
        *(Measured(f"task `{task}`", right[task], count[task]) for task in tasks.NAMES),
        Measured("right on the product's held-out prompts, greedy", _right(cases, plain), len(cases)),
        Measured("JSON on the product's held-out prompts, greedy", sum("{" in one for one in plain), len(cases)),
    ]


def _right(cases: list[product.Case], said: list[str]) -> int:
    return sum(product.is_right(case, reply) for case, reply in zip(cases, said, strict=True))


def _samples(model: Any, tokenizer: Any, cases: list[product.Case], temperature: float) -> tuple[int, int]:
    """How many of all ``SAMPLES`` replies a case are right, and how many cases got more than one distinct reply."""
    prompts = [tokens.user(case.prompt) for case in cases for _ in range(SAMPLES)]
    repeated = [case for case in cases for _ in range(SAMPLES)]
    said = loop.replies(model, tokenizer, prompts, temperature=temperature, seed=SEED)
    varied = sum(len(set(said[index : index + SAMPLES])) > 1 for index in range(0, len(said), SAMPLES))
    return _right(repeated, said), varied


def support(base_folder: Path, folder: Path, sampled: int = 100) -> list[Measured]:
    """A support adapter on a base: right greedily and at two temperatures, varied, and gone when switched off."""
    model, tokenizer = loop.load_adapter(base_folder, folder), tokens.load_tokenizer(base_folder)
    cases = product.held_out(SEED)
    prompts = [tokens.user(case.prompt) for case in cases]
    found = [
        Measured("right, held-out prompts, greedy", _right(cases, loop.replies(model, tokenizer, prompts)), len(cases))
    ]
    for temperature in (0.7, 1.0):
        right, varied = _samples(model, tokenizer, cases[:sampled], temperature)
        found += [
            Measured(f"right, {SAMPLES} samples a prompt, temperature {temperature}", right, SAMPLES * sampled),
            Measured(
                f"prompts with more than one distinct reply of {SAMPLES}, temperature {temperature}", varied, sampled
            ),
        ]
    with model.disable_adapter():
        plain = loop.replies(model, tokenizer, prompts)
    return [
        *found,
        Measured("right, adapter switched off, greedy", _right(cases, plain), len(cases)),
        Measured("JSON, adapter switched off, greedy", sum("{" in one for one in plain), len(cases)),
    ]


def crossed(base_folder: Path, folder: Path, other_base: Path) -> list[Measured]:
    """An adapter on a base it was not trained on: right, and how often the very reply it gives on its own base."""
    tokenizer, cases = tokens.load_tokenizer(base_folder), product.held_out(SEED)
    prompts = [tokens.user(case.prompt) for case in cases]
    own = loop.replies(loop.load_adapter(base_folder, folder), tokenizer, prompts)
    other = loop.replies(loop.load_adapter(other_base, folder), tokenizer, prompts)
    same = sum(one == two for one, two in zip(own, other, strict=True))
    name = f"`{folder.name}` on `{other_base.name}`"
    return [
        Measured(f"{name}: right, greedy", _right(cases, other), len(cases)),
        Measured(f"{name}: the same reply as on `{base_folder.name}`, greedy", same, len(cases)),
    ]


def judge(base_folder: Path, folder: Path, count: int = 300) -> list[Measured]:
    """The judge against the truth, with and without a reference, in all and for each kind of reply."""
    model, tokenizer = loop.load_adapter(base_folder, folder), tokens.load_tokenizer(base_folder)
    cases = judging.held_out(SEED, count)
    found = []
    for with_reference in (True, False):
        given = "with reference" if with_reference else "without reference"
        said = loop.replies(model, tokenizer, [judging.messages(one, with_reference) for one in cases], limit=12)
        agreed = [one.verdict == reply for one, reply in zip(cases, said, strict=True)]
        found.append(Measured(f"agrees with the truth, {given}, greedy", sum(agreed), count))
        for kind in ("right", *product.WRONG_KINDS):
            hits = [hit for one, hit in zip(cases, agreed, strict=True) if one.kind == kind]
            found.append(Measured(f"`{kind}` replies, {given}", sum(hits), len(hits)))
    return found


def everything(weights: Path) -> dict[str, list[Measured]]:
    """Every folder under ``weights`` measured, by its name."""
    return {
        "base": base(weights / "base"),
        "base-next": base(weights / "base-next"),
        "support": support(weights / "base", weights / "support")
        + crossed(weights / "base", weights / "support", weights / "base-next"),
        "support-next": support(weights / "base-next", weights / "support-next"),
        "judge": judge(weights / "base", weights / "judge"),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the lab's weights as they lie in the package.")
    parser.add_argument("--weights", type=Path, default=Path(__file__).parent / "weights")
    torch.set_num_threads(1)  # two threads on a busy machine wait for each other
    for name, found in everything(parser.parse_args().weights).items():
        for one in found:
            print(f"{name:13} {one.share:7.1%}  {one.hits:4}/{one.total:<4}  {one.what}")


if __name__ == "__main__":
    main()
