"""Finds out whether an API answers near an address that has none: a ``base_url`` without ``/v1``, or with too much."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from monitor.ask.http import Reply
from monitor.ask.protocol import AskFailed
from monitor.ask.reply_errors import clean
from monitor.core.records import Reason

LOOK_SECONDS: Final = 5.0
"""Time for all looks together, in seconds."""

Look = Callable[[str], Awaitable[Reply]]
"""GET of a URL. Raises AskFailed without a reply."""

_ENDPOINTS: Final = re.compile(r"/(chat/completions|completions|messages|models|responses)/?$")
_ROOTS: Final = ("/v1", "/api/v1", "/openai/v1")


class AddressHint:
    """What to say of an address where no API answers. Looks once."""

    def __init__(self, base_url: str, look: Look) -> None:
        self._base = base_url.rstrip("/")
        self._look = look
        self._words: str | None = None
        self._looking = asyncio.Lock()

    def suits(self, reply: Reply, failed: AskFailed) -> bool:
        """Whether the address may be wrong: no such path, or a page, such as a user interface, at the server's root."""
        if reply.status in (404, 405, 501):
            return True
        page = re.match(r"\s*<(!doctype|html)", reply.text[:200], re.IGNORECASE)
        return bool(page) and failed.reason is Reason.MALFORMED and not re.search(r"/v\d", self._base)

    async def words(self) -> str:
        """A sentence that names the better address, with a full stop before it; empty without one."""
        async with self._looking:
            if self._words is None:
                self._words = await self._found()
            return self._words

    async def _found(self) -> str:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                better = await self._better()
        except TimeoutError:
            return ""
        if better is None:
            return ""
        lacks = "base_url lacks /v1: " if better == f"{self._base}/v1" else "No API answers at base_url, but "
        return clean(f". {lacks}{better}/models answers. Set base_url to {better}", 400)

    async def _better(self) -> str | None:
        if await self._answers(self._base):
            return None
        for candidate in _candidates(self._base):
            if await self._answers(candidate):
                return candidate
        return None

    async def _answers(self, base: str) -> bool:
        """Whether an API lists models there, or asks for a key as an API does."""
        try:
            reply = await self._look(f"{base}/models")
            body = reply.json()
        except (AskFailed, ValueError):
            # The error of the call itself is what counts.
            return False
        if reply.status in (401, 403):
            return isinstance(body, dict) and "error" in body
        listed = body if isinstance(body, list) else body.get("data") if isinstance(body, dict) else None
        return reply.status == 200 and isinstance(listed, list)


def _candidates(base: str) -> Iterator[str]:
    seen = {base}
    shorter = _ENDPOINTS.sub("", base)
    host = re.match(r"[a-z]+://[^/]+", base)
    for one in (shorter, base + "/v1", shorter + "/v1", re.sub(r"/v1(/v1)+$", "/v1", base), base.removesuffix("/v1"),
                *((host[0] + root for root in _ROOTS) if host else ())):  # fmt: skip
        if one not in seen:
            seen.add(one)
            yield one
