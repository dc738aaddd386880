"""Reads the keys that the configuration names, once. They are kept in ``Secret`` and never written."""

import os
from collections.abc import Mapping

from monitor.ask.protocol import Secret
from monitor.core.errors import ConfigError
from monitor.core.providers import PROVIDERS, ApiProvider, Provider


def read_keys(providers: Mapping[str, Provider], environ: Mapping[str, str] = os.environ) -> dict[str, Secret | None]:
    """Provider name -> its key; ``None`` if it has none and needs none.

    Raises:
        ConfigError: a named variable or file is missing or empty, or the vendor's API has no key; one line per
            problem.
    """
    keys: dict[str, Secret | None] = {}
    problems: list[str] = []
    for name, provider in providers.items():
        try:
            keys[name] = _read_key(provider, environ)
        except ConfigError as error:
            problems.append(f"providers.{name}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return keys


def _read_key(provider: Provider, environ: Mapping[str, str]) -> Secret | None:
    if not isinstance(provider, ApiProvider):
        return None
    if provider.api_key_env is not None:
        return _usable(environ.get(provider.api_key_env, ""), f"environment variable {provider.api_key_env}")
    if provider.api_key_file is not None:
        try:
            text = provider.api_key_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_key_file {provider.api_key_file} cannot be read: {type(error).__name__}") from None
        return _usable(text, f"api_key_file {provider.api_key_file}")
    if PROVIDERS[provider.kind].needs_key and provider.base_url is None:
        raise ConfigError("the vendor's API requires a key; name it with api_key_env or api_key_file")
    return None


def _usable(value: str, where: str) -> Secret:
    key = value.strip()
    if not key:
        raise ConfigError(f"{where} is not set or empty")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{where} contains characters that are not allowed in a key")
    return Secret(key)
