"""Checks of a PEFT adapter on disk: does it belong to the declared base, and does it do anything where it is loaded?

PEFT and vLLM load adapters that do not fit almost silently: neither compares the base's name, tensors without a place
are skipped, and an adapter whose B is zero answers like its base. The files' headers and numbers show all of this.
The checks answer what PEFT 0.21.2 does; they import neither PEFT nor torch.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.identify import base_modules, lora_effect, lora_keys, peft_config, peft_load
from monitor.identify.checks import Checked, Files, Reading, UnreadableError, quoted
from monitor.identify.lora_effect import Effect, Outcome
from monitor.identify.peft_config import Lora, PatternError
from monitor.identify.peft_load import Loaded
from monitor.identify.tensors import BadFileError, Tensor, header, read_json

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
LARGEST_CONFIG: Final = 1 << 20
WEIGHT_CHECKS: Final = ("adapter_tensors", "adapter_effect", "adapter_fits")

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_OTHER_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".npz")


@dataclass(frozen=True, slots=True)
class Examined:
    """An adapter's weights, and what PEFT does with them."""

    lora: Lora
    loaded: Loaded
    effect: Effect | None
    """Of all pairs in the file; ``None`` if the numbers were not read."""
    outcome: Outcome
    """What the adapter does as a whole where PEFT loads it."""
    base_unread: str | None
    """Why the base could not be read."""


def read(files: Files, *, effect: bool = True) -> Reading:
    """The checks of the files; those that could not be made are in ``unread``.

    ``effect``: also read the tensors' numbers. Raises UnreadableError if the folder does not exist.
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
    try:
        checks += _weights(files, config, unread, effect=effect)
    except (UnreadableError, PatternError) as error:
        unread |= dict.fromkeys(WEIGHT_CHECKS, str(error))
    return Reading(tuple(checks), None, unread)


def examine(files: Files, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, effect: bool = True) -> Examined:
    """Follows PEFT through the loading of the tensors. Raises UnreadableError, PatternError."""
    lora = peft_config.parse(config)
    base, base_unread = None, None
    if files.folder is not None:
        try:
            base = base_modules.read(files.folder, lora.task)
        except (UnreadableError, BadFileError) as error:
            base_unread = f"the base: {error}"
    loaded = peft_load.load(tensors, lora, base)
    measured, outcome = None, Outcome.UNKNOWN
    if effect:
        its = base.tensors if base is not None else {}
        loaded.whole = lora_effect.replaced(loaded.whole, its)
        path = files.path / WEIGHTS
        measured = lora_effect.measure(path, loaded.pairs, lora, loaded.whole)
        if base_unread is None:
            there = {name: one for name, one in loaded.whole.items() if name.replace(".base_layer.", ".") in its}
            outcome = lora_effect.outcome(loaded, lora_effect.measure(path, loaded.placed, lora, there), lora)
    return Examined(lora, loaded, measured, outcome, base_unread)


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
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnreadableError(f"the weights of an adapter with 'peft_type' {quoted(kind)} are not checked, only LORA's")
    expected = f"whole LoRA tensors of rank {config.get('r')}"
    try:
        tensors = _header(files.path)
    except BadFileError as error:
        yield Checked("adapter_tensors", False, expected, str(error))
        return
    examined = examine(files, config, tensors, effect=effect)
    yield from _tensors_check(examined, expected, unread)
    if not examined.loaded.pairs:
        return
    yield from _effect_check(examined, unread)
    if files.folder is not None:
        yield from _fits_check(examined, files.folder, unread)


def _header(folder: Path) -> dict[str, Tensor]:
    """Raises BadFileError if the folder has no weights at all, UnreadableError if it has them in another format."""
    if not os.path.lexists(folder / WEIGHTS):
        others = sorted(one.name for one in folder.iterdir() if one.name.endswith(_OTHER_WEIGHTS))
        if others:
            raise UnreadableError(f"no {WEIGHTS}; {quoted(others[0])} is not read, only safetensors in one file are")
        raise BadFileError(f"{WEIGHTS} does not exist: nothing can be loaded")
    return header(folder / WEIGHTS)


def _tensors_check(examined: Examined, expected: str, unread: dict[str, str]) -> Iterator[Checked]:
    loaded = examined.loaded
    named = lora_keys.named(loaded.keys)
    if loaded.broken:
        found = "; ".join(filter(None, (_told(loaded.broken), named)))
        yield Checked("adapter_tensors", False, expected, found + _as_a_whole(examined))
    elif named:
        unread["adapter_tensors"] = named
    else:
        yield Checked("adapter_tensors", True, expected, f"{len(loaded.pairs)} modules")


def _effect_check(examined: Examined, unread: dict[str, str]) -> Iterator[Checked]:
    effect, loaded, lora = examined.effect, examined.loaded, examined.lora
    if effect is None:
        return
    expected = "finite numbers in every tensor" if effect.wrong else "lora_B that are not all zero"
    if effect.wrong or effect.acting:
        yield Checked("adapter_effect", not effect.wrong, expected, effect.found)
    elif effect.unread:
        unread["adapter_effect"] = effect.unread[0]
    elif lora.beyond or loaded.whole or lora.dora:
        other = [*lora.beyond, *(["it also brings other tensors"] if loaded.whole else []), "it uses DoRA"]
        unread["adapter_effect"] = f"{effect.found.partition(':')[0]}, but {other[0]}"
    else:
        yield Checked("adapter_effect", False, expected, effect.found)


def _fits_check(examined: Examined, folder: Path, unread: dict[str, str]) -> Iterator[Checked]:
    loaded = examined.loaded
    expected = f"each module is in {quoted(str(folder))} with its shape"
    if examined.base_unread is not None:
        unread["adapter_fits"] = examined.base_unread
    elif loaded.misfits:
        yield Checked("adapter_fits", False, expected, _told(loaded.misfits) + _as_a_whole(examined))
    elif loaded.unsure:
        unread["adapter_fits"] = _told(loaded.unsure)
    else:
        yield Checked("adapter_fits", True, expected, f"{len(loaded.pairs)} modules fit")


def _told(wrong: list[str]) -> str:
    return f"{wrong[0]}{f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''}"


def _as_a_whole(examined: Examined) -> str:
    """What the adapter does nevertheless, or does not."""
    outcome = examined.outcome
    return "" if outcome is Outcome.UNKNOWN else f". In PEFT, the adapter as a whole {outcome}"
