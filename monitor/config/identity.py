"""Checks of a target's snapshot, declared adapter and fine-tune id beyond types.

Only the declaration can be rejected. An adapter on disk that does not match it is a warning here, because the daemon
must be able to start and report it as a finding.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from monitor.config.checks import COMMIT, HUB_ID, Checks
from monitor.config.yaml_reader import Loc
from monitor.core.records import Arm
from monitor.core.settings import DeclaredAdapter, Endpoint, Target
from monitor.pins.records import retirement


def run(c: Checks, loc: Loc, target: Target) -> None:
    """Check one target."""
    if target.snapshot is not None and not target.suites and not target.snapshot.compare:
        c.warn((*loc, "snapshot"), "is never used: only suites send it probes, and this target has none")
    if target.adapter is not None:
        _adapter(c, (*loc, "adapter"), target.adapter, target)
    if target.subject and target.base:
        _fine_tune(c, (*loc, "base"), target.subject, target.base)


def retires(c: Checks, loc: Loc, endpoint: Endpoint) -> None:
    """Warns about a date in the past: a retired model cannot answer, so the year is probably wrong."""
    if endpoint.retires is not None and endpoint.retires < datetime.now(UTC).date():
        c.warn((*loc, "retires"), "is in the past")


def floats(c: Checks, loc: Loc, endpoint: Endpoint) -> None:
    """Warns about a vendor's alias: the vendor can point it to another model on any day."""
    from monitor.pins import vendors

    if endpoint.model and (advice := vendors.advice(endpoint.model, endpoint.retires)):
        day = f"; {retirement(advice.retires)}" if advice.retires else ""
        c.warn((*loc, "model"), f"is an alias that can move; {advice.instead}{day}")


def _fine_tune(c: Checks, loc: Loc, subject: Endpoint, base: Endpoint) -> None:
    if not (subject.model or "").startswith("ft:"):  # not the id of a fine-tune
        return
    from monitor.identify.openai import ft_base

    named, declared = ft_base(subject.model or ""), base.model or ""
    if named is None or not declared or subject.provider != base.provider:
        return
    if not declared.startswith(named) and not named.startswith(declared):
        c.warn((*loc, "model"), "is not the base model in the subject's id")


def _adapter(c: Checks, loc: Loc, declared: DeclaredAdapter, target: Target) -> None:
    if declared.revision is not None and not COMMIT.fullmatch(declared.revision):
        c.problem((*loc, "revision"), "must be the 40 hex digits of a commit, because tags and branches can move")
    base = declared.base_model or ""
    local = base.startswith(("/", "./", "../", "~"))
    if base and not os.path.isdir(c.at(base)) and (local or not HUB_ID.fullmatch(base)):
        c.problem((*loc, "base_model"), "is neither an existing folder nor a hub id")
        return
    if declared.path is None or not base:
        return
    from monitor.identify import adapter

    path = c.at(declared.path)
    if not os.path.isdir(path):
        c.problem((*loc, "path"), "folder not found")
    elif not os.path.isfile(path / adapter.CONFIG):
        c.problem((*loc, "path"), f"is not a PEFT adapter: it has no {adapter.CONFIG}")
    else:
        own = c.at(target.subject.adapter) if target.subject and target.subject.adapter else path
        if os.path.isdir(own) and not os.path.samefile(path, own):
            c.warn((*loc, "path"), "is not the folder of the subject's 'adapter'")
        _files(c, loc, path, declared)


def _files(c: Checks, loc: Loc, path: Path, declared: DeclaredAdapter) -> None:
    """Checks the files' headers only; the daemon reads the weights."""
    from monitor.identify import adapter
    from monitor.identify.checks import Files, UnreadableError

    folder = c.at(declared.base_model) if os.path.isdir(c.at(declared.base_model)) else None
    files = Files("", Arm.SUBJECT, path, str(folder or declared.base_model), declared.revision, folder)
    try:
        reading = adapter.read(files, effect=False)
    except UnreadableError:
        c.warn((*loc, "path"), "is not readable by this user")
        return
    for one in reading.checks:
        if one.matches is False:
            c.warn(loc, f"{one.check}: expected {one.expected}; {one.found}")
    for reason in dict.fromkeys(reading.unread.values()):
        c.warn((*loc, "path"), reason)
