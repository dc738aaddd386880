"""``cliffwatch lab``: serves the lab's models and switches faults. Engines are imported only when serving."""

import json
from typing import Annotated, Any

import typer

from monitor.lab import control

app = typer.Typer(
    help="Serve a small test model on this machine. Its fine-tune is included, and faults can be switched on and off.",
    no_args_is_help=True,
)

Url = Annotated[str, typer.Option(help="URL of the lab.")]


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on. 0 picks a free port.")] = 9465,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    until_stdin_closes: Annotated[bool, typer.Option("--until-stdin-closes", hidden=True)] = False,
) -> None:
    """Serve the lab's models until Ctrl-C. Offers the APIs of OpenAI and Anthropic."""
    try:
        from monitor.lab import gguf_files, served, server
    except ModuleNotFoundError as error:
        raise _fail(f"the lab needs {error.name}: pip install 'cliffwatch[lab]'") from error
    try:
        server.serve(host, port, served.weights_dir(), _announce, until_stdin_closes)
    except (served.WeightsMissingError, gguf_files.GGUFError) as error:
        raise _fail(str(error)) from error
    except OSError as error:
        raise _fail(f"cannot serve on {host}:{port}: {error.strerror or error}") from error


@app.command()
def fault(
    name: Annotated[str | None, typer.Argument(help="Name of the fault. `cliffwatch lab faults` lists them.")] = None,
    off: Annotated[
        bool, typer.Option("--off", help="Switch the fault off, or all faults if no name is given.")
    ] = False,
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of requests that the fault affects, 0 to 1.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="Another parameter, as key=value. Repeatable.")] = None,
    url: Url = control.DEFAULT_URL,
) -> None:
    """Switch a fault of the running lab on or off."""
    try:
        if off:
            were_on = control.switch_off(name, url)
            typer.echo(f"off: {', '.join(were_on)}" if were_on else "nothing was on")
            return
        if name is None:
            raise _fail("which fault? `cliffwatch lab faults` lists them")
        told = control.switch_on(name, _params(share, param or []), url)
    except control.LabError as error:
        raise _fail(str(error)) from error
    typer.echo(f"on: {name} ({_shown(told['values'])})")


@app.command()
def faults(
    url: Url = control.DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """List the faults, their parameters, and whether they are on."""
    try:
        listed = control.faults(url)
    except control.LabError as error:
        raise _fail(str(error)) from error
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    for one in listed:
        typer.echo(f"{'ON ' if one['active'] else 'off'}  {one['name']}: {one['doc']}")
        values = one["values"] or {key: param["default"] for key, param in one["params"].items()}
        typer.echo(f"     {_shown(values)}")


def _params(share: float | None, pairs: list[str]) -> dict[str, Any]:
    params: dict[str, Any] = {} if share is None else {"share": share}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise _fail(f"--param {pair}: not of the form key=value")
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value  # a word needs no quotes
    return params


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items() if value is not None)


def _announce(url: str) -> None:
    typer.echo(f"{url} serves the lab: OpenAI's API at {url}/v1, Anthropic's at {url}")


def _fail(message: str) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(2)
