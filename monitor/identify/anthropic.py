"""Reads Anthropic's Models API: whether a model exists, and when it retires."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from monitor.identify.checks import Absence, Checked, Declared, Get, Key, Reading, UnreadableError, moment, quoted
from monitor.identify.listing import HIDDEN, HiddenError
from monitor.identify.names import contradicts


async def read(declared: Sequence[Declared], get: Get) -> dict[Key, Reading]:
    """The API's metadata of every arm at this provider, one request per model.

    Raises UnreadableError without metadata of any arm, and CouldNotMeasure without a reply.
    """
    said = {model: await get(f"/v1/models/{quote(model, safe='')}") for model in sorted({d.model for d in declared})}
    readings = {one.key: _reading(one.model, *said[one.model]) for one in declared}
    if readings and all(reading.unread for reading in readings.values()):
        hidden = all(status in HIDDEN for status, _ in said.values())
        why = next(iter(readings.values())).unread["listed"]
        raise HiddenError(why) if hidden else UnreadableError(why)
    return readings


def _reading(model: str, status: int, body: Any) -> Reading:
    expected = f"{quoted(model)} is served"
    if status == 404 and _says_not_found(body):
        return Reading(absent=Absence("the API knows no such model", sure=True))
    if status != 200 or not isinstance(body, dict) or not isinstance(body.get("id"), str):
        return Reading(unread={"listed": f"GET /v1/models/...: HTTP {status}, and no model in the reply"})
    if contradicts(model, body["id"]):
        return Reading((Checked("listed", False, expected, f"the API has {quoted(body['id'])} in its place"),))
    retired = body.get("lifecycle") == "retired"
    # The reply to an alias has the id behind it.
    name = "" if body["id"] == model else f", as {quoted(body['id'])}"
    found = "it is retired" if retired else f"it is{name}"
    return Reading((Checked("listed", not retired, expected, found),), moment(body.get("retires_at")))


def _says_not_found(body: Any) -> bool:
    """Whether it is the API's own 404: a gateway without this path has another."""
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and error.get("type") == "not_found_error"
