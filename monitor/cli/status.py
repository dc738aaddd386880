"""``cliffwatch status``: parses and prints, as ``cli`` does."""

from typing import Annotated

import typer

from monitor.cli.options import DEFAULT, Config, Json


def status(
    everything: Annotated[
        bool, typer.Option("--all", help="Every suite of a large fleet, not only those that need somebody.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """What is watched, armed and raised; whether a daemon runs. Of a large fleet: those that need somebody.

    A running daemon of this configuration is asked; where none answers, the store is read. Where none listens at its
    address but its last sign of life is fresh, that is said: it was killed, or runs on another machine.
    Exit 1 while an alarm is raised or something else is served than is declared; 3: the last run of a suite brought
    nothing usable. A loss that the self-test missed is a reason to look, and changes no exit code.
    """
    from dataclasses import replace

    from monitor.cli import output
    from monitor.report.status import client, liveness

    reply = client.ask(config, everything=everything)
    if reply.status is not None:
        result = reply.status
    else:
        from monitor.report.status.fleet import status as stands
        from monitor.runs.readonly import reading

        with reading(config) as found:
            result = stands(found, everything=everything)
    output.status(replace(result, daemon=liveness.asked(result.daemon, reply)), as_json=as_json)
    raise typer.Exit(1 if result.alarmed or result.misserved else 3 if result.unmeasured else 0)
