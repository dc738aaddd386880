"""``cliffwatch baseline``: captures, shows, approves and retires baselines."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.options import DEFAULT, Config, Json, OnlyTarget, SuiteOption, Target
from monitor.core.errors import UsageError

if TYPE_CHECKING:
    from monitor.core.records import Baseline

By = Annotated[str, typer.Option("--by", help="Your name; stored with the baseline.")]
Why = Annotated[str, typer.Option("--why", help="Reason; stored with the baseline.")]

TYPICAL_SHOWN = 160
"""Characters of an answer that ``show`` prints."""

MOST_READ = 20
"""Maximum number of captured baselines whose answers ``show`` reads; name a target to see what its own lack."""

baseline_app = typer.Typer(
    help="Capture, show, approve and retire baselines. A baseline never updates itself.", no_args_is_help=True
)


@baseline_app.command()
def capture(
    target: Target,
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, help="Collect the daemon's runs of the next N days. Give this or --at-once."),
    ] = None,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="Make N runs now, one after the other. Give this or --days.")
    ] = None,
    suite: SuiteOption = None,
    anew: Annotated[bool, typer.Option("--anew", help="First take a new frozen sample of production inputs.")] = False,
    config: Config = DEFAULT,
) -> None:
    """Collect answers of a healthy target for a baseline. The baseline has no effect until you approve it.

    With --suite production, also captures the frozen sample. While a capture is open, production samples are drawn
    daily.
    """
    import asyncio

    from monitor.cli import operations

    if (days is None) == (at_once is None):
        raise UsageError(
            "baseline capture: give either --days N (the daemon collects answers) or --at-once N (runs now)"
        )
    with operations.opened(config, operations.ASKS, target) as context:
        for line in asyncio.run(operations.capture(context, target, suite, days=days, at_once=at_once, anew=anew)):
            typer.echo(line)


@baseline_app.command("show")
def show_baselines(
    target: OnlyTarget = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """List baselines with their numbers of answers and days, and who approved them.

    With a target, also prints the most frequent answer to each probe, and the share of the answers equal to it, of each
    captured and approved baseline. All answers are on the daemon's page /baselines/ID.
    Also prints what their answers lack so that signals can be read, such as texts; of captured ones at most 20.
    """
    from monitor.cli import output
    from monitor.core.records import Arm, BaselineStatus
    from monitor.runs.conditions import conditions_of
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        store, rows = context.store, context.store.baselines(target)
        captured = [one for one in rows if one.status is BaselineStatus.CAPTURED][:MOST_READ]
        found = {one.id: conditions_of(context.settings, store, one) for one in captured}
        readable = [one for one in rows if one.status in (BaselineStatus.CAPTURED, BaselineStatus.APPROVED)]
        texts = {one.id: store.texts(one.run_ids, Arm.SUBJECT) for one in readable if target is not None}
    told = [replace(one, conditions=found.get(one.id, one.conditions)) for one in rows]
    output.baselines(told, as_json=as_json)
    for one in [] if as_json else told:
        if one.id in texts:
            _show_answers(one, texts[one.id])


def _show_answers(baseline: "Baseline", texts: Mapping[str, Counter[str]]) -> None:
    """Print the most frequent answer to each probe. Of equally frequent ones, the one that was given first."""
    from monitor.cli.terminal import console, table
    from monitor.core.sanitize import visible
    from monitor.core.texts import shown

    out = console()
    rows = []
    for probe, counted in sorted(texts.items()):
        ((text, equal),) = counted.most_common(1)
        total = counted.total()
        rows.append((probe, str(total), f"{equal / total:.0%}", visible(" ".join(shown(text).split()), TYPICAL_SHOWN)))
    out.print(f"baseline {baseline.id} of {visible(f'{baseline.target}/{baseline.suite}')}, typical answers:")
    table(out, ("probe", "answers", "equal", "typical answer"), rows, right=("answers", "equal"))


@baseline_app.command()
def approve(
    target: Target,
    by: By,
    why: Why,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
) -> None:
    """Approve the captured baselines of a target. Runs are compared with them from then on (armed).

    Prints the signals that cannot be read with them, and why. Refuses a baseline whose answers are all empty.
    """
    _decide(config, target, suite, "captured", lambda actions, b: actions.approve(b.id, by, why), "approved")


@baseline_app.command()
def retire(
    target: Target,
    by: By,
    why: Why,
    suite: SuiteOption = None,
    number: Annotated[int | None, typer.Option("--id", help="Id of one baseline or capture.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Retire the approved baselines of a target, which is then unarmed.

    With --id, retires that baseline in any state, or cancels that capture.
    """
    _decide(
        config,
        target,
        suite,
        "approved",
        lambda actions, b: actions.retire(b.id, by, why),
        "retired",
        number,
    )


def _decide(
    config: Path, target: str, suite: str | None, status: str, act: Any, done: str, number: int | None = None
) -> None:
    from monitor.cli import operations
    from monitor.core.records import BaselineStatus
    from monitor.daemon.actions import Actions

    with operations.opened(config, operations.NOTHING, target) as context:
        actions = Actions(lambda: context)
        for baseline in operations.baselines_to_decide(context, target, suite, BaselineStatus(status), number):
            act(actions, baseline)
            typer.echo(
                f"{baseline.target}/{baseline.suite}: baseline {baseline.id} {done} ({baseline.answers} answers)"
            )
            if done == "approved":
                for warning in (*operations.cannot_page(baseline), *operations.lacks(context, baseline)):
                    typer.echo(warning)
