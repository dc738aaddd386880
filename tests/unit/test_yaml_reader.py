"""The reader of YAML: the core schema of YAML 1.2, with the line of every key."""

from pathlib import Path
from typing import Any

import pytest

from monitor.config.problems import nearest
from monitor.config.yaml_reader import Document, key_path, read


def _read(tmp_path: Path, text: str) -> Document:
    file = tmp_path / "x.yaml"
    file.write_text(text, encoding="utf-8")
    return read(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("Y", "Y"), ("06:00", "06:00"), ("2024-03-05", "2024-03-05"), ("1_000", "1_000"),
        ("true", True), ("False", False), ("~", None), ("", None), ("12", 12), ("-3", -3), ("007", 7), ("0o17", 15),
        ("0x1F", 31), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("'5'", "5"), ("!!str 5", "5"), ("1.2.3", "1.2.3"),
        ("=", "="), ("0e9e39f2", "0e9e39f2"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_they_say(tmp_path: Path, text: str, value: Any) -> None:
    document = _read(tmp_path, f"key: {text}\n")
    assert document.problems == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    document = _read(tmp_path, "# first\na:\n  b: 1\n  c:\n    - x\n    - {d: 2}\n")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert document.line(("a",)) == 2
    assert document.line(("a", "b")) == 3
    assert document.line(("a", "c", 1)) == 6
    assert document.line(("a", "c", 1, "d")) == 6
    assert document.line(("a", "none", "further")) == 2


def test_keys_are_text_however_they_look(tmp_path: Path) -> None:
    assert _read(tmp_path, "404: a\ntrue: b\nnull: c\n").data == {"404": "a", "true": "b", "null": "c"}


def test_aliases_and_merges_are_expanded(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {y: 4, <<: [{z: 5}, *a]}\nd: *a\n'<<': plain\n"
    document = _read(tmp_path, text)
    assert document.problems == []
    assert document.data == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 4, "z": 5},
        "d": {"x": 1, "y": 2},
        "<<": "plain",
    }


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read(file)
    assert document.data == {"a": 1, "b": 2}
    assert document.line(("b",)) == 2


def test_paths_of_keys_are_legible() -> None:
    assert key_path(("targets", "support-bot", "suites", 2)) == "targets.support-bot.suites[2]"
    assert key_path(("a\nb", "")) == "'a\\nb'.''"


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("Subjct", ["subject", "suites"]) == "subject"
    assert nearest("zzz", ["subject"]) is None
