"""Numbers in a safetensors file, read in blocks: whether they are finite, and whether a product of two is zero."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.identify.checks import UnreadableError
from monitor.identify.tensors import Tensor

Numbers = NDArray[np.float64]

BLOCK: Final = 1 << 20
"""Elements of one read."""
LONGEST_ROW: Final = 1 << 24
"""Elements. A row is read whole; a vocabulary has fewer than a million entries."""
SMALLEST: Final = 2.0**-149
"""The smallest float32 above zero: a smaller product is zero where the adapter is used."""
ROUNDING: Final = 1e-12
"""Share of the sum of magnitudes below which a float64 sum is zero but for rounding."""

_PLAIN: Final = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counted:
    """What one tensor holds."""

    nan: int
    inf: int
    zero: bool
    """Whether every element is zero."""


PLAIN: Final = Counted(0, 0, zero=False)
"""Finite, and not all zero."""


@dataclass(frozen=True, slots=True)
class Product:
    """What B times A gives, for a pair whose numbers are finite."""

    zero: bool
    largest: float
    """An estimate of its largest effect on an input of unit variance, before the scale."""


class UnknownTypeError(Exception):
    """Elements of this type cannot be read here. The message names it."""


def readable(tensor: Tensor) -> bool:
    return tensor.dtype in _PLAIN or tensor.dtype in ("BF16", "F8_E4M3", "F8_E5M2")


def count(tensor: Tensor) -> Counted:
    """Counts the numbers of a tensor. Raises UnreadableError, UnknownTypeError."""
    nan = inf = 0
    zero = True
    with _opened(tensor) as file:
        for block in _blocks(file, tensor):
            nan += int(np.count_nonzero(np.isnan(block)))
            inf += int(np.count_nonzero(np.isinf(block)))
            zero = zero and not block.any()
    return Counted(nan, inf, zero)


def product(a: Tensor, b: Tensor) -> Product:
    """Whether B times A is zero, by a random input: exact zeros, components that never meet, and sums that cancel.

    A is (rank, ...), B is (outputs, rank, ...), and both are finite. Raises UnreadableError, UnknownTypeError.
    """
    with _opened(a) as file:
        inside = np.concatenate([block @ _probe(block.shape[1]) for block in _rows(file, a)])
        largest, zero = 0.0, True
        for block in _rows(file, b):
            outputs, bound = np.abs(block @ inside), np.abs(block) @ np.abs(inside)
            zero = zero and bool((outputs <= ROUNDING * bound).all())
            largest = max(largest, float(outputs.max(initial=0.0)))
    return Product(zero, largest)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers. Raises UnreadableError, UnknownTypeError."""
    if one.shape != other.shape:
        return False
    with _opened(one) as file, _opened(other) as beside:
        blocks = zip(_blocks(file, one), _blocks(beside, other), strict=True)
        return all(np.array_equal(block, its) for block, its in blocks)


def _probe(length: int) -> Numbers:
    """A fixed input. Random, so that only a matrix without an effect maps it to zero."""
    return np.random.default_rng(length).standard_normal(length)


def _opened(tensor: Tensor) -> IO[bytes]:
    try:
        return tensor.path.open("rb")
    except OSError as error:
        raise UnreadableError(f"{tensor.path.name} cannot be read: {error.strerror}") from None


def _rows(file: IO[bytes], tensor: Tensor) -> Iterator[Numbers]:
    """The tensor as a matrix, some rows at a time."""
    rows = tensor.shape[0] if tensor.shape else 1
    length = prod(tensor.shape[1:])
    if not rows or not length or length > LONGEST_ROW:
        raise UnknownTypeError(f"tensors of shape {tensor.shape} are not read")
    step = max(1, BLOCK // length)
    for first in range(0, rows, step):
        some = min(step, rows - first)
        yield _read(file, tensor, first * length, some * length).reshape(some, length)


def _blocks(file: IO[bytes], tensor: Tensor) -> Iterator[Numbers]:
    elements = prod(tensor.shape)
    for first in range(0, elements, BLOCK):
        yield _read(file, tensor, first, min(BLOCK, elements - first))


def _read(file: IO[bytes], tensor: Tensor, first: int, elements: int) -> Numbers:
    if not readable(tensor):
        raise UnknownTypeError(f"numbers of type {tensor.dtype} are not read")
    width = (tensor.end - tensor.begin) // max(1, prod(tensor.shape))
    try:
        file.seek(tensor.begin + first * width, os.SEEK_SET)
        raw = file.read(elements * width)
    except OSError as error:
        raise UnreadableError(f"{tensor.path.name} cannot be read: {error.strerror}") from None
    if len(raw) != elements * width:
        raise UnreadableError(f"{tensor.path.name} became shorter while it was read")
    return _decoded(raw, tensor.dtype)


def _decoded(raw: bytes, dtype: str) -> Numbers:
    if dtype == "BF16":
        bits = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return _floats(bits.view(np.float32))
    if dtype == "F8_E5M2":
        return _floats((np.frombuffer(raw, "u1").astype(np.uint16) << 8).view(np.float16))
    if dtype == "F8_E4M3":
        return np.asarray(_E4M3[np.frombuffer(raw, "u1")])
    return _floats(np.frombuffer(raw, _PLAIN[dtype]))


def _floats(numbers: NDArray[Any]) -> Numbers:
    with np.errstate(invalid="ignore"):  # a signalling NaN stays a NaN
        return numbers.astype(np.float64)


def _e4m3() -> Numbers:
    """All 256 numbers of the 8-bit type with 4 bits of exponent (bias 7) and no infinity."""
    bits = np.arange(256)
    exponent, fraction = (bits >> 3) & 15, bits & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7.0))
    size[(exponent == 15) & (fraction == 7)] = np.nan
    return np.asarray(np.where(bits & 128, -size, size), np.float64)


_E4M3: Final = _e4m3()
