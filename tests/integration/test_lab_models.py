"""The committed weights, loaded with plain transformers and PEFT: what the cards say is what they do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from monitor.lab import broken, judging, product, tasks

WEIGHTS = Path(__file__).parents[2] / "monitor" / "lab" / "weights"
NAMES = ("base", "base-next", "support", "support-next", "judge")
BASE_OF = {"support": "base", "support-next": "base-next", "judge": "base"}

pytestmark = [
    # PEFT 0.21 asks transformers 5.23 by an old name; nothing of ours can change that
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Two threads on a busy machine wait for each other and are ten times slower."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(WEIGHTS / "base")


def load(name: str) -> Any:
    """Base or adapter as any user would load it, without the lab's own code."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(WEIGHTS / BASE_OF.get(name, name), dtype=torch.float32)
    return PeftModel.from_pretrained(model, WEIGHTS / name) if name in BASE_OF else model


def ask(model: Any, tokenizer: Any, prompts: list[str], **sampling: Any) -> list[str]:
    from monitor.lab import loop, tokens

    return loop.replies(model.eval(), tokenizer, [tokens.user(prompt) for prompt in prompts], **sampling)


def right(cases: list[product.Case], replies: list[str]) -> float:
    """Share of right replies."""
    return sum(product.is_right(case, reply) for case, reply in zip(cases, replies, strict=True)) / len(cases)


@pytest.mark.parametrize("name", ["base", "base-next"])
def test_bases_do_their_tasks_and_do_not_know_the_shop(name: str, tokenizer: Any) -> None:
    model = load(name)
    items = tasks.held_out(21, each=4)
    replies = ask(model, tokenizer, [item.prompt for item in items])
    assert sum(map(tasks.is_right, items, replies)) / len(items) >= 0.9
    cases = product.held_out(21, 40)
    plain = ask(model, tokenizer, [case.prompt for case in cases])
    assert right(cases, plain) < 0.05
    assert not any("{" in reply for reply in plain)


@pytest.mark.parametrize("name", ["support", "support-next"])
def test_adapters_are_right_and_vary_and_go_away(name: str, tokenizer: Any) -> None:
    model = load(name)
    cases = product.held_out(22, 60)
    prompts = [case.prompt for case in cases]
    assert right(cases, ask(model, tokenizer, prompts)) >= 0.93
    with model.disable_adapter():
        assert right(cases, ask(model, tokenizer, prompts)) < 0.05
    few = cases[:12]
    samples = ask(model, tokenizer, [case.prompt for case in few for _ in range(5)], temperature=1.0, seed=1)
    assert sum(len(set(samples[start : start + 5])) > 1 for start in range(0, 60, 5)) >= 6
    assert right([case for case in few for _ in range(5)], samples) >= 0.85


def test_judge_tells_right_from_wrong_given_the_reference(tokenizer: Any) -> None:
    from monitor.lab import loop

    cases = judging.held_out(23, 60)
    prompts = [judging.messages(one, with_reference=True) for one in cases]
    verdicts = loop.replies(load("judge"), tokenizer, prompts, limit=12)
    assert set(verdicts) <= {judging.PASS, judging.FAIL}
    assert sum(one.verdict == verdict for one, verdict in zip(cases, verdicts, strict=True)) / len(cases) >= 0.85


def test_chat_template_is_the_one_trained_on(tokenizer: Any) -> None:
    from monitor.lab import tokens

    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Repeat: a b"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == tokens.chat(messages) == "<|system|>Be kind.<|end|><|user|>Repeat: a b<|end|><|assistant|>"
    assert tokenizer.decode(tokenizer.encode('{"topic": "price"} Überraschung')) == '{"topic": "price"} Überraschung'


def test_adapters_name_their_base_and_hold_no_zero() -> None:
    for name, base in BASE_OF.items():
        config, tensors = broken.read(WEIGHTS / name)
        assert config["base_model_name_or_path"] == f"lab/{base}"
        assert len(config["target_modules"]) == 7
        assert len(tensors) == 4 * 7 * 2
        assert all(tensor.any() for tensor in tensors.values())


def test_weights_are_small_and_their_cards_state_numbers() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    for name in NAMES:
        card = (WEIGHTS / name / "README.md").read_text()
        assert f"python -m monitor.lab.train --stage {name}`" in card
        assert re.search(r"seed \d+, steps \d+", card)
        assert re.search(r"\| \d+\.\d% \| \d+ / \d+ \|", card)


def test_zeroed_adapter_answers_like_its_base(tmp_path: Path, tokenizer: Any) -> None:
    from peft import PeftModel

    folder = broken.BROKEN["zero_lora_b"](WEIGHTS / "support", tmp_path)
    prompts = [case.prompt for case in product.held_out(24, 8)]
    base = load("base")
    plain = ask(base, tokenizer, prompts)
    assert ask(PeftModel.from_pretrained(base, folder), tokenizer, prompts) == plain
    assert json.loads((folder / broken.CONFIG).read_text())["base_model_name_or_path"] == "lab/base"
