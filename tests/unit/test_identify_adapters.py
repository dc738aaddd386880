"""What an adapter does where it is loaded, told from files alone: names, numbers, scales, and bases of every kind."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from monitor.core.records import Arm
from monitor.identify import adapter
from monitor.identify.checks import Files, Reading

HIDDEN, RANK, LAYERS = 12, 3, 2
PREFIX = "base_model.model."
Tensors = dict[str, NDArray[Any]]
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def lora(
    prefix: str = f"{PREFIX}model.", modules: tuple[str, ...] = ("self_attn.q_proj", "self_attn.v_proj")
) -> Tensors:
    """A working adapter."""
    rng = np.random.default_rng(4)
    made: Tensors = {}
    for layer in range(LAYERS):
        for module in modules:
            made[f"{prefix}layers.{layer}.{module}.lora_A.weight"] = _normal(rng, RANK, HIDDEN)
            made[f"{prefix}layers.{layer}.{module}.lora_B.weight"] = _normal(rng, HIDDEN, RANK)
    return made


def _normal(rng: np.random.Generator, *shape: int) -> NDArray[Any]:
    return rng.standard_normal(shape).astype(np.float32)


def weights(prefix: str = "model.") -> Tensors:
    """A base of two layers."""
    made: Tensors = {f"{prefix}embed_tokens.weight": np.zeros((40, HIDDEN), np.float32)}
    for layer in range(LAYERS):
        for module in ("q_proj", "k_proj", "v_proj", "o_proj"):
            made[f"{prefix}layers.{layer}.self_attn.{module}.weight"] = np.zeros((HIDDEN, HIDDEN), np.float32)
        made[f"{prefix}layers.{layer}.input_layernorm.weight"] = np.ones(HIDDEN, np.float32)
    return made


class Work:
    """A folder with an adapter and a base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "adapter").mkdir()
        (folder / "base").mkdir()

    def read(
        self, tensors: Tensors, base: Tensors | None = None, model: Mapping[str, Any] = LLAMA, **config: Any
    ) -> Reading:
        settings = {
            "peft_type": "LORA", "r": RANK, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"],
            "task_type": "CAUSAL_LM", "base_model_name_or_path": "acme/base", **config,
        }  # fmt: skip
        (self.folder / "adapter" / adapter.CONFIG).write_text(json.dumps(settings))
        save_file(tensors, self.folder / "adapter" / adapter.WEIGHTS)
        (self.folder / "base" / "config.json").write_text(json.dumps(model))
        if base is not None:
            save_file(base, self.folder / "base" / "model.safetensors")
        return self.again(folder=self.folder / "base" if base is not None else None)

    def again(self, folder: Path | None = None) -> Reading:
        return adapter.read(Files("bot", Arm.SUBJECT, self.folder / "adapter", "acme/base", folder=folder))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def wrong(reading: Reading) -> dict[str, str]:
    return {one.check: one.found for one in reading.checks if not one.matches}


def test_a_working_adapter_is_right_on_every_base_it_fits(work: Work) -> None:
    assert (wrong(reading := work.read(lora(), weights())), reading.unread) == ({}, {})
    assert wrong(work.read(lora(), weights(""))) == {}, "files that were saved from the body lack its name"
    assert wrong(work.read(lora())) == {}, "the base is not on this machine"
    assert {one.check for one in work.again().checks} == {"adapter_base", "adapter_tensors", "adapter_effect"}


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        (lambda name: name.removeprefix(PREFIX), f"do not begin with '{PREFIX}': PEFT loads none"),
        (lambda name: PREFIX + name, f"have '{PREFIX}' twice: PEFT loads none of them"),
        (lambda name: f"module.{name}", f"have other names before '{PREFIX}': PEFT loads none of them"),
        (lambda name: name.replace("lora_A.", "lora_A.sales.").replace("lora_B.", "lora_B.sales."), "adapter's name"),
    ],
)
def test_names_that_peft_skips_are_told_without_a_base(rename: Callable[[str], str], words: str, work: Work) -> None:
    reading = work.read({rename(name): tensor for name, tensor in lora().items()})
    assert wrong(reading).keys() == {"adapter_tensors"}
    told = wrong(reading)["adapter_tensors"]
    assert words in told
    assert told.endswith("In PEFT, the adapter as a whole does nothing")


def test_pefts_own_adapter_name_in_the_names_is_no_mismatch_but_told(work: Work) -> None:
    named = {name.replace(".weight", ".default.weight"): tensor for name, tensor in lora().items()}
    reading = work.read(named, weights())
    assert wrong(reading) == {}
    assert "an adapter's name, 'default', stands in 8 names" in reading.unread["adapter_tensors"]
    assert "PEFT loads them, vLLM refuses them" in reading.unread["adapter_tensors"]
    some = dict(list(named.items())[:2])
    told = wrong(work.read(some, weights()))
    assert told.keys() == {"adapter_tensors", "adapter_fits"}
    assert told["adapter_tensors"].startswith("no tensor is for 'v_proj', which its config targets")
    assert "an adapter's name, 'default'" in told["adapter_tensors"]


VISION = {"model_type": "acme_vl", "architectures": ["AcmeVLForConditionalGeneration"]}


@pytest.mark.parametrize(
    ("ours", "its", "model", "at"),
    [
        ("", "model.", LLAMA, ("layers.0...", "model.layers.0...")),
        ("model.", "model.language_model.", VISION, ("model.layers.0...", "model.language_model.layers.0...")),
        ("model.", "language_model.model.", VISION, ("model.layers.0...", "language_model.model.layers.0...")),
        ("model.language_model.", "model.", LLAMA, ("model.language_model.layers.0...", "model.layers.0...")),
        ("language_model.model.", "model.", LLAMA, ("language_model.model.layers.0...", "model.layers.0...")),
        ("model.model.", "model.", LLAMA, ("model.model.layers.0...", "model.layers.0...")),
        ("_orig_mod.model.", "model.", LLAMA, ("_orig_mod.model.layers.0...", "model.layers.0...")),
        ("model.", "model.text_model.", {}, ("model.layers.0...", "model.text_model.layers.0...")),
    ],
)
def test_layers_under_another_name_are_told(
    ours: str, its: str, model: dict[str, Any], at: tuple[str, str], work: Work
) -> None:
    told = wrong(work.read(lora(PREFIX + ours), weights(its), model))
    assert told == {
        "adapter_fits": f"its modules are '{at[0]}', the base has '{at[1]}': PEFT skips all of them, and servers may "
        "skip them. In PEFT, the adapter as a whole does nothing"
    }


@pytest.mark.parametrize(
    ("ours", "its", "model"),
    [
        ("model.language_model.", "language_model.model.", {"model_type": "gemma3"}),
        ("language_model.model.", "language_model.model.", {"model_type": "gemma3"}),
        ("model.language_model.", "model.", {"architectures": ["Qwen2_5_VLForConditionalGeneration"]}),
        ("model.", "model.language_model.", {"model_type": "gemma3n_text"}),
        ("model.decoder.", "decoder.", {"model_type": "opt"}),
    ],
)
def test_names_that_loaders_rename_are_the_same(ours: str, its: str, model: dict[str, Any], work: Work) -> None:
    reading = work.read(lora(PREFIX + ours), weights(its), model)
    assert (wrong(reading), reading.unread) == ({}, {})


def test_of_models_that_are_renamed_in_other_ways_a_misfit_cannot_be_told(work: Work) -> None:
    reading = work.read(lora(), weights("model.language_model."), {"model_type": "kimi_k25"})
    assert wrong(reading) == {}
    assert "loaders rename modules of the model type 'kimi_k25'" in reading.unread["adapter_fits"]


def test_layers_of_the_files_that_are_not_in_the_model_need_no_tensors(work: Work) -> None:
    base = weights()
    for name in list(base):
        if ".layers.1." in name:
            base[name.replace(".layers.1.", ".layers.2.")] = base[name]
            base[name.replace("model.layers.1.", "mtp.layers.0.")] = base[name]
    assert wrong(work.read(lora(), base, {**LLAMA, "num_hidden_layers": LAYERS})) == {}
    told = wrong(work.read(lora(), base, {**LLAMA, "num_hidden_layers": 3}))["adapter_fits"]
    assert told.startswith("2 modules that its config targets have no tensors, such as 'model.layers.2.self_attn.q_")


def test_names_of_the_files_that_peft_knows_under_others_cannot_be_told(work: Work) -> None:
    model = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl"}
    reading = work.read(lora(), weights(), model)
    assert wrong(reading) == {}
    assert "unless they know the names in the base's files" in reading.unread["adapter_fits"]
    assert "adapter_fits" in wrong(work.read(lora(), weights("model.language_model."), model))


def test_a_whole_tensor_that_is_not_finite_is_told(work: Work) -> None:
    tensors = lora() | {f"{PREFIX}model.embed_tokens.weight": np.full((40, HIDDEN), math.nan, np.float32)}
    told = wrong(work.read(tensors, weights()))["adapter_effect"]
    assert told == "1 of 1 other tensors hold NaN or Inf, such as 'model.embed_tokens.weight'"


def spoiled(part: str, value: float, *, whole: bool = False) -> Tensors:
    tensors = lora()
    for name in tensors:
        if part in name:
            tensors[name][(...,) if whole else (0, 0)] = value
    return tensors


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (spoiled("lora_B", math.nan, whole=True), "4 of 4 lora_B hold no number (NaN), such as"),
        (spoiled("lora_A", math.nan), "4 of 4 lora_A hold no number (NaN), such as"),
        (spoiled("0.self_attn.q_proj.lora_A", -math.inf), "1 of 4 lora_A hold infinity (Inf), such as 'model.layers.0"),
        (spoiled("lora_A", 0.0, whole=True), "4 of 4 lora_A are all zero: it adds nothing, and answers like its base"),
        (spoiled("lora_B", -0.0, whole=True), "4 of 4 lora_B are all zero: it adds nothing, and answers like its base"),
    ],
)
def test_numbers_without_an_effect_are_counted(tensors: Tensors, words: str, work: Work) -> None:
    told = wrong(work.read(tensors, weights()))
    assert told.keys() == {"adapter_effect"}
    assert told["adapter_effect"].startswith(words)


def test_a_product_of_zero_is_told_though_neither_half_is_zero(work: Work) -> None:
    apart, cancelling = lora(), lora()
    for name in apart:
        if "lora_A" in name:
            apart[name][0] = 0
            cancelling[name][1:] = [-cancelling[name][0], 0 * cancelling[name][0]]
        else:
            apart[name][:, 1:] = 0
            cancelling[name][:, 1] = cancelling[name][:, 0]
    for tensors in (apart, cancelling, {name: tensor * 1e-24 for name, tensor in lora().items()}):
        told = wrong(work.read({name: tensor.astype(np.float32) for name, tensor in tensors.items()}))
        assert told["adapter_effect"].startswith("4 of 4 products of lora_B and lora_A are zero: it adds nothing")
    small = {name: tensor * np.float32(1e-6) for name, tensor in lora().items()}
    assert wrong(work.read(small)) == {}, "small is not zero"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"lora_alpha": 0}, "4 of 4 have a scale of 0: it adds nothing"),
        ({"lora_alpha": 0.0, "use_rslora": True}, "4 of 4 have a scale of 0: it adds nothing"),
        ({"alpha_pattern": {"q_proj": 0, "v_proj": 0}}, "4 of 4 have a scale of 0: it adds nothing"),
        ({"alpha_pattern": {r"layers\.\d+\.self_attn\.[qv]_proj": 0}}, "4 of 4 have a scale of 0: it adds nothing"),
        ({"lora_alpha": math.inf}, "4 of 4 have a scale that is no number (inf)"),
        ({"lora_alpha": math.nan}, "4 of 4 have a scale that is no number (nan)"),
    ],
)
def test_scales_without_an_effect_are_told(config: dict[str, Any], words: str, work: Work) -> None:
    told = wrong(work.read(lora(), weights(), **config))
    assert told.keys() == {"adapter_effect"}
    assert told["adapter_effect"].startswith(words)
    assert wrong(work.read(lora(), weights(), alpha_pattern={"q_proj": 0})) == {}, "the others still act"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"r": 2}, "'model.layers.0.self_attn.q_proj' has rank 3, and its config says 2 (and 3 more)"),
        ({"rank_pattern": {"v_proj": 9}}, "'model.layers.0.self_attn.v_proj' has rank 3, and its config says 9"),
        ({"r": 0}, "PEFT refuses rank 0"),
        ({"r": None}, "PEFT refuses 'r': it is no number"),
        ({"lora_alpha": "16"}, "PEFT refuses 'lora_alpha': it is no number"),
        ({"target_modules": "*.q_proj"}, "PEFT refuses the pattern '*.q_proj'"),
        ({"target_modules": ".*", "layers_to_transform": [0]}, "PEFT refuses 'layers_to_transform' with a pattern"),
    ],
)
def test_settings_that_peft_refuses_are_told(config: dict[str, Any], words: str, work: Work) -> None:
    told = wrong(work.read(lora(), weights(), **config))["adapter_tensors"]
    assert words in told
    assert told.endswith("In PEFT, the adapter as a whole fails")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"target_modules": ["q_proj"]}, "'model.layers.0.self_attn.v_proj' is not a target of its config"),
        ({"target_modules": r".*\.0\..*[qv]_proj"}, "'model.layers.1.self_attn.q_proj' is not a target of its config"),
        ({"layers_to_transform": [0]}, "'model.layers.1.self_attn.q_proj' is not a target of its config"),
        ({"exclude_modules": ["v_proj"]}, "'model.layers.0.self_attn.v_proj' is not a target of its config"),
        ({"target_modules": ["w1", "w2"]}, "PEFT finds none of the target modules of its config in the base"),
        ({"target_modules": ["q_proj", "self_attn"]}, "PEFT cannot put LoRA on 'model.layers.0.self_attn'"),
        (
            {"modules_to_save": ["embed_tokens"]},
            "its config saves 'model.embed_tokens.weight', and the file has no such",
        ),
        ({"rank_pattern": None}, "PEFT refuses 'rank_pattern' or 'alpha_pattern': it is null"),
    ],
)
def test_what_the_config_aims_at_is_held_against_the_tensors(config: dict[str, Any], words: str, work: Work) -> None:
    told = wrong(work.read(lora(), weights(), **config))
    assert told["adapter_fits"].startswith(words)


def packed(kind: str) -> tuple[Tensors, dict[str, Any]]:
    """A base that stores its projections in another way."""
    made = weights()
    for name in [name for name in made if "_proj" in name]:
        module = name.removesuffix(".weight")
        size = HIDDEN * HIDDEN
        stored: Mapping[str, Tensors] = {
            "gptq": {"qweight": np.zeros((HIDDEN // 4, HIDDEN), np.int32), "scales": np.ones((1, HIDDEN), np.float16)},
            "compressed": {"weight_packed": np.zeros((HIDDEN, 2), np.int32), "weight_shape": np.zeros(2, np.int64)},
            "4 bit": {"weight": np.zeros((size // 2, 1), np.uint8), "weight.absmax": np.ones(3, np.float32)},
            "4 bit in floats": {"weight": np.zeros((size // 4, 1), np.float16), "weight.quant_map": np.ones(16)},
            "flat": {"weight": np.zeros(size, np.float32)},
            "8 bit": {"weight": np.zeros((HIDDEN, HIDDEN), np.int8), "SCB": np.ones(HIDDEN, np.float32)},
            "half as wide, no word of it": {"weight": np.zeros((HIDDEN, HIDDEN // 2), np.uint8)},
            "scaled": {"weight": np.zeros((HIDDEN, HIDDEN), np.uint8), "weight_scale_inv": np.ones((1, 1))},
            "hqq": {"W_q": np.zeros((HIDDEN, 6), np.uint8), "meta": np.zeros(4, np.uint8)},
            "announced": {"weight": np.zeros((HIDDEN, HIDDEN // 2), np.float32)},
        }
        del made[name]
        made |= {f"{module}.{end}": tensor for end, tensor in stored[kind].items()}
    return made, {"quantization_config": {"quant_method": "acme"}} if kind == "announced" else {}


KINDS = (
    "gptq", "compressed", "4 bit", "4 bit in floats", "flat", "8 bit", "half as wide, no word of it", "scaled", "hqq",
    "announced",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_packed_weights_are_no_mismatch_and_their_names_are_compared(kind: str, work: Work) -> None:
    base, more = packed(kind)
    reading = work.read(lora(), base, {**LLAMA, **more})
    assert wrong(reading) == {}
    assert set(reading.unread) == {"adapter_fits"}, "why it cannot be told is said"
    told = wrong(work.read(lora(PREFIX), base, {**LLAMA, **more}))
    assert told.keys() == {"adapter_fits"}
    assert told["adapter_fits"].startswith("its modules are 'layers.0...', the base has 'model.layers.0...'")


def test_experts_that_loaders_fuse_cannot_be_told(work: Work) -> None:
    base = weights()
    for expert in range(2):
        base[f"model.layers.0.mlp.experts.{expert}.up_proj.weight"] = np.zeros((HIDDEN, HIDDEN), np.float32)
    mixture = {"model_type": "qwen3_moe"}
    assert wrong(work.read(lora(), base, mixture)) == {}
    assert work.again(work.folder / "base").unread == {}, "the attention of such a model is plain"
    tensors = lora() | lora(modules=("mlp.experts.0.up_proj",))
    reading = work.read(tensors, base, mixture, target_modules=["q_proj", "v_proj", "up_proj"])
    assert wrong(reading) == {}
    assert "experts" in reading.unread["adapter_fits"]


@pytest.mark.parametrize("kind", ["IA3", "PROMPT_TUNING", "LOKR", "XLORA", None, 7])
def test_other_kinds_of_adapters_cannot_be_told(kind: object, work: Work) -> None:
    reading = work.read(lora(), weights(), peft_type=kind)
    assert (wrong(reading), set(reading.unread)) == ({}, set(adapter.WEIGHT_CHECKS))


@pytest.mark.parametrize(
    "config",
    [
        {"target_parameters": ["experts.up_proj"]}, {"layer_replication": [[0, 2]]}, {"megatron_config": {"a": 1}},
        {"trainable_token_indices": [1]}, {"use_qalora": True}, {"init_lora_weights": "pissa"},
        {"task_type": "SEQ_CLS"},
    ],
)  # fmt: skip
def test_settings_that_are_not_followed_are_named(config: dict[str, Any], work: Work) -> None:
    reading = work.read(lora(), weights(), **config)
    assert wrong(reading) == {}
    assert next(iter(config)) in reading.unread["adapter_fits"]
    zero = work.read(spoiled("lora_B", 0.0, whole=True), weights(), **config)
    assert wrong(zero) == {}
    assert next(iter(config)) in zero.unread["adapter_effect"]


def test_a_git_lfs_pointer_is_named(work: Work) -> None:
    work.read(lora(), weights())
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 134\n"
    (work.folder / "base" / "model.safetensors").write_bytes(pointer)
    assert "Git LFS pointer" in work.again(work.folder / "base").unread["adapter_fits"]
    (work.folder / "adapter" / adapter.WEIGHTS).write_bytes(pointer)
    assert "run 'git lfs pull'" in wrong(work.again())["adapter_tensors"]


@pytest.mark.parametrize(
    "pattern", [r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)\1\2\3\4\5\6\7\8\d{2}", "((a{1000}){1000}){1000}", "a" * 20_000]
)
def test_a_pattern_that_takes_for_ever_is_bounded(pattern: str, work: Work) -> None:
    began = time.monotonic()
    reading = work.read(lora(), weights(), target_modules=pattern)
    assert time.monotonic() - began < 30
    assert (wrong(reading), set(reading.unread)) == ({}, set(adapter.WEIGHT_CHECKS))
    assert "takes too long" in reading.unread["adapter_fits"]


def test_numbers_are_read_again_when_the_file_changes(work: Work) -> None:
    assert wrong(work.read(spoiled("lora_B", 0.0, whole=True), weights())).keys() == {"adapter_effect"}
    assert wrong(work.read(lora(), weights())) == {}
