"""Reads paged JSON APIs over HTTP within bounds: of time, of attempts, and of the bytes of one page.

Every error is a ``CouldNotMeasure`` that names the URL without its query, what happened and what to do. Keys are read
from the environment, sent to the configured host only, and removed from what the server says.
"""

import base64
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason
from monitor.core.redaction import redact_secrets
from monitor.core.sanitize import visible
from monitor.sample.left_out import kind_of
from monitor.sample.tally import Tally

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one reading. Times are in seconds."""

    page_bytes: int = 32 * 2**20
    """Largest reply. A larger page is asked again with fewer records."""
    attempts: int = 5
    """Requests for one page, the first included."""
    first_wait: float = 0.5
    """Wait after the first failure; it doubles with each further one."""
    longest_wait: float = 60.0
    """Longest wait before a retry. A server that asks for more ends the reading."""
    silence: float = 30.0
    """Longest time without a byte from the server."""
    reply: float = 120.0
    """Longest time of one reply."""
    total: float = 3600.0
    """Longest time of the whole reading."""


QUICK: Final = Limits(attempts=1, silence=10.0, reply=30.0, total=30.0)
"""For ``cliffwatch check``, which reads the newest requests only."""

_RETRIED: Final = frozenset((408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529))
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_ERROR_BYTES: Final = 64 * 2**10
_SAID: Final = 200
_MESSAGES: Final = ("message", "msg", "detail", "error", "title")


class TooLargeError(Exception):
    """The reply has more bytes than one page may have."""


class _Failed(Exception):
    """A request that may succeed later. ``wait``: seconds that the server asks for."""

    def __init__(self, what: str, advice: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.what, self.advice, self.wait = what, advice, wait


def limits_of(tally: Tally, limits: Limits | None) -> Limits:
    """``limits``, or the defaults for a run or for ``check``."""
    return limits or (Limits() if tally.max_lines is None else QUICK)


def key(variable: str) -> str:
    """The key in an environment variable. Raises CouldNotMeasure."""
    found = os.environ.get(variable, "").strip()
    if not found:
        raise CouldNotMeasure(f"environment variable {variable} is not set or empty; it holds the key of the source")
    if not (found.isascii() and found.isprintable()):
        raise CouldNotMeasure(f"environment variable {variable} contains characters that are not allowed in a key")
    return found


def basic(user: str, password: str) -> str:
    """The value of an ``Authorization`` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def bearer(variable: str | None) -> tuple[str, Sequence[str]]:
    """The value of an ``Authorization`` header with the token in a variable, and what is secret in it."""
    token = "" if variable is None else key(variable)
    return (f"Bearer {token}", (token,)) if token else ("", ())


class JsonApi:
    """One server. Use it as a context manager.

    ``authorization``: value of the header; empty for none. ``keys``: what must not be in errors. ``advice``: HTTP
    status -> what to do.
    """

    def __init__(
        self, base_url: str, authorization: str, keys: Sequence[str], advice: Mapping[int, str], limits: Limits
    ) -> None:
        import httpx2

        self._base = base_url.rstrip("/")
        self._secrets = [*keys, *authorization.split()[1:]]
        self._advice = advice
        self._limits = limits
        self._ends = time.monotonic() + limits.total
        # uncompressed replies can be bounded while they are read
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "cliffwatch"}
        if authorization:
            headers["Authorization"] = authorization
        self._client = httpx2.Client(
            headers=headers, follow_redirects=False, timeout=httpx2.Timeout(limits.silence, connect=10.0)
        )

    def __enter__(self) -> "JsonApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object in the reply. Raises TooLargeError and CouldNotMeasure."""
        return self._ask("GET", path, parameters, None)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The object in the reply to a query with a body. Raises TooLargeError and CouldNotMeasure."""
        return self._ask("POST", path, None, body)

    def where(self, path: str) -> str:
        """The URL of a path, without user, password and query."""
        parts = urlsplit(self._base + path)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _ask(
        self, method: str, path: str, parameters: Mapping[str, Any] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        failures = 0
        while True:
            if time.monotonic() > self._ends:
                raise CouldNotMeasure(
                    f"{self.where(path)}: not read to the end within {self._limits.total:,.0f} s; "
                    "sample more often, or filter at the source"
                )
            try:
                return self._once(method, path, parameters, body)
            except _Failed as error:
                failures += 1
                self._wait(path, error, failures)

    def _wait(self, path: str, error: _Failed, failures: int) -> None:
        """Sleep before the next attempt. Raises CouldNotMeasure if there is none."""
        told = f"{self.where(path)}: {error.what}"
        if failures >= self._limits.attempts:
            tries = f" ({failures} attempts)" if failures > 1 else ""
            raise CouldNotMeasure(f"{told}{tries}; {error.advice}")
        if error.wait is not None and error.wait > self._limits.longest_wait:
            raise CouldNotMeasure(f"{told}; it asks to wait {error.wait:,.0f} s; {error.advice}")
        wait = self._limits.first_wait * 2.0 ** (failures - 1) * random.uniform(0.5, 1.0)
        time.sleep(min(self._limits.longest_wait, wait if error.wait is None else error.wait))

    def _once(
        self, method: str, path: str, parameters: Mapping[str, Any] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        import httpx2

        try:
            with self._client.stream(method, self._base + path, params=parameters, json=body) as response:
                status = response.status_code
                data = self._read(response, self._limits.page_bytes if status == 200 else _ERROR_BYTES)
        except httpx2.HTTPError as error:
            why = "no reply in time" if isinstance(error, httpx2.TimeoutException) else f"no reply ({_reason(error)})"
            raise _Failed(why, "check that the server runs and that `base_url` is right") from None
        except (httpx2.InvalidURL, UnicodeError):
            raise CouldNotMeasure(f"{self.where(path)}: not a valid URL; correct `base_url`") from None
        if status == 200:
            return self._object(data, path)
        raise self._refusal(status, response.headers, data, path)

    def _read(self, response: "httpx2.Response", limit: int) -> bytes:
        """The body. Of an error, at most ``limit`` bytes. Raises TooLargeError if a page has more."""
        parts, size, ends = [], 0, time.monotonic() + self._limits.reply
        for part in response.iter_bytes():
            size += len(part)
            parts.append(part)
            if size > limit:
                if response.status_code == 200:
                    raise TooLargeError
                break
            if time.monotonic() > ends:
                raise _Failed(f"no complete reply within {self._limits.reply:,.0f} s", "check the load of the server")
        return b"".join(parts)

    def _refusal(self, status: int, headers: Mapping[str, str], data: bytes, path: str) -> Exception:
        if status in _REDIRECTS:
            target = urlsplit(headers.get("location", ""))
            host = visible(target.netloc.rpartition("@")[2], 100)
            to = f" to {host}" if host else ""
            return CouldNotMeasure(
                f"{self.where(path)}: HTTP {status}, a redirect{to}, which is not followed; correct `base_url`"
            )
        said = self._said(data)
        what = f"HTTP {status}" + (f", {said}" if said else "")
        advice = self._advice.get(status, _advice(status))
        if status in _RETRIED:
            return _Failed(what, advice, _retry_after(headers.get("retry-after", "")))
        return CouldNotMeasure(f"{self.where(path)}: {what}; {advice}")

    def _said(self, data: bytes) -> str:
        """The server's own words in an error, in quotes, without keys, in one line."""
        text = _words(data.decode("utf-8", "replace"))
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        text = " ".join(redact_secrets(text).split())
        return f'"{visible(text, _SAID)}"' if text else ""

    def _object(self, data: bytes, path: str) -> dict[str, Any]:
        try:
            found = json.loads(data.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError):
            what = "a web page" if data.lstrip()[:1] == b"<" else "no valid JSON"
            raise CouldNotMeasure(
                f"{self.where(path)}: HTTP 200 with {what}; check that `base_url` is that of the server's API"
            ) from None
        if not isinstance(found, dict):
            raise CouldNotMeasure(
                f"{self.where(path)}: the reply is {kind_of(found)}, not an object; "
                "check that `base_url` is that of the server's API"
            )
        return found


Page = tuple[list[Any], str | None]
"""The records of a page, and the cursor of the next one; ``None`` after the last."""

Fetch = Callable[[str | None, int], Page]
"""(cursor, records) -> the page that begins there."""


def pages(api: JsonApi, path: str, fetch: Fetch, size: int, tally: Tally, slim: Fetch | None = None) -> Iterator[Any]:
    """The records of all pages, ``size`` a page, or fewer while pages are too large.

    A single record that is too large is counted, if ``slim`` can ask for it without its content.
    Raises CouldNotMeasure if the server repeats a cursor, or if a single record is too large without ``slim``.
    """
    cursor: str | None = None
    seen: set[str] = set()
    count = size
    while True:
        try:
            records, following = fetch(cursor, count)
            yield from records
            count = min(size, count * 2)
        except TooLargeError:
            if count > 1:
                count = max(1, count // 4)
                continue
            if slim is None:
                raise CouldNotMeasure(f"{api.where(path)}: one record has more bytes than a page may have") from None
            records, following = slim(cursor, 1)
            for _ in records:
                tally.leave(LeftOutReason.LINE_TOO_LONG, "a record that is larger than a page")
        if following is None:
            return
        if following in seen:
            raise CouldNotMeasure(
                f"{api.where(path)}: the server returned the same cursor twice, so the list does not end; "
                "update the server"
            )
        seen.add(following)
        cursor = following


def listed(reply: Mapping[str, Any], name: str, api: JsonApi, path: str) -> list[Any]:
    """The list under a key of a reply; empty if it is missing. Raises CouldNotMeasure for anything else."""
    found = reply.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise CouldNotMeasure(f"{api.where(path)}: `{name}` is {kind_of(found)}, not a list; update the server")
    return found


def text_or_none(value: Any) -> str | None:
    """A cursor of a reply; ``None`` if there is none."""
    return value if isinstance(value, str) and value else None


def _advice(status: int) -> str:
    if status in (401, 403):
        return "check the key of the source and its permissions"
    if status == 404:
        return "check `base_url` and the server's version"
    if status == 429:
        return "raise the server's rate limit, or sample at another time"
    return "look at the server's log" if status >= 500 else "check the settings of the source"


def _words(text: str) -> str:
    """The message in the body of an error; empty for a web page."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip()[:1] == "<" else text
    for _ in range(3):
        if isinstance(found, list) and found:
            found = found[0]
        elif isinstance(found, dict):
            found = next(
                (found[name] for name in ("message", "msg", "detail", "error", "title") if found.get(name)), ""
            )
    return found if isinstance(found, str) else ""


def _retry_after(value: str) -> float | None:
    """Seconds in a ``Retry-After`` header, >= 0; ``None`` without one."""
    try:
        return float(value) if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()) else max(0.0, _until(value))
    except (ValueError, TypeError, IndexError):
        return None


def _until(date: str) -> float:
    at = parsedate_to_datetime(date)
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _reason(error: BaseException) -> str:
    """The system's words for a failed connection, else the type of the error."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            break
        if isinstance(found, OSError) and found.errno is not None:
            return str(found.strerror or os.strerror(found.errno)).lower() if found.errno > 0 else "unknown host"
        found = found.__cause__ or found.__context__
    return type(error).__name__


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
