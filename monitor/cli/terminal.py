"""Lays results out: to the width of a terminal, and one line per item in a pipe, for ``grep``."""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.core.sanitize import visible

PIPED: Final = 100_000
"""Columns without a terminal: more than any line has."""
ROOM: Final = 80
"""Fewest columns of a terminal for boxes and side-by-side texts."""
LAST: Final = 24
"""Narrowest width, in columns, that the last column of a table is wrapped to."""
INDENT: Final = " " * 6


def console() -> Console:
    """Returns standard output. Piped output is never wrapped."""
    piped = not sys.stdout.isatty()
    return Console(highlight=False, width=PIPED if piped else None, soft_wrap=piped)


def has_room(out: Console) -> bool:
    """Whether texts fit in boxes and side by side: not on a narrow terminal, and not in a pipe."""
    return ROOM <= out.width < PIPED


def say(out: Console, line: Text) -> None:
    """Prints one line of a list. A terminal wraps it with an indent; a pipe gets it whole."""
    if out.width >= PIPED:
        out.print(line)
        return
    for number, part in enumerate(line.wrap(out, max(out.width - len(INDENT), 20))):
        out.print(Text.assemble(INDENT, part) if number else part)


def table(out: Console, names: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Prints rows under the column ``names``; the columns in ``right`` hold numbers and are right-aligned.

    A terminal wraps the last column; if the table still does not fit, each row becomes a block of lines. In a pipe each
    row is one line.
    """
    told = [[visible(" ".join(cell.split())) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(names, *told, strict=True)]
    if out.width >= PIPED:
        for row in (names, *told):
            cells = zip(names, row, widths, strict=True)
            aligned = (cell.rjust(width) if name in right else cell.ljust(width) for name, cell, width in cells)
            out.print(Text("  ".join(aligned).rstrip()))
        return
    widths[-1] = min(widths[-1], LAST)
    laid_out = Table(box=box.SIMPLE_HEAD)
    for name, width in zip(names, widths, strict=True):
        laid_out.add_column(name, justify="right" if name in right else "left", min_width=width, overflow="fold")
    for row in told:
        laid_out.add_row(*map(Text, row))
    if Measurement.get(out, out.options.update(max_width=PIPED), laid_out).minimum <= out.width:
        out.print(laid_out)
        return
    for row in told:
        block(out, dict(zip(names, row, strict=True)))


def block(out: Console, facts: dict[str, str]) -> None:
    """Prints one line per fact, after its name, and an empty line at the end."""
    width = max(map(len, facts))
    for name, told in facts.items():
        say(out, Text.assemble((f"{name:<{width}}  ", "bold"), told.replace("\n", f"\n{INDENT}")))
    out.print()


def boxed(out: Console, parts: Sequence[RenderableType], title: str, *, stamp: str = "", style: str = "none") -> None:
    """Prints ``parts`` under a title: in a box if it fits, else as plain lines."""
    if not has_room(out):
        for part in (Text(title, style=style), *parts, *([Text(stamp, style="dim")] if stamp else [])):
            out.print(part)
        out.print()
        return
    framed = Panel(Group(*parts), title=Text(title), title_align="left", border_style=style)
    framed.subtitle, framed.subtitle_align = (Text(stamp), "right") if stamp else (None, "center")
    out.print(framed)
