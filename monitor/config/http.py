"""What ``http`` must be beyond its types: the public address, and the tokens of those who may act."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from monitor.config.checks import VARIABLE, Checks, looks_like_key, loopback
from monitor.config.problems import Loc
from monitor.core.settings import LEAST_TOKEN, ActionToken


def run(c: Checks) -> None:
    """Check ``http.url`` and ``http.actions``."""
    http = c.settings.http
    if http.url is not None:
        _url(c, http.url)
    tokens: dict[str, str] = {}
    for person, where in (http.actions or {}).items():
        loc = ("http", "actions", person)
        token = _token(c, loc, where)
        if token is not None and token in tokens:
            c.problem(loc, f"has the same token as '{tokens[token]}': nobody could tell who did what; make another")
        elif token is not None:
            tokens[token] = person
    if http.actions and not c.problems and not _protected(http.host, http.url):
        c.warn(
            ("http", "actions"), "plain http: tokens can be read on the way; put TLS before it, and name that in url"
        )


def _protected(host: str, url: str | None) -> bool:
    """Whether tokens do not cross a network in the clear, as far as the configuration tells."""
    return url.startswith("https://") if url else loopback(host)


def _url(c: Checks, url: str) -> None:
    loc = ("http", "url")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        c.problem(loc, "must be an http:// or https:// address with a host, such as https://cliffwatch.example.com")
    elif not parts.netloc.isascii():
        c.problem(loc, "has a host with letters beyond ASCII; write it as browsers send it, in its xn-- form")
    elif "@" in parts.netloc:
        c.problem(loc, "holds a user or password; leave it out: it would stand in every alert and mail")
    elif parts.path not in ("", "/") or parts.query or parts.fragment:
        c.problem(loc, "must end with the host or port: the pages' own links begin there")


def _token(c: Checks, loc: Loc, where: ActionToken) -> str | None:
    """The person's token, if it can be used; what is wrong with it is told without it."""
    if where.token_env is not None and where.token_file is not None:
        c.problem((*loc, "token_file"), "given beside 'token_env'; keep one of them")
        return None
    if where.token_env is not None:
        return _from_variable(c, (*loc, "token_env"), where.token_env)
    if where.token_file is not None:
        return _from_file(c, (*loc, "token_file"), c.at(where.token_file))
    stands = any((*loc, key) in c.document.lines for key in ("token_env", "token_file"))
    if not stands and not c.has_unknown_key(loc, ActionToken):
        c.problem(loc, "needs 'token_env' or 'token_file', which name where the token is kept")
    return None


def _from_variable(c: Checks, loc: Loc, name: str) -> str | None:
    token = c.environ.get(name, "").strip()
    if token:
        return _usable(c, loc, token, f"the environment variable {name}")
    if not VARIABLE.fullmatch(name) or looks_like_key(name):
        c.problem(loc, "looks like a token, not like a variable's name; take it out of the file, and name its variable")
    else:
        c.about_key(loc, f"the environment variable {name} is not set (or empty)")
    return None


def _from_file(c: Checks, loc: Loc, path: Path) -> str | None:
    if not os.path.isfile(path):
        c.about_key(loc, "is not a file" if os.path.exists(path) else "no such file")
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        c.about_key(loc, "cannot be read by this user, or is not text")
        return None
    return _usable(c, loc, token, "the file")


def _usable(c: Checks, loc: Loc, token: str, where: str) -> str | None:
    if len(token) < LEAST_TOKEN:
        told = f"holds a token of {len(token)} characters" if token else "holds no token"
        c.about_key(loc, f"{where} {told}; {LEAST_TOKEN} are the least: openssl rand -hex 32")
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        c.about_key(loc, f"{where} holds characters that cannot be sent as a token")
        return None
    return token
