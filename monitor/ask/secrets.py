"""The keys that the configuration names: read once, held in ``Secret``, never written anywhere."""

import os
from collections.abc import Mapping

from monitor.ask.protocol import Secret
from monitor.core.errors import ConfigError
from monitor.core.settings import Provider


def read_keys(providers: Mapping[str, Provider], environ: Mapping[str, str] = os.environ) -> dict[str, Secret | None]:
    """Provider name -> its key; ``None`` where it has none and needs none.

    Raises:
        ConfigError: a named variable or file is missing or empty, or the vendor's own API has no key named; every
            problem on a line of its own.
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
    if provider.api_key_env is not None:
        return _usable(environ.get(provider.api_key_env, ""), f"the environment variable {provider.api_key_env}")
    if provider.api_key_file is not None:
        try:
            text = provider.api_key_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_key_file {provider.api_key_file} cannot be read: {type(error).__name__}") from None
        return _usable(text, f"api_key_file {provider.api_key_file}")
    if provider.kind in ("openai", "anthropic") and provider.base_url is None:
        raise ConfigError("the vendor's own API needs a key: name it with api_key_env or api_key_file")
    return None


def _usable(value: str, where: str) -> Secret:
    key = value.strip()
    if not key:
        raise ConfigError(f"{where} is not set or empty")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{where} holds characters that cannot be sent as a key")
    return Secret(key)
