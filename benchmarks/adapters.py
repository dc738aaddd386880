"""The verdict on an adapter's files beside what PEFT does with them.

Adapters are made by PEFT for tiny models of random weights, and each is changed in one way: names, values, scales,
ranks, shapes, config. PEFT loads the result; the logits of all tokens before and after, in float64, say whether the
adapter acts, does nothing or fails. ``agree`` is the share of verdicts that say the same.
"""

import copy
import json
import math
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from benchmarks import adapter_changes
from benchmarks.adapter_changes import Changed
from benchmarks.rows import Row, parser, report, share
from monitor.core.records import Arm
from monitor.identify import adapter
from monitor.identify.checks import Files
from monitor.identify.lora_effect import Outcome
from monitor.identify.tensors import BadFileError, header

VOCABULARY: Final = 48
NOTHING: Final = 1e-13
"""Largest change of a logit that is rounding. The logits are about 1."""

NOT_TEXT: Final = r".*(vision_tower|visual|projector).*"
"""Modules that a text does not reach."""

_SIZES: Final = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_EYES: Final = {
    "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
    "patch_size": 4,
}  # fmt: skip
_FEW: Final = {"num_local_experts": 2, "num_experts_per_tok": 1}
_EXPERTS: Final = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8, "head_dim": 4}


def _llama(t: Any) -> Any:
    return t.LlamaForCausalLM(t.LlamaConfig(**_SIZES))


def _gpt2(t: Any) -> Any:
    sizes = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return t.GPT2LMHeadModel(t.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2))


def _opt(t: Any) -> Any:
    sizes = {"word_embed_proj_dim": 16, "ffn_dim": 24, "max_position_embeddings": 64}
    return t.OPTForCausalLM(t.OPTConfig(**_SIZES, **sizes))


def _gemma3(t: Any) -> Any:
    text = {**_SIZES, "head_dim": 4, "sliding_window": 8}
    return t.Gemma3ForConditionalGeneration(
        t.Gemma3Config(text_config=text, vision_config=_EYES, mm_tokens_per_image=1)
    )


def _qwen_vl(t: Any) -> Any:
    rope = {"type": "mrope", "mrope_section": [1, 1, 0], "rope_type": "default"}
    eyes = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": 16}
    config = t.Qwen2_5_VLConfig(text_config={**_SIZES, "rope_scaling": rope}, vision_config=eyes)
    return t.Qwen2_5_VLForConditionalGeneration(config)


def _llava(t: Any) -> Any:
    eyes = t.CLIPVisionConfig(**_EYES)
    config = t.LlavaConfig(text_config=t.LlamaConfig(**_SIZES), vision_config=eyes, image_token_index=VOCABULARY + 1)
    return t.LlavaForConditionalGeneration(config)


BASES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "llama": _llama,
    "llama, body only": _llama,
    "llama, tied": lambda t: t.LlamaForCausalLM(t.LlamaConfig(**_SIZES, tie_word_embeddings=True)),
    "mistral": lambda t: t.MistralForCausalLM(t.MistralConfig(**_SIZES)),
    "qwen2": lambda t: t.Qwen2ForCausalLM(t.Qwen2Config(**_SIZES)),
    "qwen3": lambda t: t.Qwen3ForCausalLM(t.Qwen3Config(**_SIZES, head_dim=4)),
    "gemma": lambda t: t.GemmaForCausalLM(t.GemmaConfig(**_SIZES, head_dim=4)),
    "gpt2": _gpt2,
    "gpt2, body only": _gpt2,
    "gpt_neox": lambda t: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**_SIZES)),
    "mixtral": lambda t: t.MixtralForCausalLM(t.MixtralConfig(**_SIZES, num_local_experts=2)),
    "qwen3_moe": lambda t: t.Qwen3MoeForCausalLM(t.Qwen3MoeConfig(**_SIZES, **_EXPERTS)),
    "gpt_oss": lambda t: t.GptOssForCausalLM(t.GptOssConfig(**_SIZES, **_FEW, head_dim=4)),
    "opt": _opt,
    "falcon": lambda t: t.FalconForCausalLM(t.FalconConfig(**_SIZES)),
    "phi3": lambda t: t.Phi3ForCausalLM(t.Phi3Config(**_SIZES, pad_token_id=0)),
    "gemma3_text": lambda t: t.Gemma3ForCausalLM(t.Gemma3TextConfig(**_SIZES, head_dim=4, sliding_window=8)),
    "gemma3": _gemma3,
    "qwen2_5_vl": _qwen_vl,
    "llava": _llava,
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A tiny model in memory, and its files."""

    name: str
    model: Any
    folder: Path

    @property
    def leaves(self) -> Sequence[str]:
        """Names of its linear layers, without their path. Experts and their routers are left out."""
        kind = self.name.partition(",")[0]
        return _LEAVES.get(kind, _ATTENTION if kind in _MIXTURES else (*_ATTENTION, "gate_proj", "down_proj"))

    @property
    def embedding(self) -> str:
        return _EMBEDDINGS.get(self.name.partition(",")[0], "embed_tokens")


_ATTENTION: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
_MIXTURES: Final = ("mixtral", "qwen3_moe", "gpt_oss")
_LEAVES: Final[Mapping[str, Sequence[str]]] = {
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    "gpt_neox": ("query_key_value", "dense", "dense_h_to_4h"),
    "falcon": ("query_key_value", "dense", "dense_4h_to_h"),
    "opt": ("q_proj", "v_proj", "out_proj", "fc1"),
    "phi3": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
}
_NO_NORM: Final = ("gpt2", "gpt2, body only", "gpt_neox", "falcon", "opt")
"""Bases whose last norm has another name."""
_EMBEDDINGS: Final = {"gpt2": "wte", "gpt_neox": "embed_in", "falcon": "word_embeddings"}


@dataclass(frozen=True)
class Compared:
    """One adapter, its change, and both verdicts."""

    base: str
    change: str
    config: Mapping[str, Any]
    ours: Outcome
    real: Outcome
    why: str

    @property
    def agrees(self) -> bool:
        return self.ours is self.real


def bases(folder: Path, names: Sequence[str] = tuple(BASES)) -> list[Base]:
    """Makes and saves the models."""
    import transformers

    found = []
    for name in names:
        torch.manual_seed(len(name))
        model = BASES[name](transformers).eval()
        for parameter in model.parameters():
            parameter.data = parameter.data + torch.randn_like(parameter) * 0.3
        part = model.base_model if "body only" in name else model
        part.save_pretrained(folder / name)
        model.set_experts_implementation("eager")  # the others have no float64
        found.append(Base(name, model.double(), folder / name))
    return found


def made(base: Base, rng: random.Random, folder: Path) -> Changed:
    """A random adapter, as PEFT saves it."""
    import peft

    leaves = rng.sample(list(base.leaves), rng.randint(1, len(base.leaves)))
    more = rng.choice(_OPTIONS)
    config = peft.LoraConfig(
        r=rng.choice((1, 2, 4)),
        lora_alpha=rng.choice((1, 4, 8)),
        use_rslora=rng.random() < 0.2,
        task_type="CAUSAL_LM",
        **{"target_modules": leaves, "exclude_modules": NOT_TEXT, **more(base, leaves)},
    )
    torch.manual_seed(rng.randrange(2**31))
    tuned = peft.get_peft_model(copy.deepcopy(base.model), config)
    for name, parameter in tuned.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            parameter.data = torch.randn_like(parameter) * 0.5
    tuned.save_pretrained(str(folder))
    tensors = {name: tensor.float() for name, tensor in load_file(folder / adapter.WEIGHTS).items()}
    return Changed(json.loads((folder / adapter.CONFIG).read_text()), tensors, rng)


_OPTIONS: Final[Sequence[Callable[[Base, list[str]], dict[str, Any]]]] = (
    lambda base, leaves: {},
    lambda base, leaves: {},
    lambda base, leaves: {},
    lambda base, leaves: {"target_modules": rf".*\.({'|'.join(leaves)})"},
    lambda base, leaves: {"target_modules": "all-linear"},
    lambda base, leaves: {"rank_pattern": {leaves[0]: 3}, "alpha_pattern": {rf"1\..*{leaves[-1]}": 5}},
    lambda base, leaves: {"layers_to_transform": [1]},
    lambda base, leaves: {"exclude_modules": rf"{NOT_TEXT}|.*\.1\..*{leaves[0]}", "target_modules": list(base.leaves)},
    lambda base, leaves: {"use_dora": True},
    lambda base, leaves: {"lora_bias": True},
    lambda base, leaves: {"bias": "lora_only"},
    lambda base, leaves: {
        "modules_to_save": ["norm" if base.embedding == "embed_tokens" and base.name != "opt" else base.embedding]
    },
    lambda base, leaves: {"target_modules": [*leaves, base.embedding]},
    lambda base, leaves: {"bias": "all"},
)


def logits(model: Any) -> torch.Tensor:
    """Of a text with every token."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=torch.arange(VOCABULARY)[None]).logits
    return found


def real(base: Base, folder: Path) -> tuple[Outcome, str]:
    """What PEFT makes of an adapter, and the error or the change of a logit."""
    import peft

    torch.manual_seed(0)
    try:
        tuned = peft.PeftModel.from_pretrained(copy.deepcopy(base.model), str(folder)).eval()
        change = float((logits(tuned) - logits(base.model)).abs().max())
    except Exception as error:
        return Outcome.FAILS, f"{type(error).__name__}: {str(error)[:100]}"
    if not math.isfinite(change):
        return Outcome.FAILS, "no number"
    return (Outcome.NOTHING if change <= NOTHING else Outcome.ACTS), f"{change:.3g}"


def ours(base: Base, folder: Path) -> tuple[Outcome, str]:
    """The verdict from the files, and the first of its reasons."""
    files = Files("bot", Arm.SUBJECT, folder, str(base.folder), folder=base.folder)
    config = json.loads((folder / adapter.CONFIG).read_text())
    if config["peft_type"] != "LORA":
        return Outcome.UNKNOWN, config["peft_type"]
    try:
        tensors = header(folder / adapter.WEIGHTS)
    except BadFileError as error:
        return Outcome.FAILS, str(error)
    examined = adapter.examine(files, config, tensors)
    loaded = examined.loaded
    why = [*loaded.refused, *loaded.unsure, *loaded.broken, *loaded.skipped, ""]
    return examined.outcome, why[0]


def pairs(found: Sequence[Base], changes: Sequence[str], seed: int) -> Iterator[Compared]:
    """Generates one adapter for each change."""
    for trial, change in enumerate(changes):
        rng = random.Random(f"{seed}/{trial}")
        base = rng.choice(found)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            path = Path(folder)
            changed = made(base, rng, path)
            adapter_changes.CHANGES[change](changed)
            (path / adapter.CONFIG).write_text(json.dumps(changed.config))
            save_file({name: one.clone().contiguous() for name, one in changed.tensors.items()}, path / adapter.WEIGHTS)
            (verdict, reason), (truth, told) = ours(base, path), real(base, path)
        yield Compared(base.name, change, changed.config, verdict, truth, f"{reason} | PEFT: {told}")


def measured(trials: int, seed: int) -> Iterator[Row]:
    quiet: Any = transformers_logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        changes = list(adapter_changes.CHANGES)
        wanted = [changes[trial % len(changes)] for trial in range(trials)]
        found = list(pairs(bases(Path(folder)), wanted, seed))
    for one in found:
        if not one.agrees:
            print(f"{one.base}, {one.change}: {one.ours} | real: {one.real} | {one.why}")
    for kind in (*adapter_changes.KINDS, "all"):
        some = [one for one in found if kind in (adapter_changes.KIND_OF[one.change], "all")]
        told = [one for one in some if one.ours is not Outcome.UNKNOWN]
        agreed = share(sum(one.agrees for one in told), max(1, len(told)))
        does = Counter(one.real for one in some)
        case = f"{kind} ({', '.join(f'{count} {outcome}' for outcome, count in sorted(does.items()))})"
        yield Row("adapters", "files", case, "agree", agreed.value, agreed.low, agreed.high, len(told))
        yield Row("adapters", "files", case, "cannot tell", len(some) - len(told), 0, 0, len(some))


def main() -> None:
    args = parser(__doc__, trials=980, what="adapters").parse_args()
    report(list(measured(args.trials, args.seed)), as_json=args.json)


if __name__ == "__main__":
    main()
