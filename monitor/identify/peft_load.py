"""What PEFT does with an adapter's tensors on a base: which ones it loads, and what it skips or refuses."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Final

from monitor.identify import base_modules, conversions, lora_keys
from monitor.identify.base_modules import Base, Module
from monitor.identify.checks import quoted
from monitor.identify.lora_keys import PREFIX, Key, Pair, Part
from monitor.identify.peft_config import ALL_LINEAR, Lora
from monitor.identify.tensors import Tensor

_NUMBERED: Final = re.compile(r"(?:^|\.)(?P<tail>[^.]+\.\d+\..+)$")
_EXPERTS: Final = frozenset(
    ("gate", "router", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj", "gate_up_proj", "experts")
)
"""Targets that PEFT turns into others, because the experts of a model are fused when it is loaded."""
_ROUTERS: Final = frozenset(("gate", "router"))
"""Modules with a weight that are no linear layers."""


_EMBEDDING: Final = frozenset((Part.EMBEDDING_A, Part.EMBEDDING_B))
_LINEAR: Final = frozenset((Part.A, Part.B, Part.BIAS))


@dataclass(slots=True)
class Loaded:
    """An adapter on a base, or alone if the base is not known."""

    keys: list[Key]
    pairs: list[Pair]
    whole: dict[str, Tensor]
    """Module or weight of the base -> the tensor that takes its place."""
    placed: list[Pair] = field(default_factory=list)
    """The pairs that PEFT loads."""
    broken: list[str] = field(default_factory=list)
    """What is wrong with the file and its config, without a base."""
    skipped: list[str] = field(default_factory=list)
    """What PEFT leaves out without an error."""
    refused: list[str] = field(default_factory=list)
    """What PEFT raises an error for."""
    unsure: list[str] = field(default_factory=list)
    """What cannot be told of the fit."""
    fails: bool = False
    """Whether PEFT raises an error for what is in ``broken``."""
    untouched: bool = False
    """Whether PEFT leaves some targeted modules without tensors."""

    @property
    def misfits(self) -> list[str]:
        return self.refused + self.skipped


def load(tensors: Mapping[str, Tensor], lora: Lora, base: Base | None) -> Loaded:
    """Follows PEFT through the loading of an adapter. Raises PatternError."""
    rules = conversions.rules(base.model_type, None) if base is not None and base.converts else None
    if base is not None and base.converts and rules is None:
        rules = ()
    found = {name: lora_keys.parse(name, rules) for name in tensors}
    keys = [key for key in found.values() if key is not None]
    whole = {
        name.removeprefix(PREFIX): tensors[name]
        for name, key in found.items()
        if key is None and name.startswith(PREFIX) and ".lora_" not in name
    }
    loaded = Loaded(keys, lora_keys.pairs(keys, tensors), whole)
    loaded.broken += _broken(loaded, lora, tensors)
    loaded.fails = bool(lora.refused)
    if base is None:
        loaded.placed = [taken for pair in loaded.pairs if (taken := _taken(pair, lora)).keys]
    else:
        _place(loaded, lora, base)
    return loaded


def _taken(pair: Pair, lora: Lora, unplaced: Iterable[Part] = ()) -> Pair:
    """The part of a pair for which PEFT has a place."""
    unused = {*unplaced} | ({Part.BIAS} if not lora.biased else set()) | ({Part.MAGNITUDE} if not lora.dora else set())
    keys = {part: key for part, key in pair.keys.items() if key.form.loads and part not in unused}
    return Pair(pair.module, keys, {part: pair.tensors[part] for part in keys})


def _broken(loaded: Loaded, lora: Lora, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    if not loaded.pairs:
        yield f"{len(tensors)} tensors, and none of them is LoRA's"
    yield from lora.refused
    yield from lora_keys.wrong_forms(loaded.keys)
    for pair in loaded.pairs:
        if pair.a is None or pair.b is None:
            yield f"{quoted(pair.module)} has no lora_{'A' if pair.a is None else 'B'}"
        elif len(pair.a.shape) < 2 or len(pair.b.shape) < 2 or pair.a.shape[0] != pair.b.shape[1]:
            yield f"{quoted(pair.module)}: A is {pair.a.shape} and B is {pair.b.shape}"
        elif pair.a.shape[0] != (rank := lora.rank_of(pair.module)):
            yield f"{quoted(pair.module)} has rank {pair.a.shape[0]}, and its config says {rank}"


def _place(loaded: Loaded, lora: Lora, base: Base) -> None:
    targeted = _targeted(loaded, lora, base)
    loaded.refused += _refused_saved(loaded, lora, base)
    if lora.without_patterns and not base.has_experts:
        loaded.refused.append("PEFT refuses 'rank_pattern' or 'alpha_pattern': it is null")
    displaced = [pair for pair in loaded.pairs if pair.module not in base.modules]
    for pair in loaded.pairs:
        module = base.modules.get(pair.module)
        if module is None:
            continue
        if pair.module not in targeted:
            loaded.skipped.append(f"{quoted(pair.module)} is not a target of its config: PEFT skips its tensors")
        else:
            _put(loaded, pair, module, lora, base)
    if displaced:
        _tell_displaced(loaded, displaced, base)
    _tell_missing(loaded, lora, base, targeted)
    for name, tensor in loaded.whole.items():
        _compare_whole(loaded, name, tensor, base)


def _put(loaded: Loaded, pair: Pair, module: Module, lora: Lora, base: Base) -> None:
    """Puts a pair's tensors on their module. Tensors of another kind of module have no place there."""
    embedding = base_modules.is_embedding(pair.module, module)
    others = _LINEAR if embedding else _EMBEDDING
    if others & pair.keys.keys():
        kind = "a linear layer" if embedding else "an embedding"
        loaded.skipped.append(f"{quoted(pair.module)} has tensors of {kind}: PEFT skips them")
    taken = _taken(pair, lora, others)
    if taken.keys:
        loaded.placed.append(taken)
        _compare(loaded, taken, module, lora, base)
    elif not others & pair.keys.keys():
        _compare(loaded, pair, module, lora, base, loads=False)


def _targeted(loaded: Loaded, lora: Lora, base: Base) -> set[str]:
    """The base's modules on which PEFT puts LoRA."""
    loaded.unsure += lora.beyond
    if lora.targets is None:
        loaded.unsure.append("its config names no target modules")
        return set(base.modules)
    names = [lora.targets] if isinstance(lora.targets, str) else lora.targets
    found = {name for name, module in base.modules.items() if _is_target(lora, name, module)}
    fused = base.model_type in conversions.FUSED and (isinstance(lora.targets, str) or bool(_EXPERTS & _leaves(names)))
    if fused or (base.has_experts and lora.targets != ALL_LINEAR and _ROUTERS & _leaves(found)):
        loaded.unsure.append("its config may target experts, which loaders fuse")
    for name in sorted(found | {name for name in base.containers if lora.aims_at(name)}):
        module = base.modules.get(name)
        if lora.biased and module is not None and base_modules.is_embedding(name, module):
            loaded.refused.append(f"PEFT refuses 'lora_bias' on the embedding {quoted(name)}")
        if module is None or module.is_vector:
            refused = f"PEFT cannot put LoRA on {quoted(name)}"
            router = base.has_experts and name.rpartition(".")[2] in _EXPERTS
            (loaded.unsure if base.quantised or router else loaded.refused).append(refused)
    if not found and not loaded.refused and not loaded.unsure:
        refused = "PEFT finds none of the target modules of its config in the base"
        (loaded.unsure if base.unsure else loaded.refused).append(base.unsure or refused)
    return found


def _leaves(names: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names}


def _is_target(lora: Lora, name: str, module: Module) -> bool:
    aimed = lora.aims_at(name)
    if aimed is not None or lora.targets != ALL_LINEAR:
        return bool(aimed)
    linear = module.shape is None or len(module.shape) == 2
    return linear and not base_modules.is_embedding(name, module) and name.rpartition(".")[2] not in base_modules.HEADS


def _refused_saved(loaded: Loaded, lora: Lora, base: Base) -> Iterator[str]:
    """PEFT looks up the tensors of ``modules_to_save`` without a default."""
    if not lora.saved or base.quantised:
        return
    heads = {f"{name}.weight" for name in base.modules if name in base_modules.HEADS}
    for name in sorted(base.tensors.keys() | heads):
        within = (name[:at] for at, char in enumerate(name) if char == ".")
        if name not in loaded.whole and any(module.endswith(lora.saved) for module in within):
            yield f"its config saves {quoted(name)}, and the file has no such tensor"


def _compare(loaded: Loaded, pair: Pair, module: Module, lora: Lora, base: Base, *, loads: bool = True) -> None:
    a, b, shape = pair.a, pair.b, module.shape
    if any(half is not None and len(half.shape) < 2 for half in (a, b)):
        loaded.fails |= loads
        return
    rank = lora.rank_of(pair.module)
    ranks = [a.shape[0]] if a is not None else []
    ranks += [b.shape[1]] if b is not None else []
    loaded.fails |= loads and any(one != rank for one in ranks)
    if shape is None:
        loaded.unsure.append(f"{quoted(pair.module)}: {module.why}")
        return
    fits = [shape[::-1] if pair.embedding or base.is_turned else shape]
    if lora.turned and base.model_type is None:
        fits.append(shape[::-1])
    made = (b.shape[0] if b is not None else fits[0][0], prod(a.shape[1:]) if a is not None else fits[0][-1])
    if made not in fits:
        flat = len(shape) == 2
        told = f"{quoted(pair.module)} is {shape} in the base; the adapter is made for {made}"
        sure = flat and not base.quantised
        (loaded.unsure if not sure else loaded.refused if loads else loaded.skipped).append(told)


def _tell_displaced(loaded: Loaded, displaced: list[Pair], base: Base) -> None:
    """Modules that are not in the base under their full name; perhaps under another."""
    tails = {_tail(name): name for name in base.modules}
    first = displaced[0].module
    there = tails.get(_tail(first))
    many = "all of them" if len(displaced) == len(loaded.pairs) else f"{len(displaced)} modules"
    if there is not None:
        at = _tail(first)
        told = (
            f"its modules are {_start(first, at)}, the base has {_start(there, at)}: PEFT skips {many}, "
            "and servers may skip them"
        )
    else:
        told = f"{quoted(first)} is not in the base: PEFT skips {many}"
    if ".experts." in first and base.has_experts:
        loaded.unsure.append("its tensors are of experts, which loaders fuse")
    elif base.unsure:
        loaded.unsure.append(f"{told}; {base.unsure}")
    elif all(pair.module in base.older for pair in displaced):
        loaded.unsure.append(f"{told}, unless they know the names in the base's files, which are the adapter's")
    else:
        loaded.skipped.append(told)


def _tail(module: str) -> str:
    match = _NUMBERED.search(module)
    return match["tail"] if match else module.rpartition(".")[2]


def _start(module: str, tail: str) -> str:
    """The name as far as the number of the layer."""
    within = re.match(r"[^.]+\.\d+", tail)
    return quoted(module.removesuffix(tail) + (within.group() + "..." if within else tail))


def _tell_missing(loaded: Loaded, lora: Lora, base: Base, targeted: set[str]) -> None:
    """Modules that the config targets but the adapter lacks."""
    loaded.untouched = bool(targeted - {pair.module for pair in loaded.placed})
    have = {pair.module for pair in loaded.pairs}
    stacks = {_stack(name) for name in have}
    missing = sorted(name for name in targeted - have if _stack(name) in stacks or not _stack(name))
    if not missing or lora.targets in (None, ALL_LINEAR) or loaded.unsure or not loaded.placed:
        return
    kinds = _leaves(missing) - _leaves(have)
    if kinds:
        loaded.broken.append(f"no tensor is for {quoted(min(kinds))}, which its config targets and the base has")
    loaded.skipped.append(
        f"{len(missing)} modules that its config targets have no tensors, such as {quoted(missing[0])}"
    )


def _stack(module: str) -> str:
    """The stack of layers that a module is in; a stack without any tensors may not be part of the loaded model."""
    match = re.match(r".*?\.\d+(?=\.)", f".{module}")
    return match.group().rpartition(".")[0] if match else ""


def _compare_whole(loaded: Loaded, name: str, tensor: Tensor, base: Base) -> None:
    module = base.modules.get(name.removesuffix(".weight").removesuffix(".base_layer"))
    if name.endswith(".weight") and module is not None and module.shape not in (None, tensor.shape):
        told = f"{quoted(name)} is {module.shape} in the base; the adapter brings {tensor.shape}"
        (loaded.unsure if base.quantised else loaded.refused).append(told)
