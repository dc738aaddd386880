"""What servers list and what adapters on disk hold: it matches, it differs, or nobody can tell."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.contact.world import BASE, MODEL, TARGET, World, said
from tests.http_server import Reply

WIDTH, RANK = 8, 2
Tensors = dict[str, NDArray[Any]]
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


async def test_a_bare_list_of_models_is_read(world: World) -> None:
    world.write(base={"provider": "pier", "model": "quay-gone"})
    world.models = Reply(body=[{"id": MODEL, "root": "/srv/tuned"}, {"id": BASE, "root": "/srv/plain"}])
    ran = await world.run("identify")
    assert f"subject listed: '{MODEL}' is listed" in ran.out
    assert "MISMATCH  quay base listed" in ran.out, "a complete list of a server that names its weights"


async def test_a_model_that_answers_is_served_whatever_the_list_says(world: World) -> None:
    world.write()
    world.models = Reply(body={"data": [{"id": "team/other"}]})
    told = await world.run("identify")
    assert (told.code, f"'{MODEL}' is served" in told.out) == (0, True)
    (request,) = world.chats
    assert (request.body["model"], request.body["max_tokens"]) == (MODEL, 1)
    again = await world.run("identify")
    assert (again.code, len(world.chats)) == (0, 1), "the answer is recorded, so it is asked once"


async def test_one_token_without_a_text_is_an_answer_of_the_model(world: World) -> None:
    world.write()
    world.models = Reply(body={"data": [{"id": "team/other"}]})
    world.chat = said("", choice={"finish_reason": "length"})
    assert (await world.run("identify")).code == 0


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (404, f"The model `{MODEL}` does not exist.", 1),
        (400, f"Invalid model name passed in model={MODEL}", 1),
        (400, "the harbour is closed", 3),
        (503, "later", 3),
    ],
)
async def test_what_the_one_question_meets_decides(world: World, status: int, words: str, code: int) -> None:
    world.write()
    world.models = Reply(body={"data": [{"id": "team/other"}]})
    world.chat = Reply(status, {"error": {"message": words}})
    told = await world.run("identify")
    assert (told.code, len(world.chats)) == (code, 1)
    assert ("MISMATCH" in told.out) is (code == 1)


async def test_a_budget_that_forbids_the_one_question_leaves_it_open(world: World) -> None:
    world.write(budget={"requests_per_day": 1}, base={"provider": "pier", "model": BASE})
    world.models = Reply(body={"data": [{"id": "team/other"}]})
    told = await world.run("identify")
    assert (told.code, told.out.count("no run has asked it yet"), len(world.chats)) == (3, 1, 1)


@pytest.mark.parametrize("models", [{"data": [{"id": MODEL}]}, {"data": [{"id": "b", "root": "/srv/b"}]}])
async def test_a_list_that_decides_costs_no_question(world: World, models: Any) -> None:
    world.write()
    world.models = Reply(body=models)
    await world.run("identify")
    assert world.chats == []


async def test_a_model_that_the_endpoint_refuses_is_told_as_absent(world: World) -> None:
    world.write()
    world.chat = Reply(404, {"error": {"message": f"The model `{MODEL}` does not exist.", "type": "NotFoundError"}})
    world.models = Reply(body={"data": [{"id": BASE, "root": "/srv/plain", "owned_by": "vllm"}]})
    await world.run("probe", TARGET)
    ran = await world.run("identify")
    assert ran.code == 1
    assert f"the endpoint does not know the model '{MODEL}'; every request is refused" in ran.out
    assert "another model" not in ran.printed


async def test_an_endpoint_that_cannot_be_read_is_not_a_match(world: World) -> None:
    world.write(provider={"base_url": "http://127.0.0.1:9/v1"})
    ran = await world.run("identify", "--json")
    assert ran.code == 3


async def test_an_adapter_that_was_loaded_from_elsewhere_is_told(world: World) -> None:
    adapter(world, "adapter", whole())
    world.write(adapter={"path": "./adapter", "base_model": "./plain"})
    base(world)
    row = {"id": MODEL, "root": "/models/adapters/night-shift", "parent": BASE, "owned_by": "vllm"}
    world.models = Reply(body={"data": [{"id": BASE, "root": "/srv/plain", "owned_by": "vllm"}, row]})
    ran = await world.run("identify")
    assert f"'{MODEL}' is loaded from '/models/adapters/night-shift'" in ran.out
    assert "MISMATCH" not in ran.out


def whole(prefix: str = "base_model.model.model.") -> Tensors:
    rng = np.random.default_rng(8)
    made: Tensors = {}
    for module in ("q_proj", "v_proj"):
        name = f"{prefix}layers.0.self_attn.{module}"
        made[f"{name}.lora_A.weight"] = rng.standard_normal((RANK, WIDTH)).astype(np.float32)
        made[f"{name}.lora_B.weight"] = rng.standard_normal((WIDTH, RANK)).astype(np.float32)
    return made


def with_nan() -> Tensors:
    made = whole()
    made["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"][0, 0] = np.nan
    return made


def adapter(world: World, folder: str, tensors: Tensors, **config: Any) -> None:
    settings = {
        "peft_type": "LORA", "r": RANK, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM", "base_model_name_or_path": str(world.folder / "plain"), **config,
    }  # fmt: skip
    world.put(f"{folder}/adapter_config.json", json.dumps(settings))
    save_file(tensors, world.folder / folder / "adapter_model.safetensors")


def base(world: World, prefix: str = "model.", model: Mapping[str, Any] = LLAMA) -> None:
    made: Tensors = {f"{prefix}embed_tokens.weight": np.zeros((16, WIDTH), np.float32)}
    for module in ("q_proj", "k_proj", "v_proj", "o_proj"):
        made[f"{prefix}layers.0.self_attn.{module}.weight"] = np.zeros((WIDTH, WIDTH), np.float32)
    world.put("plain/config.json", json.dumps(model))
    save_file(made, world.folder / "plain" / "model.safetensors")


async def test_every_adapter_is_told_by_what_it_does_where_it_is_loaded(world: World) -> None:
    base(world)
    adapter(world, "whole", whole())
    adapter(world, "nan", with_nan())
    adapter(world, "silent", whole(), lora_alpha=0)
    adapter(world, "doubled", whole("base_model.model.base_model.model.model."))
    adapter(world, "short", whole("base_model.model."))
    adapter(world, "nothing", {})
    names = ("whole", "nan", "silent", "doubled", "short", "nothing")
    subject = {"provider": "pier", "model": MODEL}
    targets = {
        name: {"subject": subject, "suites": ["ferries"], "adapter": {"path": f"./{name}", "base_model": "./plain"}}
        for name in names
    }
    world.write()
    provider = {"kind": "openai", "base_url": world.server.url, "free": True}
    world.put("cliffwatch.yaml", {"providers": {"pier": provider}, "targets": targets})
    ran = await world.run("identify", "--json")
    assert ran.code == 1
    wrong = {(one["target"], one["check"]): one["found"] for one in checks(ran.json) if one["result"] == "differs"}
    assert {target for target, _ in wrong} == set(names) - {"whole"}
    assert "no number (NaN)" in wrong["nan", "adapter_effect"]
    assert "scale" in wrong["silent", "adapter_effect"]
    assert "twice" in wrong["doubled", "adapter_tensors"]
    assert "PEFT skips all of them" in wrong["short", "adapter_fits"]
    assert "0 tensors" in wrong["nothing", "adapter_tensors"]


def checks(printed: Any) -> list[dict[str, Any]]:
    return list(printed["checks"] if isinstance(printed, dict) else printed)
