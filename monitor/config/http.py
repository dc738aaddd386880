"""Checks of the ``http`` section beyond types: the public URL, and the tokens of people and clients."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from monitor.config.checks import VARIABLE, Checks, looks_like_key, loopback
from monitor.config.yaml_reader import Loc
from monitor.core.settings import LEAST_TOKEN, ActionToken
from monitor.core.sources import Source


def run(c: Checks) -> None:
    """Check ``http.url``, ``http.actions`` and ``http.inputs``."""
    http = c.settings.http
    if http.url is not None:
        _url(c, http.url)
    tokens: dict[str, str] = {}
    for key in ("actions", "inputs"):
        for person, where in (getattr(http, key) or {}).items():
            loc = ("http", key, person)
            token = _token(c, loc, where)
            if token is not None and token in tokens:
                c.problem(loc, f"has the same token as '{tokens[token]}'; create another: tokens identify people")
            elif token is not None:
                tokens[token] = person
        if getattr(http, key) and not c.problems and not _protected(http.host, http.url):
            c.warn(
                ("http", key), "plain HTTP: others on the network can read tokens; use a TLS proxy, and set url to it"
            )
    _pushed(c)


def _pushed(c: Checks) -> None:
    """Pushed inputs need clients with tokens."""
    targets = c.settings.targets or {}
    pushed = [name for name, target in targets.items() if target.production and _takes(target.production.source)]
    if pushed and not c.settings.http.inputs and ("http", "inputs") not in c.document.lines:
        loc = ("targets", pushed[0], "production", "source")
        c.problem(loc, "requires 'http.inputs', the tokens of the clients that send its inputs")
    if c.settings.http.inputs and not pushed:
        c.warn(("http", "inputs"), "is never used: no target has a source that takes pushed inputs")


def _takes(source: Source | None) -> bool:
    return source is not None and source.pushed


def _protected(host: str, url: str | None) -> bool:
    """Whether, according to the configuration, tokens do not cross a network unencrypted."""
    return url.startswith("https://") if url else loopback(host)


def _url(c: Checks, url: str) -> None:
    loc = ("http", "url")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        c.problem(loc, "must be an http:// or https:// URL with a host, for example https://cliffwatch.example.com")
    elif not parts.netloc.isascii():
        c.problem(loc, "the host has non-ASCII letters; use its xn-- form, which browsers send")
    elif "@" in parts.netloc:
        c.problem(loc, "contains a user or password; remove it, because it would appear in every alert and mail")
    elif parts.path not in ("", "/") or parts.query or parts.fragment:
        c.problem(loc, "must end with the host or port, because the pages' links start there")


def _token(c: Checks, loc: Loc, where: ActionToken) -> str | None:
    """The person's token, if it is usable. Messages do not contain it."""
    if where.token_env is not None and where.token_file is not None:
        c.problem((*loc, "token_file"), "cannot be combined with 'token_env'; keep one of them")
        return None
    if where.token_env is not None:
        return _from_variable(c, (*loc, "token_env"), where.token_env)
    if where.token_file is not None:
        return _from_file(c, (*loc, "token_file"), c.at(where.token_file))
    given = any((*loc, key) in c.document.lines for key in ("token_env", "token_file"))
    if not given and not c.has_unknown_key(loc, ActionToken):
        c.problem(loc, "requires 'token_env' or 'token_file', which names the location of the token")
    return None


def _from_variable(c: Checks, loc: Loc, name: str) -> str | None:
    token = c.environ.get(name, "").strip()
    if token:
        return _usable(c, loc, token, f"environment variable {name}")
    if not VARIABLE.fullmatch(name) or looks_like_key(name):
        c.problem(loc, "looks like a token, not the name of a variable; remove it from the file, and name its variable")
    else:
        c.about_key(loc, f"environment variable {name} is not set or empty")
    return None


def _from_file(c: Checks, loc: Loc, path: Path) -> str | None:
    if not os.path.isfile(path):
        c.about_key(loc, "is not a file" if os.path.exists(path) else "file not found")
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        c.about_key(loc, "is not readable by this user, or not text")
        return None
    return _usable(c, loc, token, "the file")


def _usable(c: Checks, loc: Loc, token: str, where: str) -> str | None:
    if len(token) < LEAST_TOKEN:
        found = f"contains a token of {len(token)} characters" if token else "contains no token"
        c.about_key(loc, f"{where} {found}; tokens have at least {LEAST_TOKEN}, for example from: openssl rand -hex 32")
        return None
    if not (token.isascii() and token.isprintable()) or " " in token:
        c.about_key(loc, f"{where} contains characters that are not allowed in a token")
        return None
    return token
