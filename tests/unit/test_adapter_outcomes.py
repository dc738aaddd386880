"""The verdict on adapters beside what real PEFT does with them, and the copied tables beside the installed packages."""

import warnings
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import adapter_changes, adapters
from monitor.identify import conversions
from monitor.identify.lora_effect import Outcome

ONE_OF_EACH = ["llama", "llama, body only", "qwen2", "gpt2", "gpt2, body only", "mixtral", "gemma3", "qwen2_5_vl"]
"""Bases with names of their own: plain, without a prefix, turned weights, converted keys, a text tower."""


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
    from peft.utils import transformers_weight_conversion as converted
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping as mapping

    names = conversions.CONVERTED | conversions.CONVERTED_CLASSES
    assert all(mapping(name) is not None for name in names)
    by_name = converted._MODEL_TO_CONVERSION_PATTERN
    known = {name for name, like in by_name.items() if like in converted._MOE_TARGET_MODULE_MAPPING}
    assert known == conversions.MOE
    assert {name for name in by_name if mapping(name) is not None} <= names
    text = {name for name in conversions.CONVERTED if [r"^language_model"] in _sources(mapping(name))}
    assert text == conversions.LLAVA


def test_no_model_that_loaders_rename_is_missing_in_the_tables() -> None:
    from transformers import conversion_mapping

    installed = set(conversion_mapping._build_checkpoint_conversion_mapping())
    assert installed - {"legacy"} == conversions.CONVERTED | conversions.CONVERTED_CLASSES


def _sources(found: object) -> list[list[str]]:
    return [list(one.source_patterns) for one in found] if isinstance(found, list) else []
