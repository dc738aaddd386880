"""A real HTTP/1.1 server on the loopback that replays a script of replies, for every test that needs a provider."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``hang`` seconds pass before it; ``drop`` closes the connection instead, ``cut`` in mid-body."""

    status: int = 200
    body: Any = None
    """Sent as JSON, unless it is bytes."""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: float = 0.0
    drop: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: Any


Script = Sequence[Reply] | Callable[[Request], Reply]
"""Replies in order, the last one again and again; or a function of the request."""


class ScriptedServer:
    """``async with ScriptedServer([...]) as server``; then ``server.url`` and ``server.requests``."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._one(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(head[0].split(" ")[1], headers, json.loads(raw) if raw else None)
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self._reply_to(request)
            if reply.hang:
                await asyncio.sleep(reply.hang)
        finally:
            self.in_flight -= 1
        if reply.drop:
            return False
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        lines = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
        start = f"HTTP/1.1 {reply.status} Because\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        writer.write(start.encode("latin-1") + b"\r\n" + (body[: len(body) // 2] if reply.cut else body))
        await writer.drain()
        return not reply.cut

    def _reply_to(self, request: Request) -> Reply:
        if callable(self.script):
            return self.script(request)
        return self.script[min(len(self.requests), len(self.script)) - 1]


def completion(text: str | None = "hello", **more: Any) -> dict[str, Any]:
    """A Chat Completions reply; keywords replace its fields, ``choice`` and ``message`` add to those parts."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-2026",
        "system_fingerprint": "fp-1",
        "choices": [choice],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        **more,
    }


def message(text: str | None = "hello", **more: Any) -> dict[str, Any]:
    """A Messages reply; keywords replace its fields."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-2026",
        "content": [{"type": "text", "text": text}] if text is not None else [],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 11, "output_tokens": 7},
        **more,
    }
