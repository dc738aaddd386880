"""Switches the lab's faults from another process: a client of ``/lab/faults`` with the standard library only."""

import json
from typing import TYPE_CHECKING, Any, Final

from monitor.core.errors import CliffwatchError

if TYPE_CHECKING:
    from urllib.error import HTTPError

DEFAULT_URL: Final = "http://127.0.0.1:9465"
_TIMEOUT_SECONDS: Final = 10.0


class LabError(CliffwatchError):
    """The lab cannot be reached, or refused; the message says which and why, in one line."""

    exit_code = 3


def faults(url: str = DEFAULT_URL) -> list[dict[str, Any]]:
    """Every fault: ``name``, ``doc``, ``params``, whether ``active``, and with which ``values``."""
    listed: list[dict[str, Any]] = _request(url, "GET", "/lab/faults")["faults"]
    return listed


def switch_on(name: str, params: dict[str, Any], url: str = DEFAULT_URL) -> dict[str, Any]:
    """Switch a fault on, in place of what it was; returns its description with the ``values`` in force."""
    return _request(url, "PUT", _path(name), params)


def switch_off(name: str | None = None, url: str = DEFAULT_URL) -> list[str]:
    """Switch one fault off, or all; returns the names of those that were on."""
    off: list[str] = _request(url, "DELETE", "/lab/faults" if name is None else _path(name))["off"]
    return off


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/lab/faults/{quote(name, safe='')}"


def _request(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    # Imported here, because `cliffwatch --help` imports this module and has no use for an HTTP client.
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    data = None if body is None else json.dumps(body).encode()
    request = Request(url.rstrip("/") + path, data, {"content-type": "application/json"}, method=method)
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except HTTPError as error:
        with error:
            raise LabError(_refusal(error)) from error
    except (OSError, ValueError) as error:
        raise LabError(f"no lab answers at {url}: {getattr(error, 'reason', error)}") from error


def _refusal(error: "HTTPError") -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code} from the lab"
