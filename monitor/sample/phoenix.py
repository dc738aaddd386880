"""Reads LLM spans from Arize Phoenix over its API, ``GET /v1/projects/{project}/spans``, newest first.

Spans have OpenInference attributes, nested or flattened:
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from monitor.core.errors import CouldNotMeasure
from monitor.core.sources import PhoenixSource
from monitor.sample.api_records import parameters, requests
from monitor.sample.json_api import (
    JsonApi,
    Limits,
    Page,
    bearer,
    limits_of,
    listed,
    pages,
    text_or_none,
)
from monitor.sample.request_log import Logged, Tally, Window

PAGE: Final = 100
"""Spans of a page. The API allows 1,000, but whole conversations are long."""

_ADVICE: Final = {
    401: "set `api_key_env` to the variable of a valid API key",
    403: "use an API key that may read the project",
    404: "check `project` and `base_url`",
    422: "update Phoenix: it does not know the parameters of this request",
}
_DEEPEST: Final = 20


def read(
    source: PhoenixSource, stratify: str | None, window: Window, tally: Tally, limits: Limits | None = None
) -> Iterator[Logged]:
    """The LLM spans that started in the window. Spans of other kinds are not requests, and are not counted.

    Raises CouldNotMeasure if the key is missing or the server cannot be read.
    """
    authorization, keys = bearer(source.api_key_env)
    with JsonApi(source.base_url, authorization, keys, _ADVICE, limits_of(tally, limits)) as api:
        records = map(_record, _spans(api, source.project, window, tally))
        yield from requests(records, source, stratify, window, tally)


def _spans(api: JsonApi, project: str, window: Window, tally: Tally) -> Iterator[Any]:
    path = f"/v1/projects/{quote(project, safe='')}/spans"
    period = {"start_time": window.since, "end_time": window.until}
    # older servers ignore `span_kind`
    fixed = {name: at.isoformat() for name, at in period.items() if at is not None} | {"span_kind": "LLM"}

    def page(cursor: str | None, count: int) -> Page:
        reply = api.get(path, fixed | {"limit": str(count)} | ({"cursor": cursor} if cursor else {}))
        if "data" not in reply:
            raise CouldNotMeasure(f"{api.where(path)}: no `data` in the reply; check that `base_url` is Phoenix")
        return listed(reply, "data", api, path), text_or_none(reply.get("next_cursor"))

    for span in pages(api, path, page, PAGE, tally):
        if not isinstance(span, Mapping) or span.get("span_kind", "LLM") == "LLM":
            yield span


def _record(span: Any) -> Any:
    """The span with nested attributes, and the messages, tools and parameters of its request."""
    if not isinstance(span, Mapping) or not isinstance(span.get("attributes"), Mapping):
        return span
    attributes = _nested(span["attributes"])
    llm = attributes.get("llm")
    llm = llm if isinstance(llm, Mapping) else {}
    found: dict[str, Any] = {**parameters(llm.get("invocation_parameters")), **span, "attributes": attributes}
    if messages := llm.get("input_messages"):
        found["messages"] = [_message(one) for one in messages] if isinstance(messages, list) else messages
    else:
        entered = attributes.get("input")
        found["messages"] = entered.get("value") if isinstance(entered, Mapping) else None
    tools = llm.get("tools")
    return found | ({"tools": list(map(_tool, tools)) if isinstance(tools, list) else tools} if tools else {})


def _tool(one: Any) -> Any:
    """The definition of a tool, which OpenInference keeps as JSON in a text."""
    tool = one.get("tool") if isinstance(one, Mapping) else None
    text = tool.get("json_schema") if isinstance(tool, Mapping) else None
    return (parameters(text) or one) if text else one


def _message(one: Any) -> Any:
    """A message with its blocks under ``content``: OpenInference keeps them under ``contents``."""
    message = one.get("message") if isinstance(one, Mapping) else None
    contents = message.get("contents") if isinstance(message, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(contents, list):
        return message or one
    return {**message, "content": [_block(block) for block in contents]}


def _block(block: Any) -> Any:
    inner = block.get("message_content") if isinstance(block, Mapping) else None
    return inner or block


def _nested(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as a tree: ``{"llm.input_messages.0.message.role": "user"}`` becomes mappings and lists."""
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        node, steps = tree, name.split(".")
        if len(steps) > _DEEPEST:
            continue
        for step in steps[:-1]:
            below = node.setdefault(step, {})
            if not isinstance(below, dict):
                break
            node = below
        else:
            node[steps[-1]] = value
    return {name: _lists(value, 0) for name, value in tree.items()}


def _lists(node: Any, depth: int) -> Any:
    """``node`` with a list in place of each mapping whose keys are the numbers from 0."""
    if not isinstance(node, dict) or depth > _DEEPEST:
        return node
    below = {name: _lists(value, depth + 1) for name, value in node.items()}
    if below and all(name.isdecimal() and len(name) < 7 for name in below):
        return [below[name] for name in sorted(below, key=int)]
    return below
