"""Safetensors without torch: the header of a file, and the tensors of a whole model.

A file is untrusted: its header is checked against the file before anything is read or allocated.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final, TypeGuard

from monitor.identify.checks import UnreadableError

LARGEST_HEADER: Final = 32 * 2**20
"""Bytes; a base model of 100,000 tensors has about 12 MiB."""
LARGEST_JSON: Final = 64 * 2**20
MOST_SHARDS: Final = 1000

_BYTES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_LFS_POINTER: Final = b"version https://git-lfs"


class BadFileError(Exception):
    """The file exists, but is invalid. The message is for a person."""


@dataclass(frozen=True, slots=True)
class Tensor:
    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Range of its bytes, from the file's start."""
    end: int


def read_json(path: Path, longest: int = LARGEST_JSON) -> dict[str, Any]:
    """A JSON object. Raises UnreadableError if the file cannot be read, BadFileError if it is not a JSON object."""
    try:
        with path.open("rb") as file:
            raw = file.read(longest + 1)
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(raw) > longest:
        raise BadFileError(f"{path.name} is larger than {longest} bytes")
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadFileError(f"{path.name} is not JSON") from None
    if not isinstance(parsed, dict):
        raise BadFileError(f"{path.name} holds no JSON object")
    return parsed


def header(path: Path) -> dict[str, Tensor]:
    """Tensor name -> its entry in the header, checked against the file's size.

    Raises UnreadableError if the file cannot be read, BadFileError if it is not a complete safetensors file.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(_LFS_POINTER))
            if start == _LFS_POINTER:
                raise BadFileError(f"{path.name} is a Git LFS pointer, not the weights: run 'git lfs pull'")
            length = int.from_bytes(start[:8], "little")
            file.seek(8)
            if size < 10 or not 2 <= length <= size - 8:
                raise BadFileError(f"{path.name} is no safetensors file, or was cut off: {size} bytes")
            if length > LARGEST_HEADER:
                raise BadFileError(f"{path.name} has a header of {length} bytes; at most {LARGEST_HEADER} are read")
            raw = file.read(length)
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadFileError(f"{path.name} has a header that is not JSON") from None
    if not isinstance(parsed, dict):
        raise BadFileError(f"{path.name} has a header that is no JSON object")
    return {name: _tensor(path, entry, 8 + length, size) for name, entry in parsed.items() if name != "__metadata__"}


def _tensor(path: Path, entry: Any, start: int, size: int) -> Tensor:
    found = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = found.get("dtype"), found.get("shape"), found.get("data_offsets")
    if not isinstance(dtype, str) or not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise BadFileError(f"{path.name} has a header entry that describes no tensor")
    begin, end = offsets
    if not begin <= end <= size - start:
        raise BadFileError(f"{path.name} was cut off: a tensor ends after the file does")
    if dtype in _BYTES and prod(shape) * _BYTES[dtype] != end - begin:
        raise BadFileError(f"{path.name} has a tensor whose shape and size differ")
    return Tensor(path, dtype, tuple(shape), start + begin, start + end)


def _counts(value: object) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list) and len(value) <= 16 and all(type(item) is int and 0 <= item < 2**48 for item in value)
    )


def model_tensors(folder: Path) -> dict[str, Tensor]:
    """Tensor name -> its entry in the header of the model in ``folder``, sharded or not.

    Raises UnreadableError if it has no readable safetensors, BadFileError if they are broken.
    """
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"] if not index.is_file() else _shards(read_json(index))
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= header(folder / name)
    return tensors


def _shards(index: Mapping[str, Any]) -> list[str]:
    weights = index.get("weight_map")
    names = sorted({name for name in weights.values() if isinstance(name, str)}) if isinstance(weights, dict) else []
    # A shard must be a file in the index's folder, whatever the index names.
    if not names or len(names) > MOST_SHARDS or any(not name or name != Path(name).name for name in names):
        raise BadFileError("model.safetensors.index.json names no shards beside it")
    return names
