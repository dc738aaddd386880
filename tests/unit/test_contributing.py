"""The worked examples of CONTRIBUTING.md are code that works."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pytest
from pydantic import Field

from monitor.core import providers, signals, sources
from monitor.core.records import Severity
from monitor.core.section import FilePattern
from tests.unit.detect_answers import compared, graded

TEXT: Final = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SIGNAL, RECORD, PROVIDER, SOURCE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


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
    monkeypatch.setattr(module, catalogue, dict(getattr(module, catalogue)))
    exec(code, {**vars(module), "Literal": Literal, "Field": Field, "Annotated": Annotated, "FilePattern": FilePattern})
    assert kind in getattr(module, catalogue)
