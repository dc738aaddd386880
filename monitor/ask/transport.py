"""The HTTP connection of both vendors' clients. Imported only with one of them, because httpx2 imports slowly."""

import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
import structlog

from monitor.ask.http import LARGEST_COMPRESSED, LARGEST_REPLY, Received, ReplyTooLargeError
from monitor.ask.protocol import AskFailed
from monitor.core.records import Exchange, Reason

log = structlog.get_logger()

for _chatty in ("httpcore2", "httpx2", "openai", "anthropic"):
    # Debug records contain reply headers, in which a server may echo the key; httpx2 logs every request at info.
    logging.getLogger(_chatty).setLevel(logging.WARNING)

HEADERS = {"Accept-Encoding": "identity"}
"""Sent with each request: replies are small, and an uncompressed one can be bounded while it is read."""


class UnaskedStreams:
    """Says once that a server streams although it was told not to."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._said = False

    def note(self, received: Received) -> None:
        if received.streamed and not self._said:
            self._said = True
            log.warning(
                "streams_unasked",
                provider=self._provider,
                problem="the server streams although not asked to; its answers are put together from the events",
            )


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise ReplyTooLargeError
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


async def bound(response: httpx2.Response) -> None:
    """Response hook: stop reading a reply that is larger than any answer."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    limit = LARGEST_COMPRESSED if encoding != "identity" else LARGEST_REPLY
    if encoding in ("gzip", "x-gzip"):
        # `decoded` unpacks it by its first bytes, because some servers declare gzip and send plain JSON.
        del response.headers["content-encoding"]
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, limit)


def client(concurrency: int) -> httpx2.AsyncClient:
    """A client for ``concurrency`` kept-alive connections, with proxies and CA store from the environment.

    It has no timeout, because the asker's covers the whole attempt. It does not follow redirects: a person should
    check an endpoint that moved.
    """
    return httpx2.AsyncClient(
        timeout=None,
        limits=httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency + 8),
        event_hooks={"response": [bound]},
        headers=HEADERS,
    )


def connection_failure(error: BaseException, request: Mapping[str, Any]) -> AskFailed:
    """Classify a call without a complete reply. The message names the server and the system's error.

    Of a URL it has only scheme, host and port, because a path or a query may contain a key.
    """
    chain = _causes(error)
    exchange = Exchange(request=request, response=None)
    if any(isinstance(e, ReplyTooLargeError) for e in chain):
        detail = f"the reply is larger than {LARGEST_REPLY} bytes"
        return AskFailed(Reason.MALFORMED, detail, exchange=exchange, maybe_billed=True)
    if any(isinstance(e, httpx2.DecodingError) for e in chain):
        return AskFailed(Reason.MALFORMED, "the reply cannot be decompressed", exchange=exchange, maybe_billed=True)
    reached = not any(isinstance(e, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout) for e in chain)
    reason = Reason.TIMEOUT if any(isinstance(e, httpx2.TimeoutException) for e in chain) else Reason.CONNECTION
    bad_certificate = any(isinstance(e, ssl.SSLCertVerificationError) for e in chain)
    detail = f"no reply{_from(error)}: {_why(chain)}"
    return AskFailed(reason, detail, exchange=exchange, permanent=bad_certificate, maybe_billed=reached)


def _from(error: BaseException) -> str:
    """The server, if the error has it, without user information in the URL."""
    request = getattr(error, "request", None)
    if not isinstance(request, httpx2.Request):
        return ""
    host = f"[{request.url.host}]" if ":" in request.url.host else request.url.host
    port = "" if request.url.port is None else f":{request.url.port}"
    return f" from {request.url.scheme}://{host}{port}"


def _why(chain: Sequence[BaseException]) -> str:
    """Message of the deepest cause that has a system error, else the types of the errors."""
    for one in reversed(chain):
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {one.verify_message}"
        if isinstance(one, socket.gaierror) and one.strerror:
            return one.strerror.lower()
        if isinstance(one, OSError) and one.errno is not None and not isinstance(one, ssl.SSLError):
            return os.strerror(one.errno).lower()
    if any(isinstance(one, TimeoutError | httpx2.TimeoutException) for one in chain):
        return "timed out"
    return ", ".join(dict.fromkeys(type(one).__name__ for one in chain))


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 10:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
