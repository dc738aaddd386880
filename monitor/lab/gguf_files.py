"""Converts the lab's Hugging Face weights into cached GGUF files, with numpy and ``gguf``, without torch.

The lab's weights are stored in the usual format of fine-tunes (safetensors and a PEFT adapter), but llama.cpp reads
only GGUF. A file's name is the SHA-256 of all its inputs, so that a changed weight or converter never uses an old file.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import gguf
import numpy as np
import numpy.typing as npt

Format = Literal["f32", "f16", "q8_0", "q4_0"]
Array = npt.NDArray[Any]

CONVERTER_VERSION: Final = 1
"""Part of every cache key: raise it when the same weights must give other bytes."""

_QUANTS: Final[dict[str, gguf.GGMLQuantizationType]] = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
_FILE_TYPES: Final[dict[str, gguf.LlamaFileType]] = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


class GGUFError(ValueError):
    """A weights folder holds something that this converter would turn into a different model."""


def cache_dir() -> Path:
    """Where converted files are kept: ``$CLIFFWATCH_LAB_CACHE`` or ``~/.cache/cliffwatch/lab``."""
    named = os.environ.get("CLIFFWATCH_LAB_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "cliffwatch" / "lab"


def base_gguf(folder: Path, fmt: Format = "f32") -> Path:
    """The GGUF file of a base model's folder, made now if it was never made.

    Matrices get ``fmt``; norms stay f32. Raises `GGUFError` for an architecture, a tokenizer or a tensor
    that would not survive, and `OSError` for files that are missing.
    """
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
    return _cached(folder, names, f"base-{fmt}", lambda path: _write_base(folder, fmt, path))


def adapter_gguf(adapter: Path, base: Path) -> Path:
    """The GGUF file of a PEFT LoRA adapter's folder; ``base`` gives the head counts for the rope order.

    Tensors are kept in f32 whatever the base's format: the adapter is small, and a fault that quantises
    the base must change nothing else. Raises `GGUFError` for a variant of LoRA that GGUF cannot say.
    """
    names = ("adapter_config.json", "adapter_model.safetensors")
    # The head counts come from the base: the same adapter on another base is another file.
    suffix = "lora-" + hashlib.sha256((base / "config.json").read_bytes()).hexdigest()[:8]
    return _cached(adapter, names, suffix, lambda path: _write_adapter(adapter, base, path))


def weights_hash(folder: Path) -> str:
    """SHA-256 over a folder's weights and configuration, in hex: what the fingerprint is made of."""
    digest = hashlib.sha256()
    for name in (
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "adapter_config.json",
        "adapter_model.safetensors",
    ):
        if (path := folder / name).exists():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _cached(folder: Path, names: tuple[str, ...], suffix: str, write: Any) -> Path:
    digest = hashlib.sha256(f"{CONVERTER_VERSION}:{suffix}".encode())
    for name in (*names, "chat_template.jinja"):
        path = folder / name
        if name == "chat_template.jinja" and not path.exists():
            continue  # older tokenizers keep the template in tokenizer_config.json
        digest.update(name.encode() + b"\0" + path.read_bytes())
    target = cache_dir() / f"{digest.hexdigest()}-{suffix}.gguf"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=target.parent, suffix=".part")
    os.close(handle)
    try:
        write(Path(scratch))
        os.replace(scratch, target)  # two processes may both get here: the same bytes, either one wins
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return target


def _write_base(folder: Path, fmt: Format, path: Path) -> None:
    config = read_json(folder / "config.json")
    architectures = config.get("architectures") or []
    if architectures != ["LlamaForCausalLM"]:
        raise GGUFError(f"{folder}: architecture {architectures} is not LlamaForCausalLM")
    writer = gguf.GGUFWriter(path, "llama")
    _write_shape(writer, config, fmt, folder.name)
    _write_tokenizer(writer, folder, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    for name, array in read_safetensors(folder / "model.safetensors"):
        target = names.get_name(name, try_suffixes=(".weight",))
        if target is None:
            raise GGUFError(f"{folder}: no GGUF name for tensor {name}")
        if target == "output.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp takes the embedding where there is no output matrix
        array = _rope_order(name, array, config)
        quant = _QUANTS[fmt] if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        if array.ndim == 2 and fmt.startswith("q") and array.shape[1] % 32:
            raise GGUFError(f"{folder}: {name} has rows of {array.shape[1]}, and {fmt} packs 32 at a time")
        writer.add_tensor(target, gguf.quantize(array, quant), raw_dtype=quant)
    _finish(writer)


def _write_shape(writer: gguf.GGUFWriter, config: dict[str, Any], fmt: Format, name: str) -> None:
    heads = int(config["num_attention_heads"])
    rope = config.get("rope_parameters") or {}
    if (kind := rope.get("rope_type", "default")) != "default" or config.get("rope_scaling"):
        raise GGUFError(f"rope of type {kind!r} with scaling is not converted")
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise GGUFError("biases are not converted")
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[fmt])
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))


def _write_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any]) -> None:
    tokenizer = read_json(folder / "tokenizer.json")
    settings = read_json(folder / "tokenizer_config.json")
    model = tokenizer["model"]
    if model["type"] != "BPE":
        raise GGUFError(f"{folder}: a {model['type']} tokenizer, not byte-level BPE")
    by_id = {i: (token, gguf.TokenType.NORMAL) for token, i in model["vocab"].items()}
    for added in tokenizer.get("added_tokens", []):
        kind = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        by_id[added["id"]] = (added["content"], kind)
    # An embedding may be padded past the vocabulary; llama.cpp wants a name for every row.
    rows = [by_id.get(i, (f"[PAD{i}]", gguf.TokenType.UNUSED)) for i in range(int(config["vocab_size"]))]
    ids = {token: i for i, (token, _) in by_id.items()}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_type(tokenizer.get("pre_tokenizer") or {}, folder))
    writer.add_token_list([token for token, _ in rows])
    writer.add_token_types([kind for _, kind in rows])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_add_bos_token(False)  # what begins a chat is said by the template, as in transformers
    writer.add_add_eos_token(False)
    writer.add_eos_token_id(ids[_token(settings, "eos_token", folder)])
    if settings.get("bos_token"):
        writer.add_bos_token_id(ids[_token(settings, "bos_token", folder)])
    if settings.get("pad_token"):
        writer.add_pad_token_id(ids[_token(settings, "pad_token", folder)])
    writer.add_chat_template(chat_template(folder))


def _pre_type(pre: dict[str, Any], folder: Path) -> str:
    """llama.cpp's name for the splitting that comes before BPE; a wrong one changes the tokens silently."""
    steps = pre["pretokenizers"] if pre.get("type") == "Sequence" else [pre]
    last = steps[-1]
    plain = last.get("type") == "ByteLevel" and last.get("use_regex") and not last.get("add_prefix_space")
    if plain and len(steps) == 1:
        return "gpt-2"
    if plain and len(steps) == 2 and steps[0].get("type") == "Digits" and steps[0].get("individual_digits"):
        return "smollm"
    raise GGUFError(f"{folder}: no GGUF name for the pre-tokenizer {json.dumps(pre)}")


def _token(settings: dict[str, Any], key: str, folder: Path) -> str:
    token = settings.get(key)
    if isinstance(token, dict):
        token = token.get("content")
    if not isinstance(token, str):
        raise GGUFError(f"{folder}: tokenizer_config.json names no {key}")
    return token


def chat_template(folder: Path) -> str:
    """The chat template of a base model's folder, from its own file or from the tokenizer's settings."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    template = read_json(folder / "tokenizer_config.json").get("chat_template")
    if not isinstance(template, str):
        raise GGUFError(f"{folder}: no chat template")
    return template


def _write_adapter(adapter: Path, base: Path, path: Path) -> None:
    lora = read_json(adapter / "adapter_config.json")
    config = read_json(base / "config.json")
    for key in ("use_dora", "lora_bias", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication"):
        if lora.get(key):
            raise GGUFError(f"{adapter}: {key} = {lora[key]!r} cannot be said in GGUF")
    rank = int(lora["r"])
    # llama.cpp divides by the rank; rank-stabilised LoRA divides by its root.
    alpha = float(lora["lora_alpha"]) * (math.sqrt(rank) if lora.get("use_rslora") else 1.0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(adapter.name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    for key, array in read_safetensors(adapter / "adapter_model.safetensors"):
        name, part = _lora_key(key, adapter)
        target = names.get_name(name, try_suffixes=(".weight",))
        if target is None:
            raise GGUFError(f"{adapter}: no GGUF name for tensor {key}")
        # Only B's rows are the layer's outputs, so only B is in rope order.
        array = _rope_order(name, array, config) if part == "lora_b" else array
        writer.add_tensor(f"{target}.{part}", array)
    _finish(writer)


def _lora_key(key: str, adapter: Path) -> tuple[str, str]:
    """``base_model.model.<module>.lora_A.weight`` -> (``<module>.weight``, ``lora_a``)."""
    module, _, part = key.removesuffix(".weight").removeprefix("base_model.model.").rpartition(".")
    if part not in ("lora_A", "lora_B") or not key.startswith("base_model.model."):
        raise GGUFError(f"{adapter}: {key} is not a LoRA matrix")
    return f"{module}.weight", part.lower()


def _rope_order(name: str, array: Array, config: dict[str, Any]) -> Array:
    """Rows of q and k from the halves that transformers rotates to the neighbours that llama.cpp rotates."""
    heads = int(config["num_attention_heads"])
    if name.endswith("k_proj.weight"):
        heads = int(config.get("num_key_value_heads") or heads)
    elif not name.endswith("q_proj.weight"):
        return array
    rows, columns = array.shape
    return array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_safetensors(path: Path) -> Iterator[tuple[str, Array]]:
    """Every tensor of a safetensors file as a contiguous f32 array, in name order.

    Read by hand because numpy has no bfloat16, which is how half of all adapters are stored.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    for name in sorted(header):
        start, end = header[name]["data_offsets"]
        raw, dtype = data[8 + length + start : 8 + length + end], header[name]["dtype"]
        if dtype == "BF16":
            array = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif dtype in ("F32", "F16"):
            array = np.frombuffer(raw, "<f4" if dtype == "F32" else "<f2").astype(np.float32)
        else:
            raise GGUFError(f"{path}: {name} is stored as {dtype}")
        yield name, array.reshape(header[name]["shape"])


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
