"""``cliffwatch alerts export`` and ``cliffwatch dashboards export``: parse and print, as ``cli`` does."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monitor.cli.export_files import Kind

alerts_app = typer.Typer(
    help="Alert rules, routes, notifications and runbooks for your own Prometheus.", no_args_is_help=True
)
dashboards_app = typer.Typer(help="Dashboards for your own Grafana.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The folder to write into; made where it is missing.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there and differ.")]


@alerts_app.callback()
@dashboards_app.callback()
def _group() -> None:
    """Keeps ``export`` a command of its own though it is the only one."""


@alerts_app.command("export")
def export_alerts(
    folder: Folder,
    runbooks: Annotated[
        str | None,
        typer.Option(
            "--runbooks",
            help="Address of your copy of a runbook, with {alert} for the alert's name; it answers while the daemon is "
            "down. Left out: the daemon's own pages.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write this version's rules, routes, notification template, scrape config and runbooks into a folder."""
    _hand_out("alerts", folder, runbooks, force)
    rules, routes = folder / "rules.yaml", folder / "alertmanager.yml"
    typer.echo(
        f"Next:\n"
        f"  Prometheus:   rule_files: [{rules}], and a scrape job named cliffwatch (see prometheus.yml)\n"
        f"  Alertmanager: take route, inhibit_rules and templates from {routes}; put your receivers in\n"
        f"  Then:         promtool check rules {rules}; amtool check-config {routes}\n"
        f"  Links in alerts start with http.url of cliffwatch.yaml: an address that a phone reaches."
    )


@dashboards_app.command("export")
def export_dashboards(folder: Folder, force: Force = False) -> None:
    """Write the dashboards of this version into a folder, as JSON."""
    _hand_out("dashboards", folder, None, force)
    typer.echo(
        "Next:\n"
        f"  Grafana:      Dashboards > New > Import, one file each; or name {folder} in a provider of\n"
        "                provisioning/dashboards (options.path). They ask which Prometheus to read."
    )


def _hand_out(kind: "Kind", folder: Path, runbooks: str | None, force: bool) -> None:
    from monitor.cli.export_files import export
    from monitor.core.wording import many

    done = export(kind, folder, runbooks=runbooks, force=force)
    for name in done.written:
        typer.echo(f"wrote {folder / name}")
    if done.same:
        typer.echo(f"{many(len(done.same), 'file')} as before")
