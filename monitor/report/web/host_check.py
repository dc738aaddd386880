"""Host names under which the pages answer. A name that a stranger's page could control is refused.

DNS rebinding: a person opens a page of evil.example, and its owner then points that name at this daemon. The browser
now takes the daemon for the page's own server, so the page's script can read every prompt and answer, even if the
daemon listens on a private address only. The script can ask only under its own name. So a name that public DNS can hold
is accepted only if the configuration names it. Prometheus and Alertmanager have no such check and show their numbers to
any client; Grafana has one (``enforce_domain``), disabled by default.
"""

import re
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.core.sanitize import visible
from monitor.core.settings import Http, Settings

OPEN: Final = frozenset({"/metrics", "/healthz", "/readyz", "/style.css"})
"""Paths that answer under any name: they contain no prompt and no answer, and their clients may be configured with a
name that this daemon does not know.

``/-/status`` is not one of them: it shows who acknowledged an alarm and why, and the command that reads it uses
``http.host``.
"""

PUSHED: Final = frozenset({"/api/v1/inputs", "/v1/traces"})
"""Paths that take inputs, under any name for the same reason: only with a token, which no stranger's page has."""

PRIVATE: Final = (".localhost", ".svc", ".svc.cluster.local")
"""Suffixes of names that nobody can register: this machine (RFC 6761), and the services of a Kubernetes cluster."""

_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")


class Hosts:
    """ASGI middleware: returns 421 for a page or the API under an unknown host name. The port does not matter."""

    def __init__(
        self, app: ASGIApp, settings: Callable[[], Settings], refuse: Callable[[Request, int, str], Response]
    ) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse
        # Not the machine's name in DNS: a DNS query can take arbitrarily long.
        self._machine = _bare(socket.gethostname())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN | PUSHED:
            await self._app(scope, receive, send)
            return
        given = b", ".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        http = self._settings().http
        if ours(given, http, self._machine):
            await self._app(scope, receive, send)
        else:
            await self._refuse(Request(scope), 421, _told(given, http))(scope, receive, send)


def ours(host: str, http: Http, machine: str) -> bool:
    """Whether no stranger's page can have this ``Host``: an address, a name that nobody can register, a name from the
    configuration, or the name of this ``machine``."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    if found["address"] is not None or _is_address(found["name"]):
        return _is_address(found["address"] or found["name"])
    name = _bare(found["name"])
    if "." not in name or name.endswith(PRIVATE):
        return bool(name)
    return name in {machine, _bare(http.host), _bare(_public(http))}


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _public(http: Http) -> str:
    return urlsplit(http.url).hostname or "" if http.url else ""


def _bare(name: str) -> str:
    """A name in the form in which DNS compares names."""
    return name.lower().removesuffix(".")


def _told(given: str, http: Http) -> str:
    name = visible(given, 80) or "(none)"
    known = f"http.url, which is {http.url} now," if http.url else "http.url"
    return (
        f"The host name {name} is not configured for this daemon, so the request was refused. Another site could point "
        f"its own name at this daemon to read these pages. If people reach Cliffwatch under this name, set {known} to "
        f"that address in cliffwatch.yaml and restart the daemon; a proxy must pass on the Host header. An IP address "
        f"always works."
    )
