"""``cliffwatch golden``: golden sets, and their import from other tools."""

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import Json
from monitor.core.errors import UsageError

golden_app = typer.Typer(help="Show golden sets and import them from other tools.", no_args_is_help=True)


@golden_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="File of another tool.")],
    write: Annotated[
        Path | None, typer.Option("--write", help="File to write. Default: golden/NAME.jsonl, with the file's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a file of another tool as a golden set, and list what could not be taken over.

    Reads promptfoo tests, DeepEval goldens, Inspect samples, OpenAI evals, Langfuse and LangSmith datasets,
    lm-evaluation-harness samples, and plain CSV or JSON. The format is recognized by its keys.
    """
    import json
    import tempfile

    from monitor.cli.output import print_json
    from monitor.config.golden import read_golden
    from monitor.core.wording import many
    from monitor.golden.formats import load
    from monitor.golden.items import ImportProblem

    target = write or Path("golden") / f"{file.stem}.jsonl"
    if target.suffix != ".jsonl":
        raise UsageError(f"{target}: an import is written as JSON Lines; choose a name that ends in .jsonl")
    if target.exists():
        raise UsageError(f"{target}: already exists; choose another file with --write, or delete it")
    try:
        found = load(file)
    except ImportProblem as error:
        raise UsageError(str(error)) from error
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in found.items)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".import-") as folder:
            made = Path(folder, target.name)
            made.write_text(lines, encoding="utf-8")
            read, problems = read_golden(made)
            if read is not None:
                made.rename(target)  # complete and valid, or not there at all
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror}; choose another file with --write") from error
    if read is None:
        raise UsageError("\n".join(f"{file}: item {one.line}: {one.where}: {one.text}" for one in problems))
    notes = found.notes.lines()
    if as_json:
        facts = {"file": str(target), "format": found.format, "items": len(read.items), "digest": read.digest}
        print_json({**facts, "not_taken_over": notes})
        return
    typer.echo(f"{target}: {many(len(read.items), 'item')} from {found.format}, digest {read.digest[:12]}")
    for note in notes:
        typer.echo(f"not taken over: {note}")


@golden_app.command()
def show(
    file: Annotated[Path, typer.Argument(help="Golden set, for example golden/support.yaml.")],
    as_json: Json = False,
) -> None:
    """Check a golden set and print its digest, its coverage by tag, and what has nothing to grade by.

    Exit 2 if the file has problems; all are printed, with file, line and key.
    """
    from monitor.cli.output import print_json
    from monitor.config.golden import load_golden
    from monitor.core.wording import many

    found = load_golden(file)
    bare = [item.id for item in found.ungraded()]
    if as_json:
        facts = {"name": found.name, "digest": found.digest, "items": len(found.items)}
        print_json({**facts, "tags": found.coverage(), "ungraded": bare})
        return
    typer.echo(f"{file}: {many(len(found.items), 'item')}, digest {found.digest[:12]}")
    for tag, count in found.coverage().items():
        typer.echo(f"  {tag or '(no tag)'}: {count:,} ({count / len(found.items):.0%})")
    if bare:
        shown = ", ".join(bare[:5]) + (", ..." if len(bare) > 5 else "")
        typer.echo(f"{many(len(bare), 'item')} without expected, checks or rubric: {shown}")
