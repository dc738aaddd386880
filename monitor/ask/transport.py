"""The connection under both vendors' clients. Imported only together with one of them: httpx2 takes a while."""

import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from monitor.ask.http import LARGEST_COMPRESSED, LARGEST_REPLY, ReplyTooLargeError
from monitor.ask.protocol import AskFailed
from monitor.records import Exchange, Reason

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
    """Classify a call that brought no whole reply; the message names only the kinds of error, never an address."""
    chain = _causes(error)
    exchange = Exchange(request=request, response=None)
    names = ", ".join(dict.fromkeys(type(e).__name__ for e in chain))
    if any(isinstance(e, ReplyTooLargeError) for e in chain):
        detail = f"the reply is larger than {LARGEST_REPLY} bytes"
        return AskFailed(Reason.MALFORMED, detail, exchange=exchange, maybe_billed=True)
    if any(isinstance(e, httpx2.DecodingError) for e in chain):
        return AskFailed(Reason.MALFORMED, "the reply cannot be decompressed", exchange=exchange, maybe_billed=True)
    reached = not any(isinstance(e, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout) for e in chain)
    reason = Reason.TIMEOUT if any(isinstance(e, httpx2.TimeoutException) for e in chain) else Reason.CONNECTION
    bad_certificate = any(isinstance(e, ssl.SSLCertVerificationError) for e in chain)
    return AskFailed(reason, f"no reply ({names})", exchange=exchange, permanent=bad_certificate, maybe_billed=reached)


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 10:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
