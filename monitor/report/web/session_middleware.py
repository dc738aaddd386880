"""Finds out once per request which person views a page."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.core.settings import Settings
from monitor.report.web.tokens import Session, Sessions, Tokens

LARGEST_BODY: Final = 65_536
"""Maximum number of bytes of a request's body; the largest legitimate body is a reason of a thousand characters."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The person who asked for the current page."""

    can_log_in: bool = False
    """The configuration names people who may act."""
    session: Session | None = None
    path: str = "/"
    """The path and query of the page to return to: the page itself, or the page that a form was sent from."""

    def take_told(self) -> str | None:
        """The result of the last action; each is returned once."""
        if self.session is None:
            return None
        told, self.session.told = self.session.told, None
        return told


_visitor: ContextVar[Visitor] = ContextVar("visitor")
_NOBODY: Final = Visitor()


def visitor() -> Visitor:
    """The visitor of the current request; also called by templates."""
    return _visitor.get(_NOBODY)


def comes_from(back: str | None) -> None:
    """Set the page that this request's visitor returns to, as named by a form, if it is one of ours."""
    now = visitor()
    _visitor.set(replace(now, path=local(back, now.path)))


def local(path: str | None, otherwise: str) -> str:
    """``path`` if it is a path of this site that is safe to redirect to; else ``otherwise``."""
    if not path or len(path) > 2_000 or not path.startswith("/") or path.startswith("//"):
        return otherwise
    harmless = all(char.isascii() and (char.isalnum() or char in "/-._~%?=&+@,:;!$()*'") for char in path)
    return path if harmless else otherwise


def _page_of(request: Request, url: str | None) -> str:
    """The page to return to. A form's own address does not answer GET: for a form, it is the page that contains it."""
    if request.method in ("GET", "HEAD"):
        return _with_query(request.scope.get("raw_path", b"/").decode("latin-1"), request.url.query)
    sent_from = request.headers.get("referer", "")
    if not is_own(request, sent_from, url):
        return "/"
    page = urlsplit(sent_from)
    return local(_with_query(page.path, page.query), "/")


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def cookie_name(secure: bool) -> str:
    """``__Host-``: browsers accept it over TLS only and for this host only, so no neighbouring host can set it."""
    return "__Host-cliffwatch" if secure else "cliffwatch"


def is_secure(request: Request, url: str | None) -> bool:
    """Whether people reach the pages over TLS, here or at a proxy in front."""
    return request.url.scheme == "https" or bool(url and url.startswith("https://"))


def is_own(request: Request, address: str, url: str | None) -> bool:
    """Whether ``address``, an origin or a page, is at the requested host or at the public address ``url``."""
    try:
        given, public = urlsplit(address), urlsplit(url or "")
    except ValueError:
        return False
    if given.scheme not in ("http", "https"):
        return False
    return given.netloc == request.headers.get("host") or given[:2] == public[:2]


class Visits:
    """ASGI middleware: looks up the session of a request's cookie."""

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
            url = self._settings().http.url
            name = request.cookies.get(cookie_name(is_secure(request, url)))
            session = self._sessions.find(name, self._tokens()) if name else None
            _visitor.set(Visitor(True, session, _page_of(request, url)))
        await self._app(scope, receive, send)
