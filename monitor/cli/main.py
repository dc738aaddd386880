"""The command ``cliffwatch``: parses arguments and prints results.

Exit codes: 0 success, 1 drift, 2 usage or configuration error, 3 could not measure, 70 crash. Each command imports what
it needs in its function, so that ``--help`` is fast.
"""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor import __version__
from monitor.cli.accept import accept
from monitor.cli.alarms import alarms_app
from monitor.cli.baseline import baseline_app
from monitor.cli.export import alerts_app, dashboards_app
from monitor.cli.golden import golden_app
from monitor.cli.identify import identify
from monitor.cli.options import DEFAULT, Config, Json, OnlyTarget, Standby, SuiteOption, Target
from monitor.cli.pins import pins
from monitor.cli.report import report
from monitor.cli.sample import sample
from monitor.cli.status import status
from monitor.cli.subjects import export_data, forget
from monitor.core.errors import CliffwatchError, CouldNotMeasure, UsageError
from monitor.lab.cli import app as lab_app

app = typer.Typer(
    name="cliffwatch",
    help="Detects drift of LLM endpoints before your users do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
MOST_OF_A_RUN = 40
"""Upper bound of findings per run: more than there are signals."""
QUIET = frozenset({"ask", "probe", "identify", "baseline"})
"""Commands that print their own results: on a terminal they log warnings and errors only."""
CRASHED = 70
"""Exit code of a bug in Cliffwatch (``EX_SOFTWARE``): 1 would mean drift."""
SILENT = frozenset({"golden", "pins", "status"})
"""Commands that usually log nothing, and so do not wait for logging's imports."""

app.add_typer(baseline_app, name="baseline")
app.add_typer(alarms_app, name="alarms")
app.add_typer(alerts_app, name="alerts")
app.add_typer(dashboards_app, name="dashboards")
app.add_typer(golden_app, name="golden")
app.add_typer(lab_app, name="lab")


def main() -> None:
    """Entry point. Prints a known error as one message with an exit code, never as a traceback."""
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
def init(path: Annotated[Path, typer.Argument(help="File to write.")] = DEFAULT) -> None:
    """Write a commented example configuration."""
    from monitor.config.starter import starter_config

    if path.exists():
        raise UsageError(f"{path}: already exists; nothing was written")
    try:
        path.write_text(starter_config(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another path") from error
    typer.echo(f"wrote {path}; edit it, then run: cliffwatch check --config {path}")


@app.command()
def check(config: Config = DEFAULT, as_json: Json = False) -> None:
    """Validate the configuration and its suites. Prints all problems. Reads the first lines of the newest request log.

    Exit 2 if there are problems; warnings do not change the exit code.
    """
    from monitor import config as configuration
    from monitor.cli import calibrate as calibration
    from monitor.cli import output
    from monitor.cli.sample import with_samples

    report, nothing_to_ask = with_samples(calibration.with_arming(configuration.check(config)))
    output.check_report(report, config, nothing_to_ask=nothing_to_ask, as_json=as_json)
    raise typer.Exit(2 if report.problems else 0)


@app.command()
def run(config: Config = DEFAULT, standby: Standby = False) -> None:
    """Run the daemon until SIGTERM. SIGHUP reloads the configuration."""
    import asyncio

    from monitor.core.logs import configure
    from monitor.daemon.process import run_daemon

    configure(service=not sys.stderr.isatty())
    asyncio.run(run_daemon(config, standby=standby))


@app.command()
def probe(
    target: Target,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Run the target's suites once, now, and print the findings.

    Exit 1 if an alarm of these suites is open afterwards, 0 if the run cleared the last one; 3 if the subject returned
    no usable answers, or more than a fifth of a suite's questions have no usable answer.
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
    probe: Annotated[str, typer.Argument(help="Id of a probe in a suite of the target.")],
    base: Annotated[bool, typer.Option("--base", help="Send it to the base instead of the subject.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the complete exchange and how it was parsed.")] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Send one probe to the target and print the answer. Not recorded, not counted against the budget.

    Exit 3 if there is no usable answer, or if it is empty or a filter blocked it.
    """
    import asyncio

    from monitor.cli import operations, output

    with operations.opened(config, operations.ASKS, target) as context:
        asked = asyncio.run(operations.ask(context, target, probe, base=base))
    output.exchange(asked, debug=debug, as_json=as_json)
    if not operations.measured(asked.explanation.outcome):
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
    """Find near-tie prompts and write them as a suite.

    A near tie is a prompt whose first two candidates for the first token are almost equally likely. Sends each prompt
    three times, with one output token per call, within the target's budget.
    """
    import asyncio

    from monitor.cli import operations
    from monitor.runs import near_ties

    with operations.opened(config, operations.ASKS, target) as context:
        for line in asyncio.run(near_ties.find_near_ties(context, target, candidates, write)):
            typer.echo(line)


app.command()(status)


@app.command()
def findings(
    target: OnlyTarget = None,
    signal: Annotated[str | None, typer.Option("--signal", help="Only this signal.")] = None,
    alarming: Annotated[bool, typer.Option("--alarming", help="Only findings that alarm.")] = False,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", min=1, help="Maximum number of findings. Newest run first; within a run, alarms first."
        ),
    ] = 10,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Recompute all findings from the stored answers, and compare.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Print the newest findings. Shows the answers of baseline, now and base side by side.

    With --recompute, prints how many stored findings and alarms are reproduced exactly, and the first differences.
    Verdicts whose texts, embeddings, scores or findings were deleted cannot be recomputed; they are counted.
    Exit 1 if any differs; 3 if the store has none to recompute.
    """
    from sqlalchemy import make_url

    from monitor.cli import output
    from monitor.report.explain.claim import claim_of
    from monitor.runs.readonly import reading
    from monitor.runs.recompute import recompute as rebuilt

    if recompute and (signal is not None or alarming):
        raise UsageError("findings: --recompute cannot be filtered, because every signal depends on earlier findings")
    with reading(config, target, signal) as context:
        if recompute:
            result = rebuilt(context.store, target)
            if result.cannot and not result.findings:
                raise CouldNotMeasure(output.not_recomputed(result))
            if not result.findings and not result.alarms:
                where = make_url(context.settings.store).render_as_string(hide_password=True)
                raise CouldNotMeasure(f"nothing to recompute: the store has no findings or alarms: {where}")
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
    """Inject faults into copies of stored answers; count detections.

    Uses the approved baseline's answers. Makes no model calls.

    Exit 1 if a loss could be missed today; 3 if there is no approved baseline to test on.
    """
    from threading import Event

    from monitor.cli import operations, selftest_output
    from monitor.daemon.jobs.selftests import self_test_all
    from monitor.detect.selftest import failures

    with operations.opened(config, operations.NOTHING, target) as context:
        tests = self_test_all(context, target, Event(), selftest_output.progress)
        tested = {(one.target, one.suite) for one in tests}
        baselines = [one for pair in sorted(tested) if (one := context.store.approved(*pair)) is not None]
    if not tests:
        raise CouldNotMeasure("no approved baseline with answers of two days or more; the self-test needs one")
    failed = failures(tests)
    selftest_output.results(tests, failed, baselines, as_json=as_json)
    raise typer.Exit(1 if failed else 0)


@app.command()
def calibrate(
    target: Target,
    suite: SuiteOption = None,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show the smallest change that each signal detects.

    Uses the target's approved baseline and the promised rate of false pages. Makes no model calls. For each signal: the
    day-to-day spread, whether it can page and why not, and the smallest change that it detects within 1, 7 and 30
    evaluations. Exit 3 if there is no approved baseline.
    """
    from monitor.cli import calibrate as calibration
    from monitor.runs.readonly import reading

    with reading(config, target) as context:
        found, without = calibration.calibrations(context, target, suite)
    calibration.show(found, as_json=as_json)
    if without:
        raise CouldNotMeasure("\n".join(without))


app.command()(accept)
app.command()(sample)
app.command()(identify)
app.command()(pins)
app.command()(report)
app.command()(forget)
app.command("export-data")(export_data)


@app.command()
def migrate(config: Config = DEFAULT) -> None:
    """Upgrade the store to this version's schema."""
    from monitor import config as configuration
    from monitor.store import open_store

    settings = configuration.load(config)
    open_store(settings.store).close()
    typer.echo("store: schema is up to date")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import json

    from monitor.config import schema as config_schema

    typer.echo(json.dumps(config_schema(), indent=2))


@app.command()
def demo(
    watch: Annotated[bool, typer.Option("--watch", help="Keep running, and let you drop the adapter.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Working folder. Default: a temporary folder.")
    ] = None,
) -> None:
    """Watch a small real model, drop its adapter, detect the loss.

    Exit 0 only if the loss was detected and nothing alarmed before it.
    """
    import asyncio
    import signal

    from monitor.cli.demo import run_demo

    for ending in (signal.SIGTERM, signal.SIGHUP):  # handled like Ctrl-C: the demo's daemon and lab must not outlive it
        signal.signal(ending, signal.default_int_handler)
    try:
        raise typer.Exit(asyncio.run(run_demo(folder, watch=watch)))
    except KeyboardInterrupt:
        if not watch:
            raise
        typer.echo("\nstopped: the daemon and the lab have exited")
