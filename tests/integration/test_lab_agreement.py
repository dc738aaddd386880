"""llama.cpp over GGUF says what transformers and PEFT say over the safetensors it was made of."""

from collections.abc import Iterator
from random import Random
from typing import Any

import openai
import pytest

from monitor.lab import product, tasks
from monitor.lab.process import LabServer
from monitor.lab.served import SERVED, weights_dir

PROMPTS = [item.prompt for item in tasks.mixture(Random(3), 4)] + [
    *(product.draw(rng).prompt for rng in map(Random, range(4))),
    "Grüße 🎉 <|end|> 1234 0.5  two  spaces\n\n\tx",
]
TOKENS = 24


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: its threads and the lab's would wait for each other on a small machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("name", list(SERVED))
def test_greedy_answers_and_logprobs_agree(lab_server: LabServer, name: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer, LlamaForCausalLM

    weights, root = SERVED[name].weights, weights_dir()
    tokenizer: Any = AutoTokenizer.from_pretrained(root / weights.base)
    model: Any = LlamaForCausalLM.from_pretrained(root / weights.base, dtype=torch.float32)
    if weights.adapter is not None:
        model = PeftModel.from_pretrained(model, root / weights.adapter)
    model.eval()
    with openai.OpenAI(base_url=lab_server.openai_url, api_key="any") as client:
        for prompt in PROMPTS:
            messages: Any = [{"role": "user", "content": prompt}]
            ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
            told = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=TOKENS,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
            made = told.sequences[0, ids.shape[1] :]
            answer = client.chat.completions.create(
                model=name, messages=messages, temperature=0, max_tokens=TOKENS, logprobs=True
            )
            assert answer.usage is not None
            assert answer.usage.prompt_tokens == ids.shape[1]
            assert answer.choices[0].message.content == tokenizer.decode(made, skip_special_tokens=True)
            assert answer.choices[0].logprobs is not None
            for token, logits, entry in zip(
                made, told.logits, answer.choices[0].logprobs.content or (), strict=False
            ):  # transformers counts the end token too
                assert entry.logprob == pytest.approx(torch.log_softmax(logits[0], -1)[token].item(), abs=1e-3)
