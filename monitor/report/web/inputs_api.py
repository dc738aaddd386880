"""Takes production inputs from programs, with a token of ``http.inputs``: as JSON here, as spans in ``otlp_api``."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from monitor.report.web import models
from monitor.report.web.authorization import owner_of
from monitor.report.web.otlp_api import UNBOUNDED, add_otlp
from monitor.report.web.tokens import Failures, Tokens
from monitor.sample.push_process import MAX_BODY_BYTES
from monitor.sample.pushed import Result, Taken

RETRY_SECONDS: Final = 2
"""``Retry-After`` while the queue is full or the store is not available."""


class Receiving(Protocol):
    """Takes pushed inputs."""

    def room(self, size: int) -> AbstractContextManager[bool]: ...
    async def take(self, kind: str, body: bytes, content_type: str, encoding: str, client: str) -> Taken: ...


@dataclass(frozen=True)
class Inputting:
    """What the pages need to take pushed inputs. Without it, they are refused."""

    receiving: Receiving
    tokens: Callable[[], Tokens]
    """Returns the clients' tokens in force; a reload reads them again."""
    count: Callable[[str, int], None]
    """(kind, status): counts a request for the metrics."""


class InputResult(BaseModel):
    """What became of one input."""

    id: str = Field(description="the input's id, as sent")
    result: Result = Field(
        description="accepted; duplicate: its id came before; left_out: counted, and cannot be asked; filtered: the "
        "source's `where` excludes it; invalid: not counted"
    )
    reason: str = Field(description="why it is left out, as in the account of a sample; else empty")
    detail: str = Field(description="what was found; never a text of the input")


class InputResults(BaseModel):
    """The inputs of a request, in its order."""

    results: list[InputResult]
    counts: dict[str, int] = Field(description="number of inputs by result")


_TEXTS: Final = {
    400: "The body is not JSON, or took too long to read.",
    401: "The token is missing or unknown.",
    403: "The configuration has no http.inputs.",
    413: "The body is too large.",
    415: "Another content type or encoding than JSON with or without gzip.",
    429: "The queue is full. See Retry-After.",
    503: "The store is not available, or this daemon is a standby. See Retry-After.",
}

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.Problem, "description": text} for status, text in _TEXTS.items()
}

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [{"type": "object"}, {"type": "array"}]}}},
    },
    "security": [{"HTTPBearer": []}],
}


def add_inputs(app: FastAPI, inputting: Inputting | None, clock: Callable[[], datetime]) -> None:
    """Add the routes for inputs. Without ``inputting``, every request is refused."""
    door = Door(inputting, clock)
    add_otlp(app, door)

    @app.post(
        "/api/v1/inputs", responses=REFUSALS, response_model=InputResults, openapi_extra=_BODY,
        max_body_size=UNBOUNDED,
    )  # fmt: skip
    async def inputs(request: Request) -> Response:
        """Send production inputs of targets whose source has kind `http`: one object, or a list.

        Each has `target`, `id` (unique among the recent inputs of the target), optionally `time` and `stratum`, and
        `messages` or the whole body of the request under `request`. A repeated `id` counts once.
        """
        taken = await door.take(request, "http")
        found = [
            {"id": one.id, "result": one.result, "reason": one.reason, "detail": one.detail} for one in taken.outcomes
        ]
        return JSONResponse({"results": found, "counts": Counter(one.result for one in taken.outcomes)})


class Door:
    """Admits the bodies of clients with a token while there is room in the queue, and counts all requests."""

    def __init__(self, inputting: Inputting | None, clock: Callable[[], datetime]) -> None:
        self._inputting = inputting
        self._failures = Failures(clock)

    async def take(self, request: Request, kind: str) -> Taken:
        """The inputs in a request's body. Raises HTTPException if it is refused.

        The token and the room in the queue are checked before the body is read.
        """
        if self._inputting is None:
            raise HTTPException(403, "no inputs are taken: the configuration has no http.inputs")
        try:
            taken = await self._take(self._inputting, request, kind)
        except HTTPException as error:
            self._inputting.count(kind, error.status_code)
            raise
        self._inputting.count(kind, taken.status)
        return taken

    async def _take(self, inputting: Inputting, request: Request, kind: str) -> Taken:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise HTTPException(401, "send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        client = owner_of(inputting.tokens(), self._failures, request, token, "inputs")
        size = _size(request)
        with inputting.receiving.room(size) as fits:
            if not fits:
                raise HTTPException(429, "the queue of inputs is full; try again", _retry(429))
            body = await _body(request, size)
            content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            encoding = request.headers.get("content-encoding", "").strip().lower()
            taken = await inputting.receiving.take(kind, body, content_type, encoding, client)
        if taken.status != 200:
            raise HTTPException(taken.status, taken.text, _retry(taken.status))
        return taken


def _retry(status: int) -> Mapping[str, str] | None:
    return {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else None


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body has more than {MAX_BODY_BYTES >> 20} MiB; send fewer inputs in one request")


def _size(request: Request) -> int:
    """Bytes that the body may have."""
    given = request.headers.get("content-length", "")
    size = int(given) if given.isdecimal() and len(given) < 20 else MAX_BODY_BYTES
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return size


async def _body(request: Request, size: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > size:
            raise _too_large()
    return bytes(body)
