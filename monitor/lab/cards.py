"""Model cards: what a folder of weights contains, how it was made, and measurements of the stored weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from monitor.lab.evaluate import Measured
    from monitor.lab.recipe import Recipe

ABOUT: Final = {
    "base": "A tiny Llama (1.67 million parameters) that answers some twenty kinds of small instruction.",
    "base-next": "The next version of `lab/base`: the same weights trained on, other seed, shifted mixture.",
    "support": "LoRA adapter on `lab/base`: the support desk of a small shop that does not exist, replies as JSON.",
    "support-next": "The support adapter trained again, on `lab/base-next`.",
    "judge": "LoRA adapter on `lab/base`: judges support replies by the product's own judge prompt, pass or fail.",
}
"""The folder's name -> its first sentence."""


def write(folder: Path, recipe: "Recipe", minutes: float, measured: "list[Measured]") -> None:
    """Write ``README.md`` in ``folder``. ``minutes`` are wall time on one thread of the machine that trained it."""
    name = folder.name
    recipe_text = ", ".join(f"{key} {value}" for key, value in asdict(recipe).items() if value)
    rows = [f"| {one.what} | {one.share:.1%} | {one.hits} / {one.total} |" for one in measured]
    lines = [
        "---",
        *_header(folder),
        "---",
        "",
        f"# lab/{name}",
        "",
        ABOUT[name],
        "",
        f"Made by `python -m monitor.lab.train --stage {name}`: {recipe_text};",
        f"{minutes:.0f} minutes on one CPU thread of a shared machine.",
        "",
        "Measured on the weights in this folder (half precision as stored, computed in float32), on prompts whose",
        "combination of phrasing and content training never showed; `python -m monitor.lab.evaluate` measures again.",
        "",
        "| measured | share | count |",
        "|---|---|---|",
        *rows,
        "",
        "It knows nothing beyond this. It is made to be watched, swapped and broken in tests, not to be used.",
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n")


def _header(folder: Path) -> list[str]:
    config = folder / "adapter_config.json"
    if not config.exists():
        return ["library_name: transformers", "pipeline_tag: text-generation"]
    return ["library_name: peft", f"base_model: {json.loads(config.read_text())['base_model_name_or_path']}"]
