"""The verdict on adapters beside what real PEFT does with them, and the copied tables beside the installed packages."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import adapter_changes, adapters
from monitor.identify import conversions
from monitor.identify.lora_effect import Outcome

ONE_OF_EACH = ["llama", "gpt2, body only", "mixtral", "gemma3", "qwen2_5_vl"]
"""Bases with names of their own: plain, turned and without a prefix, converted, with a text tower, renamed."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[adapters.Base]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return adapters.bases(tmp_path_factory.mktemp("bases"), ONE_OF_EACH)


def agreed(found: list[adapters.Compared]) -> Counter[Outcome]:
    """What PEFT made of them, where every verdict that was given agrees."""
    assert [one for one in found if not one.agrees and one.ours is not Outcome.UNKNOWN] == []
    return Counter(one.ours for one in found)


def test_the_verdict_is_what_peft_does(bases: list[adapters.Base]) -> None:
    changes = list(adapter_changes.CHANGES)
    does = agreed(list(adapters.pairs(bases, changes[::2], seed=2)))
    assert min(does[one] for one in (Outcome.ACTS, Outcome.NOTHING, Outcome.FAILS)) >= 5
    assert does[Outcome.UNKNOWN] <= 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_verdict_is_what_peft_does_for_hundreds_of_adapters(tmp_path: Path, seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bases = adapters.bases(tmp_path)
    does = agreed(list(adapters.pairs(bases, list(adapter_changes.CHANGES) * 4, seed)))
    assert does[Outcome.UNKNOWN] < does.total() / 10


def test_the_tables_of_renamed_models_are_those_of_the_installed_packages() -> None:
    import peft.utils.transformers_weight_conversion
    from transformers import conversion_mapping

    converted: Any = peft.utils.transformers_weight_conversion
    installed: dict[str, Any] = vars(conversion_mapping)["_build_checkpoint_conversion_mapping"]()
    assert installed.keys() - {"legacy"} == conversions.CONVERTED | conversions.CONVERTED_CLASSES
    like, fused = converted._MODEL_TO_CONVERSION_PATTERN, converted._MOE_TARGET_MODULE_MAPPING
    assert {name for name, pattern in like.items() if pattern in fused} == conversions.MOE
    older = {
        name for name, found in installed.items() if any(one.source_patterns == ["^language_model"] for one in found)
    }
    assert older == conversions.LLAVA
