"""Logs: JSON lines in service, readable on a terminal; both on standard error, and no secret in either.

Everything that is written passes through here, libraries' lines and uncaught exceptions included. Taken out are the
values of all secrets that the configuration names (``conceal``), of environment variables that are called like one,
and whatever has the shape of a key. Of an exception's message only the first line is kept: what follows is often
what a database or a parser was given, and that may be a prompt or an answer.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, quote_plus

import structlog
from pydantic import BaseModel

LEAST_SECRET: Final = 4
"""Characters: shorter ones stand in words, and are no secrets."""

LONGEST_MESSAGE: Final = 500
"""Characters of an exception's message that are kept."""

LIBRARY: Final = "library"
"""The event of lines that a library wrote through ``logging``."""

_SECRET_NAME: Final = re.compile(r"(?i)(^|_)(key|token|secret|password|passwd|pgpassword|credentials?)s?(_|$)|apikey")
_NO_SECRET: Final = frozenset(("true", "false", "none", "null", "disabled", "enabled"))

_concealed: tuple[str, ...] = ()
"""What is taken out, longest first: a secret may begin with another. Replaced, never changed: a reload makes it grow
while other threads log."""


def configure(*, service: bool, least: int = logging.INFO) -> None:
    """Set logging up for this process: JSON lines in ``service``, else readable; nothing below level ``least``."""
    conceal(value for name, value in os.environ.items() if _SECRET_NAME.search(name) and len(value) >= 2 * LEAST_SECRET)
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if service
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exceptions,
            _clean,
            renderer,
            _last_look,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_in_libraries()


def conceal(secrets: Iterable[str]) -> None:
    """Take these values out of everything that is logged from now on, however they are written."""
    global _concealed
    forms = set(_concealed)
    for secret in secrets:
        if len(secret) >= LEAST_SECRET and secret.lower() not in _NO_SECRET:
            escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
            forms |= {secret, *escaped, quote(secret, safe=""), quote_plus(secret)}
    _concealed = tuple(sorted(forms, key=len, reverse=True))


def secrets_in(settings: BaseModel, environ: Mapping[str, str] = os.environ) -> set[str]:
    """The values of all secrets that the settings name, wherever in them: ``..._env`` is a variable, ``..._file`` of a
    key, password or token its file. PostgreSQL's own password with them. What cannot be read is no secret yet."""
    found = {environ.get("PGPASSWORD", "")}
    for name, value in _fields(settings):
        if name.endswith("_env"):
            found.add(environ.get(value, "").strip())
        elif name.endswith(("key_file", "password_file", "token_file")):
            found.add(_content(Path(value).expanduser()))
    if passwords := environ.get("PGPASSFILE"):
        found |= {line.rpartition(":")[2] for line in _content(Path(passwords)).splitlines()}
    return found - {""}


def _fields(section: object) -> Iterator[tuple[str, str]]:
    if isinstance(section, BaseModel):
        for name in type(section).model_fields:
            value = getattr(section, name, None)
            if isinstance(value, str | Path):
                yield name, str(value)
            else:
                yield from _fields(value)
    elif isinstance(section, Mapping):
        for value in section.values():
            yield from _fields(value)


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def scrub(text: str) -> str:
    """``text`` without secrets: those that are known, and what has a key's shape."""
    from monitor.core.redaction import redact_secrets

    return redact_secrets(_without_known(text))


def _without_known(text: str) -> str:
    for secret in _concealed:
        if secret in text:
            text = text.replace(secret, "‹secret›")
    return text


def _cleaned(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(name)): _cleaned(part) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cleaned(part) for part in value]
    return scrub(str(value))


def _clean(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return {scrub(name): _cleaned(value) for name, value in event.items()}


def _last_look(_: object, __: str, line: Any) -> str:
    """The line as it will be written, once more: what was put together only there."""
    return _without_known(str(line))


def _exceptions(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Tracebacks as text, in both kinds of log, so that they are cleaned as everything else."""
    info = event.pop("exc_info", None)
    if not info:
        return event
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    if error is not None:
        event["exception"] = render_error(error)
    return event


def render_error(error: BaseException) -> str:
    """An exception with its causes: where each went, its type, and the first line of what it says."""
    parts, seen = [], set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        # a secret is known whole: half of one, left by a cut, would pass every later look
        message = scrub(str(one)).partition("\n")[0][:LONGEST_MESSAGE]
        name = f"{type(one).__module__}.{type(one).__qualname__}".removeprefix("builtins.")
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"{frames}{name}: {message}" if message else f"{frames}{name}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))


class _Through(logging.Handler):
    """What libraries log, as events of ours. Their debug lines hold requests, so nothing below a warning passes."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # a library's own mistake in its format
            message = f"{record.msg!s} ({type(error).__name__})"
        log = structlog.get_logger()
        log.log(record.levelno, LIBRARY, logger=record.name, message=message, exc_info=record.exc_info)


def _take_in_libraries() -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Through):
            root.removeHandler(handler)
    root.addHandler(_Through())
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default", append=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, _: TracebackType | None) -> None:
    """What nobody caught: Python would print it as it is."""
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log = structlog.get_logger()
        log.critical("crashed", exc_info=error)
