"""Whether a LoRA adapter changes any answer, from its numbers: scales, and what B times A gives."""

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from monitor.identify import values
from monitor.identify.checks import UnreadableError, quoted
from monitor.identify.lora_keys import Pair, Part
from monitor.identify.peft_config import Lora
from monitor.identify.peft_load import Loaded
from monitor.identify.tensors import Tensor

REMEMBERED: Final = 512
"""Files whose numbers are remembered until they change."""


class Outcome(StrEnum):
    """What an adapter does where PEFT loads it."""

    ACTS = "acts"
    NOTHING = "does nothing"
    FAILS = "fails"
    """PEFT raises an error, or the model answers with no numbers."""
    UNKNOWN = "cannot tell"


class Idle(StrEnum):
    """Why a pair has no effect. The value is for a person, after a number of pairs."""

    NO_B = "have no lora_B"
    NO_SCALE = "have a scale of 0"
    ZERO_B = "lora_B are all zero"
    ZERO_A = "lora_A are all zero"
    ZERO_PRODUCT = "products of lora_B and lora_A are zero"


@dataclass(slots=True)
class Effect:
    """What the numbers of an adapter's pairs say."""

    pairs: int
    acting: int = 0
    """Pairs that change something."""
    idle: Counter[Idle] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What holds no finite numbers."""
    unread: list[str] = field(default_factory=list)

    @property
    def found(self) -> str:
        """What was found, for a person."""
        if self.wrong:
            return "; ".join(self.wrong)
        told = [f"{count} of {self.pairs} {one}" for one, count in self.idle.most_common()]
        if not told:
            told = [f"0 of {self.pairs} lora_B are all zero"]
        return "; ".join(told) + ("" if self.acting else ": it adds nothing, and answers like its base")


_Bytes = tuple[int, int]


class Numbers:
    """The numbers of one state of one file; each tensor is read once. Kept small: a fleet has hundreds of adapters."""

    def __init__(self) -> None:
        self._odd: dict[_Bytes, values.Counted] = {}
        self._plain: set[_Bytes] = set()
        self._products: dict[_Bytes, values.Product] = {}
        self._same: dict[_Bytes, bool] = {}

    def count(self, tensor: Tensor) -> values.Counted:
        at = (tensor.begin, tensor.end)
        if at in self._plain:
            return values.PLAIN
        if at not in self._odd:
            counted = values.count(tensor)
            if counted == values.PLAIN:
                self._plain.add(at)
                return counted
            self._odd[at] = counted
        return self._odd[at]

    def product(self, a: Tensor, b: Tensor) -> values.Product:
        at = (a.begin, b.begin)
        if at not in self._products:
            self._products[at] = values.product(a, b)
        return self._products[at]

    def same(self, one: Tensor, other: Tensor) -> bool:
        at = (one.begin, other.begin)
        if at not in self._same:
            self._same[at] = values.same(one, other)
        return self._same[at]


@functools.lru_cache(maxsize=REMEMBERED)
def _remembered(state: tuple[tuple[Path, int, int, int, int], ...]) -> Numbers:
    return Numbers()


def _numbers_of(*paths: Path) -> Numbers:
    """The numbers of files, remembered until one of them changes. Raises UnreadableError."""
    states = []
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from None
        states.append((path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
    return _remembered(tuple(states))


def replaced(whole: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The whole tensors of an adapter that differ from the base's, or cannot be compared. Raises UnreadableError."""
    found = {}
    for name, tensor in whole.items():
        other = base.get(name.replace(".base_layer.", "."))
        try:
            if other is not None and _numbers_of(tensor.path, other.path).same(tensor, other):
                continue
        except values.UnknownTypeError:
            pass
        found[name] = tensor
    return found


def measure(path: Path, pairs: Iterable[Pair], lora: Lora, whole: Mapping[str, Tensor]) -> Effect:
    """Reads the numbers of pairs and of whole tensors. Raises UnreadableError, PatternError."""
    numbers, some = _numbers_of(path), list(pairs)
    effect = Effect(len(some))
    not_finite: dict[str, list[str]] = {}
    for pair in some:
        try:
            spoiled = _spoiled(numbers, pair, lora)
            for kind, told in spoiled:
                not_finite.setdefault(kind, []).append(told)
            if spoiled:
                continue
            if (idle := _idle(numbers, pair, lora)) is not None:
                effect.idle[idle] += 1
            else:
                effect.acting += 1
        except values.UnknownTypeError as error:
            effect.unread.append(f"{quoted(pair.module)}: {error}")
    effect.wrong = [
        f"{len(told)} of {len(some)} {kind}, such as {told[0]}" for kind, told in sorted(not_finite.items())
    ]
    other = [name for name, tensor in whole.items() if values.readable(tensor) and not _finite(numbers.count(tensor))]
    if other:
        effect.wrong.append(f"{len(other)} of {len(whole)} other tensors hold NaN or Inf, such as {quoted(other[0])}")
    return effect


def _finite(counted: values.Counted) -> bool:
    return not counted.nan and not counted.inf


def _spoiled(numbers: Numbers, pair: Pair, lora: Lora) -> list[tuple[str, str]]:
    """What of a pair is no finite number: its kind, and where."""
    found = []
    scale = lora.scale_of(pair.module)
    if not math.isfinite(scale):
        found.append((f"have a scale that is no number ({scale})", quoted(pair.module)))
    for part, tensor in pair.tensors.items():
        counted = numbers.count(tensor)
        of = math.prod(tensor.shape)
        if counted.nan:
            found.append((f"{part} hold no number (NaN)", f"{quoted(pair.module)}: {counted.nan} of {of} elements"))
        if counted.inf:
            found.append((f"{part} hold infinity (Inf)", f"{quoted(pair.module)}: {counted.inf} of {of} elements"))
    return found


def _idle(numbers: Numbers, pair: Pair, lora: Lora) -> Idle | None:
    """Why a pair has no effect; ``None`` if it has one. A part that is missing begins as PEFT begins it."""
    scale = lora.scale_of(pair.module)
    if not scale:
        return Idle.NO_SCALE
    if lora.biased and Part.BIAS in pair.tensors and not numbers.count(pair.tensors[Part.BIAS]).zero:
        return None
    if pair.b is None and not pair.embedding and not lora.random:
        return Idle.NO_B
    if pair.b is not None and numbers.count(pair.b).zero:
        return Idle.ZERO_B
    if pair.a is not None and numbers.count(pair.a).zero:
        return Idle.ZERO_A
    if pair.a is None or pair.b is None or pair.a.shape[:1] != pair.b.shape[1:2]:
        return Idle.ZERO_A if pair.a is None and pair.embedding and not lora.random else None
    product = numbers.product(pair.a, pair.b)
    return Idle.ZERO_PRODUCT if product.zero or product.largest * abs(scale) < values.SMALLEST else None


def outcome(loaded: Loaded, placed: Effect, lora: Lora) -> Outcome:
    """What the adapter does as a whole. ``placed``: of the pairs that PEFT loads."""
    if loaded.fails or loaded.refused:
        return Outcome.FAILS
    if loaded.unsure or placed.unread:
        return Outcome.UNKNOWN
    if placed.wrong:
        return Outcome.FAILS
    if placed.acting or (lora.random and loaded.untouched):
        return Outcome.ACTS
    return Outcome.UNKNOWN if loaded.whole or (lora.dora and loaded.placed) else Outcome.NOTHING
