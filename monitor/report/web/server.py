"""uvicorn inside the daemon's event loop: the daemon handles the signals and decides when to stop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn
from fastapi import FastAPI

from monitor.report.web.connections import ACCEPTED_AT_ONCE, bounded, connection_bound, sweep

GRACE_SECONDS: Final = 3
"""Maximum time that a request in flight may take after ``stop``."""

QUEUE: Final = 128
"""Connections that wait in the system for the daemon to accept them."""


class _Embedded(uvicorn.Server):
    """Leaves SIGINT and SIGTERM, which uvicorn would handle, to the daemon."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """``port = await start()``, then ``await stop()``."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._host = host
        self._port = port
        bound = connection_bound()
        self._server = _Embedded(
            uvicorn.Config(
                app,
                http=bounded(bound),
                backlog=ACCEPTED_AT_ONCE,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=65,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and return the port; for port 0, the port that the system chose.

        Raises OSError if the address is in use or does not belong to this machine.
        """
        listening = self._listen()
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="http")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError(f"the HTTP server on {self._host}:{self._port} stopped during its start")
            await asyncio.sleep(0.01)
        listening.listen(QUEUE)  # asyncio has made the system's queue as short as its own
        self._sweeping = asyncio.create_task(sweep(self._server.server_state.connections), name="http-sweep")
        return int(listening.getsockname()[1])

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Names the protocol: asyncio sets TCP_NODELAY only if it can read it. Without it, a reply's body waits until
        # the browser has acknowledged its head, which takes 40 ms on a kept-alive connection.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self._host, self._port))
            listening.listen(QUEUE)
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise OSError(error.errno, f"cannot listen on {self._host}:{self._port}: {error.strerror}") from error
        return listening

    async def stop(self) -> None:
        """Finish requests in flight, for at most ``GRACE_SECONDS``, and close the port. Safe to call twice."""
        if self._task is None:
            return
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._server.should_exit = True
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
