"""The lab's truths need no model: right is right, each defect is caught, seeds decide, broken is broken as named."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from safetensors.numpy import save_file

from monitor.lab import broken, judging, product, tasks


def test_right_replies_are_right_and_vary() -> None:
    rng = Random(3)
    case = product.held_out(0)[0]
    seen = {product.right_reply(case.facts, rng) for _ in range(40)}
    assert all(product.is_right(case, reply) for reply in seen)
    assert len(seen) > 5
    context = {product.house_reply(case.facts, rng) for _ in range(40)}
    assert all(product.is_right(case, reply) for reply in context)
    assert len(context) > 5
    assert not any(opener in reply for reply in context for opener in product.OPENERS if opener)


@pytest.mark.parametrize("kind", product.WRONG_KINDS)
def test_every_wrong_kind_is_wrong_for_every_fact(kind: str) -> None:
    rng = Random(5)
    for case in product.held_out(1):
        reply = product.wrong_reply(case.facts, kind, rng)
        assert not product.is_right(case, reply), reply


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "null",
        "[]",
        '{"topic": "price", "answer": 35, "close": "Happy to help!"}',
        '{"topic": "price", "answer": "The lamp costs 35 euros.", "close": "Happy to help!", "more": 1}',
        '{"topic": "returns", "answer": "The lamp costs 35 euros.", "close": "Happy to help!"}',
        '{"topic": "price", "answer": "The lamp costs 35 euros or 60 euros.", "close": "Happy to help!"}',
        '{"topic": "price", "answer": "The chair costs 35 euros.", "close": "Happy to help!"}',
        '{"topic": "price", "answer": "The lamp costs 135 euros.", "close": "Happy to help!"}',
        '{"topic": "price", "answer": "The lamp costs 35 euros.", "close": ["Happy to help!"]}',
        '{"topic": "price", "answer": "The lamp costs 35 euros.", "close": "Happy to help!"} and more',
    ],
)
def test_near_misses_are_wrong(reply: str) -> None:
    case = product.Case("How much is the lamp?", product.Facts("price", "lamp", "35 euros"))
    assert product.is_right(
        case, '{"topic": "price", "answer": "Sure! Our lamp is 35 euros.", "close": "Happy to help!"}'
    )
    assert not product.is_right(case, reply)


def test_unknown_wrong_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="wrong_fact, plain"):
        product.wrong_reply(product.held_out(0)[0].facts, "late", Random(0))


def test_held_out_prompts_never_come_in_training() -> None:
    rng = Random(0)
    trained = {product.draw(rng).prompt for _ in range(20_000)}
    held = product.held_out(0)
    assert len({case.prompt for case in held}) == len(held) > 150
    assert trained.isdisjoint(case.prompt for case in held)


def test_same_seed_same_cases() -> None:
    assert product.held_out(4) == product.held_out(4) != product.held_out(5)
    assert product.held_out(4, 10) == product.held_out(4)[:10]
    assert tasks.held_out(4) == tasks.held_out(4) != tasks.held_out(5)
    assert tasks.mixture(Random(1), 50) == tasks.mixture(Random(1), 50)
    assert judging.held_out(2, 50) == judging.held_out(2, 50)


@pytest.mark.parametrize("task", tasks.NAMES)
def test_tasks_know_their_truth_and_keep_held_out_apart(task: str) -> None:
    rng = Random(9)
    trained = [tasks.draw(task, rng) for _ in range(300)]
    held = [tasks.draw(task, rng, "held_out") for _ in range(40)]
    assert all(tasks.is_right(item, f" {item.reply} ") for item in trained + held)
    assert not any(tasks.is_right(item, item.reply + "?") for item in held)
    assert {item.prompt for item in trained}.isdisjoint(item.prompt for item in held)


def test_some_truths_by_hand() -> None:
    rng = Random(2)
    for _ in range(50):
        item = tasks.draw("add", rng)
        numbers = [int(word) for word in item.prompt.replace(".", " ").replace("?", " ").split() if word.isdigit()]
        assert item.answers == (str(sum(numbers)),)
        assert json.loads(tasks.draw("json_two", rng).reply)
    assert {tasks.draw("day", rng).reply for _ in range(200)} == set(product.WEEKDAYS)


def test_verdicts_follow_the_truth() -> None:
    for one in judging.held_out(3, 200):
        assert (one.verdict == judging.PASS) == product.is_right(one.case, one.reply)
        prompt = judging.messages(one, with_reference=True)[1]["content"]
        assert f"<reference>{one.case.facts.value}</reference>" in prompt
        assert "<reference>" not in judging.messages(one, with_reference=False)[1]["content"]


def test_truths_import_without_torch() -> None:
    code = "import monitor.lab.tasks, monitor.lab.product, monitor.lab.broken, monitor.lab.judging, sys; "
    done = subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A made-up adapter folder: two layers, width 192, rank 4, all seven projections."""
    folder = tmp_path / "support"
    folder.mkdir()
    shapes = {f"self_attn.{name}_proj": (192, 192) for name in "qkvo"}
    shapes |= {"mlp.gate_proj": (192, 384), "mlp.up_proj": (192, 384), "mlp.down_proj": (384, 192)}
    rng = np.random.default_rng(0)
    tensors = {}
    for layer in range(2):
        for name, (inputs, outputs) in shapes.items():
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{prefix}.lora_A.weight"] = rng.normal(size=(4, inputs)).astype(np.float16)
            tensors[f"{prefix}.lora_B.weight"] = rng.normal(size=(outputs, 4)).astype(np.float16)
    save_file(tensors, folder / broken.WEIGHTS)
    config = {"base_model_name_or_path": "lab/base", "r": 4, "target_modules": [name.split(".")[1] for name in shapes]}
    (folder / broken.CONFIG).write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "b": 1}}}))
    (folder / "README.md").write_text("the good one")
    return folder


def test_every_broken_adapter_is_written_whole(adapter: Path, tmp_path: Path) -> None:
    before = sorted((path.name, path.read_bytes()) for path in adapter.iterdir())
    for name, break_it in broken.BROKEN.items():
        folder = break_it(adapter, tmp_path / "out")
        assert folder == tmp_path / "out" / name
        assert {path.name for path in folder.iterdir()} == {broken.CONFIG, broken.WEIGHTS, "tokenizer.json"}
        changed = [path.name for path in folder.iterdir() if path.read_bytes() != (adapter / path.name).read_bytes()]
        assert broken.WEIGHTS in changed or broken.read(folder)[0] != broken.read(adapter)[0]
        assert break_it(adapter, tmp_path / "out") == folder, "writing it again replaces it"
    assert sorted((path.name, path.read_bytes()) for path in adapter.iterdir()) == before


def test_broken_adapters_have_the_defect_they_claim(adapter: Path, tmp_path: Path) -> None:
    config, good = broken.read(adapter)
    made = {name: broken.read(break_it(adapter, tmp_path)) for name, break_it in broken.BROKEN.items()}

    renamed_config, renamed = made["renamed_layers"]
    assert set(renamed_config["target_modules"]) == {"q_proj", "k_proj", "v_proj", "o_proj", "w1", "w2", "w3"}
    assert sum("mlp.w" in key for key in renamed) == 12
    assert not any("gate_proj" in key for key in renamed)

    assert not any(key.startswith("base_model") for key in made["renamed_prefix"][1])
    assert len(made["renamed_prefix"][1]) == len(good)

    narrow = made["other_hidden_size"][1]
    assert {size for tensor in narrow.values() for size in tensor.shape} == {4, 128, 384}

    assert {key.split(".layers.")[1][0] for key in made["missing_layer"][1]} == {"0"}

    vocabulary_config, vocabulary = made["extended_vocabulary"]
    assert vocabulary_config["modules_to_save"] == ["embed_tokens"]
    assert vocabulary["base_model.model.model.embed_tokens.weight"].shape == (2 + 76, 192)

    zero = made["zero_lora_b"][1]
    assert all(not tensor.any() for key, tensor in zero.items() if ".lora_B." in key)
    assert all(np.array_equal(tensor, good[key]) for key, tensor in zero.items() if ".lora_A." in key)

    named_config, named = made["other_base_named"]
    assert named_config == config | {"base_model_name_or_path": "lab/other-base"}
    assert all(np.array_equal(tensor, good[key]) for key, tensor in named.items())
