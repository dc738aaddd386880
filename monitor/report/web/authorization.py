"""Authorization of actions: a session on our own pages, or a token from anywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog
from fastapi import HTTPException, Request

from monitor.core.errors import CliffwatchError, NotThere
from monitor.core.records import AuditEntry
from monitor.core.settings import Settings
from monitor.report.web.models import LONGEST_ID
from monitor.report.web.session_middleware import is_own, is_secure
from monitor.report.web.tokens import Failures, Sessions, Tokens

log = structlog.get_logger()

LONGEST_WHY: Final = 1_000
"""Maximum number of characters of a reason."""


class Doing(Protocol):
    """Performs the actions of people. Raises CliffwatchError with a readable reason if an action is not possible."""

    def approve(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def retire(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def acknowledge(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def acknowledge_all(self, target: str, who: str, why: str, address: str | None = None) -> list[AuditEntry]: ...
    def clear(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def accept(
        self, target: str, part: str, who: str, why: str, address: str | None = None, suite: str | None = None
    ) -> list[AuditEntry]: ...
    def run(self, target: str, suite: str, who: str, why: str, address: str | None = None) -> AuditEntry: ...


@dataclass(frozen=True)
class Acting:
    """What the pages need for actions. Without it they are read-only."""

    doing: Doing
    tokens: Callable[[], Tokens]
    """Returns the tokens in force; a reload reads them again."""


def address_of(request: Request) -> str:
    """The client address of a request; behind a proxy on this machine, the address that the proxy reports."""
    return request.client.host if request.client else "unknown"


def sent_elsewhere(request: Request, url: str | None, *, typed: bool) -> bool:
    """Whether the browser's headers show that another site's page sent this request. Programs send no such headers.

    Both headers are checked: over plain http to any other machine, browsers omit ``Sec-Fetch-Site``.
    ``typed``: accept a request that the person made directly, not from a page.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in ((None, "same-origin", "none") if typed else (None, "same-origin")):
        return True
    return origin is not None and not is_own(request, origin, url)


class Gate:
    """Admits people who may act, and forms only from our own pages."""

    def __init__(self, acting: Acting, settings: Callable[[], Settings], clock: Callable[[], datetime]) -> None:
        self._acting = acting
        self._settings = settings
        self.sessions = Sessions(clock)
        self._failures = Failures(clock)

    def person_of(self, request: Request, token: str, way: str) -> str:
        """The owner of the token. Raises HTTPException: 401 if the token is unknown, 429 after too many unknown tokens.

        A valid token is accepted at any time. Behind a proxy all requests may come from one address. If that address
        were blocked, a stranger who guesses could lock out the on-call at night. Accepting it is safe: a token has at
        least ``LEAST_TOKEN`` characters, 128 bits if written by ``openssl rand -hex``, and a daemon cannot answer fast
        enough for guessing to succeed. The limit tells a guessing client to stop and keeps it from filling the log.
        """
        return owner_of(self._acting.tokens(), self._failures, request, token, way)

    def own_page(self, request: Request) -> None:
        """Raises HTTPException 403 if another site's page may have sent the form."""
        unsaid = "sec-fetch-site" not in request.headers and "origin" not in request.headers
        if unsaid or sent_elsewhere(request, self._settings().http.url, typed=False):
            raise HTTPException(
                403, "the form did not come from a Cliffwatch page, so nothing was changed. Behind a proxy, set "
                "http.url to the address at which people reach the pages",
            )  # fmt: skip

    def secure(self, request: Request) -> bool:
        """Whether cookies must be sent over TLS only."""
        return is_secure(request, self._settings().http.url)


def owner_of(tokens: Tokens, failures: Failures, request: Request, token: str, way: str) -> str:
    """The owner of the token. Raises HTTPException as ``Gate.person_of`` does."""
    owner = tokens.person(token.strip())
    if owner is not None:
        return owner
    address = address_of(request)
    wait = failures.wait(address)
    if wait:
        raise HTTPException(
            429, f"unknown token, and {address} sent too many unknown tokens. Wait {wait} s before the next try. "
            "A valid token is accepted at any time", {"Retry-After": str(wait)},
        )  # fmt: skip
    failures.failed(address)
    log.warning("login_failed", address=address, way=way)
    raise HTTPException(401, "unknown token", {"WWW-Authenticate": "Bearer"})


def known(number: int) -> int:
    """``number``, if it is a possible id. Raises NotThere."""
    if not 0 < number <= LONGEST_ID:
        raise NotThere("no such id")
    return number


def status_of(error: CliffwatchError) -> int:
    """The HTTP status of a failed action."""
    return 404 if isinstance(error, NotThere) else 409
