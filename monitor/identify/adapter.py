"""Checks of a PEFT adapter on disk: does it belong to the declared base, and does it have any effect?

PEFT and vLLM load adapters that do not fit almost silently: neither compares the base's name, tensors without a place
are skipped, and an adapter whose B is zero answers like its base. The files' headers show all of this.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.identify.checks import Checked, Files, Reading, UnreadableError, quoted
from monitor.identify.tensors import BadFileError, Tensor, header, is_zero, model_shapes, read_json

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
PREFIX: Final = "base_model.model."
LARGEST_CONFIG: Final = 1 << 20

_LORA: Final = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<half>[AB])(\.weight)?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NUMBERED: Final = re.compile(r"(?:^|\.)(?P<tail>[^.]+\.\d+\..+)$")
_PACKED: Final = ("qweight", "weight_packed", "weight.absmax", "weight_scale_inv", "weight.quant_map")
"""Tensors of a quantised base in place of a weight, or next to it; their shapes show nothing."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's two halves: A is (rank, inputs), B is (outputs, rank)."""

    module: str
    a: Tensor | None
    b: Tensor | None
    embedding: bool = False


def read(files: Files, *, effect: bool = True) -> Reading:
    """The checks of the files; those that could not be made are in ``unread``.

    ``effect``: also read the tensors that show an effect, up to the first number that is not zero. Raises
    UnreadableError if the folder does not exist.
    """
    if not files.path.is_dir():
        raise UnreadableError(f"{files.path}: no such folder")
    checks: list[Checked] = []
    unread: dict[str, str] = {}
    try:
        config = read_json(files.path / CONFIG, LARGEST_CONFIG)
    except BadFileError as error:
        return Reading((Checked("adapter_base", False, f"an adapter on {quoted(files.base)}", str(error)),))
    checks += _base(files, config)
    if config.get("peft_type") == "LORA":
        try:
            checks += _weights(files, config, unread, effect=effect)
        except UnreadableError as error:
            unread |= dict.fromkeys(("adapter_tensors", "adapter_effect", "adapter_fits"), str(error))
    return Reading(tuple(checks), None, unread)


def _base(files: Files, config: Mapping[str, Any]) -> Iterator[Checked]:
    named = config.get("base_model_name_or_path")
    if _same_place(named, files.base):
        yield Checked("adapter_base", True, f"an adapter on {quoted(files.base)}", "it is")
    elif not Path(files.base).is_dir():
        # The adapter does not know a declared folder: it names the hub id, or the folder in which it was trained.
        yield Checked("adapter_base", False, f"an adapter on {quoted(files.base)}", f"its config says {quoted(named)}")
    trained = config.get("revision")
    if files.revision is not None and isinstance(trained, str) and _COMMIT.fullmatch(trained):
        expected = f"trained on revision {quoted(files.revision)}"
        yield Checked("adapter_revision", trained == files.revision, expected, f"its config says {quoted(trained)}")


def _same_place(named: object, declared: str) -> bool:
    if not isinstance(named, str) or "\0" in named:
        return False
    both_there = os.path.isdir(named) and os.path.isdir(declared)
    return named.rstrip("/") == declared.rstrip("/") or (both_there and os.path.samefile(named, declared))


def _weights(files: Files, config: Mapping[str, Any], unread: dict[str, str], *, effect: bool) -> Iterator[Checked]:
    path, expected = files.path / WEIGHTS, f"whole LoRA tensors of rank {config.get('r')}"
    try:
        tensors = header(path)
    except BadFileError as error:
        yield Checked("adapter_tensors", False, expected, str(error))
        return
    pairs = _pairs(tensors)
    wrong = list(_wrong_tensors(tensors, pairs, config))
    yield Checked("adapter_tensors", not wrong, expected, _told(wrong, f"{len(pairs)} modules"))
    if not pairs:
        return
    if effect:
        yield _effect(path, pairs)
    if files.folder is not None and not config.get("target_parameters"):
        try:
            yield _fits(files.folder, tensors, pairs, config)
        except (UnreadableError, BadFileError) as error:
            unread["adapter_fits"] = f"the base: {error}"


def _told(wrong: list[str], right: str) -> str:
    return f"{wrong[0]}{f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''}" if wrong else right


def _pairs(tensors: Mapping[str, Tensor]) -> list[Pair]:
    halves: dict[tuple[str, bool], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if match := _LORA.fullmatch(name.removeprefix(PREFIX)):
            halves.setdefault((match["module"], bool(match["embedding"])), {})[match["half"]] = tensor
    return [Pair(module, both.get("A"), both.get("B"), emb) for (module, emb), both in sorted(halves.items())]


def _wrong_tensors(tensors: Mapping[str, Tensor], pairs: list[Pair], config: Mapping[str, Any]) -> Iterator[str]:
    if not pairs:
        yield f"{len(tensors)} tensors, and none of them is LoRA's"
    elif not any(name.startswith(PREFIX) for name in tensors):
        yield f"no name begins with '{PREFIX}': PEFT would load none of them"
    rank = config.get("r") if not config.get("rank_pattern") else None
    for pair in pairs:
        if pair.a is None or pair.b is None:
            yield f"{quoted(pair.module)} has no lora_{'A' if pair.a is None else 'B'}"
        elif len(pair.a.shape) < 2 or len(pair.b.shape) < 2 or pair.a.shape[0] != pair.b.shape[1]:
            yield f"{quoted(pair.module)}: A is {pair.a.shape} and B is {pair.b.shape}"
        elif isinstance(rank, int) and pair.a.shape[0] != rank:
            yield f"{quoted(pair.module)} has rank {pair.a.shape[0]}"


def _effect(path: Path, pairs: list[Pair]) -> Checked:
    """Not trained, or lost: an adapter with B zero has no effect. Experts that were never used may be zero."""
    halves = [pair.b for pair in pairs if pair.b is not None]
    zero = sum(is_zero(path, half) for half in halves)
    found = f"{zero} of {len(halves)} lora_B are all zero"
    if zero == len(halves):
        found += ": it adds nothing, and answers like its base"
    return Checked("adapter_effect", zero < len(halves), "lora_B that are not all zero", found)


def _fits(folder: Path, tensors: Mapping[str, Tensor], pairs: list[Pair], config: Mapping[str, Any]) -> Checked:
    base = _Base(model_shapes(folder))
    wrong = list(_misfits(base, tensors, pairs, turned=config.get("fan_in_fan_out") is True))
    missing = _left_out(base, pairs, config)
    if missing:
        wrong.append(f"{len(missing)} modules that its config targets have no tensors, such as {quoted(missing[0])}")
    expected = f"each module is in {quoted(str(folder))} with its shape"
    return Checked("adapter_fits", not wrong, expected, _told(wrong, f"{len(pairs)} modules fit"))


class _Base:
    """A base's weights by module, found by the full path, or from the layer on, because loaders rename prefixes."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.weights = {
            name.removesuffix(".weight"): shape for name, shape in shapes.items() if name.endswith(".weight")
        }
        self.tails = {_tail(module): shape for module, shape in self.weights.items()}
        self.packed = {_tail(name.removesuffix(f".{end}")) for name in shapes for end in _PACKED if name.endswith(end)}

    def shape(self, module: str) -> tuple[int, ...] | None:
        return self.weights.get(module) or self.tails.get(_tail(module))


def _tail(module: str) -> str:
    match = _NUMBERED.search(module)
    return match["tail"] if match else module.rpartition(".")[2]


def _misfits(base: _Base, tensors: Mapping[str, Tensor], pairs: list[Pair], *, turned: bool) -> Iterator[str]:
    for pair in pairs:
        shape = base.shape(pair.module)
        if pair.a is None or pair.b is None or _tail(pair.module) in base.packed:
            continue
        if shape is None:
            if not _tied(pair.module):
                yield f"{quoted(pair.module)} is not in the base"
        elif len(shape) == len(pair.a.shape) == len(pair.b.shape) == 2:
            made = (pair.b.shape[0], pair.a.shape[1])
            if made != (shape[::-1] if pair.embedding or turned else shape):
                yield f"{quoted(pair.module)} is {shape} in the base; the adapter is made for {made}"
    for name, tensor in tensors.items():
        module = name.removeprefix(PREFIX).removesuffix(".weight")
        shape = base.shape(module)
        whole = name.endswith(".weight") and ".lora_" not in name
        if whole and shape is not None and tensor.shape != shape:
            yield f"{quoted(module)} is {shape} in the base; the adapter brings {tensor.shape}"


def _tied(module: str) -> bool:
    """An output layer that shares its weights with the input's is not in the files."""
    return module.rpartition(".")[2] in ("lm_head", "embed_out", "output")


def _left_out(base: _Base, pairs: list[Pair], config: Mapping[str, Any]) -> list[str]:
    """Modules that the config targets but the adapter lacks; empty if the config names them in other ways."""
    targets = config.get("target_modules")
    narrowed = any(config.get(key) for key in ("layers_to_transform", "layers_pattern", "exclude_modules"))
    if not isinstance(targets, list) or narrowed or not all(isinstance(one, str) for one in targets):
        return []
    have = {_tail(pair.module) for pair in pairs}
    ends = tuple(f".{one}" for one in targets)
    return [
        module
        for module, shape in base.weights.items()
        if len(shape) == 2 and f".{module}".endswith(ends) and _tail(module) not in have
    ]
