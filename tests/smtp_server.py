"""A real SMTP server in the test's own loop: TLS by an authority of its own, a login, and the ways to fail."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, Literal, cast

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "cliffwatch", "planted-Pa55word-7731"
"""The password is planted: it may appear nowhere but on the wire."""


@dataclass
class MailServer:
    """What it got, and what it does to the next ones."""

    port: int = 0
    ca_file: Path = Path()
    received: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    connections: int = 0
    replies: list[str] = field(default_factory=list)
    """Its answers to the next mails, before it takes any."""
    refuse: dict[str, list[str]] = field(default_factory=dict)
    """Recipient -> its answers to the next attempts; the last one stays."""
    login_says: str | None = None
    """Its answer to every login."""
    cut: list[Literal["in the middle", "after"]] = field(default_factory=list)
    """How the next connections end: amid the mail, or after it was taken and before that was said."""
    hold: asyncio.Event | None = None
    """Waited for when a mail was taken, before that is said."""
    got: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def message_ids(self) -> list[str]:
        return [str(one["Message-ID"]) for one in self.received]

    def email(self, **smtp: Any) -> dict[str, Any]:
        """The section of the configuration that sends to it, with STARTTLS and a login."""
        settings = {"host": "localhost", "port": self.port, "ca_file": str(self.ca_file), "username": USER,
                    "password_env": "SMTP_PASSWORD", **smtp}  # fmt: skip
        kept = {key: value for key, value in settings.items() if value is not None}
        return {"to": ["sre@example.com"], "sender": "cliffwatch@example.com", "smtp": kept}


class _Protocol(SMTP):
    """Ends a connection amid the mail, as a failing network does."""

    def __init__(self, server: MailServer, *arguments: Any, **options: Any) -> None:
        self._mail_server = server
        super().__init__(*arguments, **options)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self._mail_server.cut[:1] == ["in the middle"]:
            self._mail_server.cut.pop(0)
            await self.push("354 go on")
            await self._reader.readline()
            cast("asyncio.Transport", self.transport).abort()
            return
        await super().smtp_DATA(arg)


class _Handler:
    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answers = self._server.refuse.get(address)
        if answers:
            said = answers.pop(0) if len(answers) > 1 else answers[0]
            if not said.startswith("250"):
                return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self._server.replies:
            said = self._server.replies.pop(0)
            if not said.startswith("250"):
                return said
        message = message_from_bytes(cast("bytes", envelope.content), policy=default)
        self._server.received.append(message)
        self._server.recipients.append(list(envelope.rcpt_tos))
        self._server.got.set()
        if self._server.hold is not None:
            await self._server.hold.wait()
        if self._server.cut[:1] == ["after"]:
            self._server.cut.pop(0)
            cast("asyncio.Transport", server.transport).abort()
        return "250 OK queued as TEST1"

    async def auth_PLAIN(self, server: SMTP, arguments: list[str]) -> AuthResult | None:  # noqa: N802
        """The library's own, unless the server is to say something else of every login."""
        if self._server.login_says is None:
            return await server.auth_PLAIN(server, arguments)
        await server.push(self._server.login_says)
        return AuthResult(success=False, handled=True)


@asynccontextmanager
async def mail_server(
    folder: Path, *, encryption: Literal["starttls", "tls", "none"] = "starttls", login: bool = True,
    name: str = "localhost",
) -> AsyncIterator[MailServer]:  # fmt: skip
    """A server on a free port; its certificate is for ``name``, its authority's file is ``ca_file``."""
    server = MailServer(ca_file=folder / "authority.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(server.ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)

    def authenticator(*arguments: Any) -> AuthResult:
        known: LoginPassword = arguments[4]
        good = (known.login, known.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)

    def protocol() -> SMTP:
        server.connections += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it does not see the TLS that it is served through
            return _Protocol(
                server, _Handler(server), hostname="mail.test", loop=asyncio.get_running_loop(),
                tls_context=context if encryption == "starttls" else None,
                require_starttls=encryption == "starttls", auth_required=login,
                auth_require_tls=encryption == "starttls", authenticator=authenticator,
                auth_exclude_mechanism=["LOGIN"],
            )  # fmt: skip

    listening = await asyncio.get_running_loop().create_server(
        protocol, "localhost", 0, family=2, ssl=context if encryption == "tls" else None
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        if server.hold is not None:
            server.hold.set()
        listening.close()
        await listening.wait_closed()
