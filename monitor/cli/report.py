"""``cliffwatch report``: previews, prints or sends the weekly e-mail."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.options import DEFAULT, Config, Json
from monitor.core.errors import CouldNotMeasure, UsageError

if TYPE_CHECKING:
    from monitor.runs.context import RunContext


def report(
    preview: Annotated[
        Path | None, typer.Option("--preview", help="Write the mail to an HTML file for a browser.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print plain text (default).")] = False,
    send: Annotated[bool, typer.Option("--send", help="Send the mail now to all addresses in email.to.")] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Print the weekly e-mail now, or send it with --send.

    Uses the current results and makes no model calls.

    Exit 3 if the mail server did not accept the mail.
    """
    from monitor.cli import operations, output
    from monitor.report.email import message, render
    from monitor.report.email.compose import compose
    from monitor.runs.readonly import reading

    if send and (preview or text):
        raise UsageError(
            "report: --send cannot be combined with --preview or --text; run those first to review the mail"
        )
    if send:
        with operations.opened(config, operations.MAILS) as context:
            return _send(context, config, as_json=as_json)
    with reading(config) as context:
        mail = compose(context, context.clock())
    if preview is not None:
        _write(preview, message.preview(mail.report, mail.pictures))
    if as_json:
        output.print_json(mail.report)
    elif text or preview is None:
        sys.stdout.write(render.text(mail.report))
    else:
        typer.echo(f"wrote {preview}: {mail.report.headline}")


def _write(path: Path, html: str) -> None:
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another path") from error


def _send(context: "RunContext", config: Path, *, as_json: bool) -> None:
    """Compose the mail, hand it to the server, and print the result."""
    import asyncio

    from monitor.cli import output
    from monitor.core.records import MailStatus
    from monitor.daemon.jobs import mailer
    from monitor.report.email.smtp import DELIVERY_SECONDS, STEP_SECONDS

    email = context.settings.email
    if email is None:
        raise UsageError(f"{config}: no 'email' section, so there are no recipients; see docs/email.md")
    waits = f"timeout: {STEP_SECONDS:.0f} s per reply, {DELIVERY_SECONDS:.0f} s in total"
    typer.echo(f"connecting to {email.smtp.host}:{email.smtp.port} … ({waits})", err=True)
    mail = asyncio.run(mailer.send_now(context, email))
    if as_json:
        output.print_json(
            {
                "status": mail.status, "message_id": mail.message_id, "subject": mail.subject,
                "recipients": mail.recipients, "attempts": mail.attempts, "error": mail.error,
                "next_at": mail.next_at if mail.status is MailStatus.QUEUED else None,
            }
        )  # fmt: skip
    if mail.status is MailStatus.REFUSED:
        raise CouldNotMeasure(f"the server rejected the mail permanently: {mail.error}")
    if mail.status is MailStatus.QUEUED:
        raise CouldNotMeasure(
            f"the server did not accept the mail: {mail.error}\n"
            f"it stays in the outbox; a running daemon retries at {mail.next_at:%Y-%m-%d %H:%M} UTC"
        )
    if mail.error:
        raise CouldNotMeasure(f"the mail was not sent to all recipients: {mail.error}")
    if not as_json:
        typer.echo(f"sent to {', '.join(mail.recipients)}: {mail.subject}")
