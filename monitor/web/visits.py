"""Who is looking at a page: found out once, around every route."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.settings import Settings
from monitor.web.people import Session, Sessions, Tokens

LARGEST_BODY: Final = 65_536
"""Bytes of a request's body, all told; the largest that means anything is a reason of a thousand characters."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever asked for the page that is being written."""

    can_log_in: bool = False
    """The configuration names people who may act."""
    session: Session | None = None
    path: str = "/"
    """The page's own path and query, to come back to."""

    def take_told(self) -> str | None:
        """What the last deed did, said once."""
        if self.session is None:
            return None
        told, self.session.told = self.session.told, None
        return told


_visitor: ContextVar[Visitor] = ContextVar("visitor")
_NOBODY: Final = Visitor()


def visitor() -> Visitor:
    """Of the request at hand; templates call it, too."""
    return _visitor.get(_NOBODY)


def cookie_name(secure: bool) -> str:
    """``__Host-``: browsers take it over TLS only, for this host only, and no neighbour can plant it."""
    return "__Host-cliffwatch" if secure else "cliffwatch"


def is_secure(request: Request, url: str | None) -> bool:
    """Whether people reach the pages over TLS, here or at a proxy before."""
    return request.url.scheme == "https" or bool(url and url.startswith("https://"))


class Visits:
    """ASGI middleware: finds the session of a request's cookie."""

    def __init__(
        self, app: ASGIApp, sessions: Sessions, tokens: Callable[[], Tokens], settings: Callable[[], Settings]
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._tokens = tokens
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            name = request.cookies.get(cookie_name(is_secure(request, self._settings().http.url)))
            session = self._sessions.find(name, self._tokens()) if name else None
            query = f"?{request.url.query}" if request.url.query else ""
            _visitor.set(Visitor(True, session, f"{scope.get('raw_path', b'/').decode('latin-1')}{query}"))
        await self._app(scope, receive, send)
