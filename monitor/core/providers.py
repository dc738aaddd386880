"""The catalogue of providers: the settings of each kind, and what the rest of the product must know about it.

A new kind is one module ``monitor/ask/NAME.py``, one ``monitor/identify/NAME.py`` if its API has metadata, and one
entry here. An entry names its modules as ``module:name`` and they are imported on first use, because the vendors'
clients and torch import slowly. The JSON Schema, ``docs/config.md`` and the messages of ``check`` are
generated from the entries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from pydantic import Field, model_validator

from monitor.core.kinds import kinds_of
from monitor.core.section import Section


class Price(Section):
    """USD per million tokens. Overrides the built-in price list."""

    input: float = Field(ge=0, description="USD per million prompt tokens")
    output: float = Field(ge=0, description="USD per million completion tokens")


class Provider(Section):
    """An endpoint and its limits."""

    kind: str
    concurrency: int = Field(4, ge=1, le=256, description="maximum number of concurrent calls")
    requests_per_minute: int | None = Field(
        None, ge=1, description="maximum requests started per minute; default: unlimited"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="maximum prompt and completion tokens per minute; default: unlimited"
    )
    timeout_seconds: float = Field(60, gt=0, description="timeout of one attempt, in seconds")
    deadline_seconds: float = Field(
        300, gt=0, description="timeout of one question, in seconds, including retries and waiting"
    )
    attempts: int = Field(4, ge=1, le=20, description="maximum attempts per question")
    free: bool = Field(False, description="true if calls cost nothing, for example at your own server")
    prices: dict[str, Price] = Field(
        default_factory=dict, description="model -> price; overrides the built-in price list"
    )

    @property
    def server(self) -> str:
        """Root URL of the API if it is not the vendor's; otherwise empty."""
        return ""


class ApiProvider(Provider):
    """An HTTP API, at the vendor or a compatible server."""

    base_url: str | None = Field(None, description="root URL of the API, including /v1; default: the vendor's API")
    api_key_env: str | None = Field(None, description="name of the environment variable that contains the key")
    api_key_file: Path | None = Field(None, description="file that contains the key; read at start and reload")

    @property
    def server(self) -> str:
        return self.base_url or ""

    @property
    def has_key(self) -> bool:
        """Whether the settings name a key."""
        return self.api_key_env is not None or self.api_key_file is not None


NO_CHARGE: Final = "no_charge"
"""Price list of a kind that runs on this machine: its calls cost nothing."""


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """Properties of one kind of provider."""

    provider: str
    """``module:class`` of the ``ask.protocol.Provider``."""
    price_list: str | None = None
    """Vendor in the built-in price list, or ``NO_CHARGE``. ``None``: its models are unpriced, and ``check`` and runs
    refuse a model without a price in ``prices``, unless ``free`` is true."""
    needs_key: bool = False
    """Whether the vendor's own API requires a key; the settings are then an ``ApiProvider``."""
    loads_weights: bool = False
    """Whether its models are folders or hub ids that this machine loads, with an adapter if one is configured."""
    identity: str | None = None
    """``module:function`` of the ``identify.ServerSource``; ``None``: its API has no metadata about what it serves."""
    identity_checks: tuple[str, ...] = ()
    """Identity checks that it can make."""
    never_sent: frozenset[str] = frozenset()
    """Sampling parameters of a suite that its API does not have or rejects, so they are never sent."""
    cache_salt: bool = False
    """Whether a server that its requests reach may take vLLM's ``cache_salt``."""
    yaml_files: Mapping[str, str] = field(default_factory=dict)
    """Key that names a YAML file -> ``module:function`` that reads it. The function raises ConfigError."""
    extra: str | None = None
    """Extra of the package that it needs."""
    modules: tuple[str, ...] = ()
    """Modules that ``extra`` installs."""
    settings: type[Provider] = Provider
    """Section of the configuration. Set by ``catalogued``."""


PROVIDERS: Final[dict[str, ProviderKind]] = {}
"""Kind -> its entry, in the order of this file."""

Model = TypeVar("Model", bound=type[Provider])


def catalogued(entry: ProviderKind) -> Callable[[Model], Model]:
    """Class decorator: add the settings to the catalogue, with ``entry``."""

    def add(settings: Model) -> Model:
        for kind in kinds_of(settings):
            PROVIDERS[kind] = replace(entry, settings=settings)
        return settings

    return add


@catalogued(
    ProviderKind(
        provider="monitor.ask.openai:OpenAIProvider",
        price_list="openai",
        needs_key=True,
        identity="monitor.identify.openai:read",
        identity_checks=("listed", "parent", "root", "ft_base", "answered_as", "served_root"),
        cache_salt=True,
    )
)
class OpenAISettings(ApiProvider):
    """Chat Completions, at OpenAI or any compatible server."""

    kind: Literal["openai"] = Field(description="Chat Completions API, at any base_url")


@catalogued(
    ProviderKind(
        provider="monitor.ask.anthropic:AnthropicProvider",
        price_list="anthropic",
        needs_key=True,
        identity="monitor.identify.anthropic:read",
        identity_checks=("listed", "answered_as"),
        never_sent=frozenset({"temperature", "logprobs"}),
    )
)
class AnthropicSettings(ApiProvider):
    """Messages, at Anthropic or any compatible server."""

    kind: Literal["anthropic"] = Field(description="Messages API")


@catalogued(
    ProviderKind(
        provider="monitor.ask.local:LocalProvider",
        price_list=NO_CHARGE,
        loads_weights=True,
        extra="local",
        modules=("torch", "transformers", "peft"),
    )
)
class LocalSettings(Provider):
    """Models that this machine loads."""

    kind: Literal["local"] = Field(description="transformers and PEFT in this process")


@catalogued(
    ProviderKind(
        provider="monitor.ask.scripted:ScriptedProvider",
        price_list=NO_CHARGE,
        yaml_files={"script": "monitor.ask.scripted:load_script"},
    )
)
class ScriptedSettings(Provider):
    """Answers from a file, without a model."""

    kind: Literal["scripted"] = Field(description="answers from a file, for dry runs")
    script: Path | None = Field(None, description="YAML file of answers; required")

    @model_validator(mode="after")
    def _has_script(self) -> Self:
        if self.script is None:
            raise ValueError("kind scripted needs 'script', a YAML file of answers")
        return self
