"""``cliffwatch identify``: compares what endpoints serve and what is on disk with the configuration."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.options import DEFAULT, Config, Json
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import Match

if TYPE_CHECKING:
    from monitor.daemon.jobs.identity_checks import Identified


LABELS: Final = {
    Match.DIFFERS: ("MISMATCH", "bold red"),
    Match.CANNOT_TELL: ("unknown", "bold yellow"),
    Match.MATCHES: ("ok", "green"),
}


def identify(
    target: Annotated[str | None, typer.Argument(help="Only this target. Default: all targets.")] = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Check which model and adapter are served. Compares metadata with the configuration.

    Reads metadata, at no cost, and replaces the daemon's last reading.
    A model that the server's list does not name, and that no run has asked, is asked one question of one token. This
    counts against the target's budget.
    Exit 1 if something differs; 3 if nothing differs, but an endpoint could not be read or does not say whether it
    serves its model; 0 otherwise.
    """
    import asyncio

    from monitor.cli import operations
    from monitor.daemon.jobs import identity_checks

    with operations.opened(config, operations.ASKS, target) as context:
        found = asyncio.run(identity_checks.identify_now(context, target))
    show(found, as_json=as_json)
    if any(check.differs for check in found.checks):
        raise typer.Exit(1)
    if not found.told:
        raise CouldNotMeasure("identify: not everything could be checked; see the reasons above")


def show(found: "Identified", *, as_json: bool) -> None:
    """Print every check, mismatches first and matches last, what could not be read, and which models retire."""
    from rich.text import Text

    from monitor.cli.output import print_json
    from monitor.cli.terminal import console
    from monitor.core.sanitize import visible

    if as_json:
        print_json(found)
        return
    out = console()
    order = {result: number for number, result in enumerate(LABELS)}
    for check in sorted(found.checks, key=lambda one: order[one.result]):
        label, style = LABELS[check.result]
        line = Text(f"{label:<10}", style=style)
        words = check.expected if check.result is Match.MATCHES else f"expected {check.expected}; found: {check.found}"
        if check.check == "served_root" and check.result is Match.MATCHES:
            words = f"{words}: {check.found}"
        out.print(line.append(visible(f"{check.target} {check.arm} {check.check}: {words}"), "default"), soft_wrap=True)
    for one in found.unread:
        line = Text("unread    ", style="bold yellow")
        out.print(line.append(visible(f"{one.target} {one.arm} {one.source}: {one.why}"), "default"), soft_wrap=True)
    for retirement in found.retirements:
        on = f"{retirement.retires_at:%Y-%m-%d}"
        told = (
            f"retires   {retirement.target} {retirement.arm} {retirement.model}: {on}, according to {retirement.source}"
        )
        out.print(Text(visible(told)), soft_wrap=True)
    if not (found.checks or found.unread or found.retirements):
        out.print("nothing to check: no endpoint has a metadata API, and no adapter is declared")
