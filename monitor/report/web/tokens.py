"""People who may act: tokens from the configuration, sessions in memory, counts of failed attempts.

Tokens are kept only as SHA-256, which is compared in constant time. Sessions exist in this process only; a restart ends
all of them.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv6Address, IPv6Network, ip_address
from secrets import token_urlsafe
from threading import Lock
from typing import Final

from monitor.core.errors import ConfigError
from monitor.core.settings import LEAST_TOKEN, ActionToken

SESSION: Final = timedelta(hours=12)
"""Duration of a login: a night on call."""

SESSIONS: Final = 1_000
"""Maximum number of sessions at once; the oldest ends first."""

ATTEMPTS: Final = 10
"""Number of wrong tokens from one address in ``WINDOW`` after which further ones get 429."""

WINDOW: Final = timedelta(minutes=10)

ADDRESSES: Final = 10_000
"""Maximum number of addresses that are counted at once; the least recently active is dropped first."""


class Tokens:
    """The people and their tokens."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._digests = {person: _digest(token) for person, token in tokens.items()}

    def person(self, token: str) -> str | None:
        """The owner of the token, or ``None``. Takes the same time in every case."""
        given, found = _digest(token), None
        for person, digest in self._digests.items():
            if compare_digest(given, digest):
                found = person
        return found

    def holds(self, person: str, digest: bytes) -> bool:
        """Whether this is still the person's token: the token or the person may have been removed."""
        return compare_digest(self._digests.get(person, b""), digest)


def read_tokens(
    actions: Mapping[str, ActionToken], environ: Mapping[str, str] = os.environ, key: str = "http.actions"
) -> Tokens:
    """The token of every person or client, from its variable or file. ``key``: where the configuration names them.

    Raises ConfigError, one problem per line, never with a token.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for person, where in actions.items():
        try:
            token = _read(where, environ)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{key}.{person}: token_file cannot be read: {type(error).__name__}")
            continue
        if len(token) < LEAST_TOKEN:
            problems.append(f"{key}.{person}: the token is missing or shorter than {LEAST_TOKEN} characters")
        elif token in found.values():
            problems.append(f"{key}.{person}: another person has the same token")
        found[person] = token
    if problems:
        raise ConfigError("\n".join(problems))
    return Tokens(found)


def _read(where: ActionToken, environ: Mapping[str, str]) -> str:
    if where.token_file is not None:
        return where.token_file.read_text(encoding="utf-8").strip()
    return environ.get(where.token_env or "", "").strip()


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class Session:
    """One login. ``csrf`` is in every form shown to this session, and nowhere else."""

    person: str
    token: bytes
    """The SHA-256 of the token that began the session."""
    ends_at: datetime
    csrf: str = field(default_factory=lambda: token_urlsafe(32))
    told: str | None = None
    """The result of the last action, to show once, on the next page."""


class Sessions:
    """Sessions by the SHA-256 of their cookie's value."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._lock = Lock()

    def begin(self, person: str, token: str) -> str:
        """Begin a session and return the value of its cookie, which is always new, never sent by a browser."""
        name = token_urlsafe(32)
        now = self._clock()
        with self._lock:
            for old in [key for key, one in self._sessions.items() if one.ends_at <= now]:
                del self._sessions[old]
            while len(self._sessions) >= SESSIONS:
                self._sessions.popitem(last=False)
            self._sessions[_digest(name)] = Session(person, _digest(token), now + SESSION)
        return name

    def find(self, name: str, tokens: Tokens) -> Session | None:
        """The session of a cookie, if it has not expired and its person still has the token that began it."""
        found = self._sessions.get(_digest(name))
        if found is None or found.ends_at <= self._clock() or not tokens.holds(found.person, found.token):
            return None
        return found

    def end(self, name: str) -> None:
        with self._lock:
            self._sessions.pop(_digest(name), None)


class Failures:
    """Counts wrong tokens by address, to tell a guessing client to stop and to keep the log small. Blocks nobody."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self._lock = Lock()

    def wait(self, address: str) -> int:
        """Seconds until a wrong token from this address counts again; 0: now."""
        count, until = self._counts.get(_network(address), (0, self._clock()))
        left = (until - self._clock()) / timedelta(seconds=1)
        return max(1, round(left)) if count >= ATTEMPTS and left > 0 else 0

    def failed(self, address: str) -> None:
        """Count one failure. The count restarts ``WINDOW`` after its first."""
        now, key = self._clock(), _network(address)
        with self._lock:
            count, until = self._counts.pop(key, (0, now + WINDOW))
            self._counts[key] = (1, now + WINDOW) if until <= now else (count + 1, until)
            while len(self._counts) > ADDRESSES:
                self._counts.popitem(last=False)


def _network(address: str) -> str:
    """An IPv6 address as its /64, which usually belongs to one customer."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
