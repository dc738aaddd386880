"""``cliffwatch pins``: names in files that can move to another model, image or version."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.options import Json
from monitor.core.errors import UsageError

if TYPE_CHECKING:
    from monitor.pins.records import Scan


def pins(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to scan.", metavar="PATH...")],
    as_json: Json = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="Print the result as SARIF 2.1.0, for code hosts.")] = False,
) -> None:
    """Find names that float, with the file, the line and what to write instead.

    Reads Python, notebooks, requirements, pyproject.toml, Dockerfiles, YAML (Helm, Compose, Kubernetes, CI), Terraform
    and shell scripts. Finds vendors' aliases, hub repositories without a commit, images by tag, and libraries without
    an exact version. Makes no calls and changes nothing. Leaves out version control, virtual environments, vendored
    folders, tests and documentation.

    Exit 1 if something floats; 3 if nothing floats but a file could not be read.
    """
    from monitor.cli.output import print_json
    from monitor.pins import sarif, scan

    if as_json and as_sarif:
        raise UsageError("pins: choose one of --json and --sarif")
    found = scan(paths)
    if as_sarif:
        print_json(sarif.log(found))
    elif as_json:
        print_json(_plain(found))
    else:
        _show(found)
    raise typer.Exit(1 if found.floating else 3 if found.unread else 0)


def _plain(found: "Scan") -> dict[str, object]:
    floating = [
        {
            "file": one.file,
            "line": one.line,
            "rule": one.advice.rule.value,
            "what": one.advice.what,
            "instead": one.advice.instead,
            "retires": one.advice.retires and one.advice.retires.isoformat(),
            "source": one.advice.source or None,
        }
        for one in found.floating
    ]
    unread = [{"file": one.file, "reason": one.reason} for one in found.unread]
    return {"floating": floating, "unread": unread, "files": found.files, "left_out": found.left_out}


def _show(found: "Scan") -> None:
    """Print one finding per line, then what was not read and a summary."""
    from monitor.core.sanitize import visible
    from monitor.core.wording import many

    for one in found.floating:
        typer.echo(visible(str(one)))
    for lost in found.unread:
        typer.echo(f"cliffwatch: {visible(str(lost))}", err=True)
    left = ", ".join(f"{reason} ({count})" for reason, count in found.left_out.items())
    floats = f"{many(len(found.floating), 'name')} can move" if found.floating else "nothing floats"
    typer.echo(f"{many(found.files, 'file')} read: {floats}" + (f"; left out: {left}" if left else ""))
