"""Objects of S3, Google Cloud Storage and Azure Blob Storage as files, through pyarrow's file systems.

Credentials come from the environment, as the stores' own tools take them. Objects are streamed in ranges: none is
downloaded whole. A store is asked a bounded number of times, each time for a bounded number of seconds.
"""

import errno
import io
import os
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from monitor.core.errors import CouldNotMeasure
from monitor.core.redaction import redact_secrets
from monitor.core.sanitize import visible
from monitor.sample import listing
from monitor.sample.request_log import Window

log = structlog.get_logger()

CONNECT_SECONDS: Final = 10
REQUEST_SECONDS: Final = 60
ATTEMPTS: Final = 3
"""Tries of each request to a store; the waits between them grow."""

RANGE_BYTES: Final = 4 * 2**20
"""Bytes of an object that one request reads."""

_AZURE_ACCOUNT: Final = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
_AZURE_KEY: Final = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY")
_KEYS_OF: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role of the machine",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or the service account of the machine",
    "az": f"{_AZURE_KEY[0]}, AZURE_STORAGE_SAS_TOKEN or the identity of the machine",
}
_DENIED: Final = re.compile(
    r"ACCESS_DENIED|Forbidden|PermissionDenied|Unauthenticated|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|\b40[13]\b|authori[sz]|credential",
    re.IGNORECASE,
)
_AWAY: Final = re.compile(
    r"NETWORK_CONNECTION|curlCode|connect|resolve host|timed? ?out|Unavailable|transport", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a store. Has what the readers use of a ``Path``."""

    url: str
    size: int
    modified: datetime | None
    store: "Store"

    def __str__(self) -> str:
        return self.url

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.url)[1]

    def open(self) -> io.BufferedReader:
        """The object as a seekable stream, read in ranges. Raises OSError."""
        return io.BufferedReader(_Raw(self), RANGE_BYTES)


class Store:
    """The file system of one URL. Raises CouldNotMeasure if it cannot be opened."""

    def __init__(self, url: str) -> None:
        self.scheme, _, rest = url.partition("://")
        self.bucket = rest.partition("/")[0]
        self.url = url
        openers: dict[str, Callable[[], Any]] = {"s3": self._s3, "gs": _gcs, "az": _azure}
        if self.scheme not in openers or not self.bucket or set(self.bucket) & set("*?["):
            raise CouldNotMeasure(
                f"{visible(url)} (production source): use s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH"
            )
        try:
            self.files = openers[self.scheme]()
            info = self.files.get_file_info(self.bucket)
        except OSError as error:
            raise CouldNotMeasure(f"{visible(url)} (production source): {self.why(error)}") from None
        if info.type.name == "NotFound":
            kind = "container" if self.scheme == "az" else "bucket"
            raise CouldNotMeasure(
                f"{visible(url)} (production source): {kind} {self.bucket} not found; check its name, the account and "
                "the region"
            )

    def path(self, url: str) -> str:
        """The path of a URL in the file system of pyarrow."""
        return url.removeprefix(f"{self.scheme}://")

    def why(self, error: OSError) -> str:
        """What went wrong, and what to do."""
        text = str(error)
        if isinstance(error, FileNotFoundError) or "NO_SUCH_BUCKET" in text:
            return f"{self.bucket} or the object was not found; check its name, the account and the region"
        if _DENIED.search(text):
            return f"access denied; grant listing and reading, and check {_KEYS_OF[self.scheme]}"
        if _AWAY.search(text):
            return f"the store cannot be reached; check the network{_ENDPOINT_OF.get(self.scheme, '')}"
        return visible(redact_secrets(" ".join(text.split())), 200)

    def _s3(self) -> Any:
        fs = _pyarrow_fs()
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        options: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "request_timeout": REQUEST_SECONDS,
            "retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        }
        if endpoint:
            options["endpoint_override"] = endpoint
        elif not region:
            region = fs.resolve_s3_region(self.bucket)
        return fs.S3FileSystem(region=region, **options) if region else fs.S3FileSystem(**options)


_ENDPOINT_OF: Final = {"s3": " and AWS_ENDPOINT_URL", "gs": " and STORAGE_EMULATOR_HOST"}


def _gcs() -> Any:
    from datetime import timedelta

    return _pyarrow_fs().GcsFileSystem(retry_time_limit=timedelta(seconds=REQUEST_SECONDS))


def _azure() -> Any:
    account, key = _set(_AZURE_ACCOUNT), _set(_AZURE_KEY)
    if not account:
        raise CouldNotMeasure(f"az:// (production source): set {_AZURE_ACCOUNT[0]} to the name of the storage account")
    token = os.environ.get("AZURE_STORAGE_SAS_TOKEN") if not key else None
    return _pyarrow_fs().AzureFileSystem(account, account_key=key, sas_token=token or None)


def _set(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _pyarrow_fs() -> Any:
    try:
        from pyarrow import fs
    except ImportError:
        raise CouldNotMeasure("object stores need pyarrow: pip install 'cliffwatch[files]'") from None
    return fs


def objects(url: str, unread: listing.Unread, **bounds: int) -> list[Stored]:
    """Sorted objects that ``url`` matches, as ``listing.files``. A folder of a store is always listed whole.

    Raises CouldNotMeasure if the store cannot be listed.
    """
    folders = _Objects(Store(url))
    return [folders.stored[path] for path in sorted(listing.matching(url, folders, unread, **bounds))]


def recent(found: list[Stored], url: str, window: Window) -> list[Stored]:
    """The objects that were not last modified before the window. Logs how many are left out."""
    since = window.since
    if since is None:
        return found
    kept = [one for one in found if one.modified is None or one.modified >= since]
    log.info("objects_listed", path=url, objects=len(found), older_than_window=len(found) - len(kept))
    return kept


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    folder: bool

    def is_dir(self) -> bool:
        return self.folder

    def is_file(self) -> bool:
        return not self.folder


class _Objects:
    """The folders of a store, for ``listing.matching``. Folders are their URLs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.stored: dict[str, Stored] = {}

    def identity(self, folder: str) -> Hashable | None:
        return folder

    def entries(self, folder: str) -> Iterator[_Entry]:
        fs = _pyarrow_fs()
        try:
            selector = fs.FileSelector(self._store.path(folder), allow_not_found=True, recursive=False)
            infos = self._store.files.get_file_info(selector)
        except OSError as error:
            raise CouldNotMeasure(f"{visible(folder)} (production source): {self._store.why(error)}") from None
        for info in infos:
            url = f"{folder}/{info.base_name}"
            is_folder = info.type == fs.FileType.Directory
            if not is_folder:
                self.stored[url] = Stored(url, info.size or 0, info.mtime, self._store)
            yield _Entry(info.base_name, is_folder)


class _Raw(io.RawIOBase):
    """An object as a raw stream of Python. Its errors name what to do."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._file: Any = None
        self._file = self._tried(lambda: stored.store.files.open_input_file(stored.store.path(stored.url)))

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except OSError as error:
            raise OSError(errno.EIO, self._stored.store.why(error)) from None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._tried(lambda: self._file.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()
