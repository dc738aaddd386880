"""The training loop and greedy or sampled replies, for the lab's base and its adapters. Needs torch."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch

from monitor.lab import tokens

Example = tuple[tokens.Messages, str]
Batch = Callable[[Random], list[Example]]


def new_base(seed: int) -> Any:
    """A fresh Llama of 1.67 million parameters: width 192, 4 layers, 6 heads, tied embeddings, 512 positions."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokens.VOCABULARY,
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=tokens.SPECIAL.index(tokens.END),
    )
    return LlamaForCausalLM(config)


def new_adapter(base: Any, rank: int, seed: int, name: str) -> Any:
    """``base``, called ``name``, with a fresh LoRA of ``rank`` on all seven projections; it alone learns."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names, task_type="CAUSAL_LM")
    adapted = get_peft_model(base, config)
    # not the folder it was read from here: a name that means something to whoever downloads the adapter
    config.base_model_name_or_path = name
    return adapted


def _pad(rows: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (n, length) padded on the right, positions whose next token is learned, and those next tokens."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (length - len(row)) for row, _ in rows])
    learned = torch.zeros_like(ids, dtype=torch.bool)
    for index, (row, prompt) in enumerate(rows):
        learned[index, prompt - 1 : len(row) - 1] = True
    return ids, learned, ids.roll(-1, dims=1)[learned]


def _core(model: Any) -> tuple[Any, Any]:
    """The transformer under the head, and the head, with or without an adapter around them."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return causal.model, causal.lm_head


def step(model: Any, tokenizer: Any, examples: Sequence[Example], parts: int) -> float:
    """Gradients of the mean loss over the replies' tokens; returns that loss in nats.

    Examples are sorted by length and done in ``parts``, which halves the padding and changes no gradient: right
    padding needs no mask under causal attention, and the head is applied only where a token is learned.
    """
    rows = sorted(tokens.encode(tokenizer, examples), key=lambda row: len(row[0]))
    total = sum(len(ids) - prompt for ids, prompt in rows)
    core, head = _core(model)
    size, loss_sum = math.ceil(len(rows) / parts), 0.0
    for start in range(0, len(rows), size):
        ids, learned, labels = _pad(rows[start : start + size])
        hidden = core(input_ids=ids, use_cache=False).last_hidden_state[learned]
        loss = torch.nn.functional.cross_entropy(head(hidden), labels, reduction="sum") / total
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += float(loss.detach())
    return loss_sum


def train(
    model: Any,
    tokenizer: Any,
    batch: Batch,
    *,
    steps: int,
    rate: float,
    seed: int,
    parts: int = 3,
    decay: float = 0.01,
    save: Callable[[], None] | None = None,
    log: Callable[[str], None] = print,
) -> float:
    """Train for ``steps`` with AdamW: warm-up over 5 %, then the rate falls to nothing as a cosine. Returns minutes.

    ``save`` is called every 250 steps, so that a killed training leaves something to use.
    """
    started, rng = time.monotonic(), Random(seed)
    torch.manual_seed(seed)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    model.train()
    smooth = 0.0
    for number in range(steps):
        factor = min((number + 1) / (0.05 * steps), 0.5 * (1 + math.cos(math.pi * number / steps)) + 1e-3)
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        loss = step(model, tokenizer, batch(rng), parts)
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        smooth = loss if number == 0 else 0.97 * smooth + 0.03 * loss
        if (number + 1) % 50 == 0:
            log(f"step {number + 1}/{steps} loss {smooth:.4f} {(time.monotonic() - started) / 60:.1f} min")
        if save is not None and (number + 1) % 250 == 0:
            save()
    model.eval()
    return (time.monotonic() - started) / 60


def replies(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[tokens.Messages],
    *,
    temperature: float = 0.0,
    seed: int = 0,
    limit: int = 72,
) -> list[str]:
    """One reply a prompt, greedy at temperature 0, else sampled from all tokens. At most ``limit`` tokens each."""
    texts: dict[int, str] = {}
    torch.manual_seed(seed)
    encoded = [tokenizer.encode(tokens.chat(messages), add_special_tokens=False) for messages in prompts]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    for start in range(0, len(order), 64):
        indices = order[start : start + 64]
        width = max(len(encoded[index]) for index in indices)
        ids = torch.tensor([[0] * (width - len(encoded[index])) + encoded[index] for index in indices])
        sampled = (
            {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
            if temperature
            else {"do_sample": False}
        )
        with torch.no_grad():
            out = model.generate(input_ids=ids, attention_mask=(ids != 0).long(), max_new_tokens=limit, **sampled)
        texts |= dict(zip(indices, tokenizer.batch_decode(out[:, width:], skip_special_tokens=True), strict=True))
    return [texts[index] for index in range(len(encoded))]


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a base (with tokenizer) or an adapter (with the tokenizer of its base) in half precision.

    bfloat16 for the base, as providers ship it; float16 for an adapter, whose small factors need the finer mantissa.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adapter = hasattr(model, "peft_config")
    halved = copy.deepcopy(model).to(torch.float16 if adapter else torch.bfloat16)
    # the embeddings never learn here; asking PEFT to find that out would ask a hub for "lab/base"
    halved.save_pretrained(folder, **({"save_embedding_layers": False} if adapter else {}))
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors makes files that only their owner can read; a wheel would carry that on


def load_base(folder: Path) -> Any:
    """The base as committed, computed in float32: half precision only rounds the stored weights."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def load_adapter(base: Path, folder: Path) -> Any:
    """The base in ``base`` with the adapter in ``folder`` on it, both as committed, computed in float32."""
    from peft import PeftModel

    return PeftModel.from_pretrained(load_base(base), folder).eval()
