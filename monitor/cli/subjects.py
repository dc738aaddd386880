"""``cliffwatch forget`` and ``cliffwatch export-data``: what is stored of one person."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.accept import By, Why
from monitor.cli.options import DEFAULT, Config, Json
from monitor.core.errors import CouldNotMeasure, UsageError

if TYPE_CHECKING:
    from monitor.core.records import Forgotten
    from monitor.core.settings import Settings

Subject = Annotated[
    str,
    typer.Option(
        "--subject",
        help="Value of the field `production.subject_key`; - reads it from standard input.",
        metavar="VALUE",
    ),
]

NOT_REACHED: Final = (
    "backups and copies of the store: after restoring one, run forget again",
    "the request logs that the inputs were read from, and the providers that were asked",
    "Alertmanager, its receivers and mailboxes: alerts and mails contain no prompts and no answers",
    "inputs that were sampled before subject_key was configured, unless their text is the same",
    "inputs that more than 1,000 people sent in one period, of which only some people are kept",
)
"""What ``forget`` does not delete."""

ON_SQLITE: Final = "cliffwatch.db-wal, while a reader keeps it: it is emptied when the daemon stops"
ON_POSTGRES: Final = "PostgreSQL's deleted rows until VACUUM, its log and its replicas"


def _hash(settings: "Settings", known: bool, value: str) -> str:
    """The keyed hash of the person. Raises UsageError if no inputs can be stored with a person."""
    from monitor.core.keyed_hash import keyed_hash, read_key

    if not known and not any(one.production and one.production.subject_key for one in settings.targets.values()):
        raise UsageError(
            "no target has `production.subject_key`, and no input is stored with a person: inputs of a person cannot "
            "be found"
        )
    value = sys.stdin.readline().rstrip("\n") if value == "-" else value
    if not value:
        raise UsageError("--subject is empty")
    return keyed_hash(read_key(settings.store, create=False), value)


def forget(subject: Subject, by: By, why: Why, config: Config = DEFAULT, as_json: Json = False) -> None:
    """Delete all inputs of a person, with their answers, exchanges, embeddings and examples.

    Searches the whole store by a keyed hash of the value. Prints what was deleted and what is out of reach. The audit
    log records the deletion without the value. Exit 3 if runs in progress ask inputs of the person: repeat the command
    when they have ended.
    """
    from monitor.cli import operations
    from monitor.cli.output import print_json
    from monitor.core.records import AuditEntry

    with operations.opened(config, operations.NOTHING) as context:
        store, settings = context.store, context.settings
        person = _hash(settings, store.has_subjects(), subject)
        done = store.forget(person, AuditEntry(context.clock(), by, "forget", None, None, None, why, None))
    later = () if done.log_emptied else (ON_SQLITE,)
    own = (ON_POSTGRES,) if settings.store.startswith("postgres") else later
    done = replace(done, not_reached=(*own, *NOT_REACHED))
    if as_json:
        print_json(done)
    else:
        _show(done)
    if done.waiting:
        runs = ", ".join(map(str, done.waiting))
        raise CouldNotMeasure(f"runs in progress ask inputs of this person: {runs}; run forget again when they ended")


def _show(done: "Forgotten") -> None:
    from monitor.core.wording import many

    typer.echo(
        f"deleted {many(done.inputs, 'input')} in {many(done.runs, 'run')}, with {many(done.answers, 'answer')} and "
        f"{many(done.examples, 'example')} in findings"
    )
    typer.echo("not reached:")
    for one in done.not_reached:
        typer.echo(f"  {one}")


def export_data(subject: Subject, config: Config = DEFAULT) -> None:
    """Print all that is stored of a person, as JSON lines: inputs, answers with scores, examples in findings.

    Embeddings are not printed. Exit 0 also if nothing is stored.
    """
    from monitor.runs.readonly import reading
    from monitor.store.column_types import dump_json

    with reading(config) as found:
        person = _hash(found.settings, found.store.has_subjects(), subject)
        lines = found.store.subject_data(person)
    for line in lines:
        typer.echo(dump_json(line))
