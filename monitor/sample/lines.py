"""The numbered lines of one log file, plain or compressed, in any encoding of Unicode, within bounds."""

import bz2
import codecs
import gzip
import io
import json
import lzma
import os
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, Union, cast

from monitor.core.records import LeftOutReason, UnreadReason
from monitor.sample.early import Early
from monitor.sample.listing import Unread
from monitor.sample.tally import Tally

if TYPE_CHECKING:
    from monitor.sample.objects import Stored

Place = Union[Path, "Stored"]
"""A file of this machine, or an object of a store."""

MAX_LINE_BYTES: Final = 8 * 2**20
"""Longer lines are skipped and counted as malformed, so that memory is bounded."""

MAX_UNPACKED: Final = 8 * 2**30
"""Bytes that are read of one compressed file, after decompression."""

MAX_RATIO: Final = 1000
"""Largest ratio of the sizes after and before compression, once ``RATIO_FROM`` bytes were read. Logs reach 100."""

RATIO_FROM: Final = 64 * 2**20

ZSTD_WINDOW_LOG: Final = 27
"""Largest window of a Zstandard frame, as a power of two: 128 MiB, as much as ``zstd`` itself accepts by default."""

_UNREADABLE: Final = (
    (b"\x04\x22\x4d\x18", "LZ4"), (b"\x1f\x9d", "compress (.Z)"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"PAR1", "Parquet"), (b"Obj\x01", "Avro"), (b"SQLite format 3", "SQLite"),
    (b"\x89HDF", "HDF5"), (b"ARROW1", "Arrow"), (b"Rar!", "RAR"), (b"%PDF", "PDF"),
)  # fmt: skip
_USE: Final = "use gzip, bzip2, xz, Zstandard or plain text"
_PRETTY_LINES: Final = 100_000

T = TypeVar("T")


class Line(NamedTuple):
    number: int
    data: bytes


class Bound(Exception):
    """Decompression reached a limit."""


class _Counted(io.RawIOBase):
    """A decompressed stream that ends at a limit of bytes or of the ratio."""

    def __init__(self, inner: IO[bytes], raw: IO[bytes], max_bytes: int, max_ratio: int) -> None:
        self._inner, self._raw, self._size = inner, raw, 0
        self._max_bytes, self._max_ratio = max_bytes, max_ratio

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        self._size += len(data)
        if self._size > self._max_bytes:
            raise Bound(f"more than {self._max_bytes:,} bytes after decompression")
        if self._size > RATIO_FROM and self._size > self._max_ratio * max(1, self._raw.tell()):
            raise Bound(f"more than {self._max_ratio:,} times its size after decompression")
        return len(data)


def opened(place: Place) -> tuple[io.BufferedReader, Hashable]:
    """The bytes of a file or object, and its identity under all its names. Raises OSError."""
    if isinstance(place, Path):
        raw = place.open("rb")
        status = os.fstat(raw.fileno())
        return raw, (status.st_dev, status.st_ino)
    return place.open(), str(place)


def lines(
    path: Place, seen: set[Any], unread: Unread, tally: Tally, max_line_bytes: int = MAX_LINE_BYTES,
    max_unpacked: int = MAX_UNPACKED, max_ratio: int = MAX_RATIO, early: Early | None = None,
) -> Iterator[Line]:  # fmt: skip
    """Numbered complete lines of a file that is not in ``seen``; nothing if it was rotated away in the meantime.

    ``early``: why a line is outside the window, if its bytes tell; such a line is counted and not yielded.

    Counts damage and lines that are too long in ``tally``, and files in an unknown format in ``unread``.
    """
    number = 0

    def skipped(line: bytes, at: int) -> bool:
        reason = early(line) if early is not None else None
        if reason is None:
            return False
        tally.line = at
        tally.leave(reason)
        return True

    def split(stream: IO[bytes]) -> Iterator[Line]:
        nonlocal number
        for number, data in _gathered(
            _split(stream, max_line_bytes, None if early is None else skipped), max_line_bytes
        ):
            if data is None:
                tally.leave(LeftOutReason.LINE_TOO_LONG, f"more than {max_line_bytes:,} bytes", f"{path}:{number}")
            else:
                yield Line(number, data)

    yield from reading(path, seen, unread, tally, split, lambda: number, max_unpacked, max_ratio)


def reading(
    path: Place, seen: set[Hashable], unread: Unread, tally: Tally, read: Callable[[IO[bytes]], Iterator[T]],
    line: Callable[[], int], max_unpacked: int = MAX_UNPACKED, max_ratio: int = MAX_RATIO,
) -> Iterator[T]:  # fmt: skip
    """What ``read`` yields of the decompressed text of a file, in UTF-8. ``line``: number of the line it is at.

    Counts the file, and as ``lines`` its damage.
    """
    try:
        raw, identity = opened(path)
        with raw:
            if identity in seen:
                return
            seen.add(identity)
            stream = _stream(raw, path, unread, max_unpacked, max_ratio)
            if stream is None:
                return
            tally.files += 1
            yield from read(stream)
    except FileNotFoundError:
        return
    except Bound as bound:
        unread.add(UnreadReason.TOO_LARGE, str(path), f"{bound}; read up to there")
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError):
        tally.leave(LeftOutReason.DAMAGED, "a damaged file", f"{path}: damaged after line {line()}")
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is None:  # the error of bz2 about its data
            tally.leave(LeftOutReason.DAMAGED, "a damaged file", f"{path}: damaged after line {line()}")
        else:
            unread.add(UnreadReason.NO_ACCESS, str(path), getattr(error, "strerror", None) or str(error))


def _stream(raw: Any, path: Place, unread: Unread, max_unpacked: int, max_ratio: int) -> IO[bytes] | None:
    """The text of the file as bytes in UTF-8; ``None`` for an unreadable format, which ``unread`` counts.

    The format is known by content, because rotated names do not always show it.
    """
    head = raw.peek(16)[:16]
    if path.suffix == ".br":  # Brotli has no magic number
        unread.add(UnreadReason.UNKNOWN_FORMAT, str(path), f"Brotli is not read: {_USE}")
        return None
    for magic, name in _UNREADABLE:
        if head.startswith(magic):
            unread.add(UnreadReason.UNKNOWN_FORMAT, str(path), f"{name} is not read: {_USE}")
            return None
    opened = _decompressed(raw, head, path, unread)
    if opened is None:
        return None
    stream: Any = opened
    if opened is not raw:
        stream = io.BufferedReader(_Counted(opened, raw, max_unpacked, max_ratio), 2**16)
        head = stream.peek(300)
        if head[257:262] == b"ustar":
            unread.add(UnreadReason.UNKNOWN_FORMAT, str(path), "a tar archive is not read: unpack it")
            return None
    return _utf8(stream, head[:4])


def _decompressed(raw: Any, head: bytes, path: Place, unread: Unread) -> IO[bytes] | None:
    openers: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
        (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
        (b"BZh", bz2.BZ2File),
        (b"\xfd7zXZ\x00", lzma.LZMAFile),
        (b"\x28\xb5\x2f\xfd", _zstandard),
    )
    for magic, opener in openers:
        if head.startswith(magic):
            return cast(IO[bytes], opener(raw))
    if not head.startswith(b"PK\x03\x04"):
        return cast(IO[bytes], raw)
    members = [one for one in zipfile.ZipFile(raw).infolist() if not one.is_dir()]
    if len(members) != 1 or members[0].flag_bits & 1:
        why = "an encrypted zip file" if len(members) == 1 else f"a zip file with {len(members)} files in place of one"
        unread.add(UnreadReason.UNKNOWN_FORMAT, str(path), f"{why} is not read")
        return None
    return zipfile.ZipFile(raw).open(members[0])


def _zstandard(raw: Any) -> Any:
    """Imported with the first such file, because few logs have one."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    # A frame names how much of its past a decoder must keep, so a small file could claim gigabytes.
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    return _Zstandard(zstd.ZstdFile(raw, options=options), zstd.ZstdError)


class _Zstandard:
    """``read`` of a file whose errors about its data are those of the other formats."""

    def __init__(self, inner: Any, error: type[Exception]) -> None:
        self._inner, self._error = inner, error

    def read(self, size: int) -> bytes:
        try:
            return cast(bytes, self._inner.read(size))
        except self._error as failed:
            raise EOFError(str(failed)) from None


def _utf8(stream: IO[bytes], head: bytes) -> IO[bytes]:
    """The stream; text in UTF-16 or UTF-32 is converted, with or without its byte order mark."""
    encoding = ""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        encoding = "utf-32"
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif head[:1] in (b"{", b"[") and head[1:2] == b"\0" and head[2:3] != b"\0":
        encoding = "utf-16-le"
    elif head[:1] == b"\0" and head[1:2] in (b"{", b"["):
        encoding = "utf-16-be"
    if not encoding:
        return stream
    return cast(IO[bytes], _Recoded(io.TextIOWrapper(stream, encoding, errors="replace", newline="\n")))


class _Recoded:
    """``readline`` of a text as bytes in UTF-8."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text

    def readline(self, size: int) -> bytes:
        return self._text.readline(size).encode("utf-8", "replace")


def _split(
    stream: IO[bytes], max_line_bytes: int, skipped: Callable[[bytes, int], bool] | None
) -> Iterator[tuple[int, bytes | None]]:
    """(number, line); ``None`` for a line that is too long. Blank lines, and those that ``skipped`` counts, are left
    out."""
    number = 0
    while line := stream.readline(max_line_bytes + 1):
        number += 1
        if skipped is not None and skipped(line, number):
            continue
        whole = line.endswith(b"\n")
        if not whole and len(line) > max_line_bytes:
            yield number, None
            while line and not line.endswith(b"\n"):
                line = stream.readline(max_line_bytes + 1)
            continue
        line = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
        if line.strip(b"\0 \t\r\f\v") and (whole or _complete(line)):
            yield number, line.strip(b"\0") if line[:1] == b"\0" else line


def _complete(line: bytes) -> bool:
    """Whether a last line without newline is complete."""
    if line.strip() in (b"}", b"]"):
        return True
    try:
        json.loads(line.strip().removesuffix(b"]") if line.lstrip()[:1] == b"{" else line)
    except (ValueError, RecursionError):
        return False
    return True


def _gathered(split: Iterator[tuple[int, bytes | None]], max_line_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """The lines, with JSON that is written over several lines as one. Brackets of an array around them are left out."""
    back: deque[tuple[int, bytes | None]] = deque()
    while True:
        item = back.popleft() if back else next(split, None)
        if item is None:
            return
        number, line = item
        bare = line.strip() if line is not None and len(line) < 64 else None
        if bare == b"{" and line is not None:
            rest = _rest(split, back, len(line) - len(line.lstrip()), max_line_bytes)
            yield number, line if rest is None else b"\n".join((line, *rest))
        elif bare not in (b"[", b"]"):
            yield item


def _rest(
    split: Iterator[tuple[int, bytes | None]], back: deque[tuple[int, bytes | None]], indent: int, max_bytes: int
) -> list[bytes] | None:
    """The lines up to the closing bracket at ``indent``. ``None`` if it does not come; ``back`` has the lines then."""
    taken: list[tuple[int, bytes | None]] = []
    size = 0
    while len(taken) < _PRETTY_LINES:
        item = back.popleft() if back else next(split, None)
        if item is None:
            break
        taken.append(item)
        line = item[1]
        if line is None:
            break
        size += len(line)
        depth = len(line) - len(line.lstrip())
        if depth <= indent and line.strip() in (b"}", b"},"):
            return [one for _, one in taken if one is not None]
        if depth <= indent or size > max_bytes:
            break
    back.extendleft(reversed(taken))
    return None
