"""Trains the lab's models: ``python -m monitor.lab.train [--out DIR] [--stage STAGE]``. Needs torch.

Everything is seeded. Each stage reads the results of earlier stages under ``--out``, and writes one folder with
weights, tokenizer and a card with the accuracy of the written weights. It uses one thread per process: two threads on a
busy two-core machine wait for each other and are ten times slower. After ``base``, the stages ``support``, ``judge``
and ``base-next`` can run in parallel.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final

import torch

from monitor.lab import cards, evaluate, judging, loop, product, tasks, tokens
from monitor.lab.recipe import RECIPES, Recipe

WEIGHTS: Final = Path(__file__).parent / "weights"

NEXT_WEIGHTS: Final = tasks.WEIGHTS | {
    "shop": 2.0,
    "add": 3.0,
    "larger": 2.0,
    "capital": 2.0,
    "json": 1.0,
    "agree": 1.5,
}
"""The next version's mixture: more arithmetic and geography, less of the rest, as a provider might shift it."""


STAGES: Final = ("tokenizer", *RECIPES)


def _task_batch(recipe: Recipe, weights: dict[str, float]) -> loop.Batch:
    def batch(rng: Random) -> list[loop.Example]:
        return [(tokens.user(item.prompt), item.reply) for item in tasks.mixture(rng, recipe.batch, weights)]

    return batch


def _support_batch(recipe: Recipe) -> loop.Batch:
    def batch(rng: Random) -> list[loop.Example]:
        cases = [product.draw(rng) for _ in range(recipe.batch)]
        return [(tokens.user(case.prompt), product.house_reply(case.facts, rng)) for case in cases]

    return batch


def _judge_batch(recipe: Recipe) -> loop.Batch:
    def batch(rng: Random) -> list[loop.Example]:
        return [judging.example(rng) for _ in range(recipe.batch)]

    return batch


def _train(model: Any, tokenizer: Any, batch: loop.Batch, recipe: Recipe, folder: Path) -> float:
    """Train and save, also on the way; returns minutes."""

    def save() -> None:
        loop.save_model(model, tokenizer, folder)

    def log(line: str) -> None:
        print(f"{folder.name}: {line}", flush=True)

    minutes = loop.train(
        model,
        tokenizer,
        batch,
        steps=recipe.steps,
        rate=recipe.rate,
        seed=recipe.seed,
        parts=recipe.parts,
        save=save,
        log=log,
    )
    save()
    return minutes


def tokenizer_stage(out: Path) -> None:
    """The tokenizer alone, into the base's folder."""
    tokens.train_tokenizer(0).save_pretrained(out / "base")


def base_stage(out: Path) -> None:
    """The base model, from nothing."""
    recipe = RECIPES["base"]
    tokenizer = tokens.load_tokenizer(out / "base")
    minutes = _train(loop.new_base(0), tokenizer, _task_batch(recipe, tasks.WEIGHTS), recipe, out / "base")
    cards.write(out / "base", recipe, minutes, evaluate.base(out / "base"))


def base_next_stage(out: Path) -> None:
    """The base's next version: the same weights trained on, with another seed and a shifted mixture."""
    recipe = RECIPES["base-next"]
    tokenizer = tokens.load_tokenizer(out / "base")
    model = loop.load_base(out / "base")
    minutes = _train(model, tokenizer, _task_batch(recipe, NEXT_WEIGHTS), recipe, out / "base-next")
    cards.write(out / "base-next", recipe, minutes, evaluate.base(out / "base-next"))


def _adapter(out: Path, name: str, base: str, batch: Callable[[Recipe], loop.Batch]) -> float:
    recipe = RECIPES[name]
    tokenizer = tokens.load_tokenizer(out / base)
    model = loop.new_adapter(loop.load_base(out / base), recipe.rank, recipe.seed, f"lab/{base}")
    return _train(model, tokenizer, batch(recipe), recipe, out / name)


def support_stage(out: Path) -> None:
    """The product's adapter on the base."""
    minutes = _adapter(out, "support", "base", _support_batch)
    cards.write(out / "support", RECIPES["support"], minutes, evaluate.support(out / "base", out / "support"))


def support_next_stage(out: Path) -> None:
    """The product's adapter trained again on the base's next version; also measures the old adapter on it."""
    minutes = _adapter(out, "support-next", "base-next", _support_batch)
    measured = evaluate.support(out / "base-next", out / "support-next")
    measured += evaluate.crossed(out / "base", out / "support", out / "base-next")
    cards.write(out / "support-next", RECIPES["support-next"], minutes, measured)


def judge_stage(out: Path) -> None:
    """The judge's adapter on the base."""
    minutes = _adapter(out, "judge", "base", _judge_batch)
    cards.write(out / "judge", RECIPES["judge"], minutes, evaluate.judge(out / "base", out / "judge"))


RUN: Final[dict[str, Callable[[Path], None]]] = {
    "tokenizer": tokenizer_stage,
    "base": base_stage,
    "support": support_stage,
    "judge": judge_stage,
    "base-next": base_next_stage,
    "support-next": support_next_stage,
}


def main() -> None:
    """Run the stages asked for, in order."""
    parser = argparse.ArgumentParser(description="Train the lab's models: tokenizer, two bases, three adapters.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights (default: the package's own)")
    parser.add_argument("--stage", choices=["all", *STAGES], default="all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for stage in STAGES if arguments.stage == "all" else [arguments.stage]:
        RUN[stage](arguments.out)


if __name__ == "__main__":
    main()
