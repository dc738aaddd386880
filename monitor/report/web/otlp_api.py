"""Takes spans from OpenTelemetry SDKs and Collectors: ``POST /v1/traces``, with a token of ``http.inputs``.

Replies follow OTLP/HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response): an
``ExportTraceServiceResponse`` or a ``Status``, in the encoding of the request. Both are a few bytes, written here.
"""

import json
from collections import Counter
from typing import Final, Protocol

from fastapi import FastAPI, HTTPException, Request, Response

from monitor.sample.pushed import Result, Taken

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"

UNBOUNDED: Final = 1 << 62
"""The framework's limit of a body, whose reply has no reason; ``Admitting`` has the limit of these routes."""

_CODES: Final = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}
"""HTTP status -> code of gRPC in the ``Status``."""


class Admitting(Protocol):
    """Takes a request's body. Raises HTTPException if it is refused."""

    async def take(self, request: Request, kind: str) -> Taken: ...


def add_otlp(app: FastAPI, door: Admitting) -> None:
    """Add the route for traces."""

    @app.post("/v1/traces", include_in_schema=False, max_body_size=UNBOUNDED)
    async def traces(request: Request) -> Response:
        as_json = request.headers.get("content-type", "").startswith(JSON)
        try:
            taken = await door.take(request, "otlp")
        except HTTPException as error:
            body = status(error.status_code, str(error.detail), as_json=as_json)
            return Response(body, error.status_code, error.headers, JSON if as_json else PROTOBUF)
        return Response(response(taken, as_json=as_json), media_type=JSON if as_json else PROTOBUF)


def response(taken: Taken, *, as_json: bool) -> bytes:
    """An ``ExportTraceServiceResponse``: empty, or how many spans are not sampled, and why."""
    rejected, text = _rejected(taken)
    if as_json:
        partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": text}}
        return json.dumps(partial if rejected else {}).encode()
    return _field(1, b"\x08" + _varint(rejected) + _field(2, text.encode())) if rejected else b""


def status(code: int, text: str, *, as_json: bool) -> bytes:
    """A ``google.rpc.Status``."""
    grpc = _CODES.get(code, 2)
    if as_json:
        return json.dumps({"code": grpc, "message": text}).encode()
    return b"\x08" + _varint(grpc) + _field(2, text.encode())


def _rejected(taken: Taken) -> tuple[int, str]:
    """Number of spans with messages that no target can ask, and why. What ``where`` excludes is not rejected."""
    used = {one.index for one in taken.outcomes if one.result in (Result.ACCEPTED, Result.DUPLICATE)}
    left = {
        one.index: one.reason or one.detail
        for one in taken.outcomes
        if one.result in (Result.LEFT_OUT, Result.INVALID) and one.index not in used
    }
    reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(left.values()).most_common())
    return len(left), f"spans that cannot be sampled: {reasons}"


def _field(number: int, value: bytes) -> bytes:
    """A field of protobuf with a length: a text or a message."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
