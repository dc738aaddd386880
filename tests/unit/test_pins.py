"""``cliffwatch pins`` on small repositories: no false alarm, nothing missed, and three forms of output."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.pins import sarif, scan, vendors
from monitor.pins.records import Rule, retirement
from monitor.pins.scan import MAX_BYTES
from tests.pin_repositories import FLOATING, PINNED, Case, Files, write

REQUIRED = json.loads(Path(__file__).with_name("sarif_required.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PINNED)
def test_nothing_floats_where_all_is_pinned(name: str, tmp_path: Path) -> None:
    found = scan([write(tmp_path, PINNED[name])])
    assert [str(one) for one in found.floating] == []
    assert found.unread == ()


@pytest.mark.parametrize("name", FLOATING)
def test_one_name_floats(name: str, tmp_path: Path) -> None:
    case: Case = FLOATING[name]
    found = scan([write(tmp_path, case.files)])
    assert [(one.file, one.line, one.advice.rule.value) for one in found.floating] == [
        (str(tmp_path / case.file), case.line, case.rule)
    ]
    assert case.instead in found.floating[0].advice.instead
    assert found.unread == ()


def test_twenty_of_each() -> None:
    assert len(PINNED) >= 20
    assert len(FLOATING) >= 20


def test_sarif_has_the_parts_that_the_schema_requires(tmp_path: Path) -> None:
    files: Files = {f"{name}/{file}": text for name, case in FLOATING.items() for file, text in case.files.items()}
    found = scan([write(tmp_path, {**files, "broken.py": "def ("})])
    log = json.loads(json.dumps(sarif.log(found)))
    jsonschema.validate(log, REQUIRED)
    run = log["runs"][0]
    assert len(run["results"]) == len(found.floating) >= 20
    assert {one["ruleId"] for one in run["results"]} == {rule.value for rule in Rule}
    assert all(run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "broken.py" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_the_excerpt_of_the_schema_refuses_a_log_without_its_parts() -> None:
    log = sarif.log(scan([]))
    jsonschema.validate(log, REQUIRED)
    del log["runs"][0]["tool"]["driver"]["name"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, REQUIRED)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["pins", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_exit_0_if_nothing_floats(tmp_path: Path) -> None:
    write(tmp_path, {"requirements.txt": "transformers==5.23.0\n", "vendor/a.py": "model = 'gpt-4o'\n"})
    code, out, _ = run(str(tmp_path))
    assert (code, out) == (0, "1 file read: nothing floats; left out: vendored folders (1)\n")


def test_exit_1_if_something_floats(tmp_path: Path) -> None:
    write(tmp_path, {"bot.py": "model = 'gpt-4o-mini'\n", "broken.yaml": "a: [\n"})
    code, out, err = run(str(tmp_path))
    day = retirement(date(2027, 1, 14))
    assert code == 1
    assert out.splitlines() == [
        f"{tmp_path}/bot.py:1: 'gpt-4o-mini' is an alias that can move; use 'gpt-4o-mini-2024-07-18'; {day}",
        "2 files read: 1 name can move",
    ]
    assert err == f"cliffwatch: {tmp_path}/broken.yaml: could not be read: not valid YAML on line 2\n"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.py", b"def (", "not valid Python 3 on line 1"),
        ("a.ipynb", b"{}", "not a valid notebook (nbformat 4)"),
        ("a.yaml", b"a: b: c", "not valid YAML on line 1"),
        ("pyproject.toml", b"[project", "not valid TOML"),
        ("a.sh", b"\xff\xfe", "is not UTF-8 text"),
        ("b.py", b"#" * (MAX_BYTES + 1), "is larger than 2 MB"),
        ("deep.yaml", b"[" * 70 + b"]" * 70, "more than 60 levels"),
    ],
)
def test_exit_3_if_a_file_could_not_be_read(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    code, out, err = run(str(tmp_path))
    assert code == 3
    assert f"{name}: could not be read: {reason}" in err
    assert out.endswith("nothing floats\n")


def test_a_path_that_does_not_exist_is_unread(tmp_path: Path) -> None:
    code, _, err = run(str(tmp_path / "gone"))
    assert code == 3
    assert "no such file or folder" in err


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    assert [one.reason for one in scan([tmp_path]).unread] == ["is not a regular file"]


def test_json(tmp_path: Path) -> None:
    write(tmp_path, {"bot.py": "model = 'gpt-4o-mini'\n", "tests/test_x.py": ""})
    code, out, _ = run(str(tmp_path), "--json")
    told = json.loads(out)
    assert code == 1
    assert told["left_out"] == {"tests": 1}
    (one,) = told["floating"]
    assert (one["line"], one["rule"], one["retires"]) == (1, "model-alias", "2027-01-14")
    assert one["source"].startswith("https://")
    assert one["source"].endswith("(read 2026-12-01)")


def test_tests_are_read_when_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"tests/test_x.py": "model = 'gpt-4o'\n"})
    assert scan([tmp_path]).floating == ()
    assert len(scan([tmp_path / "tests" / "test_x.py"]).floating) == 1


def test_every_row_of_the_table_has_a_source_and_names_something_else() -> None:
    assert len(vendors.table()) > 50
    for name, row in vendors.table().items():
        assert row.source.startswith("https://"), name
        assert name not in row.snapshots


@pytest.mark.parametrize(
    "name", ["claude-sonnet-4-6", "claude-opus-5", "gpt-4o-2024-08-06", "support-lora", "latest", ""]
)
def test_pinned_and_unknown_names_are_no_findings(name: str) -> None:
    assert vendors.advice(name) is None


def test_the_prices_list_knows_aliases_that_the_table_lacks() -> None:
    known = {name for name in vendors._priced() if name not in vendors.table()}
    assert known
    assert all(vendors.advice(name) is not None for name in known)


def test_a_retired_model_is_said_to_be_retired() -> None:
    today = datetime(2026, 12, 1, tzinfo=UTC).date()
    assert retirement(date(2026, 11, 30), today) == "retired on 2026-11-30"
    assert retirement(date(2026, 12, 1), today) == "retires 2026-12-01"
