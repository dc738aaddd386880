"""Logs for a command that has nothing to log: set up only when something is said after all."""

import atexit
import gc
import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Final

PLAIN: Final = warnings.showwarning


class _Late(logging.Handler):
    """Gives what a library logs to the logs, which are set up by then."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def handle(self, record: logging.LogRecord) -> bool:
        _configure()
        logging.getLogger().handle(record)
        return True


def until_something_is_said() -> None:
    """Make this the process of a short command.

    A library's line, a warning and an uncaught exception come out as ``logs.configure`` would have them.
    """
    gc.disable()  # such a command is over before there is garbage that counts
    atexit.register(gc.freeze)  # nor does Python look for any at the end, through all that was imported and read
    logging.getLogger().addHandler(_Late())
    warnings.showwarning = _warned
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _configure() -> None:
    from monitor.core.logs import configure

    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Late)]:
        root.removeHandler(handler)
    warnings.showwarning = PLAIN  # which the logs keep for what is not theirs
    configure(service=False)


def _warned(*arguments: Any, **named: Any) -> None:
    _configure()
    warnings.showwarning(*arguments, **named)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _configure()
    sys.excepthook(kind, error, trace)


def _uncaught_in_thread(arguments: Any) -> None:
    _configure()
    threading.excepthook(arguments)
