"""The ``email`` section: what is good, what is warned of, and what becomes of its paths."""

from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from monitor import config
from monitor.core.schedule import parse

ENVIRON = {"SMTP_PASSWORD": "planted-should-not-appear"}


def checked(folder: Path, email: dict[str, Any], **more: Any) -> config.Report:
    settings = {
        "providers": {"mine": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "free": True}},
        "targets": {"bot": {"subject": {"provider": "mine", "model": "m"}, "base": {"provider": "mine", "model": "b"},
                            "suites": ["format"]}},
        "email": {"to": ["sre@example.com"], **email},
        "http": {"url": "https://cliffwatch.example.com"},
        **more,
    }  # fmt: skip
    path = folder / "cliffwatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return config.check(path, ENVIRON)


def warned(report: config.Report) -> list[str]:
    assert report.problems == ()
    return [f"{warning.where}: {warning.text}" for warning in report.warnings if warning.where.startswith("email")]


def test_tls_and_a_login_are_good_and_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "smtp.key").write_text("secret\n")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    smtp = {"host": "smtp.example.com", "username": "c", "password_file": "smtp.key", "ca_file": "ca.pem"}
    report = checked(tmp_path, {"smtp": smtp, "every": "mon 08:00"})
    assert warned(report) == []
    assert report.settings is not None
    assert report.settings.email is not None
    read = report.settings.email.smtp
    assert (read.password_file, read.ca_file) == (tmp_path / "smtp.key", tmp_path / "ca.pem")
    assert (read.port, read.starttls, read.tls) == (587, True, False)


@pytest.mark.parametrize(
    ("smtp", "warnings"),
    [
        ({"host": "smtp.example.com", "username": "c", "password_env": "SMTP_PASSWORD"}, []),
        ({"host": "smtp.example.com", "port": 465, "tls": True}, []),
        ({"host": "smtp.example.com", "starttls": False, "tls": True}, []),
        (
            {"host": "smtp.example.com", "port": 465},
            ["email.smtp.port"],
        ),
        (
            {"host": "relay", "starttls": False, "tls": False},
            ["email.smtp.starttls"],
        ),
        ({"host": "localhost", "port": 25, "starttls": False, "tls": False}, []),
        (
            {"host": "127.0.0.1", "starttls": False, "tls": False, "username": "c", "password_env": "SMTP_PASSWORD"},
            [],
        ),
        ({"host": "::1", "starttls": False, "tls": False}, []),
    ],
)
def test_what_is_let_through_and_what_is_warned_of(tmp_path: Path, smtp: dict[str, Any], warnings: list[str]) -> None:
    assert [one.partition(": ")[0] for one in warned(checked(tmp_path, {"smtp": smtp}))] == warnings


def test_links_that_lead_to_this_machine_are_warned_of(tmp_path: Path) -> None:
    (told,) = warned(checked(tmp_path, {"smtp": {"host": "smtp.example.com"}}, http={}))
    assert told.startswith("email: http.url is not set")
    assert "http://127.0.0.1:9464" in told


def test_the_short_form_of_a_weekly_schedule() -> None:
    assert parse("mon 08:00") == parse("weekly mon 08:00") == parse("Weekly Mon 8:00")
    with pytest.raises(ValueError, match="is not a schedule"):
        parse("monday 08:00")
