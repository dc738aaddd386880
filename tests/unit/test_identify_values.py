"""Numbers of safetensors files: every type of element is read as it is."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from monitor.identify import values
from monitor.identify.tensors import header


@pytest.mark.parametrize(
    ("dtype", "raw", "expected"),
    [
        ("F32", np.array([1.5, -0.0, math.nan], "<f4").tobytes(), [1.5, 0, math.nan]),
        ("F16", np.array([1.5, -math.inf, 6e-8], "<f2").tobytes(), [1.5, -math.inf, 2.0**-24]),
        ("BF16", bytes.fromhex("c03f 807f 0080"), [1.5, math.inf, 0]),
        ("F8_E4M3", bytes.fromhex("3c 7f 01"), [1.5, math.nan, 2.0**-9]),
        ("F8_E5M2", bytes.fromhex("3e 7c fe"), [1.5, math.inf, math.nan]),
        ("I8", bytes.fromhex("ff 00 7f"), [-1, 0, 127]),
    ],
)
def test_numbers_of_every_type_are_read(dtype: str, raw: bytes, expected: list[float], tmp_path: Path) -> None:
    entry = {"dtype": dtype, "shape": [3], "data_offsets": [0, len(raw)]}
    head = json.dumps({"t": entry}).encode()
    (tmp_path / "one").write_bytes(len(head).to_bytes(8, "little") + head + raw)
    (tensor,) = header(tmp_path / "one").values()
    with (tmp_path / "one").open("rb") as file:
        (block,) = values._blocks(file, tensor)
    np.testing.assert_array_equal(block, expected)
    counted = values.count(tensor)
    assert counted.nan == sum(map(math.isnan, expected))
    assert counted.inf == sum(map(math.isinf, expected))
