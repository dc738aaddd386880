"""``cliffwatch alerts export`` and ``cliffwatch dashboards export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from monitor.cli.export_files import Kind

alerts_app = typer.Typer(
    help="Export alert rules, routes, templates and runbooks.",
    no_args_is_help=True,
)
dashboards_app = typer.Typer(help="Export dashboards for your Grafana.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder to write to. Created if it does not exist.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files that differ.")]


@alerts_app.callback()
@dashboards_app.callback()
def _group() -> None:
    """Keeps ``export`` a subcommand: Typer would merge a single command into its group."""


@alerts_app.command("export")
def export_alerts(
    folder: Folder,
    runbooks: Annotated[
        str | None,
        typer.Option(
            "--runbooks",
            help="URL of your copy of the runbooks, with {alert} in place of the alert name. It stays reachable while "
            "the daemon is down. Default: the daemon's own pages.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write alert rules, routes, notification template, scrape configuration and runbooks to a folder."""
    _hand_out("alerts", folder, runbooks, force)
    rules, routes = folder / "rules.yaml", folder / "alertmanager.yml"
    typer.echo(
        f"Next:\n"
        f"  Prometheus:   rule_files: [{rules}], and a scrape job named cliffwatch (see prometheus.yml)\n"
        f"  Alertmanager: copy route, inhibit_rules and templates from {routes}; add your receivers\n"
        f"  Then:         promtool check rules {rules}; amtool check-config {routes}\n"
        f"  Links in alerts start with http.url of cliffwatch.yaml: set it to an address that phones can reach."
    )


@dashboards_app.command("export")
def export_dashboards(folder: Folder, force: Force = False) -> None:
    """Write the dashboards to a folder, as JSON."""
    _hand_out("dashboards", folder, None, force)
    typer.echo(
        "Next:\n"
        f"  Grafana:      Dashboards > New > Import, one file each; or name {folder} in a provider of\n"
        "                provisioning/dashboards (options.path). Grafana asks for the Prometheus data source."
    )


def _hand_out(kind: "Kind", folder: Path, runbooks: str | None, force: bool) -> None:
    from monitor.cli.export_files import export
    from monitor.core.wording import many

    done = export(kind, folder, runbooks=runbooks, force=force)
    for name in done.written:
        typer.echo(f"wrote {folder / name}")
    if done.same:
        typer.echo(f"{many(len(done.same), 'file')} unchanged")
