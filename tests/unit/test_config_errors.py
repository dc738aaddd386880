"""One file per way to get a configuration or a suite wrong, with the exact message that it gives."""

import os
from pathlib import Path

import pytest

from monitor.config import check, load
from monitor.config.problems import render
from monitor.config.suites import load_suite
from monitor.core.errors import ConfigError

FIXTURES = Path(__file__).parent.parent / "config_fixtures"
ENVIRON = {"LLM_API_KEY": "planted-should-not-appear", "BLANK_KEY": " "}


def _expected(fixture: Path) -> str:
    return fixture.with_suffix(".expected").read_text(encoding="utf-8")


@pytest.mark.parametrize("fixture", sorted(FIXTURES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_configuration_is_refused_with_every_problem(fixture: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(fixture, ENVIRON)
    message = str(raised.value).replace(f"{FIXTURES}{os.sep}", "")
    assert message + "\n" == _expected(fixture)
    assert "should-not-appear" not in message.lower().replace("_", "-")
    assert "shouldnotappear" not in message.lower()


@pytest.mark.parametrize("fixture", sorted((FIXTURES / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_suite_is_refused_with_every_problem(fixture: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_suite(fixture.name, fixture.parent / ".")
    message = str(raised.value).replace(f"{fixture.parent}{os.sep}", "")
    assert message + "\n" == _expected(fixture)


def test_every_expectation_has_its_file() -> None:
    expected = {path.with_suffix(".yaml") for path in FIXTURES.rglob("*.expected")}
    assert expected <= set(FIXTURES.rglob("*.yaml"))


def test_the_path_is_shown_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cliffwatch.yaml").write_text("targets:\n  bot: {}\n", encoding="utf-8")
    report = check(Path("cliffwatch.yaml"), {})
    assert render(report.problems).splitlines()[0].startswith("cliffwatch.yaml:1: providers: missing: ")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    large.write_text("#" * 1_048_577, encoding="utf-8")
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, text in (
        (
            tmp_path / "none.yaml",
            f"file not found; create one with `cliffwatch init {tmp_path}/none.yaml`, or name yours with --config or "
            "CLIFFWATCH_CONFIG",
        ),
        (tmp_path, "is a folder, not a file"),
        (large, "is larger than 1024 KiB"),
        (tmp_path / "pipe.yaml", "is not a regular file"),
        (tmp_path / ("x" * 5000), "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(path, {})
        assert str(raised.value) == f"{path}: {text}"


def test_a_missing_part_is_named_with_its_extra(tmp_path: Path) -> None:
    config = tmp_path / "cliffwatch.yaml"
    config.write_text(
        "store: postgresql+psycopg://me@localhost/cliffwatch\n"
        "providers:\n"
        "  cpu: {kind: local}\n"
        "targets:\n"
        "  bot: {subject: {provider: cpu, model: .}, suites: [format]}\n",
        encoding="utf-8",
    )
    problems = check(config, {}, installed=lambda module: module not in ("psycopg", "peft")).problems
    assert [problem.text for problem in problems] == [
        "a PostgreSQL store needs an optional part that is not installed: pip install 'cliffwatch[postgres]'",
        "kind local needs an optional part that is not installed: pip install 'cliffwatch[local]'",
    ]
    assert not check(config, {}, installed=lambda module: True).problems


def test_a_hundred_problems_are_enough(tmp_path: Path) -> None:
    config = tmp_path / "cliffwatch.yaml"
    config.write_text("".join(f"key{n}: 1\n" for n in range(200)), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(config, {})
    lines = str(raised.value).splitlines()
    assert len(lines) == 101
    assert lines[-1] == "... and 102 more problems"
