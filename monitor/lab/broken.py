"""Broken adapters, derived from the good one, with defects that servers and libraries load silently.

Every function reads an adapter folder and writes ``<out>/<name>`` with the same files and one defect. It uses only
safetensors, JSON and numpy, not torch. The docstrings describe what PEFT and vLLM do with each defect.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"

Tensors = dict[str, NDArray[Any]]


def read(folder: Path) -> tuple[dict[str, Any], Tensors]:
    """The config and the tensors of the adapter in ``folder``; A is (rank, inputs), B is (outputs, rank)."""
    return json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS)


def _write(source: Path, folder: Path, config: dict[str, Any], tensors: Tensors) -> Path:
    """A copy of ``source`` with another config and other tensors; the card is left out, it speaks of the good one."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("README.md"))
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, folder / WEIGHTS)
    return folder


def renamed_layers(source: Path, out: Path) -> Path:
    """The MLP's projections renamed, as between two model families: PEFT and vLLM skip them silently."""
    names = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
    config, tensors = read(source)
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(f".{old}.", f".{new}.")
        renamed[name] = tensor
    config["target_modules"] = sorted(names.get(name, name) for name in config["target_modules"])
    return _write(source, out / "renamed_layers", config, renamed)


def renamed_prefix(source: Path, out: Path) -> Path:
    """Keys without PEFT's ``base_model.model.`` prefix: PEFT warns and leaves a no-op, vLLM applies them."""
    config, tensors = read(source)
    bare = {name.removeprefix("base_model.model."): tensor for name, tensor in tensors.items()}
    return _write(source, out / "renamed_prefix", config, bare)


def other_hidden_size(source: Path, out: Path, hidden: int = 128) -> Path:
    """Trained for a narrower base (``hidden`` instead of its width): PEFT raises on the shapes, vLLM says Success."""
    config, tensors = read(source)
    width = next(tensor.shape[1] for name, tensor in tensors.items() if "q_proj.lora_A" in name)

    def narrowed(tensor: NDArray[Any]) -> NDArray[Any]:
        return tensor[tuple(slice(0, hidden) if size == width else slice(None) for size in tensor.shape)]

    return _write(source, out / "other_hidden_size", config, {name: narrowed(one) for name, one in tensors.items()})


def missing_layer(source: Path, out: Path) -> Path:
    """The last layer's tensors are not there, as for a shallower base: the adapter acts on the other layers only."""
    config, tensors = read(source)
    last = max(int(name.split(".layers.")[1].split(".")[0]) for name in tensors)
    return _write(
        source,
        out / "missing_layer",
        config,
        {name: one for name, one in tensors.items() if f".layers.{last}." not in name},
    )


def extended_vocabulary(source: Path, out: Path, extra: int = 76) -> Path:
    """Embeddings saved along, for ``extra`` more tokens: PEFT raises a size mismatch, vLLM answers 500.

    The rows are zero; a wrong shape is refused before any value is read.
    """
    config, tensors = read(source)
    width = next(tensor.shape[1] for name, tensor in tensors.items() if "q_proj.lora_A" in name)
    vocabulary = len(json.loads((source / "tokenizer.json").read_text())["model"]["vocab"])
    config["modules_to_save"] = ["embed_tokens"]
    embeddings = np.zeros((vocabulary + extra, width), dtype=np.float16)
    return _write(
        source,
        out / "extended_vocabulary",
        config,
        tensors | {"base_model.model.model.embed_tokens.weight": embeddings},
    )


def zero_lora_b(source: Path, out: Path) -> Path:
    """Every B is zero, as before the first training step: it loads everywhere and the model answers like its base."""
    config, tensors = read(source)
    zeroed = {name: np.zeros_like(tensor) if ".lora_B." in name else tensor for name, tensor in tensors.items()}
    return _write(source, out / "zero_lora_b", config, zeroed)


def other_base_named(source: Path, out: Path) -> Path:
    """The config names another base; the weights are the good ones. Neither PEFT nor vLLM checks the name."""
    config, tensors = read(source)
    config["base_model_name_or_path"] = "lab/other-base"
    return _write(source, out / "other_base_named", config, tensors)


BROKEN: Final[dict[str, Callable[[Path, Path], Path]]] = {
    "renamed_layers": renamed_layers,
    "renamed_prefix": renamed_prefix,
    "other_hidden_size": other_hidden_size,
    "missing_layer": missing_layer,
    "extended_vocabulary": extended_vocabulary,
    "zero_lora_b": zero_lora_b,
    "other_base_named": other_base_named,
}
"""Name of the defect -> function(adapter folder, out folder) that writes ``<out>/<name>`` and returns it."""
