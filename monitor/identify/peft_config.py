"""``adapter_config.json`` of a LoRA adapter as PEFT 0.21.2 reads it: the modules it targets, with their rank and scale.

The rules are those of ``peft.tuners.tuners_utils.check_target_module_exists`` and ``peft.tuners.lora``.
"""

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import regex

from monitor.identify.checks import quoted

LONGEST_PATTERN: Final = 10_000
"""Characters."""
PATTERN_SECONDS: Final = 1.0
"""Time for all patterns of one adapter: a pattern from a file can take for ever."""

MOST_REPEATS: Final = 10_000
"""The product of a pattern's counted repeats; the engine writes them out."""

DEFAULT: Final = 8
"""PEFT's ``r`` and ``lora_alpha`` where a config has none."""
ALL_LINEAR: Final = "all-linear"

_BEYOND: Final = (
    "target_parameters", "layer_replication", "megatron_config", "arrow_config", "kasa_config", "use_qalora",
    "monteclora_config", "use_bdlora", "velora_config", "alora_invocation_tokens", "ensure_weight_tying",
    "trainable_token_indices",
)  # fmt: skip
"""Options that change names, shapes or the arithmetic in ways that are not followed here."""
_PLAIN_INIT: Final = (True, False, None, "gaussian", "eva")
"""Initialisations that leave the base's weights alone."""
_HEADLESS: Final = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")
"""Tasks with a head that is not in the base's files."""


_REPEATS: Final = re.compile(r"[{,](\d+)\}")


class PatternError(Exception):
    """A pattern of the config could not be matched here. The message is for a person."""


@dataclass(slots=True)
class Patterns:
    """Matches the config's regular expressions, within a bound of time."""

    left: float = PATTERN_SECONDS

    def match(self, pattern: str, name: str, *, whole: bool) -> bool:
        """Raises PatternError if it takes too long, or if only the engine that PEFT uses reads the pattern."""
        repeats = math.prod(max(1, int(most[:9])) for most in _REPEATS.findall(pattern[:LONGEST_PATTERN]))
        if len(pattern) > LONGEST_PATTERN or repeats > MOST_REPEATS or self.left <= 0:
            raise PatternError(f"its pattern {quoted(pattern)} takes too long")
        begin = time.monotonic()
        try:
            engine = regex.fullmatch if whole else regex.match
            return engine(pattern, name, timeout=self.left) is not None
        except TimeoutError:
            raise PatternError(f"its pattern {quoted(pattern)} takes too long") from None
        except regex.error:
            if not _compiles(pattern):
                return False  # PEFT refuses it, too; ``refused`` says so
            raise PatternError(f"its pattern {quoted(pattern)} cannot be read") from None
        finally:
            self.left -= time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Lora:
    """The settings that decide what a LoRA adapter does."""

    rank: int
    alpha: float
    ranks: Mapping[str, float]
    alphas: Mapping[str, float]
    rslora: bool
    targets: str | frozenset[str] | None
    excluded: str | frozenset[str] | None
    saved: tuple[str, ...]
    layers: frozenset[int] | None
    layer_names: tuple[str, ...]
    dora: bool
    biased: bool
    """Whether lora_B has a bias (``lora_bias``)."""
    random: bool
    """Whether modules without tensors begin with random numbers instead of zeros."""
    task: str | None
    turned: bool
    """``fan_in_fan_out``"""
    refused: tuple[str, ...]
    """What PEFT raises an error for."""
    beyond: tuple[str, ...]
    """What is not followed here."""
    without_patterns: bool
    """Whether ``rank_pattern`` or ``alpha_pattern`` is null: PEFT reads that for some models with experts only."""
    patterns: Patterns = field(default_factory=Patterns, compare=False)

    def rank_of(self, module: str) -> int:
        return int(self._by_pattern(self.ranks, module, self.rank))

    def scale_of(self, module: str) -> float:
        rank = self.rank_of(module)
        alpha = self._by_pattern(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank) if rank > 0 else 0.0

    def _by_pattern(self, found: Mapping[str, float], module: str, default: float) -> float:
        for pattern, value in found.items():
            if self.patterns.match(rf"(.*\.)?({pattern})$", module, whole=False):
                return value
        return default

    def is_saved(self, module: str) -> bool:
        """Whether the adapter brings the module itself (``modules_to_save``)."""
        return any(self.patterns.match(rf"(^|.*\.){name}($|\..*)", module, whole=False) for name in self.saved)

    def aims_at(self, module: str) -> bool | None:
        """Whether PEFT puts LoRA on a module; ``None`` if the config leaves that to the kind of module or of model."""
        if self._named(self.excluded, module) or self.is_saved(module):
            return False
        if self.targets is None or self.targets == ALL_LINEAR:
            return None
        if not self._named(self.targets, module):
            return False
        return module in self.targets or self.layers is None or self._layer_of(module) in self.layers

    def _named(self, names: str | frozenset[str] | None, module: str) -> bool:
        if not names:
            return False
        if isinstance(names, str):
            return self.patterns.match(names, module, whole=True)
        return any(f".{module}".endswith(f".{name}") for name in names)

    def _layer_of(self, module: str) -> int | None:
        found = [rf"(?:^|.*?\.){name}\.(?P<at>\d+)\." for name in self.layer_names] or [r".*?\.[^.]*\.(?P<at>\d+)\."]
        for pattern in found:
            if self.patterns.match(pattern, module, whole=False) and (match := re.match(pattern, module)):
                return int(match["at"])
        return None


def parse(config: Mapping[str, Any]) -> Lora:
    """Reads the settings. Never raises: what PEFT refuses is in ``refused``."""
    refused: list[str] = []
    targets, layers = config.get("target_modules"), config.get("layers_to_transform")
    if isinstance(targets, str) and (layers is not None or config.get("layers_pattern") is not None):
        refused.append("PEFT refuses 'layers_to_transform' with a pattern in 'target_modules'")
    elif config.get("layers_pattern") and layers is None:
        refused.append("PEFT refuses 'layers_pattern' without 'layers_to_transform'")
    if config.get("lora_bias") and config.get("use_dora"):
        refused.append("PEFT refuses 'lora_bias' with 'use_dora'")
    elif config.get("lora_bias") and config.get("init_lora_weights", True) not in (True, False):
        refused.append("PEFT refuses 'lora_bias' with its 'init_lora_weights'")
    rank = _number(config.get("r", DEFAULT), "r", refused)
    if not math.isfinite(rank) or rank <= 0 or rank != int(rank):
        refused.append(f"PEFT refuses rank {rank:g}")
        rank = DEFAULT
    return Lora(
        rank=int(rank),
        alpha=_number(config.get("lora_alpha", DEFAULT), "lora_alpha", refused),
        ranks=_numbers(config, "rank_pattern", refused),
        alphas=_numbers(config, "alpha_pattern", refused),
        rslora=bool(config.get("use_rslora")),
        targets=ALL_LINEAR if _is_shorthand(targets) else _pattern(_names(targets, "target_modules", refused), refused),
        excluded=_pattern(_names(config.get("exclude_modules"), "exclude_modules", refused), refused),
        saved=_patterns(config.get("modules_to_save"), "modules_to_save", refused),
        layers=_layers(layers, refused),
        layer_names=_patterns(config.get("layers_pattern"), "layers_pattern", refused),
        dora=bool(config.get("use_dora")),
        biased=bool(config.get("lora_bias")),
        random=config.get("init_lora_weights", True) in (False, None),
        task=task if isinstance(task := config.get("task_type"), str) else None,
        turned=bool(config.get("fan_in_fan_out")),
        refused=tuple(refused),
        beyond=tuple(_beyond(config)),
        without_patterns=any(config.get(name, {}) is None for name in ("rank_pattern", "alpha_pattern")),
    )


def _beyond(config: Mapping[str, Any]) -> Iterable[str]:
    yield from (f"its config sets {quoted(name)}" for name in _BEYOND if config.get(name))
    init = config.get("init_lora_weights", True)
    if not any(init is one or (isinstance(one, str) and init == one) for one in _PLAIN_INIT):
        yield f"its config sets 'init_lora_weights' to {quoted(init)}"
    if config.get("task_type") in _HEADLESS:
        yield f"its config sets 'task_type' to {quoted(config['task_type'])}"


def _is_shorthand(targets: object) -> bool:
    return isinstance(targets, str) and targets.lower() == ALL_LINEAR


def _number(value: object, name: str, refused: list[str]) -> float:
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    refused.append(f"PEFT refuses '{name}': it is no number")
    return float(DEFAULT)


def _numbers(config: Mapping[str, Any], name: str, refused: list[str]) -> dict[str, float]:
    found = {} if config.get(name) is None else config[name]
    if not isinstance(found, dict):
        refused.append(f"PEFT refuses '{name}': it is no object")
        return {}
    numbers = {key: _number(value, f"{name}.{quoted(key)}", refused) for key, value in found.items()}
    for key, value in numbers.items():
        _refuse_pattern(key, refused)
        if name == "rank_pattern" and (not math.isfinite(value) or value <= 0 or value != int(value)):
            refused.append(f"PEFT refuses rank {value:g} of {quoted(key)}")
            numbers[key] = DEFAULT
    return numbers


def _names(value: object, name: str, refused: list[str]) -> str | frozenset[str] | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return frozenset(value)
    refused.append(f"PEFT refuses '{name}': it is neither text nor a list of names")
    return None


def _pattern(value: str | frozenset[str] | None, refused: list[str]) -> str | frozenset[str] | None:
    if isinstance(value, str):
        _refuse_pattern(value, refused)
    return value


def _patterns(value: object, name: str, refused: list[str]) -> tuple[str, ...]:
    found = _names(value, name, refused)
    names = () if not found else (found,) if isinstance(found, str) else tuple(sorted(found))
    for one in names:
        _refuse_pattern(one, refused)
    return names


def _layers(value: object, refused: list[str]) -> frozenset[int] | None:
    if value is None or value == []:
        return None
    found = value if isinstance(value, list) else [value]
    if all(isinstance(one, int) for one in found):
        return frozenset(found)
    refused.append("PEFT refuses 'layers_to_transform': it holds no numbers of layers")
    return None


def _refuse_pattern(pattern: str, refused: list[str]) -> None:
    if not _compiles(pattern):
        refused.append(f"PEFT refuses the pattern {quoted(pattern)}")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern[:LONGEST_PATTERN])
    except (re.error, OverflowError, RecursionError):
        return False
    return True
