"""Actions on the pages and the API: approve, retire, acknowledge, clear, accept, run now.

Enabled only if the configuration has ``http.actions``. A browser logs in with a token and then sends a session cookie.
A form is accepted only from our own pages (``Origin``, ``Sec-Fetch-Site``) and with the session's own secret.
Programs send the token itself, ``Authorization: Bearer``; the API ignores cookies.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from hmac import compare_digest
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl

import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from monitor.core.errors import CliffwatchError, StoreError, UsageError
from monitor.core.records import AuditEntry
from monitor.core.settings import Settings
from monitor.core.wording import many
from monitor.report.web.action_api import add_api, add_audit
from monitor.report.web.authorization import LONGEST_WHY, Acting, Doing, Gate, address_of, known, status_of
from monitor.report.web.session_middleware import Visits, comes_from, cookie_name, local, visitor
from monitor.report.web.tokens import SESSION

if TYPE_CHECKING:
    from monitor.store import StoreReader

log = structlog.get_logger()

LOGIN_COOKIE: Final = "cliffwatch_login"
"""Ties a login form to the browser that shows it, before a session exists."""

PAST: Final = {
    "approve": "approved", "retire": "retired", "acknowledge": "acknowledged", "clear": "cleared", "run": "due now",
    "accept": "accepted",
}  # fmt: skip


class Showing(Protocol):
    """Renders a page from a template."""

    def show(self, template: str, status: int = 200, **values: Any) -> HTMLResponse: ...


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name, the first. Raises HTTPException."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "send the form as application/x-www-form-urlencoded")
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise HTTPException(400, "the form cannot be read. Send it again from its page") from None
    return dict(reversed(fields))


def add_actions(
    app: FastAPI,
    pages: Showing,
    store: "StoreReader",
    acting: Acting | None,
    settings: Callable[[], Settings],
    clock: Callable[[], datetime],
) -> None:
    """Add the actions to the API. With ``acting``, also login, logout, forms and session lookup."""
    gate = Gate(acting, settings, clock) if acting else None
    add_audit(app, store)
    add_api(app, gate, acting.doing if acting else None)
    if gate is None or acting is None:
        return
    app.add_middleware(Visits, sessions=gate.sessions, tokens=acting.tokens, settings=settings)
    _login(app, pages, gate)
    _logout(app, gate)
    _forms(app, pages, gate, acting.doing)


def _login(app: FastAPI, pages: Showing, gate: Gate) -> None:
    def ask(request: Request, back: str, status: int = 200, problem: str | None = None) -> Response:
        nonce = token_urlsafe(32)
        page = pages.show("actions_login.html", status, nonce=nonce, back=back, problem=problem)
        page.set_cookie(
            LOGIN_COOKIE, nonce, max_age=3600, path="/login", secure=gate.secure(request), httponly=True,
            samesite="strict",
        )  # fmt: skip
        return page

    @app.get("/login", include_in_schema=False)
    def login_page(request: Request, back: str = "/") -> Response:
        back = local(back, "/")
        return RedirectResponse(back, 303) if visitor().session else ask(request, back)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> Response:
        gate.own_page(request)
        form = await form_of(request)
        back = local(form.get("back"), "/")
        nonce = request.cookies.get(LOGIN_COOKIE, "")
        if not nonce or not compare_digest(nonce.encode(), form.get("form", "").encode()):
            return ask(
                request, back, 403, "The form has expired, or the browser does not accept cookies. Use this form."
            )
        token = form.get("token", "")
        try:
            person = gate.person_of(request, token, "form")
        except HTTPException as error:
            shown = ask(request, back, error.status_code, f"{_capital(str(error.detail))}.")
            shown.headers.update(error.headers or {})
            return shown
        secure = gate.secure(request)
        gate.sessions.end(request.cookies.get(cookie_name(secure), ""))
        done = RedirectResponse(back, 303)
        done.set_cookie(
            cookie_name(secure), gate.sessions.begin(person, token.strip()), path="/", secure=secure, httponly=True,
            samesite="strict", max_age=int(SESSION.total_seconds()),
        )  # fmt: skip
        done.delete_cookie(LOGIN_COOKIE, path="/login", secure=secure, httponly=True, samesite="strict")
        log.info("login", who=person, address=address_of(request))
        return done


def _logout(app: FastAPI, gate: Gate) -> None:
    @app.post("/logout", include_in_schema=False)
    async def logout(request: Request) -> Response:
        await _signed(gate, request)
        secure = gate.secure(request)
        gate.sessions.end(request.cookies.get(cookie_name(secure), ""))
        done = RedirectResponse("/", 303)
        done.delete_cookie(cookie_name(secure), path="/", secure=secure, httponly=True, samesite="strict")
        return done


async def _signed(gate: Gate, request: Request) -> dict[str, str]:
    """The fields of a form that a logged-in person sent from one of our pages. Raises HTTPException."""
    gate.own_page(request)
    session = visitor().session
    if session is None:
        with suppress(HTTPException):
            comes_from((await form_of(request)).get("back"))
        raise HTTPException(401, "you are not logged in, or the login has expired. Nothing was changed. Log in again")
    form = await form_of(request)
    if not compare_digest(session.csrf.encode(), form.get("form", "").encode()):
        raise HTTPException(403, "the form belongs to another login. Nothing was changed. Send it again from its page")
    return form


def _forms(app: FastAPI, pages: Showing, gate: Gate, doing: Doing) -> None:
    async def act(request: Request, back: str, entry: Callable[[str, str, str], str]) -> Response:
        """Call ``entry``, keep the text that it returns for the next page, and redirect the browser to ``back``. If
        the action fails, show the reason on a page."""
        form = await _signed(gate, request)
        session = visitor().session
        assert session is not None
        back, why = local(form.get("back"), back), form.get("why", "")
        try:
            if len(why) > LONGEST_WHY:
                raise UsageError(f"the reason has {len(why)} characters; the maximum is {LONGEST_WHY}")
            session.told = await run_in_threadpool(entry, session.person, why, address_of(request))
        except StoreError:
            raise
        except CliffwatchError as error:
            return pages.show("actions_refused.html", status_of(error), problem=str(error), back=back)
        return RedirectResponse(back, 303)

    @app.post("/baselines/{number}/approve", include_in_schema=False)
    async def approve(request: Request, number: int) -> Response:
        return await act(request, f"/baselines/{number}", lambda *said: _told(doing.approve(known(number), *said)))

    @app.post("/baselines/{number}/retire", include_in_schema=False)
    async def retire(request: Request, number: int) -> Response:
        return await act(request, f"/baselines/{number}", lambda *said: _told(doing.retire(known(number), *said)))

    @app.post("/alarms/{number}/acknowledge", include_in_schema=False)
    async def acknowledge(request: Request, number: int) -> Response:
        return await act(request, "/", lambda *said: _told(doing.acknowledge(known(number), *said)))

    @app.post("/alarms/{number}/clear", include_in_schema=False)
    async def clear(request: Request, number: int) -> Response:
        return await act(request, "/", lambda *said: _told(doing.clear(known(number), *said)))

    @app.post("/targets/{target}/{suite}/runs", include_in_schema=False)
    async def run(request: Request, target: str, suite: str) -> Response:
        return await act(request, "/", lambda *said: _told(doing.run(target, suite, *said)))

    @app.post("/targets/{target}/acknowledge", include_in_schema=False)
    async def acknowledge_all(request: Request, target: str) -> Response:
        return await act(request, "/", lambda *said: _all_told(target, doing.acknowledge_all(target, *said)))

    _accept_forms(app, act, doing)


Act = Callable[[Request, str, Callable[[str, str, str], str]], Awaitable[Response]]


def _accept_forms(app: FastAPI, act: Act, doing: Doing) -> None:
    @app.post("/targets/{target}/accept/{part}", include_in_schema=False)
    async def accept_root(request: Request, target: str, part: str) -> Response:
        return await act(request, "/", lambda *said: _accepted(doing.accept(target, part, *said)))

    @app.post("/targets/{target}/{suite}/accept/{part}", include_in_schema=False)
    async def accept(request: Request, target: str, suite: str, part: str) -> Response:
        def accepted(who: str, why: str, address: str) -> str:
            return _accepted(doing.accept(target, part, who, why, address, suite))

        return await act(request, "/", accepted)


def _told(done: AuditEntry) -> str:
    return f"{_capital(str(done.subject))} of {done.target}/{done.suite}: {PAST[done.action]}."


def _accepted(done: Sequence[AuditEntry]) -> str:
    return " ".join(f"{_capital(str(one.subject))} of {one.target}: accepted." for one in done)


def _all_told(target: str, done: Sequence[AuditEntry]) -> str:
    if not done:
        return f"Nothing changed: {target} has no unacknowledged open alarm."
    return f"{many(len(done), 'alarm')} of {target}: acknowledged. The alarms stay raised."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
