"""``cliffwatch accept``: takes a known harmless change into the contract."""

from typing import Annotated

import typer

from monitor.cli.options import DEFAULT, Config, Json, SuiteOption, Target

ContractPart = Annotated[
    str,
    typer.Argument(help="What changed: fingerprint, model_id, prompt_tokens, served, or root (of an identity check)."),
]
By = Annotated[str, typer.Option("--by", "--who", help="Your name; stored in the audit log.")]
Why = Annotated[str, typer.Option("--why", help="Reason, such as a planned upgrade; stored in the audit log.")]


def accept(
    target: Target,
    part: ContractPart,
    by: By,
    why: Why,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Accept a known harmless change, such as a new server version, without a new baseline.

    The new values in the newest run count as the baseline's from then on. The alarm of the contract is cleared if
    nothing else changed.
    """
    from monitor.cli import operations
    from monitor.cli.output import print_json
    from monitor.core.sanitize import visible
    from monitor.daemon.actions import Actions

    with operations.opened(config, operations.NOTHING, target) as context:
        done = Actions(lambda: context).accept(target, part, by, why, suite=suite)
        alarms = {one.suite for one in context.store.open_alarms(target) if one.signal == "contract"}
    if as_json:
        print_json(done)
        return
    for entry in done:
        where = entry.target if entry.suite is None else f"{entry.target}/{entry.suite}"
        typer.echo(visible(f"{where}: {entry.who} accepted {entry.subject}"))
        if entry.suite in alarms:
            typer.echo(f"{where}: the alarm of contract stays open, because other parts changed too")
