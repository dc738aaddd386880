"""``cliffwatch alarms``: lists, acknowledges and clears alarms."""

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
    help="List (default), acknowledge (ack) or clear alarms.",
)

Signal = Annotated[str, typer.Argument(help="Signal of the alarm.")]
Who = Annotated[str, typer.Option("--by", "--who", help="Your name; stored with the alarm.")]
Why = Annotated[str, typer.Option("--why", help="Reason, or what you are doing about it; stored with the alarm.")]
OfSuite = Annotated[
    str | None, typer.Option("--suite", help="Suite of the alarm. Required if the signal alarms in several suites.")
]


@alarms_app.command("list")
def list_alarms(
    target: OnlyTarget = None,
    closed_too: Annotated[
        bool, typer.Option("--all", help="Also list cleared alarms, with who cleared them and why.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """List open alarms with their state.

    Exit 1 if any alarm is open.
    """
    from monitor.cli import output
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        found = context.store.open_alarms(target)
        found += context.store.alarms(target, raised=False) if closed_too else []
    output.alarms(found, closed_too=closed_too, as_json=as_json)
    raise typer.Exit(1 if any(alarm.cleared_at is None for alarm in found) else 0)


@alarms_app.command()
def clear(target: Target, signal: Signal, who: Who, why: Why, suite: OfSuite = None, config: Config = DEFAULT) -> None:
    """Clear an open alarm and record the reason. Its evidence restarts at zero."""
    entry = _done(lambda audit_entries, *said: audit_entries.clear(*said), target, signal, suite, config, who, why)
    typer.echo(f"{entry.target}/{entry.suite}: {signal} cleared by {entry.who}")


@alarms_app.command()
def ack(
    target: Target,
    who: Who,
    why: Why,
    signal: Annotated[
        str | None, typer.Argument(help="Signal of the alarm. Default: all unacknowledged alarms.")
    ] = None,
    suite: OfSuite = None,
    config: Config = DEFAULT,
) -> None:
    """Record who is working on an alarm, or on all alarms of a target. The alarms stay open."""
    if signal is None:
        audit_entries = _all_taken(target, suite, config, who, why)
        if not audit_entries:
            typer.echo(f"{target}: no unacknowledged alarms; nothing changed")
    else:
        audit_entries = [
            _done(
                lambda audit_entries, *said: audit_entries.acknowledge(*said), target, signal, suite, config, who, why
            )
        ]
    for entry in audit_entries:
        typer.echo(f"{entry.target}/{entry.suite}: {entry.who} acknowledged {entry.subject}; it stays open")


def _all_taken(target: str, suite: str | None, config: Path, who: str, why: str) -> list["AuditEntry"]:
    from monitor.cli import operations
    from monitor.core.errors import UsageError
    from monitor.daemon.actions import Actions

    if suite is not None:
        raise UsageError(
            "alarms ack: --suite requires a signal; without a signal the command acknowledges the alarms of all suites"
        )
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
    """Apply ``act`` to the one open alarm that matches, on behalf of ``who``."""
    from monitor.cli import operations
    from monitor.daemon.actions import Actions, signed

    who, why = signed(who, why)
    with operations.opened(config, operations.NOTHING, target) as context:
        return act(Actions(lambda: context), operations.open_alarm(context, target, signal, suite), who, why)
