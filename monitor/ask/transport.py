"""The connection under both vendors' clients. Imported only together with one of them: httpx2 takes a while."""

import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2

from monitor.ask.http import LARGEST_COMPRESSED, LARGEST_REPLY, ReplyTooLargeError
from monitor.ask.protocol import AskFailed
from monitor.core.records import Exchange, Reason

for _chatty in ("httpcore2", "httpx2", "openai", "anthropic"):
    # Their debug lines hold a reply's headers, in which a server may echo our key; httpx2 says every request at info.
    logging.getLogger(_chatty).setLevel(logging.WARNING)

HEADERS = {"Accept-Encoding": "identity"}
"""Sent with each request: replies are small, and an uncompressed one can be bounded while it comes in."""


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
    limit = LARGEST_COMPRESSED if response.headers.get("content-encoding", "identity") != "identity" else LARGEST_REPLY
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream, limit)


def client(concurrency: int) -> httpx2.AsyncClient:
    """A client with room for ``concurrency`` kept-alive connections, proxies and CA store as the environment says.

    It has no timeout of its own: the asker's covers the whole attempt. A redirect is not followed: an endpoint that
    moved is for a person to look at.
    """
    return httpx2.AsyncClient(
        timeout=None,
        limits=httpx2.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency + 8),
        event_hooks={"response": [bound]},
        headers=HEADERS,
    )


def connection_failure(error: BaseException, request: Mapping[str, Any]) -> AskFailed:
    """Classify a call that brought no whole reply; the message says who did not answer, and why in the system's words.

    Of an address it names scheme, host and port: a path or a query may hold a key.
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
    """Who was asked, where the error knows; without what a user may have put in front of the host."""
    request = getattr(error, "request", None)
    if not isinstance(request, httpx2.Request):
        return ""
    host = f"[{request.url.host}]" if ":" in request.url.host else request.url.host
    port = "" if request.url.port is None else f":{request.url.port}"
    return f" from {request.url.scheme}://{host}{port}"


def _why(chain: Sequence[BaseException]) -> str:
    """The cause that lies deepest and has words of the system; else the kinds of error."""
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
