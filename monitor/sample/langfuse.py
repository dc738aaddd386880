"""Reads generations from Langfuse over its public API, ``GET /api/public/v2/observations``.

The list is newest first, so a sample needs every page of the window. The cursor continues after the last record (start
time, trace, id): https://api.reference.langfuse.com
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import LangfuseSource
from monitor.sample.api_records import parameters, requests
from monitor.sample.json_api import (
    JsonApi,
    Limits,
    Page,
    basic,
    key,
    limits_of,
    listed,
    pages,
    text_or_none,
)
from monitor.sample.request_log import Logged, Tally, Window

_PATH: Final = "/api/public/v2/observations"
_FIELDS: Final = "core,basic,io,metadata,model"
_SLIM: Final = "core"
PAGE: Final = 200
"""Records of a page. The API allows 1,000, but whole conversations are long."""

_ADVICE: Final = {
    401: "check `public_key_env` and `secret_key_env`, and that the keys belong to this server",
    404: "check `base_url`; self-hosted Langfuse has this API from version 4",
}


def read(
    source: LangfuseSource, stratify: str | None, window: Window, tally: Tally, limits: Limits | None = None
) -> Iterator[Logged]:
    """The generations that started in the window.

    Raises CouldNotMeasure if a key is missing or the server cannot be read.
    """
    keys = key(source.public_key_env), key(source.secret_key_env)
    with JsonApi(source.base_url, basic(*keys), keys, _ADVICE, limits_of(tally, limits)) as api:
        yield from requests(map(_record, _observations(api, window, tally)), source, stratify, window, tally)


def _observations(api: JsonApi, window: Window, tally: Tally) -> Iterator[Any]:
    period = {"fromStartTime": window.since, "toStartTime": window.until}
    fixed = {name: at.isoformat() for name, at in period.items() if at is not None} | {"type": "GENERATION"}

    def page(fields: str, cursor: str | None, count: int) -> Page:
        asked = fixed | {"fields": fields, "limit": str(count)} | ({"cursor": cursor} if cursor else {})
        reply = api.get(_PATH, asked)
        if "data" not in reply:
            raise CouldNotMeasure(f"{api.where(_PATH)}: no `data` in the reply; check that `base_url` is Langfuse")
        meta = reply.get("meta")
        following = text_or_none(meta.get("cursor")) if isinstance(meta, dict) else None
        return listed(reply, "data", api, _PATH), following

    yield from pages(
        api, _PATH, lambda cursor, count: page(_FIELDS, cursor, count), PAGE, tally,
        lambda cursor, count: page(_SLIM, cursor, count),
    )  # fmt: skip


def _record(observation: Any) -> Any:
    """The generation with its model parameters beside ``input``, where a request has them."""
    if not isinstance(observation, Mapping):
        return observation
    return {**parameters(observation.get("modelParameters")), **observation}
