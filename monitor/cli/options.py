"""The options that many commands take, each said once."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT: Final = Path("cliffwatch.yaml")

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="CLIFFWATCH_CONFIG", help="The configuration file.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Target = Annotated[str, typer.Argument(help="A target of the configuration.")]
OnlyTarget = Annotated[str | None, typer.Argument(help="Only this target.")]
SuiteOption = Annotated[str | None, typer.Option("--suite", help="Only this suite; all of the target's when left out.")]
