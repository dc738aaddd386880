"""The catalogue of signals: every record is complete, and costs nothing to import."""

import subprocess
import sys

import pytest

from monitor.core.signals import CATALOGUE, SPECS, UNKNOWN, Scale, SignalSpec, effect, rank, title
from monitor.report.web import runbooks


def test_names_are_unique() -> None:
    assert len(SPECS) == len(CATALOGUE)
    assert len({one.title for one in CATALOGUE}) == len(CATALOGUE)
    metrics = [one.metric for spec in CATALOGUE for one in spec.measures]
    assert len(metrics) == len(set(metrics))


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda one: str(one.name))
def test_a_record_is_complete(spec: SignalSpec) -> None:
    assert spec.about.endswith(".")
    assert all((spec.clause, spec.needs, spec.effect.unit))
    assert spec.alert in runbooks.names()
    assert format(0.25, spec.effect.format)
    assert (spec.effect.scale is Scale.OTHER) == (not spec.effect.change), "a change is a change of something"
    assert (spec.effect.scale is Scale.RATIO) == bool(spec.effect.word)


def test_lists_show_causes_first() -> None:
    names = [one.name for one in CATALOGUE]
    assert sorted(names, key=rank) == names
    assert rank("of_another_version") == len(names)


def test_a_signal_of_another_version_can_be_shown() -> None:
    assert title("of_another_version") == "of_another_version"
    assert effect("of_another_version") is UNKNOWN


def test_it_is_light() -> None:
    """Whoever lists signals imports the catalogue: ``--help`` and ``status`` among them."""
    heavy = "{'numpy', 'scipy', 'pydantic', 'sqlalchemy', 'monitor.detect'}"
    code = f"import sys, monitor.core.signals; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
