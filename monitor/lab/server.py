"""The lab's server process: uvicorn around the gateway, with control of its clients' connections."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.lab.gateway import Gateway
from monitor.lab.served import Catalogue

_GRACE_SECONDS: Final = 1


class Connections:
    """The open client connections by address, so that a fault can reset one."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def drop(self, client: tuple[str, int]) -> None:
        """Reset the connection of ``client`` (host, port), if it is still open."""
        if (transport := self._open.get(client)) is not None:
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """uvicorn's HTTP protocol, keeping this book of connections."""
        book = self._open

        class Booked(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    book[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    book.pop(self.client, None)
                super().connection_lost(exc)

        return Booked


def serve(host: str, port: int, weights: Path, ready: Callable[[str], Any], until_stdin_closes: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; ``port`` 0 takes a free one. ``ready`` is told the URL once it answers.

    With ``until_stdin_closes`` the end of standard input stops it too, so that it cannot outlive the process
    that holds the other end. Raises `WeightsMissingError`, and `OSError` when the address is taken.
    """
    connections = Connections()
    gateway = Gateway(Catalogue(weights), connections.drop)
    listener = socket.create_server((host, port), backlog=512)
    config = uvicorn.Config(
        gateway.app(),
        http=connections.protocol(),
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=60,
    )
    server = _Server(config, lambda: ready(f"http://{host}:{listener.getsockname()[1]}"))
    if until_stdin_closes:
        threading.Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    with listener:
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], Any]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    # os.read, because the interpreter cannot end while a daemon thread holds the lock of sys.stdin.
    while os.read(sys.stdin.fileno(), 4096):
        continue
    server.should_exit = True
