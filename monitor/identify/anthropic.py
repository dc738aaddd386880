"""Reads Anthropic's Models API: whether a model exists, and when it retires."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from monitor.identify.checks import Checked, Declared, Get, Key, Reading, UnreadableError, moment, quoted


async def read(declared: Sequence[Declared], get: Get) -> dict[Key, Reading]:
    """The API's metadata of every arm at this provider, one request per model.

    Raises UnreadableError without metadata of any arm, and CouldNotMeasure without a reply.
    """
    said = {model: await get(f"/v1/models/{quote(model, safe='')}") for model in sorted({d.model for d in declared})}
    readings = {one.key: _reading(one.model, *said[one.model]) for one in declared}
    if readings and all(reading.unread for reading in readings.values()):
        raise UnreadableError(next(iter(readings.values())).unread["listed"])
    return readings


def _reading(model: str, status: int, body: Any) -> Reading:
    expected = f"{quoted(model)} is served"
    if status == 404 and _says_not_found(body):
        return Reading((Checked("listed", False, expected, "the API knows no such model"),))
    if status != 200 or not isinstance(body, dict) or not isinstance(body.get("id"), str):
        return Reading(unread={"listed": f"GET /v1/models/...: HTTP {status}, and no model in the reply"})
    retired = body.get("lifecycle") == "retired"
    # The reply to an alias has the id behind it.
    name = "" if body["id"] == model else f", as {quoted(body['id'])}"
    found = "it is retired" if retired else f"it is{name}"
    return Reading((Checked("listed", not retired, expected, found),), moment(body.get("retires_at")))


def _says_not_found(body: Any) -> bool:
    """Whether it is the API's own 404: a gateway without this path has another."""
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("type") == "not_found_error"
