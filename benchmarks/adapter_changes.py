"""Ways to change an adapter's files: names, values, scales, ranks, shapes, config."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

PREFIX: Final = "base_model.model."


@dataclass
class Changed:
    """An adapter's config and tensors, to be changed in place."""

    config: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    rng: random.Random

    def rename(self, new: Callable[[str], str], share: float = 1.0) -> None:
        """Renames the LoRA tensors, or a share of them."""
        self.tensors = {
            new(name) if "lora_" in name and self.rng.random() < share else name: tensor
            for name, tensor in self.tensors.items()
        }

    def drop(self, unwanted: Callable[[str], bool]) -> None:
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if not unwanted(name)}

    def names(self, part: str = "lora_") -> list[str]:
        return sorted(name for name in self.tensors if part in name)

    def fill(self, part: str, value: float, share: float = 1.0) -> None:
        """Sets whole tensors of one part, at least one."""
        found = self.names(part)
        for name in self.rng.sample(found, max(1, round(len(found) * share))) if found else []:
            self.tensors[name] = torch.full_like(self.tensors[name], value)

    def spoil(self, part: str, value: float) -> None:
        """Sets one element."""
        found = self.names(part)
        if found:
            tensor = self.tensors[self.rng.choice(found)].flatten()
            tensor[self.rng.randrange(len(tensor))] = value

    def halves(self) -> list[tuple[str, str]]:
        """Names of A and B of each module that has both."""
        named = [(name, re.sub(r"lora_(embedding_)?A", r"lora_\1B", name)) for name in self.names("_A")]
        return [(a, b) for a, b in named if a != b and b in self.tensors]


def _disjoint(made: Changed) -> None:
    """Neither half is zero, but each component is zero in one of them."""
    for a, b in made.halves():
        rank = made.tensors[a].shape[0]
        alive = made.rng.randrange(rank) if rank > 1 else None
        made.tensors[a] = made.tensors[a].clone()
        made.tensors[b] = made.tensors[b].clone()
        for component in range(rank):
            (made.tensors[a] if component == alive else made.tensors[b].T)[component] = 0.0


def _cancelling(made: Changed) -> None:
    """Two components that are each other's negative, and no others."""
    for a, b in made.halves():
        one, other = made.tensors[a], made.tensors[b]
        if one.shape[0] < 2:
            made.tensors[b] = torch.zeros_like(other)
            continue
        made.tensors[a] = torch.cat((one[:1], -one[:1], torch.zeros_like(one[2:])))
        made.tensors[b] = torch.cat((other[:, :1], other[:, :1], other[:, 2:]), 1)


def _underflowing(made: Changed) -> None:
    _scaled("_A", 1e-30)(made)
    _scaled("_B", 1e-30)(made)
    made.drop(lambda name: name.endswith(".bias"))


def _random_start(made: Changed) -> None:
    made.config["init_lora_weights"] = False
    made.drop(lambda name: made.rng.random() < 0.7)


def _layers(chosen: object, within: str | None = None) -> Callable[[Changed], None]:
    def change(made: Changed) -> None:
        _targets(lambda names: names)(made)
        made.config.update(layers_to_transform=chosen, layers_pattern=within)

    return change


def _without_scale(made: Changed) -> None:
    names = [name.partition(".lora_")[0].removeprefix(PREFIX) for name in made.names()]
    made.config["alpha_pattern"] = {f"^{re.escape(name)}": 0 for name in names}


def _typed(kind: torch.dtype) -> Callable[[Changed], None]:
    def change(made: Changed) -> None:
        made.tensors = {name: tensor.to(kind) for name, tensor in made.tensors.items()}

    return change


def _scaled(part: str, factor: float) -> Callable[[Changed], None]:
    def change(made: Changed) -> None:
        for name in made.names(part):
            made.tensors[name] = made.tensors[name] * factor

    return change


def _set(**values: Any) -> Callable[[Changed], None]:
    return lambda made: made.config.update(values)


def _named(old: str, new: str, share: float = 1.0) -> Callable[[Changed], None]:
    return lambda made: made.rename(lambda name: re.sub(old, new, name, count=1), share)


def _targets(change: Callable[[list[str]], Any]) -> Callable[[Changed], None]:
    """Another list of targets; a pattern becomes the list of what has tensors."""

    def changed(made: Changed) -> None:
        found = made.config["target_modules"]
        leaves = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in made.names()})
        made.config["target_modules"] = change(sorted(found) if isinstance(found, list) else leaves)

    return changed


def _wider(made: Changed) -> None:
    for name in made.names("lora_A"):
        made.tensors[name] = torch.cat((made.tensors[name], made.tensors[name][..., :4]), -1)


def _wider_and_bare(made: Changed) -> None:
    _wider(made)
    _named(r"^base_model\.model\.", "")(made)


def _one_layer(made: Changed) -> None:
    made.drop(lambda name: ".1." in name and "lora_" in name)


def _repeated(made: Changed) -> None:
    """A further layer, which the base does not have."""
    found = {name.replace(".1.", ".2."): tensor for name, tensor in made.tensors.items() if ".1." in name}
    made.tensors |= found


def _turned(made: Changed) -> None:
    for name in made.names("lora_"):
        if made.tensors[name].dim() == 2:
            made.tensors[name] = made.tensors[name].T.contiguous()


KINDS: Final[Mapping[str, Mapping[str, Callable[[Changed], None]]]] = {
    "nothing": {
        "none": lambda made: None,
    },
    "prefix and names": {
        "prefix short by one name": _named(r"^base_model\.model\.\w+\.", PREFIX),
        "prefix missing": _named(r"^base_model\.model\.", ""),
        "prefix half": _named(r"^base_model\.model\.", "base_model."),
        "prefix doubled": _named(r"^", PREFIX),
        "prefix doubled in some": _named(r"^", PREFIX, 0.5),
        "prefix behind a wrapper": _named(r"^", "module."),
        "one name too many": _named(r"^base_model\.model\.", f"{PREFIX}model."),
        "wrapper within": _named(r"^base_model\.model\.", f"{PREFIX}_orig_mod."),
        "text tower under another name": _named(r"model\.layers\.", "model.language_model.layers."),
        "text tower of older files": _named(
            r"^base_model\.model\.(model\.language_model|model|transformer)\.", f"{PREFIX}language_model.model."
        ),
        "text tower alone": _named(r"model\.language_model\.", "model."),
        "adapter name in all": _named(r"\.(lora_\w+)", r".\1.default"),
        "adapter name in some": _named(r"\.(lora_\w+)", r".\1.default", 0.5),
        "other adapter name": _named(r"\.(lora_\w+)", r".\1.support"),
        "other adapter name in some": _named(r"\.(lora_\w+)", r".\1.support", 0.5),
        "other name of the parts": _named(r"lora_([AB])\.weight", r"lora_\1"),
        "projections renamed": _named(r"\.(\w+)\.lora_", r".\1_new.lora_"),
    },
    "missing tensors": {
        "tensors dropped": lambda made: made.drop(lambda name: made.rng.random() < 0.5),
        "all tensors dropped": lambda made: made.drop(lambda name: True),
        "all LoRA dropped": lambda made: made.drop(lambda name: "lora_" in name),
        "all A dropped": lambda made: made.drop(lambda name: "lora_A" in name or "embedding_A" in name),
        "all B dropped": lambda made: made.drop(lambda name: "lora_B" in name or "embedding_B" in name),
        "a layer dropped": _one_layer,
        "a layer too many": _repeated,
    },
    "zeros": {
        "A zero": lambda made: made.fill("_A", 0.0),
        "B zero": lambda made: made.fill("_B", 0.0),
        "B minus zero": lambda made: made.fill("_B", -0.0),
        "some B zero": lambda made: made.fill("_B", 0.0, 0.5),
        "components that never meet": _disjoint,
        "components that cancel": _cancelling,
        "product underflows": _underflowing,
        "tiny B": _scaled("_B", 1e-6),
    },
    "NaN and infinity": {
        "B not a number": lambda made: made.fill("_B", float("nan")),
        "an element not a number": lambda made: made.spoil("lora_", float("nan")),
        "an element infinite": lambda made: made.spoil("lora_", float("inf")),
        "an infinite element of A": lambda made: made.spoil("_A", float("-inf")),
    },
    "types": {
        "bfloat16": _typed(torch.bfloat16),
        "float16": _typed(torch.float16),
        "float64": _typed(torch.float64),
        "float8": _typed(torch.float8_e4m3fn),
    },
    "scales": {
        "alpha 0": _set(lora_alpha=0, alpha_pattern={}),
        "alpha 0 by pattern": _set(alpha_pattern={".*": 0}),
        "alpha 0 by full name": _without_scale,
        "alpha 0 in a layer": _set(alpha_pattern={r".*\.0\..*": 0}),
        "alpha negative": _set(lora_alpha=-4),
        "alpha not a number": _set(lora_alpha=float("nan"), alpha_pattern={}),
        "alpha infinite": _set(lora_alpha=float("inf"), alpha_pattern={}),
        "alpha a text": _set(lora_alpha="16", alpha_pattern={}),
        "alpha nothing": _set(lora_alpha=None, alpha_pattern={}),
    },
    "ranks and shapes": {
        "rank other": _set(r=7, rank_pattern={}),
        "rank 0": _set(r=0, rank_pattern={}),
        "rank a text": _set(r="4", rank_pattern={}),
        "rank pattern nothing": _set(rank_pattern=None),
        "rank pattern broken": _set(rank_pattern={"(": 4}),
        "wider base": _wider,
        "wider base, prefix missing": _wider_and_bare,
        "halves turned": _turned,
        "fan_in_fan_out": lambda made: made.config.update(fan_in_fan_out=not made.config.get("fan_in_fan_out")),
    },
    "targets": {
        "fewer targets": _targets(lambda names: names[:1]),
        "more targets": _targets(lambda names: [*names, "nowhere"]),
        "other targets": _targets(lambda names: ["nowhere"]),
        "no targets": _targets(lambda names: []),
        "a container as target": _targets(lambda names: [*names, "mlp"]),
        "a norm as target": _targets(lambda names: [*names, "input_layernorm", "ln_1"]),
        "a pattern as target": _targets(lambda names: rf".*\.0\..*({'|'.join(names)})"),
        "a bare name as pattern": _targets(lambda names: names[0]),
        "a broken pattern": _set(target_modules="*.q_proj"),
        "layers chosen": _layers([0]),
        "layers chosen elsewhere": _layers([9]),
        "layers chosen in the list of others": _layers([0], "blocks"),
        "layers chosen in a list": _layers([0], "layers"),
        "layers chosen with a pattern": _set(target_modules=".*proj", layers_to_transform=[0]),
        "all excluded": _set(exclude_modules=".*"),
        "some excluded": _set(exclude_modules=r".*\.0\..*"),
    },
    "other settings": {
        "a saved module without tensors": lambda made: made.config.update(
            modules_to_save=[*(made.config.get("modules_to_save") or []), "lm_head"]
        ),
        "random start": _set(init_lora_weights=False),
        "random start, tensors dropped": _random_start,
        "bias announced": _set(lora_bias=True),
        "DoRA announced": _set(use_dora=True, lora_bias=False),
        "targets by full name": lambda made: made.config.update(
            target_modules=sorted({name.partition(".lora_")[0].removeprefix(PREFIX) for name in made.names()})
        ),
        "targets left to PEFT": _set(target_modules=None, layers_to_transform=None),
        "one layer by its number": _layers(1),
        "rank of others by pattern": _set(rank_pattern={"^nowhere": 1, r"layers\.7\..*": 2}),
        "A and B exchanged": lambda made: made.rename(
            lambda name: name.translate(str.maketrans("AB", "BA")) if "lora_A.w" in name or "lora_B.w" in name else name
        ),
        "parts of an embedding": _named(r"lora_([AB])\.weight", r"lora_embedding_\1"),
        "another kind of adapter": _set(peft_type="LOHA"),
        "no task": _set(task_type=None),
        "unknown settings": _set(shining=1, peft_version="9.0"),
    },
}  # fmt: skip
"""Kind -> name of a change -> what makes it."""

CHANGES: Final = {name: change for some in KINDS.values() for name, change in some.items()}
KIND_OF: Final = {name: kind for kind, some in KINDS.items() for name in some}
