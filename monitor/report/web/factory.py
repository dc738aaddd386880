"""Every route. Pages are for people and work without JavaScript; ``/api/v1`` has the same content as JSON."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor import __version__
from monitor.core.clock import utcnow
from monitor.core.errors import CliffwatchError
from monitor.core.settings import Settings
from monitor.report.web import validation_errors
from monitor.report.web.action_pages import add_actions
from monitor.report.web.api import add_api
from monitor.report.web.authorization import Acting, sent_elsewhere
from monitor.report.web.fleet_overview import FleetCache
from monitor.report.web.host_check import Hosts
from monitor.report.web.inputs_api import Inputting, add_inputs
from monitor.report.web.pages import Pages, add_pages
from monitor.report.web.session_middleware import LARGEST_BODY, visitor

if TYPE_CHECKING:
    from monitor.store import StoreReader

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" a browser sends our own forms without an origin, like a form of a stranger's page.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every reply. Answers are untrusted and private: no scripts, no external resources, no caching."""


class Metrics(Protocol):
    """Writes ``/metrics``."""

    def scrape(
        self, store: Any, settings: Settings, now: datetime, accept: str = "", accept_encoding: str = ""
    ) -> tuple[bytes, dict[str, str]]: ...


class Refusing(Protocol):
    """Builds the reply that gives a person or a program the reason for an error."""

    def __call__(
        self, request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> Response: ...


def create_app(
    store: "StoreReader",
    settings: Callable[[], Settings],
    metrics: Metrics,
    health: Callable[[], Mapping[str, object]],
    reload: Callable[[], Awaitable[str | None]],
    clock: Callable[[], datetime] = utcnow,
    acting: Acting | None = None,
    standing: Callable[[bool], str] | None = None,
    inputting: Inputting | None = None,
) -> FastAPI:
    """The daemon's HTTP side.

    Args:
        store: read in worker threads.
        settings: returns the settings in force; called for every request.
        metrics: writes ``/metrics``.
        health: ``ok``, ``last_tick_age_seconds`` (``None`` before the first tick), ``standby``, and ``asks`` (``False``
            for a standby, or if nothing is asked although runs are due).
        reload: reads the configuration again; returns the text of the error, or ``None``.
        acting: the actions of people; without it the pages are read-only.
        standing: the state of the fleet, in full or in short, as JSON for ``cliffwatch status``.
        inputting: takes the inputs that clients push; without it they are refused.
    """
    app = FastAPI(
        title="Cliffwatch",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        max_body_size=LARGEST_BODY,
    )
    pages = Pages(clock)
    pages.add_global("visitor", visitor)
    refuse = _refusing(pages)
    _errors(app, refuse)
    _daemon(app, store, settings, metrics, health, reload, clock)
    if standing is not None:
        _standing(app, standing)
    kept = FleetCache()
    add_pages(app, pages, store, settings, clock, kept)
    add_api(app, store, settings, clock, kept)
    add_inputs(app, inputting, clock)
    add_actions(app, pages, store, acting, settings, clock)
    _secure(app, settings, refuse)
    return app


def _standing(app: FastAPI, standing: Callable[[bool], str]) -> None:
    @app.get("/-/status", include_in_schema=False)
    def status(everything: bool = False) -> Response:
        return Response(standing(everything), media_type="application/json")


def _secure(app: FastAPI, settings: Callable[[], Settings], refuse: Refusing) -> None:
    """Add the middleware around all routes, the outermost last."""
    app.add_middleware(Heads)
    app.add_middleware(Hosts, settings=settings, refuse=refuse)
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=3)

    @app.middleware("http")
    async def headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class Heads:
    """ASGI middleware: answers HEAD like GET, for uptime checks. The server omits the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if head else scope, receive, send)


def _refusing(pages: Pages) -> Refusing:
    def show(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
        if request.scope["path"].startswith(("/api/", "/-/")):
            return JSONResponse({"error": detail}, status, headers)
        page = pages.show("error.html", status, code=status, detail=detail)
        page.headers.update(headers or {})
        return page

    return show


def _errors(app: FastAPI, show: Refusing) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        return show(request, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(CliffwatchError)
    async def unreadable(request: Request, error: CliffwatchError) -> Response:
        return show(request, 503, str(error))

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        return show(request, 422, validation_errors.words(error.errors()))


def _daemon(
    app: FastAPI,
    store: "StoreReader",
    settings: Callable[[], Settings],
    metrics: Metrics,
    health: Callable[[], Mapping[str, object]],
    reload: Callable[[], Awaitable[str | None]],
    clock: Callable[[], datetime],
) -> None:
    @app.get("/metrics", include_in_schema=False)
    def exposition(request: Request) -> Response:
        takes = request.headers.get("accept-encoding", "")
        body, headers = metrics.scrape(store, settings(), clock(), request.headers.get("accept", ""), takes)
        return Response(body, headers=headers)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        """Alive while the clock ticks; before its first tick it is starting, not dead.

        Runs in the event loop, because all threads may be waiting for an unavailable store.
        """
        state = health()
        starting = state.get("last_tick_age_seconds") is None
        return JSONResponse(dict(state), 200 if state.get("ok") or starting else 503)

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        """Ready when the store answers, the clock has ticked, and what is due is asked."""
        state = dict(health())
        try:
            store.get_state("ready")
        except Exception as error:
            return JSONResponse({**state, "ready": False, "store": str(error)}, 503)
        ticks = state.get("last_tick_age_seconds") is not None and bool(state.get("ok"))
        # A standby asks nothing and is ready to take over. If it were not, a rolling update would wait for it forever.
        ready = ticks and bool(state.get("standby") or state.get("asks", True))
        return JSONResponse({**state, "ready": ready}, 200 if ready else 503)

    @app.post("/-/reload", include_in_schema=False)
    async def reload_now(request: Request) -> Response:
        if sent_elsewhere(request, settings().http.url, typed=True):
            raise HTTPException(403, "another site's page may not reload this daemon")
        problem = await reload()
        return PlainTextResponse("reloaded\n" if problem is None else f"{problem}\n", 200 if problem is None else 400)
