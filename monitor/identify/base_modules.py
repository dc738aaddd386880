"""The modules of a base model, from the headers of its files: names as loaders make them, and shapes.

A weight has a shape here only if it is stored as it is used. Quantised and packed weights are recognised by the rule
and not by name: the type is no float type, or tensors other than a weight and a bias belong to the module.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.identify import conversions
from monitor.identify.tensors import Tensor, model_tensors, read_json

HEADS: Final = ("lm_head", "embed_out", "output")
"""Output layers; with tied weights they are not in the files."""

_FLOATS: Final = ("F16", "BF16", "F32", "F64")
_BODY: Final = re.compile(r"(?:(?:(?:en|de)coder\.)?layers|h|blocks?)\.\d+\.")
_EMBEDDING: Final = re.compile(
    r"wte|wpe|shared|(?:\w+_)?emb(?:d|ed|edding|eddings)?(?:_tokens|_in|_positions|_tokens_per_layer)?"
)
_NORM: Final = re.compile(r"norm|(?:^|[._])ln(?:$|[._])|layer_?norm", re.IGNORECASE)
_TEXT_LAYER: Final = re.compile(
    r"(?:model\.|transformer\.|gpt_neox\.|model\.language_model\.)?(?:layers|h)\.(?P<at>\d{1,6})\."
)
_EXPERT: Final = re.compile(r"\.experts\.\d+\.")
_TURNED: Final = frozenset(("gpt2", "openai-gpt", "imagegpt", "decision_transformer"))
"""Models of layers whose weight is (inputs, outputs)."""
_TWO_FORMS: Final = frozenset(("llama4", "qwen3_5", "qwen3_5_moe"))
"""Larger models that are also loaded as their text tower alone, under other names."""
_MAX_CONFIG: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Module:
    """One module with a weight."""

    shape: tuple[int, ...] | None
    """Of its weight as it is used; ``None`` if the files do not show it."""
    why: str = ""
    """Why there is no shape."""

    @property
    def is_vector(self) -> bool:
        """A norm, say: PEFT puts no LoRA on it."""
        return self.shape is not None and len(self.shape) < 2


@dataclass(frozen=True, slots=True)
class Base:
    """A base model."""

    tensors: Mapping[str, Tensor]
    """Under the names that they have once the base is loaded."""
    modules: Mapping[str, Module]
    older: frozenset[str]
    """Names in its files, of modules that loaders give other names."""
    containers: frozenset[str]
    """Modules without a weight of their own."""
    model_type: str | None
    unsure: str | None
    """Why loaders may give its modules other names; ``None`` if the names are known."""
    has_experts: bool
    quantised: bool

    @property
    def is_turned(self) -> bool:
        return self.model_type in _TURNED

    @property
    def converts(self) -> bool:
        """Whether PEFT converts an adapter's keys for it."""
        return self.model_type in conversions.CONVERTED


def is_embedding(name: str, module: Module) -> bool:
    """By name and shape: the files do not show it, and no linear layer has such a name."""
    flat = module.shape is None or len(module.shape) == 2
    return flat and _EMBEDDING.fullmatch(name.rpartition(".")[2]) is not None


def read(folder: Path, task: str | None) -> Base:
    """Raises UnreadableError if its files cannot be read, BadFileError if they are broken."""
    tensors = model_tensors(folder)
    config = read_json(folder / "config.json", _MAX_CONFIG) if (folder / "config.json").exists() else {}
    model_type = _text(config.get("model_type"))
    listed = config.get("architectures")
    architecture = _text(listed[0]) if isinstance(listed, list) and listed else None
    rules = conversions.rules(model_type, architecture)
    names = _named_as_loaded(tensors, rules or (), conversions.prefix_of(model_type), task)
    modules = _modules(names)
    _drop_further_layers(modules, config)
    _add_head(modules, task)
    inner = {name[:at] for name in modules for at, char in enumerate(name) if char == "."}
    return Base(
        names,
        {name: one for name, one in modules.items() if name not in inner},
        frozenset(name.rpartition(".")[0] for name in tensors if conversions.renamed(name, rules or ()) != name),
        frozenset(inner),
        model_type,
        _unsure(model_type, rules, task),
        any(_EXPERT.search(name) or ".experts." in name for name in names),
        bool(config.get("quantization_config")),
    )


def _drop_further_layers(modules: dict[str, Module], config: Mapping[str, Any]) -> None:
    """Takes out layers that are in the files and not in the model, such as those that predict further tokens."""
    inner = config.get("text_config")
    count = config.get("num_hidden_layers", inner.get("num_hidden_layers") if isinstance(inner, dict) else None)
    for name in list(modules):
        match = _TEXT_LAYER.match(name)
        if match and isinstance(count, int) and int(match["at"]) >= count > 0:
            del modules[name]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _unsure(model_type: str | None, rules: conversions.Rules | None, task: str | None) -> str | None:
    if rules is None or model_type in _TWO_FORMS:
        return f"loaders rename modules of the model type '{str(model_type)[:40]}'"
    if task == "FEATURE_EXTRACTION":
        return "loaders rename modules for the task FEATURE_EXTRACTION"
    return None


def _named_as_loaded(
    tensors: Mapping[str, Tensor], rules: conversions.Rules, prefix: str, task: str | None
) -> dict[str, Tensor]:
    """Files that were saved from the model's body alone lack its prefix; a loader adds it."""
    names = {conversions.renamed(name, rules): tensor for name, tensor in tensors.items()}
    if task == "FEATURE_EXTRACTION" or not any(_BODY.match(name) for name in names):
        return names
    return {name if name.startswith(HEADS) else f"{prefix}.{name}": tensor for name, tensor in names.items()}


def _modules(tensors: Mapping[str, Tensor]) -> dict[str, Module]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if _EXPERT.search(name):
            continue
        module, dot, rest = name.partition(".weight.")
        if not dot:
            module, _, rest = name.rpartition(".")
        parts.setdefault(module, {})[f"weight.{rest}" if dot else rest] = tensor
    return {module: _module(module, found) for module, found in parts.items() if module}


def _module(name: str, parts: Mapping[str, Tensor]) -> Module:
    weight = parts.get("weight")
    others = sorted(parts.keys() - {"weight", "bias"})
    if others:
        return Module(None, f"its base keeps {others[0]!r} instead of, or next to, a plain weight"[:120])
    if weight is None:
        return Module(None, "its base keeps no weight for it")
    if weight.dtype not in _FLOATS:
        return Module(None, f"its base keeps it as {weight.dtype[:20]}")
    if weight.shape[1:] in ((), (1,)) and not _NORM.search(name):
        return Module(None, f"its base keeps it flat, as {weight.shape}")
    return Module(weight.shape)


def _add_head(modules: dict[str, Module], task: str | None) -> None:
    """The output layer that shares its weight with the embedding."""
    if task == "FEATURE_EXTRACTION" or any(name.rpartition(".")[2] in HEADS for name in modules):
        return
    embeddings = [one for name, one in modules.items() if is_embedding(name, one)]
    if embeddings:
        widest = max(embeddings, key=lambda one: one.shape[0] if one.shape else 0)
        modules["lm_head"] = widest
