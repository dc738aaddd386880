"""The daemon's process: its signals and its memory. ``cliffwatch run`` is this."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from monitor.daemon.app import App
from monitor.daemon.memory import bound_heaps


async def run_daemon(config_path: Path, *, standby: bool = False) -> None:
    """``cliffwatch run``: start, then wait for SIGTERM or SIGINT. SIGHUP reloads the configuration."""
    bound_heaps()
    app = App(config_path, standby=standby)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[str | None]] = set()

    def reload() -> None:
        task = asyncio.create_task(app.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await app.start()
    with suppress(asyncio.CancelledError):
        await stop.wait()
    await app.stop()
