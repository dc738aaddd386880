"""The command ``cliffwatch``: parses and prints, nothing else.

Exit codes: 0 fine, 1 drift, 2 usage or configuration, 3 could not measure, 70 a crash. Whatever a command needs is
imported inside it, so that ``--help`` answers at once.
"""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from monitor import __version__
from monitor.cli.alarms import alarms_app
from monitor.cli.export import alerts_app, dashboards_app
from monitor.cli.identify import identify
from monitor.cli.options import DEFAULT, Config, Json, OnlyTarget, SuiteOption, Target
from monitor.cli.report import report
from monitor.cli.status import status
from monitor.core.errors import CliffwatchError, CouldNotMeasure, UsageError
from monitor.lab.cli import app as lab_app

app = typer.Typer(
    name="cliffwatch",
    help="Tells a team that its LLM endpoint has drifted, before its users do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
baseline_app = typer.Typer(
    help="Capture, look, approve, retire: a baseline never updates itself.", no_args_is_help=True
)


MOST_OF_A_RUN = 40
"""Findings that one run may have: more than there are signals."""
QUIET = frozenset({"ask", "probe", "identify", "baseline"})
"""Commands that print what came of it: their logs begin at warnings."""
CRASHED = 70
"""Exit code of a mistake of ours (``EX_SOFTWARE``): 1 would mean drift."""
SILENT = frozenset({"status"})
"""Commands that log nothing, so that they need not wait for the logs' imports."""

app.add_typer(baseline_app, name="baseline")
app.add_typer(alarms_app, name="alarms")
app.add_typer(alerts_app, name="alerts")
app.add_typer(dashboards_app, name="dashboards")
app.add_typer(lab_app, name="lab")

By = Annotated[str, typer.Option("--by", help="Who decides; kept with the baseline.")]
Why = Annotated[str, typer.Option("--why", help="Why; kept with the baseline.")]


def main() -> None:
    """Entry point: a known error is one message and an exit code, never a traceback."""
    try:
        app()
    except CliffwatchError as error:
        typer.echo(f"cliffwatch: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(CRASHED) from None


def version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cliffwatch {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    wanted: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand in SILENT:
        from monitor.cli.lazy_logging import until_something_is_said

        until_something_is_said()
    else:
        from monitor.core.logs import configure

        least = logging.WARNING if ctx.invoked_subcommand in QUIET and sys.stderr.isatty() else logging.INFO
        configure(service=False, least=least)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="The file to write.")] = DEFAULT) -> None:
    """Write a commented configuration to start from."""
    from monitor.config.starter import starter_config

    if path.exists():
        raise UsageError(f"{path}: is there already; nothing was written")
    try:
        path.write_text(starter_config(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; give another path") from error
    typer.echo(f"wrote {path}; edit it, then: cliffwatch check --config {path}")


@app.command()
def check(config: Config = DEFAULT, as_json: Json = False) -> None:
    """Read the configuration and every suite it names; print every problem at once."""
    from monitor import config as configuration
    from monitor.cli import calibrate as calibration
    from monitor.cli import output

    report = calibration.with_arming(configuration.check(config))
    output.check_report(report, config, as_json=as_json)
    raise typer.Exit(2 if report.problems else 0)


@app.command()
def run(config: Config = DEFAULT) -> None:
    """Run the daemon until SIGTERM; SIGHUP re-reads the configuration."""
    import asyncio

    from monitor.core.logs import configure
    from monitor.daemon.app import run_daemon

    configure(service=not sys.stderr.isatty())
    asyncio.run(run_daemon(config))


@app.command()
def probe(
    target: Target,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Run the target's suites once, now, and print what was found.

    Exit 1: an alarm of the suites stays raised after it; 0 where these answers cleared the last one;
    3: the subject gave nothing usable, or over a fifth of a suite's questions have no usable answer.
    """
    import asyncio

    from monitor.cli import operations, output

    with operations.opened(config, operations.ASKS, target) as context:
        results = asyncio.run(operations.probe(context, target, suite))
    output.runs(results, as_json=as_json)
    lost = [told for told in (result.lost() for result in results) if told]
    if any(result.raised for result in results):
        for told in lost:
            typer.echo(f"cliffwatch: {told}", err=True)
        raise typer.Exit(1)
    if lost:
        raise CouldNotMeasure("\n".join(lost))


@app.command()
def ask(
    target: Target,
    probe: Annotated[str, typer.Argument(help="A probe's id, in any suite of the target.")],
    base: Annotated[bool, typer.Option("--base", help="Ask the base instead of the subject.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole exchange and how it was read.")] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Put one probe to the target, outside any run and budget; nothing is recorded. Exit 3: no usable answer."""
    import asyncio

    from monitor.cli import operations, output
    from monitor.core.records import Unmeasured

    with operations.opened(config, operations.ASKS, target) as context:
        asked = asyncio.run(operations.ask(context, target, probe, base=base))
    output.exchange(asked, debug=debug, as_json=as_json)
    if isinstance(asked.explanation.outcome, Unmeasured):
        raise typer.Exit(3)


@app.command("near-ties")
def find_near_ties(
    target: Target,
    write: Annotated[
        Path, typer.Option("--write", help="Suite file to write, for example probes/near-ties-TARGET.yaml.")
    ],
    candidates: Annotated[int, typer.Option("--candidates", min=10, max=2000, help="Number of prompts to try.")] = 300,
    config: Config = DEFAULT,
) -> None:
    """Find prompts whose first token is a near tie, and write them as a suite.

    Sends each prompt three times, with one output token per call, within the target's budget.
    """
    import asyncio

    from monitor.cli import operations
    from monitor.runs import near_ties

    with operations.opened(config, operations.ASKS, target) as context:
        for line in asyncio.run(near_ties.find_near_ties(context, target, candidates, write)):
            typer.echo(line)


@baseline_app.command()
def capture(
    target: Target,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Collect the daemon's runs of N days; this or --at-once.")
    ] = None,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="Make N runs now, one after the other; this or --days.")
    ] = None,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
) -> None:
    """Collect the answers of a healthy target; it arms nothing until it is approved."""
    import asyncio

    from monitor.cli import operations

    if (days is None) == (at_once is None):
        raise UsageError("baseline capture: give either --days N (the daemon collects) or --at-once N (now)")
    with operations.opened(config, operations.ASKS, target) as context:
        for line in asyncio.run(operations.capture(context, target, suite, days=days, at_once=at_once)):
            typer.echo(line)


@baseline_app.command("show")
def show_baselines(
    target: OnlyTarget = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """List the baselines with what they rest on and who approved them."""
    from monitor.cli import output
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        output.baselines(context.store.baselines(target), as_json=as_json)


@baseline_app.command()
def approve(
    target: Target,
    by: By,
    why: Why,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
) -> None:
    """Approve the captured baselines of a target; from then on it is armed."""
    _decide(
        config, target, suite, "captured", lambda audit_entries, b: audit_entries.approve(b.id, by, why), "approved"
    )


@baseline_app.command()
def retire(
    target: Target,
    by: By,
    why: Why,
    suite: SuiteOption = None,
    number: Annotated[int | None, typer.Option("--id", help="This very baseline, or capture.")] = None,
    config: Config = DEFAULT,
) -> None:
    """Retire the approved baselines of a target, which is then unarmed; with --id, any one, or give up a capture."""
    _decide(
        config,
        target,
        suite,
        "approved",
        lambda audit_entries, b: audit_entries.retire(b.id, by, why),
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
        audit_entries = Actions(lambda: context)
        for baseline in operations.baselines_to_decide(context, target, suite, BaselineStatus(status), number):
            act(audit_entries, baseline)
            typer.echo(
                f"{baseline.target}/{baseline.suite}: baseline {baseline.id} {done} ({baseline.answers} answers)"
            )
            for warning in operations.cannot_page(baseline) if done == "approved" else ():
                typer.echo(warning)


app.command()(status)


@app.command()
def findings(
    target: OnlyTarget = None,
    signal: Annotated[str | None, typer.Option("--signal", help="Only this signal.")] = None,
    alarming: Annotated[bool, typer.Option("--alarming", help="Only findings that crossed their line.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many: the newest run's first, of it what alarms.")
    ] = 10,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute all of them again from the stored answers, and compare.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Print the newest findings, each with baseline, now and base side by side.

    With --recompute: how many come out of the store's answers as they were stored, and the first that do not. Exit 1
    if any does not; 3: the store holds no verdict.
    """
    from sqlalchemy import make_url

    from monitor.cli import output
    from monitor.report.explain.claim import claim_of
    from monitor.runs.readonly import reading
    from monitor.runs.recompute import recompute as rebuilt

    if recompute and (signal is not None or alarming):
        raise UsageError("findings --recompute: every signal depends on what was found before; give no filter")
    with reading(config, target, signal) as context:
        if recompute:
            result = rebuilt(context.store, target)
            if not result.findings and not result.alarms:
                where = make_url(context.settings.store).render_as_string(hide_password=True)
                raise CouldNotMeasure(f"nothing to recompute: the store holds no verdict: {where}")
            output.recomputed(result, as_json=as_json)
            raise typer.Exit(1 if result.differences else 0)
        more = limit + MOST_OF_A_RUN
        newest = context.store.findings(target=target, signal=signal, alarming=alarming or None, limit=more)
        found = output.most_urgent(newest)[:limit]
        told = [(finding, claim_of(context.store, finding)) for finding in found]
    output.findings(told, as_json=as_json)


@app.command()
def selftest(
    target: OnlyTarget = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Inject faults into copies of the baseline's answers and count what detection catches; nothing is asked.

    Exit 1: a loss today could go unseen; 3: no approved baseline to test on.
    """
    from threading import Event

    from monitor.cli import operations, output
    from monitor.daemon.jobs.selftests import self_test_all
    from monitor.detect.selftest import failures

    with operations.opened(config, operations.NOTHING, target) as context:
        tests = self_test_all(context, target, Event(), output.self_test_done)
    if not tests:
        raise CouldNotMeasure("no approved baseline with two days of answers: there is nothing to inject faults into")
    failed = failures(tests)
    output.self_tests(tests, failed, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


@app.command()
def calibrate(
    target: Target,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """What each signal can see at the promised rate, from the target's own baseline; nothing is asked.

    For each signal the day-to-day spread, whether it pages and why not, and the smallest change it sees within 1, 7
    and 30 looks. Exit 3: no approved baseline.
    """
    from monitor.cli import calibrate as calibration
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        found, without = calibration.calibrations(context, target, suite)
    calibration.show(found, as_json=as_json)
    if without:
        raise CouldNotMeasure("\n".join(without))


app.command()(identify)
app.command()(report)


@app.command()
def migrate(config: Config = DEFAULT) -> None:
    """Bring the store to this version's schema."""
    from monitor import config as configuration
    from monitor.store import open_store

    settings = configuration.load(config)
    open_store(settings.store).close()
    typer.echo("store: at this version's schema")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import json

    from monitor.config import schema as config_schema

    typer.echo(json.dumps(config_schema(), indent=2))


@app.command()
def demo(
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and let the reader drop the adapter.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to work; a temporary folder when left out.")
    ] = None,
) -> None:
    """Watch a real fine-tuned model, drop its adapter, catch it. Exit 0 only if it was caught and health was quiet."""
    import asyncio
    import signal

    from monitor.cli.demo import run_demo

    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: its daemon and its lab must not outlive it
        signal.signal(ending, signal.default_int_handler)
    try:
        raise typer.Exit(asyncio.run(run_demo(folder, watch=watch)))
    except KeyboardInterrupt:
        if not watch:
            raise
        typer.echo("\nstopped: the daemon and the lab are down again")
