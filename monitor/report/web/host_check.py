"""Under which names the pages answer: none that a stranger's page could have made its own.

DNS rebinding: somebody opens a page of evil.example, and the page has its own name point to this daemon from then on.
To the browser the daemon is that page's own server now: its script may read every prompt and answer, whoever may listen
here otherwise. What the script cannot do is ask under another name than its own. So a name that the public DNS could
hold is answered to only where the configuration says that it is ours. Prometheus and Alertmanager have no such check,
and show numbers to whoever asks; Grafana has one (``enforce_domain``), off unless asked for.
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
"""Answered to under any name: no prompt and no answer stands there, and those who ask are told a name, not us.

``/-/status`` is none of them: it says who looks into what and why, and the command that asks takes ``http.host``.
"""

PRIVATE: Final = (".localhost", ".svc", ".svc.cluster.local")
"""Ends of names that nobody can register: this machine (RFC 6761), and the services of a Kubernetes cluster."""

_HOST: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")


class Hosts:
    """ASGI middleware: 421 for a page or the API under a name that is not known to be ours, whatever the port."""

    def __init__(
        self, app: ASGIApp, settings: Callable[[], Settings], refuse: Callable[[Request, int, str], Response]
    ) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse
        # Not the name that the DNS has for this machine: asking for it takes as long as the DNS likes.
        self._machine = _bare(socket.gethostname())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        given = b", ".join(value for name, value in scope["headers"] if name == b"host").decode("latin-1")
        http = self._settings().http
        if ours(given, http, self._machine):
            await self._app(scope, receive, send)
        else:
            await self._refuse(Request(scope), 421, _told(given, http))(scope, receive, send)


def ours(host: str, http: Http, machine: str) -> bool:
    """Whether no stranger's page can have this ``Host``: it is an address, or a name that nobody can register, or that
    is ours by the configuration or because ``machine`` is called so."""
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
    """A name as the DNS compares it."""
    return name.lower().removesuffix(".")


def _told(given: str, http: Http) -> str:
    name = visible(given, 80) or "(none)"
    known = f"http.url, which is {http.url} now," if http.url else "http.url"
    return (
        f"This daemon does not know the name {name} as its own, and answers under no other: another site's page could "
        f"have had its name point here, to read what these pages show. Do people reach Cliffwatch under it? Set "
        f"{known} to that address in cliffwatch.yaml and restart; a proxy has to pass Host on. An IP address always "
        f"works."
    )
