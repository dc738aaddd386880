"""The worked examples of CONTRIBUTING.md are code that works."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import Field

from monitor.core import providers, signals, sources
from monitor.core.records import Severity
from monitor.core.section import FilePattern
from monitor.sample.request_log import Tally, Window
from tests.unit.detect_answers import compared, graded

TEXT: Final = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SIGNAL, RECORD, PROVIDER, READ, SOURCE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_signal_measures() -> None:
    module: dict[str, Any] = {}
    exec(compile(SIGNAL, "CONTRIBUTING.md", "exec"), module)
    days = [graded(f"p{probe}", "an answer", day=day) for day in range(7) for probe in range(6)]
    echoed = [graded(f"p{probe}", f"prompt of p{probe}", day=8) for probe in range(6)]
    reading = module["measure"](compared(echoed, days))
    assert reading is not None
    assert reading.effect[0] == pytest.approx(1.0)


def test_the_record_is_a_signals() -> None:
    names = {"SignalSpec": signals.SignalSpec, "Severity": Severity, "Effect": signals.Effect, "Scale": signals.Scale}
    spec = eval(RECORD, names)
    assert spec.alert in {one.alert for one in signals.CATALOGUE}


@pytest.mark.parametrize(
    ("code", "module", "kind"), [(PROVIDER, providers, "echo"), (SOURCE, sources, "lines")], ids=["provider", "source"]
)
def test_the_entry_is_catalogued(code: str, module: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = "PROVIDERS" if module is providers else "SOURCES"
    entered(code, module, catalogue, monkeypatch)
    assert kind in getattr(module, catalogue)


def entered(code: str, module: Any, catalogue: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the entry defines, once it is in the catalogue."""
    monkeypatch.setattr(module, catalogue, dict(getattr(module, catalogue)))
    names = {**vars(module), "Literal": Literal, "Field": Field, "Annotated": Annotated, "FilePattern": FilePattern}
    exec(code, names)
    return names


def test_the_source_reads_one_prompt_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = entered(SOURCE, sources, "SOURCES", monkeypatch)["LinesSource"]
    monkeypatch.setattr(sources, "LinesSource", made, raising=False)
    module: dict[str, Any] = {}
    exec(compile(READ, "CONTRIBUTING.md", "exec"), module)
    file = tmp_path / "prompts.txt"
    file.write_text("Where is order 7?\nWhat is the fee?\n", encoding="utf-8")
    tally = Tally()
    found = [*module["read"](made(kind="lines", file=str(file)), None, Window(None, None), tally)]
    assert [one.messages[0].content for one in found] == ["Where is order 7?", "What is the fee?"]
    assert tally.read == 2
