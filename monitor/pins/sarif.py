"""A scan as SARIF 2.1.0 (OASIS, 2020), which code hosts show next to the lines of a change."""

import hashlib
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from monitor import __version__
from monitor.pins.records import TITLES, Floating, Rule, Scan, Unread

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def log(scan: Scan) -> dict[str, Any]:
    """The log, ready for ``json.dumps``."""
    driver = {
        "name": "cliffwatch pins",
        "semanticVersion": __version__,
        "rules": [{"id": rule.value, "shortDescription": {"text": TITLES[rule]}} for rule in Rule],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": not scan.unread,
                "toolExecutionNotifications": [_notification(one) for one in scan.unread],
            }
        ],
        "results": [_result(one) for one in scan.floating],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(one: Floating) -> dict[str, Any]:
    print_of = hashlib.sha256(f"{one.file}\0{one.advice.rule}\0{one.advice.what}".encode()).hexdigest()
    place = {"artifactLocation": {"uri": _uri(one.file)}, "region": {"startLine": one.line}}
    return {
        "ruleId": one.advice.rule.value,
        "ruleIndex": list(Rule).index(one.advice.rule),
        "level": "warning",
        "message": {"text": one.text()},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"cliffwatchPin/v1": print_of},
    }


def _notification(one: Unread) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": _uri(one.file)}}}
    return {"level": "error", "message": {"text": str(one)}, "locations": [place]}


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
