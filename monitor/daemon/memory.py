"""Gives memory back to the system. glibc keeps what many threads have freed, so the daemon would only grow."""

import ctypes
import sys
from functools import cache
from time import monotonic
from typing import Any, Final

ARENAS: Final = 2
"""Heaps of the process. By default glibc has up to eight for each core, and each keeps the peak of its replies."""

TRIM_SECONDS: Final = 10.0

LARGE_BYTES: Final = 256 * 1024
"""Blocks from this size on, such as large replies, are mapped one by one and go back as soon as they are freed. By
default glibc raises this size to that of the largest freed block, up to 32 MB."""

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""``mallopt``'s parameters in glibc's malloc.h."""


@cache
def _glibc() -> Any:
    """The C library if it is glibc, else ``None``."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def bound_heaps() -> None:
    """At the start of the process, before there are threads."""
    if (library := _glibc()) is not None:
        library.mallopt(_M_ARENA_MAX, ARENAS)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


class Trim:
    """Returns free memory every ``TRIM_SECONDS``."""

    def __init__(self) -> None:
        self._last = monotonic()

    def now_and_then(self) -> None:
        """Call from a worker thread, at every tick. Takes a few milliseconds when it is time."""
        if monotonic() - self._last >= TRIM_SECONDS and (library := _glibc()) is not None:
            self._last = monotonic()
            library.malloc_trim(0)
