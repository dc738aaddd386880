"""``http`` that can be used: where tokens are read from, and when they would cross a network in the clear."""

from pathlib import Path

import pytest

from monitor.config import Report, check

HEAD = """\
providers:
  mine: {kind: openai, base_url: 'http://127.0.0.1:8000/v1'}
targets:
  bot: {subject: {provider: mine, model: tuned}, base: {provider: mine, model: plain}, suites: [format]}
"""
TOKENS = {"ALICE": "planted-should-not-appear-0123456789abcdef"}


def read(tmp_path: Path, http: str) -> Report:
    (tmp_path / "cliffwatch.yaml").write_text(f"{HEAD}http: {http}\n", encoding="utf-8")
    (tmp_path / "bob.token").write_text("bobs-planted-should-not-appear-0123456789\n", encoding="utf-8")
    return check(tmp_path / "cliffwatch.yaml", TOKENS)


def test_a_token_s_file_counts_from_the_configuration(tmp_path: Path) -> None:
    report = read(tmp_path, "{actions: {alice: {token_env: ALICE}, bob: {token_file: bob.token}}}")
    assert (report.problems, report.warnings) == ((), ())
    assert report.settings is not None
    assert report.settings.http.actions["bob"].token_file == tmp_path / "bob.token"
    assert "should-not-appear" not in repr(report)


@pytest.mark.parametrize(
    ("http", "warned"),
    [
        ("host: 0.0.0.0, actions: {alice: {token_env: ALICE}}", True),
        ("url: 'http://watch.example.com', actions: {alice: {token_env: ALICE}}", True),
        ("host: 0.0.0.0, url: 'https://watch.example.com', actions: {alice: {token_env: ALICE}}", False),
        ("host: '::1', actions: {alice: {token_env: ALICE}}", False),
        ("host: 0.0.0.0", False),
    ],
)
def test_tokens_in_the_clear_are_warned_of(tmp_path: Path, http: str, warned: bool) -> None:
    report = read(tmp_path, f"{{{http}}}")
    assert report.problems == ()
    assert [one.where for one in report.warnings] == (["http.actions"] if warned else [])
