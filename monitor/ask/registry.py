"""From a provider kind to its class."""

from collections.abc import Callable
from typing import cast

from monitor.ask.protocol import Provider, Setup
from monitor.core.kinds import load
from monitor.core.providers import PROVIDERS

MakeProvider = Callable[[Setup], Provider]


def provider_class(kind: str) -> MakeProvider:
    """The class behind a provider kind. Takes about a second the first time."""
    return cast(MakeProvider, load(PROVIDERS[kind].provider))
