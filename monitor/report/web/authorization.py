"""Who may act: from our own page with a session, or with a token from anywhere."""

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
"""Characters of a reason."""


class Doing(Protocol):
    """Whoever does what people ask for: raises CliffwatchError, in words, for what cannot be done."""

    def approve(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def retire(self, baseline_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def acknowledge(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def acknowledge_all(self, target: str, who: str, why: str, address: str | None = None) -> list[AuditEntry]: ...
    def clear(self, alarm_id: int, who: str, why: str, address: str | None = None) -> AuditEntry: ...
    def run(self, target: str, suite: str, who: str, why: str, address: str | None = None) -> AuditEntry: ...


@dataclass(frozen=True)
class Acting:
    """What the pages need to let people act; without it they only read."""

    doing: Doing
    tokens: Callable[[], Tokens]
    """Those in force: a reload reads them again."""


def address_of(request: Request) -> str:
    """Where a request came from; behind a proxy on this machine, what that says."""
    return request.client.host if request.client else "unknown"


def sent_elsewhere(request: Request, url: str | None, *, typed: bool) -> bool:
    """Whether a browser says that another site's page sent this; programs say nothing.

    Both headers count, for over plain http to anything but this machine a browser leaves ``Sec-Fetch-Site`` out.
    ``typed``: what no page sent, but the person themselves, passes.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in ((None, "same-origin", "none") if typed else (None, "same-origin")):
        return True
    return origin is not None and not is_own(request, origin, url)


class Gate:
    """Lets through who may act, and only from our own pages."""

    def __init__(self, acting: Acting, settings: Callable[[], Settings], clock: Callable[[], datetime]) -> None:
        self._acting = acting
        self._settings = settings
        self.sessions = Sessions(clock)
        self._failures = Failures(clock)

    def person_of(self, request: Request, token: str, way: str) -> str:
        """Whose token it is. Raises HTTPException: 401 where it is nobody's, 429 after too many of those.

        The right token is let in at any time. Behind a proxy everybody may come from one address; were that shut out,
        any stranger who guesses could keep the on-call out at night. Nothing is lost: a token has ``LEAST_TOKEN``
        characters or more, 128 bits as ``openssl rand -hex`` writes them, and no rate of guessing that a daemon can
        answer finds one. What the count is for: who guesses is told to stop, and cannot fill the log.
        """
        person = self._acting.tokens().person(token.strip())
        if person is not None:
            return person
        address = address_of(request)
        wait = self._failures.wait(address)
        if wait:
            raise HTTPException(
                429, f"this token is nobody's, and {address} sent too many of those: wait {wait} s before the next. "
                "The right one is let in at any time", {"Retry-After": str(wait)},
            )  # fmt: skip
        self._failures.failed(address)
        log.warning("login_failed", address=address, way=way)
        raise HTTPException(401, "this token is nobody's", {"WWW-Authenticate": "Bearer"})

    def own_page(self, request: Request) -> None:
        """Raises HTTPException 403 for a form that another site's page may have sent."""
        unsaid = "sec-fetch-site" not in request.headers and "origin" not in request.headers
        if unsaid or sent_elsewhere(request, self._settings().http.url, typed=False):
            raise HTTPException(
                403, "this form did not come from a page of Cliffwatch's own, so nothing was changed. Where a proxy "
                "stands before it, set http.url to the address under which people reach the pages",
            )  # fmt: skip

    def secure(self, request: Request) -> bool:
        """Whether cookies are to travel over TLS only."""
        return is_secure(request, self._settings().http.url)


def known(number: int) -> int:
    """An id that a store can hold. Raises NotThere."""
    if not 0 < number <= LONGEST_ID:
        raise NotThere("there is nothing of this number")
    return number


def status_of(error: CliffwatchError) -> int:
    """The HTTP status of a deed that could not be done."""
    return 404 if isinstance(error, NotThere) else 409
