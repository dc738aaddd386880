"""Reads each file of a source once: the part that all formats of files share.

A log may be written and rotated while it is read. If a file is renamed between listing and opening, it is found under
its new name, because the listing is repeated until it has nothing new. Files are identified by inode, so that none is
read twice. Objects of a store are not renamed and are listed once.
"""

from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Final, cast

from monitor.core.errors import CouldNotMeasure
from monitor.core.section import is_url
from monitor.core.sources import FileSource
from monitor.sample import listing
from monitor.sample.lines import Place
from monitor.sample.request_log import Logged, Tally, Window

_LISTINGS: Final = 5

ReadPlace = Callable[[Place, set[Hashable], listing.Unread], Iterator[Logged]]
"""(file, identities of the files that were read, files that are not read) -> its requests."""


def swept(source: FileSource, window: Window, tally: Tally, read: ReadPlace) -> Iterator[Logged]:
    """The requests in the files of ``source.path``, one at a time.

    Counts files that it does not read in ``tally``. Raises CouldNotMeasure if no file exists, or if none can be read.
    """
    seen: set[Hashable] = set()
    unread = listing.Unread()
    stored = is_url(source.path)
    for again in range(1 if stored else _LISTINGS):
        found = _places(source, window, tally, unread)
        if again == 0 and not found and not stored:
            raise CouldNotMeasure(_none(source.path, unread))
        if tally.max_lines is not None:
            found = sorted(found, key=_written, reverse=True)
        before = len(seen)
        for place in found:
            tally.path = str(place)
            yield from read(place, seen, unread)
            if tally.max_lines is not None and tally.files:
                break  # the newest file that can be read
        if len(seen) == before or tally.max_lines is not None:
            break
    if not tally.files and (why := unread.why()):
        raise CouldNotMeasure(f"cannot read {why}")
    unread.tell(tally)


def _places(source: FileSource, window: Window, tally: Tally, unread: listing.Unread) -> list[Place]:
    if not is_url(source.path):
        return cast(list[Place], listing.files(source.path, unread))
    from monitor.sample.objects import objects, recent

    timed = source.has_time and tally.max_lines is None
    found = objects(source.path, unread)
    if not found:
        raise CouldNotMeasure(_none(source.path, unread))
    return cast(list[Place], recent(found, source.path, window) if timed else found)


def _written(place: Place) -> tuple[bool, float]:
    if isinstance(place, Path):
        return listing.written(place)
    return place.size > 0, place.modified.timestamp() if place.modified else 0.0


def _none(path: str, unread: listing.Unread) -> str:
    beside = unread.names()
    more = f"; not read, because their names differ: {', '.join(beside)}" if beside else ""
    what = "object" if is_url(path) else "file"
    return f"no {what} matches {path} (production source){more}"
