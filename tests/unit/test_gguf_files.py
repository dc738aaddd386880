"""Weights in, GGUF out: what is kept, what is refused, and that a cache can be shared."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from monitor.lab.gguf_files import GGUFError, adapter_gguf, base_gguf, read_safetensors
from monitor.lab.served import weights_dir


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("CLIFFWATCH_LAB_CACHE", str(folder))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights_dir() / "base", tmp_path / "base"))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return Path(shutil.copytree(weights_dir() / "support", tmp_path / "support"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def test_a_file_is_made_once_and_again_when_the_weights_change(base: Path, cache: Path) -> None:
    first = base_gguf(base)
    made = first.stat().st_mtime_ns
    assert base_gguf(base) == first
    assert first.stat().st_mtime_ns == made
    edit(base / "config.json", rope_theta=20_000.0)
    assert base_gguf(base) != first
    assert {path.suffix for path in cache.iterdir()} == {".gguf"}  # no scratch file is left


def test_formats_differ_in_size_and_keep_the_norms(base: Path) -> None:
    sizes = [base_gguf(base, fmt).stat().st_size for fmt in ("f32", "f16", "q8_0", "q4_0")]
    assert sizes == sorted(sizes, reverse=True)
    four = tensors(base_gguf(base, "q4_0"))
    assert four["output_norm.weight"].tensor_type == gguf.GGMLQuantizationType.F32
    assert four["blk.0.attn_q.weight"].tensor_type == gguf.GGMLQuantizationType.Q4_0


def test_every_tensor_arrives_with_its_values(base: Path) -> None:
    given = dict(read_safetensors(base / "model.safetensors"))
    made = tensors(base_gguf(base))
    up = made["blk.1.ffn_up.weight"].data
    assert np.array_equal(up, given["model.layers.1.mlp.up_proj.weight"])
    q = made["blk.1.attn_q.weight"].data
    assert not np.array_equal(q, given["model.layers.1.self_attn.q_proj.weight"])  # rope's order of rows
    assert np.array_equal(np.sort(q, axis=0), np.sort(given["model.layers.1.self_attn.q_proj.weight"], axis=0))


def test_an_adapter_keeps_its_alpha(adapter: Path, base: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    alpha = gguf.GGUFReader(adapter_gguf(adapter, base)).fields[gguf.Keys.Adapter.LORA_ALPHA].contents()
    assert alpha == config["lora_alpha"]
    edit(adapter / "adapter_config.json", use_rslora=True)
    alpha = gguf.GGUFReader(adapter_gguf(adapter, base)).fields[gguf.Keys.Adapter.LORA_ALPHA].contents()
    assert alpha == pytest.approx(config["lora_alpha"] * config["r"] ** 0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"use_dora": True}, "use_dora"), ({"modules_to_save": ["embed_tokens"]}, "modules_to_save")],
)
def test_a_lora_that_gguf_cannot_say_is_refused(
    adapter: Path, base: Path, cache: Path, changes: dict[str, Any], said: str
) -> None:
    edit(adapter / "adapter_config.json", **changes)
    with pytest.raises(GGUFError, match=said):
        adapter_gguf(adapter, base)
    assert list(cache.iterdir()) == []


def test_other_architectures_and_tokenizers_are_refused(base: Path) -> None:
    edit(base / "config.json", architectures=["GPT2LMHeadModel"])
    with pytest.raises(GGUFError, match="GPT2LMHeadModel"):
        base_gguf(base)
    edit(base / "config.json", architectures=["LlamaForCausalLM"])
    edit(base / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(GGUFError, match="no GGUF name for the pre-tokenizer"):
        base_gguf(base)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    values = np.array([[1.0, -2.5], [0.15625, 3e38]], np.float32)
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw)
    ((name, array),) = read_safetensors(path)
    assert name == "x"
    assert array == pytest.approx(values, rel=2**-8)
