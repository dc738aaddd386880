"""Who served a reply, as the reply and its headers tell it, in few stable names; never a request's id."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from monitor.ask.reply_errors import clean

HEADERS: Final[Mapping[str, str]] = {
    "x-litellm-model-api-base": "api_base",
    "x-litellm-model-id": "deployment",
    "x-litellm-attempted-fallbacks": "fallbacks",
    "azureml-model-deployment": "deployment",
    "x-ms-deployment-name": "deployment",
    "x-ms-region": "region",
    "x-inference-provider": "provider",
    "x-portkey-provider": "provider",
    "cf-aig-provider": "provider",
    "cf-aig-step": "fallbacks",
}
"""Header of a gateway -> the name of what it tells. ``fallbacks``: how many endpoints failed before this one."""

ADDRESSES: Final = frozenset(("x-litellm-model-api-base", "location"))
"""Headers with a URL."""

_LONGEST: Final = 200


def served_by(headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, str]:
    """Name -> value of what is told: ``api_base``, ``deployment``, ``fallbacks``, ``provider``, ``region``."""
    lowered = {name.lower(): value for name, value in headers.items()}
    found = {name: told for header, name in HEADERS.items() if (told := clean(lowered.get(header, ""), _LONGEST))}
    provider = body.get("provider")
    if isinstance(provider, str) and clean(provider):
        found["provider"] = clean(provider, _LONGEST)
    return dict(sorted(found.items()))


def cleaned_header(name: str, value: str) -> str:
    """The value to keep of a header. Of an address scheme, host and path: the rest may contain a key."""
    if name.lower() not in ADDRESSES:
        return value
    try:
        parts = urlsplit(value.strip())
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{port}{parts.path}" if host else re.split(r"[?#]", value.strip())[0].split("@")[-1]


def cached_tokens(body: Mapping[str, Any]) -> int | None:
    """Prompt tokens from the server's prefix cache; ``None`` if the reply does not say."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details", usage.get("input_tokens_details"))
    told = [
        details.get("cached_tokens") if isinstance(details, dict) else None,
        usage.get("cache_read_input_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
    ]
    return next((one for one in told if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**31), None)
