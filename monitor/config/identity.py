"""What a target's snapshot, declared adapter and fine-tune id must be beyond their types.

Only what is declared can be refused: an adapter on disk that is another one by now is a warning here, and a finding of
the daemon, which must be able to start and tell it.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from monitor.config.checks import COMMIT, HUB_ID, Checks
from monitor.config.problems import Loc
from monitor.core.records import Arm
from monitor.core.settings import DeclaredAdapter, Endpoint, Target


def run(c: Checks, loc: Loc, target: Target) -> None:
    """Check one target."""
    if target.snapshot is not None and not target.suites:
        c.warn((*loc, "snapshot"), "is never asked: only suites ask it, and this target has none")
    if target.adapter is not None:
        _adapter(c, (*loc, "adapter"), target.adapter, target)
    if target.subject and target.base:
        _fine_tune(c, (*loc, "base"), target.subject, target.base)


def retires(c: Checks, loc: Loc, endpoint: Endpoint) -> None:
    """A model that retired cannot answer; a wrong year is the likely reason."""
    if endpoint.retires is not None and endpoint.retires < datetime.now(UTC).date():
        c.warn((*loc, "retires"), "lies in the past")


def _fine_tune(c: Checks, loc: Loc, subject: Endpoint, base: Endpoint) -> None:
    if not (subject.model or "").startswith("ft:"):  # no fine-tune's id
        return
    from monitor.identify.openai import ft_base

    named, declared = ft_base(subject.model or ""), base.model or ""
    if named is None or not declared or subject.provider != base.provider:
        return
    if not declared.startswith(named) and not named.startswith(declared):
        c.warn((*loc, "model"), "is not the model that the subject's id names as its base")


def _adapter(c: Checks, loc: Loc, declared: DeclaredAdapter, target: Target) -> None:
    if declared.revision is not None and not COMMIT.fullmatch(declared.revision):
        c.problem((*loc, "revision"), "must be the 40 hex digits of a commit; a tag or branch can move")
    base = declared.base_model or ""
    local = base.startswith(("/", "./", "../", "~"))
    if base and not os.path.isdir(c.at(base)) and (local or not HUB_ID.fullmatch(base)):
        c.problem((*loc, "base_model"), "no such folder, and no hub id either")
        return
    if declared.path is None or not base:
        return
    from monitor.identify import adapter

    path = c.at(declared.path)
    if not os.path.isdir(path):
        c.problem((*loc, "path"), "no such folder")
    elif not os.path.isfile(path / adapter.CONFIG):
        c.problem((*loc, "path"), f"is not a PEFT adapter: it holds no {adapter.CONFIG}")
    else:
        own = c.at(target.subject.adapter) if target.subject and target.subject.adapter else path
        if os.path.isdir(own) and not os.path.samefile(path, own):
            c.warn((*loc, "path"), "is another folder than the subject's own 'adapter'")
        _files(c, loc, path, declared)


def _files(c: Checks, loc: Loc, path: Path, declared: DeclaredAdapter) -> None:
    """What the headers say; the weights themselves are the daemon's to read."""
    from monitor.identify import adapter
    from monitor.identify.checks import Files, UnreadableError

    folder = c.at(declared.base_model) if os.path.isdir(c.at(declared.base_model)) else None
    files = Files("", Arm.SUBJECT, path, str(folder or declared.base_model), declared.revision, folder)
    try:
        reading = adapter.read(files, effect=False)
    except UnreadableError:
        c.warn((*loc, "path"), "cannot be read by this user")
        return
    for one in reading.checks:
        if not one.matches:
            c.warn(loc, f"{one.check}: expected {one.expected}; {one.found}")
    for reason in dict.fromkeys(reading.unread.values()):
        c.warn((*loc, "path"), reason)
