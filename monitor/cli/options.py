"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT: Final = Path("cliffwatch.yaml")

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="CLIFFWATCH_CONFIG", help="Configuration file.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Standby = Annotated[
    bool, typer.Option("--standby", help="If another daemon works on the store, wait until it stops, then take over.")
]
Target = Annotated[str, typer.Argument(help="Name of a target in the configuration.")]
OnlyTarget = Annotated[str | None, typer.Argument(help="Only this target. Default: all targets.")]
SuiteOption = Annotated[str | None, typer.Option("--suite", help="Only this suite. Default: all suites of the target.")]
