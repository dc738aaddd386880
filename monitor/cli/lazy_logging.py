"""Sets logging up only when the first line is logged, for commands that usually log nothing."""

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
    """Sets logging up and passes a library's record on to it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def handle(self, record: logging.LogRecord) -> bool:
        _configure()
        logging.getLogger().handle(record)
        return True


def until_something_is_said() -> None:
    """Prepare the process of a short command.

    Library records, warnings and uncaught exceptions are still logged exactly as after ``logs.configure``.
    """
    gc.disable()  # the command ends before garbage matters
    atexit.register(gc.freeze)  # spares the collection at exit, over everything that was imported and read
    logging.getLogger().addHandler(_Late())
    warnings.showwarning = _warned
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _configure() -> None:
    from monitor.core.logs import configure

    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Late)]:
        root.removeHandler(handler)
    warnings.showwarning = PLAIN  # logging.captureWarnings keeps it for other categories
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
