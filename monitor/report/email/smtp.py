"""Makes one attempt to deliver a mail by SMTP, and returns the result for each recipient. Never retries by itself.

A 5xx reply is final: the server would refuse the login or address again, and retries can lock the account. A 4xx reply
and every connection error are temporary. A TLS error is temporary too; it never leads to an unencrypted connection.
"""

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final

from monitor.core.errors import ConfigError
from monitor.core.records import Mail
from monitor.core.sanitize import visible
from monitor.core.settings import Email, Smtp

STEP_SECONDS: Final = 60.0
"""Timeout for one reply of the server."""
DELIVERY_SECONDS: Final = 300.0
"""Timeout for one mail, from connecting to the last reply."""
LEASE_SECONDS: Final = 360.0
"""Duration of a sender's lease on a mail: longer than one delivery can take."""
WORDS: Final = 300
"""Maximum number of characters kept of a server's reply."""

FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=4)
GIVEN_UP: Final = timedelta(days=3)
"""Age after which a weekly mail is no longer sent."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Result of one attempt. Every recipient is in exactly one of the three."""

    taken: tuple[str, ...] = ()
    later: Mapping[str, str] = field(default_factory=dict)
    """Recipient -> the reason of a temporary failure."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Recipient -> the reason of a permanent failure."""


def next_try(mail: Mail, now: datetime) -> datetime | None:
    """Time of the next try after attempt number ``mail.attempts``. ``None`` if the mail is too old by then.

    The wait doubles from one minute to four hours, with 25 % jitter, so that mails that failed together are not retried
    together.
    """
    wait = min(FIRST_WAIT * 2 ** min(mail.attempts - 1, 20), LONGEST_WAIT)
    at = now + wait * Random(f"{mail.message_id}/{mail.attempts}").uniform(0.75, 1.25)
    return at if at <= mail.composed_at + GIVEN_UP else None


async def deliver(email: Email, mail: Mail, environ: Mapping[str, str] = os.environ) -> Handed:
    """One attempt. Returns errors instead of raising them; the password is removed from their texts."""
    import aiosmtplib

    secrets: tuple[str, ...] = ()
    everyone = mail.recipients
    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            password = await asyncio.to_thread(read_password, email.smtp, environ)
            secrets = _forms(email.smtp.username, password)
            errors = await _send(email, mail, password)
            return _sorted(mail.recipients, errors, secrets)
    except aiosmtplib.SMTPRecipientsRefused as error:
        return _sorted(everyone, {one.recipient: (one.code, one.message) for one in error.recipients}, secrets)
    except aiosmtplib.SMTPAuthenticationError as error:
        words = f"the login was refused: check email.smtp.username and {_password_key(email.smtp)} ({error.message})"
        return _sorted(everyone, dict.fromkeys(everyone, (error.code, words)), secrets)
    except aiosmtplib.SMTPResponseException as error:
        return _sorted(everyone, dict.fromkeys(everyone, (error.code, error.message)), secrets)
    except ssl.SSLCertVerificationError as error:
        why = f"{_where(email.smtp)}: its certificate is not trusted: {error.verify_message or error}"
    except (aiosmtplib.SMTPException, ssl.SSLError, OSError, TimeoutError, ValueError, ConfigError) as error:
        why = str(error) if isinstance(error, ConfigError) else f"{_where(email.smtp)}: {_told(error)}"
    return Handed(later=dict.fromkeys(everyone, _without(secrets, why)))


def read_password(smtp: Smtp, environ: Mapping[str, str]) -> str:
    """The password; empty without a login. Raises ConfigError if the configured file or variable has no password."""
    if smtp.username is None:
        return ""
    if smtp.password_file is not None:
        try:
            value = smtp.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            where = f"email.smtp.password_file {smtp.password_file}"
            raise ConfigError(f"{where} cannot be read: {type(error).__name__}") from None
        where = f"email.smtp.password_file {smtp.password_file}"
    else:
        value = environ.get(smtp.password_env or "", "").strip()
        where = "email.smtp.password_env: the named variable"
    if not value:
        raise ConfigError(f"{where} is empty or not set")
    return value


def _password_key(smtp: Smtp) -> str:
    """The configuration key that names the password's file or variable."""
    return f"email.smtp.{'password_file' if smtp.password_file is not None else 'password_env'}"


async def _send(email: Email, mail: Mail, password: str) -> dict[str, tuple[int, str]]:
    """Recipient -> code and message, for refused recipients. The server accepted the mail for the others."""
    import aiosmtplib

    smtp, login = email.smtp, email.smtp.username is not None
    client = aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        username=smtp.username,
        password=password if login else None,
        local_hostname=socket.gethostname(),  # the default queries DNS, which may take a minute to fail
        timeout=STEP_SECONDS,
        use_tls=smtp.tls,
        start_tls=smtp.starttls and not smtp.tls,
        tls_context=await asyncio.to_thread(_trust, smtp) if smtp.tls or smtp.starttls else None,
    )
    try:
        await client.connect()
        errors, _ = await client.sendmail(email.sender, mail.recipients, mail.body)
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit(timeout=5)  # the server has accepted the mail; an error of QUIT does not matter
    finally:
        client.close()
    return {who: (reply.code, reply.message) for who, reply in errors.items()}


def _trust(smtp: Smtp) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if smtp.ca_file is None else str(smtp.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"email.smtp.ca_file {smtp.ca_file} is not a PEM file: {type(error).__name__}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _sorted(everyone: Sequence[str], errors: Mapping[str, tuple[int, str]], secrets: Sequence[str]) -> Handed:
    told = {who: _without(secrets, f"{code} {message}") for who, (code, message) in errors.items()}
    refused = {who: told[who] for who, (code, _) in errors.items() if code >= 500}
    taken = tuple(who for who in everyone if who not in errors)
    return Handed(taken, {who: words for who, words in told.items() if who not in refused}, refused)


def _where(smtp: Smtp) -> str:
    return f"{smtp.host}:{smtp.port}"


def _told(error: Exception) -> str:
    """An exception in words; some have no message."""
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.__cause__.verify_message}"
    if isinstance(error, TimeoutError) and not str(error):
        return f"no reply in {DELIVERY_SECONDS:.0f} s"
    words = str(error).rstrip(": ")
    cause = error.__cause__
    return f"{words}: {type(cause).__name__}" if words and cause and not str(cause) else words or type(error).__name__


def _forms(username: str | None, password: str) -> tuple[str, ...]:
    """Every form in which the password is sent: a server may repeat it in its reply."""
    if not password:
        return ()
    sent = (password, f"\0{username}\0{password}", f"{username}\0{username}\0{password}")
    return (*sorted((base64.b64encode(one.encode()).decode() for one in sent), key=len, reverse=True), password)


def _without(secrets: Sequence[str], words: str) -> str:
    """``words`` on one line, without the password, at most ``WORDS`` characters."""
    for form in secrets:
        words = words.replace(form, "***")
    return visible(" ".join(words.split()), limit=WORDS)
