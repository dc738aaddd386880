"""Every route. Pages are for people and work without JavaScript; ``/api/v1`` says the same in JSON."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware

from monitor import __version__, words
from monitor.clock import utcnow
from monitor.errors import CliffwatchError, StoreError
from monitor.hostile import visible
from monitor.records import Baseline, Finding
from monitor.settings import Settings
from monitor.web import baselines, runbooks, views

HERE: Final = Path(__file__).parent

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every reply. Answers are untrusted and private: nothing runs, nothing is loaded, nothing is kept."""

LISTED: Final = 200
"""Findings on one page."""


class Metrics(Protocol):
    """Whoever can write ``/metrics``."""

    def scrape(
        self, store: Any, settings: Settings, now: datetime, accept: str = "", accept_encoding: str = ""
    ) -> tuple[bytes, dict[str, str]]: ...


class Pages:
    """The templates with what all of them need."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "visible": visible,
            "number": views.number,
            "counted": views.counted,
            "when": lambda then: then.strftime("%Y-%m-%d %H:%M UTC") if then else "–",
        }
        self._environment.globals |= {
            "version": __version__,
            "titles": views.TITLES,
            "partly": views.PARTLY,
            "alarm_state": words.alarm_state,
            "evidence": words.evidence,
            "state_of": words.state_of,
        }

    def show(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        now = self._clock()
        page = self._environment.get_template(template)
        return HTMLResponse(page.render(now=now, ago=lambda then: views.ago(then, now), **values), status)


def create_app(
    store: views.Readings,
    settings: Callable[[], Settings],
    metrics: Metrics,
    health: Callable[[], Mapping[str, object]],
    reload: Callable[[], Awaitable[str | None]],
    clock: Callable[[], datetime] = utcnow,
) -> FastAPI:
    """The daemon's HTTP side.

    Args:
        store: read in worker threads.
        settings: the settings in force, asked for at every request.
        metrics: writes ``/metrics``.
        health: ``ok`` and ``last_tick_age_seconds`` (``None`` before the first tick).
        reload: reads the configuration again; the error's text, or ``None``.
    """
    app = FastAPI(
        title="Cliffwatch", version=__version__, docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json"
    )
    pages = Pages(clock)
    _secure(app)
    _errors(app, pages)
    _daemon(app, store, settings, metrics, health, reload, clock)
    _people(app, pages, store, settings, clock)
    _evidence(app, pages, store, clock)
    _programs(app, store, settings, clock)
    return app


def _secure(app: FastAPI) -> None:
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=3)

    @app.middleware("http")
    async def headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def _errors(app: FastAPI, pages: Pages) -> None:
    def show(request: Request, status: int, detail: str) -> Response:
        if request.url.path.startswith(("/api/", "/-/")):
            return JSONResponse({"error": detail}, status)
        return pages.show("error.html", status, code=status, detail=detail)

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        return show(request, error.status_code, str(error.detail))

    @app.exception_handler(CliffwatchError)
    async def unreadable(request: Request, error: CliffwatchError) -> Response:
        return show(request, 503, str(error))

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        return show(request, 422, "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()))


def _daemon(
    app: FastAPI,
    store: views.Readings,
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
    def healthz() -> Response:
        """Alive while the clock ticks; before its first tick it is starting, not dead."""
        state = health()
        starting = state.get("last_tick_age_seconds") is None
        return JSONResponse(dict(state), 200 if state.get("ok") or starting else 503)

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        """Ready once the store answers and the clock has ticked."""
        state = dict(health())
        try:
            store.get_state("ready")
        except Exception as error:
            return JSONResponse({**state, "ready": False, "store": str(error)}, 503)
        ready = state.get("last_tick_age_seconds") is not None and bool(state.get("ok"))
        return JSONResponse({**state, "ready": ready}, 200 if ready else 503)

    @app.post("/-/reload", include_in_schema=False)
    async def reload_now(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HTTPException(403, "another site's page may not reload this daemon")
        problem = await reload()
        return PlainTextResponse("reloaded\n" if problem is None else f"{problem}\n", 200 if problem is None else 400)


def _people(
    app: FastAPI,
    pages: Pages,
    store: views.Readings,
    settings: Callable[[], Settings],
    clock: Callable[[], datetime],
) -> None:
    @app.get("/", include_in_schema=False)
    def overview() -> Response:
        rows = views.watches(store, settings(), clock())
        alarms = sorted((one for row in rows for one in row.alarms), key=views.urgency)
        tone, headline = views.headline(rows)
        return pages.show("overview.html", rows=rows, alarms=alarms, tone=tone, headline=headline)

    @app.get("/targets/{target}", include_in_schema=False)
    def target_page(target: str) -> Response:
        configured = settings().targets.get(target)
        if configured is None:
            raise HTTPException(404, f"no target {visible(target, 80)} in the configuration")
        return pages.show(
            "target.html",
            target=target,
            configured=configured,
            rows=views.watches(store, settings(), clock(), target),
            baselines=store.baselines(target),
            runs=store.runs(target, limit=30),
            alarms=store.alarms(target, limit=30),
        )

    @app.get("/runbooks/", include_in_schema=False)
    def all_runbooks() -> Response:
        return pages.show("runbooks.html", names=runbooks.names())

    @app.get("/runbooks/{name}", include_in_schema=False)
    def runbook(name: str) -> Response:
        page = runbooks.page(name)
        if page is None:
            raise HTTPException(404, f"no runbook {visible(name, 80)}")
        return pages.show("runbook.html", title=page[0], body=page[1])

    style = (HERE / "static" / "style.css").read_bytes()

    @app.get("/style.css", include_in_schema=False)
    def stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=300"})

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(status_code=204)


def _evidence(app: FastAPI, pages: Pages, store: views.Readings, clock: Callable[[], datetime]) -> None:
    @app.get("/targets/{target}/{signal}", include_in_schema=False)
    def latest_evidence(target: str, signal: str) -> Response:
        found = views.evidence_of(store, target, signal, clock())
        if found is None:
            raise HTTPException(404, f"target {visible(target, 80)} has no finding of {visible(signal, 80)} yet")
        return RedirectResponse(f"/findings/{found.run_id}/{found.signal}", 303)

    @app.get("/findings", include_in_schema=False)
    def findings(alarming: bool | None = None) -> Response:
        found = store.findings(alarming=alarming, limit=LISTED)
        return pages.show("findings.html", findings=found, alarming=alarming, limit=LISTED)

    @app.get("/findings/{run_id}/{signal}", include_in_schema=False)
    def evidence(run_id: int, signal: str) -> Response:
        found = _finding(store, run_id, signal)
        return pages.show(
            "finding.html",
            finding=found,
            alarm=views.alarm_of(store, found),
            newest=views.newest_of(store, found),
            interval=views.interval(found),
            pairs=views.side_by_side(found),
        )

    @app.get("/baselines/{baseline_id}", include_in_schema=False)
    def baseline(baseline_id: int, page: int = 1) -> Response:
        found = _baseline(store, baseline_id)
        sheets = baselines.sheets(store, found)
        count = max(1, -(-len(sheets) // baselines.PER_PAGE))
        page = max(1, min(page, count))
        shown = sheets[(page - 1) * baselines.PER_PAGE : page * baselines.PER_PAGE]
        return pages.show(
            "baseline.html", baseline=found, sheets=shown, probes=len(sheets), page=page, pages=count,
            text_limit=baselines.TEXT,
        )  # fmt: skip


def _programs(
    app: FastAPI, store: views.Readings, settings: Callable[[], Settings], clock: Callable[[], datetime]
) -> None:
    @app.get("/api/v1/status")
    def status() -> Response:
        """Every target and suite: armed or not, its progress, newest findings and raised alarms."""
        return JSONResponse({"version": __version__, "watches": views.plain(views.watches(store, settings(), clock()))})

    @app.get("/api/v1/findings")
    def findings(
        target: str | None = None,
        suite: str | None = None,
        signal: str | None = None,
        run_id: int | None = None,
        alarming: bool | None = None,
        limit: int = 100,
    ) -> Response:
        """Findings with their evidence, newest first; at most 1000."""
        found = store.findings(target, suite, run_id, signal, alarming, max(1, min(limit, 1000)))
        return JSONResponse({"findings": views.plain(found)})

    @app.get("/api/v1/alarms")
    def alarms(target: str | None = None, suite: str | None = None, open: bool | None = None) -> Response:
        """Alarms with their state, newest first, at most 1000; ``open=true``: those that are not cleared."""
        return JSONResponse({"alarms": views.plain(store.alarms(target, suite, open))})

    @app.get("/api/v1/findings/{run_id}/{signal}")
    def finding(run_id: int, signal: str) -> Response:
        return JSONResponse(views.plain(_finding(store, run_id, signal)))


def _finding(store: views.Readings, run_id: int, signal: str) -> Finding:
    if not 0 < run_id < 2**63:
        raise HTTPException(404, "no such run")
    found = store.findings(run_id=run_id, signal=signal, limit=1)
    if not found:
        raise HTTPException(404, f"run {run_id} has no finding of {visible(signal, 80)}")
    return found[0]


def _baseline(store: views.Readings, baseline_id: int) -> Baseline:
    if not 0 < baseline_id < 2**63:
        raise HTTPException(404, "no such baseline")
    try:
        return store.baseline(baseline_id)
    except StoreError:
        raise
    except CliffwatchError as error:
        raise HTTPException(404, str(error)) from None
