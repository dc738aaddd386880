"""``cliffwatch status``: shows targets, baselines, alarms and the daemon."""

from typing import Annotated

import typer

from monitor.cli.options import DEFAULT, Config, Json


def status(
    everything: Annotated[bool, typer.Option("--all", help="List every suite, also of a large fleet.")] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show targets, baselines, open alarms and the daemon. For large fleets, lists only what needs attention.

    Asks the running daemon of this configuration; reads the store if no daemon answers. Warns when the daemon's
    heartbeat is recent but its port is closed: the daemon was killed, or runs on another machine.
    Exit 1 if an alarm is open, or an endpoint does not serve what is declared; 3 if the last run of a suite has no
    usable answers. A loss that the self-test missed is shown, but does not change the exit code.
    """
    from dataclasses import replace

    from monitor.cli import output
    from monitor.report.status import client, liveness

    reply = client.ask(config, everything=everything)
    if reply.status is not None:
        result = reply.status
    else:
        from monitor.report.status.fleet import status as fleet_status
        from monitor.runs.readonly import reading

        with reading(config) as found:
            result = fleet_status(found, everything=everything)
    output.status(replace(result, daemon=liveness.asked(result.daemon, reply.heard, reply.address)), as_json=as_json)
    raise typer.Exit(1 if result.alarmed or result.misserved else 3 if result.unmeasured else 0)
