"""Reads spans of models from an MLflow tracking server over its REST API, version 3.

``POST traces/search`` lists traces with a preview of the request only, so the spans of each trace are read too. The
server's page tokens are offsets, which shift while traces arrive. So a page continues from the time of the last trace,
and a token is used only where more traces than a page holds have the same millisecond.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.sources import MlflowSource
from monitor.sample.api_records import requests
from monitor.sample.instants import instant
from monitor.sample.json_api import (
    JsonApi,
    Limits,
    Page,
    TooLargeError,
    basic,
    bearer,
    key,
    limits_of,
    listed,
    pages,
    text_or_none,
)
from monitor.sample.request_log import Logged, Tally, Window

PAGE: Final = 100
TRACES: Final = 10
"""Traces whose spans are asked for at once."""

MODELS: Final = frozenset(("CHAT_MODEL", "LLM"))
"""Types of the spans that are requests to a model."""

_SEARCH: Final = "/api/3.0/mlflow/traces/search"
_SPANS: Final = "/api/3.0/mlflow/traces/batchGet"
_EXPERIMENT: Final = "/api/2.0/mlflow/experiments/get-by-name"
_ADVICE: Final = {
    401: "set `username` and `password_env`, or `token_env`, to those of a user who may read the experiments",
    403: "use a user who may read the experiments",
    404: "check `experiments` and `base_url`; MLflow has this API from version 3",
}
_DEEPEST: Final = 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def read(
    source: MlflowSource, stratify: str | None, window: Window, tally: Tally, limits: Limits | None = None
) -> Iterator[Logged]:
    """The requests to models in the traces that began in the window. A span has the time of its trace.

    Raises CouldNotMeasure if a key is missing, an experiment does not exist, or the server cannot be read.
    """
    authorization, keys = _authorization(source)
    with JsonApi(source.base_url, authorization, keys, _ADVICE, limits_of(tally, limits)) as api:
        yield from requests(_spans(api, source, window, tally), source, stratify, window, tally)


def _authorization(source: MlflowSource) -> tuple[str, Sequence[str]]:
    if source.username is not None and source.password_env is not None:
        password = key(source.password_env)
        return basic(source.username, password), (password,)
    return bearer(source.token_env)


def _spans(api: JsonApi, source: MlflowSource, window: Window, tally: Tally) -> Iterator[Any]:
    places = [
        {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": _id(api, one)}}
        for one in source.experiments
    ]
    batch: list[str] = []
    for trace in pages(api, _SEARCH, _Search(api, places, window), PAGE, tally):
        name = trace.get("trace_id") if isinstance(trace, Mapping) else None
        if not isinstance(name, str):
            yield trace  # counted as malformed
            continue
        batch.append(name)
        if len(batch) == TRACES:
            yield from _of(api, batch, tally)
            batch = []
    if batch:
        yield from _of(api, batch, tally)


def _id(api: JsonApi, experiment: str) -> str:
    """The id of an experiment with this name; else the name is an id. Raises CouldNotMeasure."""
    if experiment.isdecimal():
        return experiment
    reply = api.get(_EXPERIMENT, {"experiment_name": experiment})
    found = reply.get("experiment")
    name = found.get("experiment_id") if isinstance(found, Mapping) else None
    if not isinstance(name, str):
        raise CouldNotMeasure(f"{api.where(_EXPERIMENT)}: no experiment in the reply; check that `base_url` is MLflow")
    return name


class _Search:
    """Pages of the traces in a window, newest first, each from the time of the last trace before it."""

    def __init__(self, api: JsonApi, places: Sequence[Mapping[str, Any]], window: Window) -> None:
        self._api, self._places = api, places
        self._since = [] if window.since is None else [f"timestamp_ms >= {_milliseconds(window.since)}"]
        self._until = [] if window.until is None else [f"timestamp_ms <= {_milliseconds(window.until)}"]
        self._last: set[str] = set()
        """Ids of the traces of the last millisecond, which the next page repeats."""

    def __call__(self, cursor: str | None, count: int) -> Page:
        at, _, token = (cursor or "").partition("/")
        bounds = [*self._since, *([f"timestamp_ms <= {at}"] if at else self._until)]
        body = {"locations": self._places, "max_results": count, "order_by": ["timestamp_ms DESC"]}
        body |= {"filter": " AND ".join(bounds)} if bounds else {}
        reply = self._api.post(_SEARCH, body | ({"page_token": token} if token else {}))
        traces = listed(reply, "traces", self._api, _SEARCH)
        new = [one for one in traces if not isinstance(one, Mapping) or one.get("trace_id") not in self._last]
        more = text_or_none(reply.get("next_page_token"))
        if more is None or not traces:
            return new, None
        last = _time(traces[-1])
        if last is None:
            raise CouldNotMeasure(f"{self._api.where(_SEARCH)}: a trace without `request_time`; update MLflow")
        ids = {str(one.get("trace_id")) for one in traces if isinstance(one, Mapping) and _time(one) == last}
        if str(last) == at:  # a whole page of one millisecond
            self._last |= ids
            return new, f"{last}/{more}"
        self._last = ids
        return new, f"{last}/"


def _of(api: JsonApi, traces: Sequence[str], tally: Tally) -> Iterator[dict[str, Any]]:
    """The requests in some traces. Asks for fewer at once if the reply is too large."""
    try:
        found = listed(api.get(_SPANS, {"trace_ids": list(traces)}), "traces", api, _SPANS)
    except TooLargeError:
        if len(traces) == 1:
            tally.leave(LeftOutReason.LINE_TOO_LONG, "a trace that is larger than a page", traces[0])
            return
        half = len(traces) // 2
        yield from _of(api, traces[:half], tally)
        yield from _of(api, traces[half:], tally)
        return
    missing = set(traces)
    for trace in found:
        info = trace.get("trace_info") if isinstance(trace, Mapping) else None
        if isinstance(info, Mapping):
            missing.discard(str(info.get("trace_id")))
            yield from _requests(info, trace.get("spans"))
    for name in sorted(missing):
        what = "no spans of the trace on the server: it keeps them elsewhere, or deleted them"
        tally.leave(LeftOutReason.NO_MESSAGES, what, name)


def _requests(info: Mapping[str, Any], spans: Any) -> Iterator[dict[str, Any]]:
    """The requests to models in a trace; of one request that two libraries recorded, the outer span."""
    records = [one for span in (spans if isinstance(spans, list) else ()) if (one := _record(span)) is not None]
    models = {str(one["span_id"]) for one in records if one["span_type"] in MODELS}
    for one in records:
        if one["span_type"] in MODELS and str(one["parent_span_id"]) not in models:
            yield {
                **one, "id": info.get("trace_id"), "time": info.get("request_time"), "tags": info.get("tags"),
                "metadata": info.get("trace_metadata"),
            }  # fmt: skip


def _record(span: Any) -> dict[str, Any] | None:
    if not isinstance(span, Mapping):
        return None
    try:
        attributes = _attributes(span.get("attributes"))
    except ValueError:
        return {"span_type": "LLM", "span_id": span.get("span_id"), "parent_span_id": None, "inputs": None}
    inputs, tools = attributes.get("mlflow.spanInputs"), attributes.get("mlflow.chat.tools")
    if tools and isinstance(inputs, Mapping):
        inputs = {"tools": tools, **inputs}
    return {
        "span_id": span.get("span_id"), "parent_span_id": span.get("parent_span_id"), "name": span.get("name"),
        "span_type": attributes.get("mlflow.spanType"), "inputs": inputs, "attributes": attributes,
        **({"tools": tools} if tools else {}),
    }  # fmt: skip


def _attributes(found: Any) -> dict[str, Any]:
    """The attributes of a span in OTLP's JSON, or as a mapping. Older servers keep each value as JSON in a text."""
    pairs = _pairs(found) if isinstance(found, list) else found.items() if isinstance(found, Mapping) else ()
    return {name: _opened(_value(value, 0)) for name, value in pairs if isinstance(name, str)}


def _pairs(found: Any) -> list[tuple[Any, Any]]:
    return [(one.get("key"), one.get("value")) for one in found if isinstance(one, Mapping)]


def _value(value: Any, depth: int) -> Any:
    """The value in OTLP's ``AnyValue``; another value as it is. Raises ValueError if it is nested too deeply."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return value
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    kind, inner = next(iter(value.items()))
    if kind in ("kvlist_value", "kvlistValue"):
        return {name: _value(one, depth + 1) for name, one in _pairs(_values(inner))}
    if kind in ("array_value", "arrayValue"):
        return [_value(one, depth + 1) for one in _values(inner)]
    return inner if kind.endswith(("_value", "Value")) else value


def _values(inner: Any) -> list[Any]:
    found = inner.get("values") if isinstance(inner, Mapping) else None
    return found if isinstance(found, list) else []


def _opened(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("{", "[", '"'):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND


def _time(trace: Any) -> int | None:
    """The time of a trace in milliseconds."""
    try:
        return _milliseconds(instant(trace["request_time"]))
    except (ValueError, TypeError, KeyError):
        return None
