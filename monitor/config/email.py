"""Checks of the ``email`` section beyond types: addresses, schedule, and a connection that does not leak secrets.

No message quotes a value that could be a password.
"""

import os
import re
import ssl
from pathlib import Path
from typing import Final

from monitor.config.checks import Checks, loopback
from monitor.config.problems import nearest
from monitor.config.yaml_reader import Loc
from monitor.core.schedule import parse
from monitor.core.settings import Email, Smtp

ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
"""An address that is used as it is: no display name, no comment, ASCII."""
HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]+\]?")
VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")
"""Only such names are quoted: a password entered by mistake rarely looks like one."""
TLS_PORT: Final = 465


def run(c: Checks) -> None:
    """Check the section, if there is one."""
    email = c.settings.email
    if email is None:
        return
    _addresses(c, email)
    _every(c, email.every)
    if email.smtp is not None:
        _smtp(c, ("email", "smtp"), email.smtp)
    http = c.settings.http
    if http is not None and http.url is None:
        where = f"http://{http.host}:{http.port}" if http.port else "nowhere"
        c.warn(("email",), f"http.url is not set, so links in mail lead to {where}; set it to the URL that people use")


def _addresses(c: Checks, email: Email) -> None:
    for place, address in enumerate(email.to or ()):
        if not ADDRESS.fullmatch(address):
            c.problem(("email", "to", place), "must be an address without a name, for example ml-oncall@example.com")
        elif address in email.to[:place]:
            c.problem(("email", "to", place), "is listed twice")
    if email.sender and not ADDRESS.fullmatch(email.sender):
        c.problem(("email", "sender"), "must be an address without a name, for example cliffwatch@example.com")


def _every(c: Checks, text: str) -> None:
    try:
        parse(text or "daily")
    except ValueError:
        meant = nearest(text, ("daily", "weekly mon 08:00", "every 2 days"))
        forms = "must be 'daily', 'every N days' or 'weekly DAY HH:MM' (DAY: mon to sun)"
        c.problem(("email", "every"), forms + (f"; for example '{meant}'" if meant else ""))


def _smtp(c: Checks, loc: Loc, smtp: Smtp) -> None:
    if smtp.host and not HOST.fullmatch(smtp.host):
        c.problem(
            (*loc, "host"), "must be a host name or IP address, for example smtp.example.com; put the port into 'port'"
        )
    _encryption(c, loc, smtp)
    if smtp.username is None:
        for key in ("password_env", "password_file"):
            if getattr(smtp, key) is not None:
                c.problem((*loc, key), "requires 'username'")
    else:
        _password(c, loc, smtp)
    if smtp.ca_file is not None:
        _authority(c, (*loc, "ca_file"), c.at(smtp.ca_file))


def _encryption(c: Checks, loc: Loc, smtp: Smtp) -> None:
    """Requires TLS, unless the file switches off both forms."""
    written = {key for key in ("starttls", "tls") if (*loc, key) in c.document.lines}
    if smtp.tls and smtp.starttls and written == {"starttls", "tls"}:
        c.problem((*loc, "starttls"), "cannot be combined with 'tls'; keep one of them")
    elif not smtp.tls and not smtp.starttls:
        _plaintext(c, loc, smtp, written)
    elif smtp.port == TLS_PORT and not smtp.tls:
        c.warn((*loc, "port"), "465 is for TLS from the first byte; add 'tls: true'")


def _plaintext(c: Checks, loc: Loc, smtp: Smtp, written: set[str]) -> None:
    here = bool(smtp.host) and loopback(smtp.host)
    if "tls" not in written:
        c.problem((*loc, "starttls"), "is off, so mail is sent unencrypted; to confirm this, add 'tls: false'")
    elif smtp.username is not None and not here:
        c.problem((*loc, "username"), "passwords are not sent unencrypted to another machine; use 'starttls' or 'tls'")
    elif not here:
        c.warn((*loc, "starttls"), "is off, and so is tls: others on the network can read the mail")
    if smtp.ca_file is not None:
        c.warn((*loc, "ca_file"), "has no effect without TLS")


def _password(c: Checks, loc: Loc, smtp: Smtp) -> None:
    if smtp.password_env is not None and smtp.password_file is not None:
        c.problem((*loc, "password_file"), "cannot be combined with 'password_env'; keep one of them")
    elif smtp.password_env is not None:
        if not c.environ.get(smtp.password_env, "").strip():
            which = f" {smtp.password_env}" if VARIABLE.fullmatch(smtp.password_env) else ""
            c.about_key((*loc, "password_env"), f"environment variable{which} is not set or empty")
    elif smtp.password_file is not None:
        _password_file(c, (*loc, "password_file"), c.at(smtp.password_file))
    elif not _refused(c, loc):
        c.problem((*loc, "username"), "requires a password; name it with 'password_env' or 'password_file'")


def _refused(c: Checks, loc: Loc) -> bool:
    """Whether a missing password is already reported, as rejected or misspelt."""
    given = any((*loc, key) in c.document.lines for key in ("password_env", "password_file"))
    return given or c.has_unknown_key(loc, Smtp)


def _password_file(c: Checks, loc: Loc, path: Path) -> None:
    if not os.path.isfile(path):
        c.about_key(loc, "file not found")
        return
    try:
        empty = not path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        c.about_key(loc, "is not readable by this user, or not text")
        return
    if empty:
        c.about_key(loc, "the file is empty")


def _authority(c: Checks, loc: Loc, path: Path) -> None:
    if not os.path.isfile(path):
        c.problem(loc, "file not found")
        return
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError):
        c.problem(loc, "contains no PEM certificate, or is not readable by this user")
