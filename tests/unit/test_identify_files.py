"""Adapters on disk against their base: the lab's real ones, every way in which one is known to break, hostile files."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.core.records import Arm
from monitor.identify import CHECKS, adapter, tensors
from monitor.identify.checks import Files, Reading, UnreadableError
from monitor.lab.broken import BROKEN
from monitor.lab.broken import read as read_adapter
from monitor.lab.served import weights_dir

LAB = weights_dir()
SUPPORT = Files("bot", Arm.SUBJECT, LAB / "support", "lab/base", folder=LAB / "base")

CAUGHT_BY = {
    "renamed_layers": "adapter_fits",
    "renamed_prefix": "adapter_tensors",
    "other_hidden_size": "adapter_fits",
    "missing_layer": "adapter_fits",
    "extended_vocabulary": "adapter_fits",
    "zero_lora_b": "adapter_effect",
    "other_base_named": "adapter_base",
}
"""Defect -> the one check that tells it."""


def wrong(reading: Reading) -> dict[str, str]:
    return {one.check: one.found for one in reading.checks if not one.matches}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SUPPORT.path, tmp_path / "adapter"))


@pytest.mark.parametrize(("name", "base"), [("support", "base"), ("judge", "base"), ("support-next", "base-next")])
def test_the_labs_adapters_are_what_they_say(name: str, base: str) -> None:
    reading = adapter.read(Files("bot", Arm.SUBJECT, LAB / name, f"lab/{base}", folder=LAB / base))
    assert (wrong(reading), reading.unread) == ({}, {})
    made = {one.check for one in reading.checks}
    assert made == set(CHECKS["files"]) - {"adapter_revision"}, "the lab's adapters name no revision"


@pytest.mark.parametrize("defect", BROKEN)
def test_each_way_to_break_an_adapter_is_told_by_its_check(defect: str, tmp_path: Path) -> None:
    broken = BROKEN[defect](SUPPORT.path, tmp_path)
    assert set(wrong(adapter.read(replace(SUPPORT, path=broken)))) == {CAUGHT_BY[defect]}


def test_an_adapter_for_another_base_is_told_by_the_name_that_it_carries() -> None:
    told = wrong(adapter.read(replace(SUPPORT, path=LAB / "support-next")))
    assert told == {"adapter_base": "its config says 'lab/base-next'"}, "the shapes are the same: only the name tells"


def test_of_a_base_that_is_a_folder_the_adapters_word_is_not_asked(copy: Path) -> None:
    declared = replace(SUPPORT, path=copy, base=str(LAB / "base"))
    assert {one.check for one in adapter.read(declared).checks} == {"adapter_tensors", "adapter_effect", "adapter_fits"}
    edit(copy, base_model_name_or_path=f"{LAB}/base/")
    assert wrong(adapter.read(declared)) == {}
    assert "adapter_base" in {one.check for one in adapter.read(declared).checks}


def test_without_the_bases_weights_the_shapes_are_not_compared() -> None:
    assert "adapter_fits" not in {one.check for one in adapter.read(replace(SUPPORT, folder=None)).checks}


def edit(folder: Path, **changes: Any) -> None:
    path = folder / adapter.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_revisions_are_compared_where_both_are_commits(copy: Path) -> None:
    declared = replace(SUPPORT, path=copy, revision="a" * 40)
    for said, told in (("b" * 40, {"adapter_revision"}), ("a" * 40, set()), ("main", set()), (None, set())):
        edit(copy, revision=said)
        assert set(wrong(adapter.read(declared))) == told


def test_another_rank_than_the_config_says(copy: Path) -> None:
    edit(copy, r=8)
    assert wrong(adapter.read(replace(SUPPORT, path=copy))).keys() == {"adapter_tensors"}
    edit(copy, r=8, rank_pattern={".*_proj": 16})
    assert wrong(adapter.read(replace(SUPPORT, path=copy))) == {}, "ranks differ by design"


def test_other_kinds_of_adapters_are_not_taken_for_lora(copy: Path) -> None:
    edit(copy, peft_type="IA3")
    assert {one.check for one in adapter.read(replace(SUPPORT, path=copy)).checks} == {"adapter_base"}


def test_some_zero_modules_are_no_lost_adapter(copy: Path) -> None:
    from safetensors.numpy import save_file

    _, loaded = read_adapter(copy)
    first = next(name for name in loaded if "lora_B" in name)
    loaded[first] = -0.0 * abs(loaded[first])
    save_file(loaded, copy / adapter.WEIGHTS)
    reading = adapter.read(replace(SUPPORT, path=copy))
    (effect,) = [one for one in reading.checks if one.check == "adapter_effect"]
    assert (effect.matches, effect.found) == (True, "1 of 28 lora_B are all zero"), "-0.0 is zero, too"


def test_a_folder_that_is_away_is_no_reading(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="no such folder"):
        adapter.read(replace(SUPPORT, path=tmp_path / "none"))


def test_weights_that_do_not_exist_are_a_mismatch_and_those_of_another_format_are_not_read(copy: Path) -> None:
    (copy / adapter.WEIGHTS).unlink()
    reading = adapter.read(replace(SUPPORT, path=copy))
    assert wrong(reading) == {"adapter_tensors": "adapter_model.safetensors does not exist: nothing can be loaded"}
    for name in ("adapter_model.bin", "adapter_model-00001-of-00002.safetensors", "adapter.gguf"):
        (copy / name).write_bytes(b"\x80\x04.")
        reading = adapter.read(replace(SUPPORT, path=copy))
        assert (wrong(reading), set(reading.unread)) == ({}, set(adapter.WEIGHT_CHECKS))
        assert name in reading.unread["adapter_tensors"]
        (copy / name).unlink()


def test_a_base_that_cannot_be_read_leaves_the_fit_unread(copy: Path, tmp_path: Path) -> None:
    reading = adapter.read(replace(SUPPORT, path=copy, folder=tmp_path))
    assert (wrong(reading), list(reading.unread)) == ({}, ["adapter_fits"])


def framed(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def entry(**changes: Any) -> bytes:
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}
    return framed(json.dumps({"t": tensor}).encode(), bytes(16))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "short": b"\x01",
    "not safetensors": b"<html>404</html>" * 9,
    "header past the end": struct.pack("<Q", 2**63) + b"{}",
    "no json": framed(b"{nope"),
    "a list": framed(b"[1, 2]"),
    "deep": framed(b'{"t":' + b"[" * 100_000),
    "entry is no tensor": framed(b'{"t": 5}'),
    "negative offsets": entry(data_offsets=[-16, 0]),
    "offsets turned": entry(data_offsets=[16, 0]),
    "offsets past the end": entry(data_offsets=[0, 2**40]),
    "shape that is not the size": entry(shape=[2**40, 2**40]),
    "shape of texts": entry(shape=["2", "2"]),
    "true is no number": entry(shape=[True, 4]),
    "many dimensions": entry(shape=[1] * 1000),
    "not utf-8": framed(b'{"\xff": 1}'),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_a_mismatch_with_words(name: str, copy: Path) -> None:
    (copy / adapter.WEIGHTS).write_bytes(HOSTILE[name])
    reading = adapter.read(replace(SUPPORT, path=copy))
    told = wrong(reading)
    assert set(told) == {"adapter_tensors"}
    assert told["adapter_tensors"].startswith(adapter.WEIGHTS)


def test_a_file_that_was_cut_off_is_told(copy: Path) -> None:
    path = copy / adapter.WEIGHTS
    os.truncate(path, path.stat().st_size - 100)
    assert "cut off" in wrong(adapter.read(replace(SUPPORT, path=copy)))["adapter_tensors"]


def test_a_header_without_lora_is_told(copy: Path) -> None:
    (copy / adapter.WEIGHTS).write_bytes(entry())
    assert wrong(adapter.read(replace(SUPPORT, path=copy))) == {
        "adapter_tensors": "1 tensors, and none of them is LoRA's. In PEFT, the adapter as a whole does nothing"
    }


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "9" * 2_000_000, '{"peft_type": "LORA", "r": {}}', "{}"])
def test_a_hostile_config_is_a_mismatch(text: str, copy: Path) -> None:
    (copy / adapter.CONFIG).write_text(text)
    assert "adapter_base" in wrong(adapter.read(replace(SUPPORT, path=copy)))


@pytest.mark.parametrize(
    "changes",
    [
        {"base_model_name_or_path": "x\x00\x1b[31m" * 500},
        {"base_model_name_or_path": {"a": 1}},
        {"target_modules": [1, None]},
        {"target_modules": "all-linear"},
        {"revision": 7, "rank_pattern": 3, "r": "16"},
        {"layers_to_transform": [0]},
    ],
)
def test_odd_values_crash_nothing(changes: dict[str, Any], copy: Path) -> None:
    edit(copy, **changes)
    for one in adapter.read(replace(SUPPORT, path=copy)).checks:
        assert "\x1b" not in one.found
        assert len(one.found) < 300


def test_a_sharded_base_is_read_as_one(tmp_path: Path) -> None:
    shapes = {name: one.shape for name, one in tensors.model_tensors(LAB / "base").items()}
    shutil.copy(LAB / "base" / "model.safetensors", tmp_path / "model-00001-of-00001.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(shapes, "model-00001-of-00001.safetensors")}))
    assert {name: one.shape for name, one in tensors.model_tensors(tmp_path).items()} == shapes
    assert adapter.read(replace(SUPPORT, folder=tmp_path)).unread == {}
    for stolen in ("../base/model.safetensors", "/etc/passwd", ""):
        index.write_text(json.dumps({"weight_map": {"a": stolen}}))
        with pytest.raises(tensors.BadFileError):
            tensors.model_tensors(tmp_path)


def with_names(rename: Callable[[str], str], folder: Path) -> Path:
    """The lab's base with other names for its tensors; its bytes are bfloat16, which numpy does not know."""
    raw = (LAB / "base" / "model.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = {rename(name): one for name, one in json.loads(raw[8 : 8 + length]).items()}
    (folder / "model.safetensors").write_bytes(framed(json.dumps(header).encode(), raw[8 + length :]))
    return folder


def test_layers_under_another_name_are_told(tmp_path: Path) -> None:
    base = with_names(lambda name: name.replace("model.layers.", "language_model.model.layers."), tmp_path)
    assert wrong(adapter.read(replace(SUPPORT, folder=base))) == {
        "adapter_fits": "its modules are 'model.layers.0...', the base has 'language_model.model.layers.0...': PEFT "
        "skips all of them, and servers may skip them. In PEFT, the adapter as a whole does nothing"
    }


def test_of_what_is_quantised_only_the_names_are_compared(tmp_path: Path) -> None:
    base = with_names(lambda name: name.replace("_proj.weight", "_proj.qweight"), tmp_path)
    reading = adapter.read(replace(SUPPORT, folder=base))
    assert wrong(reading) == {}
    assert "keeps 'qweight'" in reading.unread["adapter_fits"]
