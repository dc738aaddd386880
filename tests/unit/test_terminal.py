"""Tables and findings in a terminal of any width, and in a pipe."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from monitor.cli import output, terminal
from monitor.core.records import Exhibit, Run, RunOutcome
from tests.store_records import NOW, finding

NAMES = ("id", "target/suite", "why")
ROWS = (
    ("1", "support-bot/support", "read thirty answers of each day\nand all of the last one"),
    ("20", "bot/tone", "—"),
)
RUN = Run(1, "bot", "facts", NOW, "done", RunOutcome.MEASURED, 1, 1, None, NOW, 1, "digest", NOW)
LONG = "Your order is late because the truck broke down near Lyon; it comes tomorrow. " * 3


def shown(width: int) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, force_terminal=width < terminal.PIPED, color_system=None), file


def test_a_piped_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(terminal.console(), NAMES, [*ROWS, ("3", "bot/facts", LONG)], right=("id",))
    assert capsys.readouterr().out.splitlines() == [
        "id  target/suite         why",
        " 1  support-bot/support  read thirty answers of each day and all of the last one",
        "20  bot/tone             —",
        f" 3  bot/facts            {LONG.strip()}",
    ]


def test_a_table_that_fits_wraps_its_last_column_alone() -> None:
    out, file = shown(70)
    terminal.table(out, NAMES, ROWS, right=("id",))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    first = next(at for at, line in enumerate(lines) if "support-bot/support" in line)
    assert lines[first].split("   ")[-1].startswith("read thirty answers")
    assert lines[first + 1].split()[-2:] == ["last", "one"]
    assert max(map(len, lines)) <= 70


def test_a_table_that_does_not_fit_is_a_block_for_each_row() -> None:
    out, file = shown(40)
    terminal.table(out, NAMES, ROWS, right=("id",))
    text = file.getvalue()
    assert text.splitlines()[:3] == [
        "id            1",
        "target/suite  support-bot/support",
        "why           read thirty answers ",
    ]
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("target/suite") == 2


def test_what_a_terminal_would_obey_is_shown_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(terminal.console(), NAMES, [("1", "bot/tone", "\x1b[2Jgone")])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 79, 120, terminal.PIPED])
def test_a_finding_is_read_in_any_width(width: int) -> None:
    exhibit = Exhibit(
        probe="order",
        prompt="Where is my order?",
        baseline=LONG,
        now="I do not know.\nSorry.",
        base="Who knows?",
        weight=1.0,
    )
    found = replace(finding(RUN, alarming=True), exhibits=(exhibit,))
    out, file = shown(width)
    output.finding_view(out, found)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    boxed = any(line.startswith("│") for line in lines)
    assert boxed == (terminal.ROOM <= width < terminal.PIPED)
    assert max(map(len, lines)) <= width
    if not boxed:
        assert [line.split()[0] for line in lines if line[:9].rstrip() in ("prompt", "baseline", "now", "base")] == [
            "prompt", "baseline", "now", "base",
        ]  # fmt: skip
    if width == terminal.PIPED:
        assert f"baseline  {LONG.strip()}" in lines
