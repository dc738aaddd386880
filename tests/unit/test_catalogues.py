"""The catalogues of providers and sources: each entry and its files agree."""

import inspect
import re
from pathlib import Path

import pytest

from monitor.ask import Setup, provider_class
from monitor.ask.prices import price_of
from monitor.core.kinds import kinds_of, load
from monitor.core.providers import NO_CHARGE, PROVIDERS, ApiProvider, ProviderKind
from monitor.core.sources import SOURCES, Source
from monitor.identify import CHECKS, server_source
from tests.asking import NOW

MONITOR = Path(__file__).parents[2] / "monitor"


def example(entry: ProviderKind) -> dict[str, object]:
    """What a kind requires at least."""
    return {"kind": kinds_of(entry.settings)[0], **dict.fromkeys(entry.yaml_files, Path("x.yaml"))}


def having(stage: str, pattern: str) -> set[str]:
    """The modules of a stage in which a line matches ``pattern``."""
    files = (MONITOR / stage).glob("*.py")
    return {path.stem for path in files if re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)}


def test_each_provider_is_one_file_and_one_entry() -> None:
    assert having("ask", r"^class \w+Provider:$") == set(PROVIDERS)
    assert {entry.provider.partition(":")[0] for entry in PROVIDERS.values()} == {f"monitor.ask.{k}" for k in PROVIDERS}


@pytest.mark.parametrize("kind", PROVIDERS)
def test_an_entry_of_a_provider_is_whole(kind: str) -> None:
    entry = PROVIDERS[kind]
    assert kinds_of(entry.settings) == (kind,)
    assert inspect.isclass(provider_class(kind))
    assert entry.settings.model_fields["kind"].description, "check and the documentation show it"
    assert entry.settings.__doc__
    assert not entry.needs_key or issubclass(entry.settings, ApiProvider), "else there is no place to name the key"
    assert set(entry.yaml_files) <= set(entry.settings.model_fields)
    assert all(callable(load(path)) for path in entry.yaml_files.values())
    assert bool(entry.identity) == bool(entry.identity_checks)
    assert bool(entry.extra) == bool(entry.modules)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_metadata_is_read_by_the_module_of_the_kind(kind: str) -> None:
    source = server_source(kind)
    assert (source is None) == (not (MONITOR / "identify" / f"{kind}.py").exists())
    assert (kind in CHECKS) == (source is not None)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_only_what_runs_here_and_a_free_server_cost_nothing(kind: str) -> None:
    entry = PROVIDERS[kind]
    price = price_of(entry.settings.model_validate(example(entry)), "no-such-model")
    assert (price is None) == (entry.price_list != NO_CHARGE)
    free = price_of(entry.settings.model_validate({**example(entry), "free": True}), "no-such-model")
    assert free is not None
    assert (free.input, free.output) == (0, 0)


def test_a_provider_refuses_the_settings_of_another_kind() -> None:
    setup = Setup("mine", PROVIDERS["local"].settings.model_validate({"kind": "local"}), None, {}, lambda: NOW)
    with pytest.raises(TypeError, match=r"^providers\.mine: LocalSettings, not ScriptedSettings$"):
        provider_class("scripted")(setup)


def test_each_source_is_one_file_and_one_entry() -> None:
    assert having("sample", r"^def read\(") == set(SOURCES)


@pytest.mark.parametrize("kind", SOURCES)
def test_an_entry_of_a_source_is_whole(kind: str) -> None:
    entry = SOURCES[kind]
    assert issubclass(entry.settings, Source)
    assert kinds_of(entry.settings) == (kind,)
    assert entry.read == f"monitor.sample.{kind}:read"
    assert callable(load(entry.read))
    assert entry.settings.model_fields["kind"].description
