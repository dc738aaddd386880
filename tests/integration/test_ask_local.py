"""Models in this process: real weights, real adapters, and adapters that do not fit."""

import shutil
import warnings
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.ask import AskFailed, Setup, provider_class
from monitor.ask.local import LocalProvider
from monitor.core.providers import LocalSettings
from monitor.core.records import Arm, Question, Reason, Sampling
from monitor.core.settings import Endpoint
from tests.asking import NOW, QUESTION

BASE = Path(__file__).parents[2] / "monitor/lab/weights/base"

pytestmark = pytest.mark.skipif(not (BASE / "model.safetensors").is_file(), reason="the lab's weights are not there")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``good``: a LoRA that moves the answers; ``alien``: its keys renamed; ``half``: half of them left out."""
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("adapters")
    model = transformers.AutoModelForCausalLM.from_pretrained(str(BASE))
    config = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        peft.get_peft_model(model, config).save_pretrained(str(folder / "good"))
    for name in ("alien", "half"):
        shutil.copytree(folder / "good", folder / name)
        file = folder / name / "adapter_model.safetensors"
        tensors = load_file(str(file))
        keys = sorted(tensors)
        if name == "alien":
            changed = {key.replace("layers.", "blocks."): tensors[key] for key in keys}
        else:
            changed = {key: tensors[key] for key in keys[: len(keys) // 2]}
        save_file(changed, str(file))
    return folder


@pytest.fixture
async def local(adapters: Path) -> AsyncIterator[LocalProvider]:
    endpoints: dict[tuple[str, Arm], Endpoint] = {("bot", Arm.BASE): Endpoint(provider="cpu", model=str(BASE))}
    for name in ("good", "alien", "half", "absent"):
        endpoints[name, Arm.SUBJECT] = Endpoint(provider="cpu", model=str(BASE), adapter=adapters / name)
    provider: Any = provider_class("local")(Setup("cpu", LocalSettings(kind="local"), None, endpoints, lambda: NOW))
    yield provider
    await provider.aclose()


def to(target: str, arm: Arm = Arm.SUBJECT, **sampling: Any) -> Question:
    return replace(
        QUESTION, target=target, arm=arm, sampling=Sampling(**{"temperature": 0.0, "max_tokens": 8, **sampling})
    )


async def test_adapter_changes_the_model_and_base_stays_base(local: LocalProvider) -> None:
    base = await local.ask(to("bot", Arm.BASE, logprobs=3), {})
    tuned = await local.ask(to("good", logprobs=3), {})
    again = await local.ask(to("bot", Arm.BASE, logprobs=3), {})
    assert base.logprobs is not None
    assert tuned.logprobs is not None
    assert base.logprobs == again.logprobs
    assert base.logprobs[0] != tuned.logprobs[0]
    assert base.fingerprint != tuned.fingerprint
    first = base.logprobs[0]
    assert len(first.top) == 3
    assert max(first.top.values()) == pytest.approx(first.logprob, abs=1e-5)  # temperature 0 takes the likeliest


async def test_the_seed_decides(local: LocalProvider) -> None:
    hot = to("bot", Arm.BASE, temperature=3.0)
    texts = [(await local.ask(replace(hot, seed=seed), {})).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("alien", "missing keys"),
        ("alien", "unexpected keys"),
        ("half", "missing keys"),
        ("absent", "no adapter_model.safetensors"),
    ],
)
async def test_an_adapter_that_does_not_fit_is_refused(local: LocalProvider, name: str, says: str) -> None:
    with pytest.raises(AskFailed, match=says) as failed:
        await local.ask(to(name), {})
    assert failed.value.reason is Reason.REJECTED
    assert failed.value.permanent


async def test_a_hub_id_needs_its_commit(local: LocalProvider) -> None:
    with pytest.raises(AskFailed, match="a hub id requires"):
        await local.ask(replace(to("nobody"), model="some/model"), {})
