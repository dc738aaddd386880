"""Maps a provider kind to its class."""

from collections.abc import Callable
from typing import cast

from monitor.ask.protocol import Provider, Setup
from monitor.core.kinds import load
from monitor.core.providers import PROVIDERS

MakeProvider = Callable[[Setup], Provider]


def provider_class(kind: str) -> MakeProvider:
    """The class of a provider kind. The first import takes about a second."""
    return cast(MakeProvider, load(PROVIDERS[kind].provider))
