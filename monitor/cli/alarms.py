"""``cliffwatch alarms``: parses and prints, as ``cli`` does."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from monitor.cli.options import DEFAULT, Config, Json, OnlyTarget, Target

if TYPE_CHECKING:
    from monitor.core.records import AuditEntry
    from monitor.daemon.actions import Actions


class ListedByDefault(TyperGroup):
    """``alarms`` and ``alarms TARGET`` mean ``alarms list ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = bool(args) and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["list", *args])


alarms_app = typer.Typer(
    cls=ListedByDefault,
    help="The open alarms; `ack` says who looks into one, `clear` ends one. `list` may be left out.",
)

Signal = Annotated[str, typer.Argument(help="The alarm's signal.")]
Who = Annotated[str, typer.Option("--by", "--who", help="Who does it; kept with the alarm.")]
Why = Annotated[str, typer.Option("--why", help="Why, or what they do about it; kept with the alarm.")]
OfSuite = Annotated[str | None, typer.Option("--suite", help="The alarm's suite; needed where several have one.")]


@alarms_app.command("list")
def list_alarms(
    target: OnlyTarget = None,
    closed_too: Annotated[
        bool, typer.Option("--all", help="The closed ones too, with who closed them and why.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """The open alarms with their state. Exit 1 while there is one."""
    from monitor.cli import output
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        found = context.store.open_alarms(target)
        found += context.store.alarms(target, raised=False) if closed_too else []
    output.alarms(found, closed_too=closed_too, as_json=as_json)
    raise typer.Exit(1 if any(alarm.cleared_at is None for alarm in found) else 0)


@alarms_app.command()
def clear(target: Target, signal: Signal, who: Who, why: Why, suite: OfSuite = None, config: Config = DEFAULT) -> None:
    """End an alarm by hand, with the reason; the evidence counts anew from then on."""
    entry = _done(lambda audit_entries, *said: audit_entries.clear(*said), target, signal, suite, config, who, why)
    typer.echo(f"{entry.target}/{entry.suite}: {signal} cleared by {entry.who}")


@alarms_app.command()
def ack(
    target: Target,
    who: Who,
    why: Why,
    signal: Annotated[
        str | None, typer.Argument(help="The alarm's signal; left out: every alarm that nobody looks into yet.")
    ] = None,
    suite: OfSuite = None,
    config: Config = DEFAULT,
) -> None:
    """Say who looks into an alarm, or into all of a target's, for the others who see it; it stays raised."""
    if signal is None:
        audit_entries = _all_taken(target, suite, config, who, why)
        if not audit_entries:
            typer.echo(f"{target}: no open alarm that nobody looks into; nothing changed")
    else:
        audit_entries = [
            _done(
                lambda audit_entries, *said: audit_entries.acknowledge(*said), target, signal, suite, config, who, why
            )
        ]
    for entry in audit_entries:
        typer.echo(f"{entry.target}/{entry.suite}: {entry.who} looks into {entry.subject}; it stays raised")


def _all_taken(target: str, suite: str | None, config: Path, who: str, why: str) -> list["AuditEntry"]:
    from monitor.cli import operations
    from monitor.core.errors import UsageError
    from monitor.daemon.actions import Actions

    if suite is not None:
        raise UsageError("alarms ack --suite: goes with a signal; without one, every suite's alarms are meant")
    with operations.opened(config, operations.NOTHING, target) as context:
        return Actions(lambda: context).acknowledge_all(target, who, why)


def _done(
    act: Callable[["Actions", int, str, str], "AuditEntry"],
    target: str,
    signal: str,
    suite: str | None,
    config: Path,
    who: str,
    why: str,
) -> "AuditEntry":
    """Do ``act`` to the one open alarm that is meant, in the name of ``who``."""
    from monitor.cli import operations
    from monitor.daemon.actions import Actions, signed

    who, why = signed(who, why)
    with operations.opened(config, operations.NOTHING, target) as context:
        return act(Actions(lambda: context), operations.open_alarm(context, target, signal, suite), who, why)
