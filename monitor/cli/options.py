"""The options that many commands take, each said once."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT: Final = Path("cliffwatch.yaml")

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="CLIFFWATCH_CONFIG", help="The configuration file.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
