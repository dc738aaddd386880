"""Logging to standard error without secrets: JSON lines in service, readable text on a terminal.

All output passes through here, including libraries' records and uncaught exceptions. It removes the values of all
secrets that the configuration names (``conceal``), of environment variables with the name of a secret, and everything
with the shape of a key. Only the first line of an exception's message is kept: the rest is often the input of a
database or a parser, which may be a prompt or an answer.
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

from monitor.core.log_repeats import Repeats

LEAST_SECRET: Final = 4
"""Minimum length in characters: shorter values occur inside words, and are not treated as secrets."""

LONGEST_MESSAGE: Final = 500
"""Maximum length of an exception's message in characters."""

LIBRARY: Final = "library"
"""Event name of records that libraries log through ``logging``."""

_SECRET_NAME: Final = re.compile(r"(?i)(^|_)(key|token|secret|password|passwd|pgpassword|credentials?)s?(_|$)|apikey")
_NO_SECRET: Final = frozenset(("true", "false", "none", "null", "disabled", "enabled"))

_concealed: tuple[str, ...] = ()
"""Values to remove, longest first, because a secret may begin with another. Replaced as a whole, because a reload
extends it while other threads log."""


def configure(*, service: bool, least: int = logging.INFO) -> None:
    """Set logging up for this process: JSON lines in ``service``, else readable text; minimum level ``least``."""
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
            *([Repeats()] if service else []),
            _clean,
            renderer,
            _last_pass,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_in_libraries()


def conceal(secrets: Iterable[str]) -> None:
    """Remove these values, in all encodings, from everything that is logged from now on."""
    global _concealed
    forms = set(_concealed)
    for secret in secrets:
        if len(secret) >= LEAST_SECRET and secret.lower() not in _NO_SECRET:
            escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
            forms |= {secret, *escaped, quote(secret, safe=""), quote_plus(secret)}
    _concealed = tuple(sorted(forms, key=len, reverse=True))


def secrets_in(settings: BaseModel, environ: Mapping[str, str] = os.environ) -> set[str]:
    """The values of all secrets that the settings name: variables in ``..._env``, and key, password and token files in
    ``..._file``. Includes PostgreSQL's password variables. Skips what cannot be read."""
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
    """``text`` without known secrets and without anything that has the shape of a key."""
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


def _last_pass(_: object, __: str, line: Any) -> str:
    """Removes known secrets from the final line, because rendering may have joined parts of one."""
    return _without_known(str(line))


def _exceptions(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Turns exceptions into text in both log formats, so that they are cleaned like everything else."""
    info = event.pop("exc_info", None)
    if not info:
        return event
    error = info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    if error is not None:
        event["exception"] = render_error(error)
    return event


def render_error(error: BaseException) -> str:
    """An exception with its causes: traceback, type and first line of the message of each."""
    parts, seen = [], set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        # scrubbed before the cut: only whole secrets are recognised, so a part of one would remain
        message = scrub(str(one)).partition("\n")[0][:LONGEST_MESSAGE]
        name = f"{type(one).__module__}.{type(one).__qualname__}".removeprefix("builtins.")
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"{frames}{name}: {message}" if message else f"{frames}{name}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n\nwhich led to:\n\n".join(reversed(parts))


class _Through(logging.Handler):
    """Logs libraries' records as events. Only warnings and above, because debug records contain requests."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # a bug in the library's format
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
    """Logs an uncaught exception, which Python would print uncleaned."""
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        log = structlog.get_logger()
        log.critical("crashed", exc_info=error)
