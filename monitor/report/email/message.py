"""A report as one MIME message: plain text, and HTML with its pictures attached. The message is pure ASCII."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Final, cast

from monitor.report.email import render
from monitor.report.email.charts import Picture
from monitor.report.email.data import Key
from monitor.report.email.report import Report

LARGEST_HTML: Final = 100_000
"""Maximum number of bytes of the HTML; mail programs truncate longer mails."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail in the form in which it is sent."""

    message_id: str
    subject: str
    body: bytes


def letter(report: Report, pictures: Mapping[Key, Picture], sender: str, to: Sequence[str], at: datetime) -> Letter:
    """The report as a message with a new Message-ID, which must be stored with it."""
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message_id = make_msgid(idstring="cliffwatch", domain=domain)
    subject = _header(report.subject)
    message["From"] = f"Cliffwatch <{_header(sender)}>"
    message["To"] = ", ".join(_header(one) for one in to)
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id
    message["List-Id"] = f"Cliffwatch weekly <cliffwatch-weekly.{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(render.text(report), cte="quoted-printable")
    cids = {key: make_msgid(idstring=f"chart{place}", domain=domain) for place, key in enumerate(pictures)}
    shown = {key: (f"cid:{cids[key][1:-1]}", one) for key, one in pictures.items()}
    message.add_alternative(render.html(report, shown), subtype="html", cte="quoted-printable")
    rich = cast("list[MIMEPart]", message.get_payload())[1]
    for key, one in pictures.items():
        rich.add_related(one.png, "image", "png", cid=cids[key], disposition="inline")
    return Letter(message_id, subject, message.as_bytes())


def preview(report: Report, pictures: Mapping[Key, Picture]) -> str:
    """The HTML alone with embedded pictures: one file to open in a browser."""
    shown = {key: (f"data:image/png;base64,{base64.b64encode(one.png).decode()}", one) for key, one in pictures.items()}
    return render.html(report, shown)


def _header(value: str) -> str:
    """``value`` on one line, so that a name cannot start another header."""
    return " ".join(value.split())
