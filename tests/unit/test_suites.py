"""Suites: what a file becomes, where it is found, and when its digest moves."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from monitor.config import suites
from monitor.config.anchors import AnchorsFile
from monitor.config.suites import find_suite, load_suite, read_suite, suite_body, suite_from_body
from monitor.config.yaml_reader import read
from monitor.core.errors import ConfigError
from monitor.core.package_data import shipped
from monitor.core.records import Check, Message, Sampling

FOLDER = Path(__file__).parent.parent / "config_fixtures" / "good"
SUITE = """name: mine
rubric: Pass if kind.
sampling: {temperature: 0.5}
probes:
  - {id: a, prompt: hello, checks: [{kind: contains, text: x}]}
  - {id: b, prompt: bye}
"""


def _digest(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return load_suite("./mine.yaml", folder).digest


def test_a_suite_is_read_whole() -> None:
    suite = load_suite("support", FOLDER)
    assert (suite.name, suite.replicates, suite.rubric) == ("support", 2, "Pass if the reply is kind.")
    assert suite.sampling == Sampling(temperature=0.7, max_tokens=64, logprobs=5)
    delivery, talk = suite.probes
    assert delivery.prompt == "How long does delivery to France take?"
    assert delivery.rubric == "Pass if it says 4 days."
    assert delivery.checks[0] == Check("contains", {"text": "yes"})
    assert [check.kind for check in delivery.checks] == ["contains", "exact", "regex", "number", "json_schema"]
    assert delivery.checks[4].options["schema"]["properties"] == {"topic": {"$ref": "#/$defs/topic"}}
    assert delivery.messages[0] == Message("system", "You are the shop's support desk.")
    assert talk.messages == (Message("system", "Be short."), Message("user", "Hello."))


def test_what_answers_and_scores_depend_on_moves_the_digest(tmp_path: Path) -> None:
    first = _digest(tmp_path, SUITE)
    for old, new in (
        ("prompt: bye", "prompt: good bye"),
        ("text: x", "text: y"),
        ("Pass if kind", "Pass if short"),
        ("0.5", "0.6"),
        ("id: b", "id: c"),
        ("rubric:", "replicates: 2\nrubric:"),
        ("rubric:", "system: Be short.\nrubric:"),
        ("prompt: bye", "prompt: bye, reference: bye"),
    ):
        assert _digest(tmp_path, SUITE.replace(old, new)) != first, new
    assert len(first) == 64


def test_how_often_the_base_is_asked_moves_the_digest_only_when_it_is_said(tmp_path: Path) -> None:
    thrice = SUITE.replace("rubric:", "replicates: 3\nrubric:")
    first = _digest(tmp_path, thrice)
    assert load_suite("./mine.yaml", tmp_path).base_replicates == 1
    assert _digest(tmp_path, thrice.replace("rubric:", "base_replicates: 1\nrubric:")) == first
    assert "base_replicates" not in suite_body(load_suite("./mine.yaml", tmp_path)), "as the bodies of before"
    assert _digest(tmp_path, thrice.replace("rubric:", "base_replicates: 3\nrubric:")) != first
    suite = load_suite("./mine.yaml", tmp_path)
    assert (suite.replicates, suite.base_replicates) == (3, 3)
    again = suite_from_body(suite.digest, suite_body(suite))
    assert replace(again, probes=()) == replace(suite, probes=())
    with pytest.raises(ConfigError, match=r"mine\.yaml.*'base_replicates' must be at most 'replicates'"):
        _digest(tmp_path, thrice.replace("rubric:", "base_replicates: 4\nrubric:"))


def test_the_digests_of_suites_of_before_hold(tmp_path: Path) -> None:
    assert _digest(tmp_path, SUITE) == "c6469030c8d94b34ef459901b60b179b0314e06faf8acc8c087ce5e723a66f71"


def test_layout_order_and_defaults_leave_the_digest(tmp_path: Path) -> None:
    first = _digest(tmp_path, SUITE)
    a, b = SUITE.splitlines()[4:6]
    for text in (
        SUITE.replace(f"{a}\n{b}", f"{b}\n{a}"),
        "# a comment\n" + SUITE,
        SUITE.replace("rubric:", "description: for people\nrubric:"),
        SUITE.replace("rubric:", "replicates: 1\nrubric:").replace("0.5", "0.5, max_tokens: 256"),
        SUITE.replace("prompt: bye", "messages: [{role: user, content: bye}]"),
    ):
        assert _digest(tmp_path, text) == first, text


def test_the_shipped_suite_does_for_any_model() -> None:
    suite = load_suite("format", Path("/nowhere"))
    assert len(suite.probes) >= 12
    assert suite.rubric is None
    assert suite.sampling.temperature == 0
    assert sum(bool(probe.checks) for probe in suite.probes) == len(suite.probes)


def test_every_shipped_suite_is_good() -> None:
    files = sorted(shipped("probes").glob("*.yaml"))
    assert "format.yaml" in [file.name for file in files]
    assert {file.name: read_suite(file)[1] for file in files} == {file.name: [] for file in files}


def test_a_suite_beside_the_configuration_goes_first(tmp_path: Path) -> None:
    assert find_suite("format", tmp_path) == shipped("probes") / "format.yaml"
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "format.yaml").write_text("name: format\nprobes: [{id: a, prompt: b}]\n", encoding="utf-8")
    assert len(load_suite("format", tmp_path).probes) == 1
    assert len(load_suite(str(shipped("probes") / "format.yaml"), tmp_path).probes) > 1


def test_a_suite_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^unknown suite 'formt'; did you mean 'format'\?$"):
        load_suite("formt", tmp_path)
    with pytest.raises(ConfigError, match=r"other/none\.yaml: file not found$"):
        load_suite("other/none.yaml", tmp_path)


def test_the_json_schema_accepts_every_good_suite() -> None:
    validator, anchors = (Draft202012Validator(suites.schema(file)) for file in (suites.SuiteFile, AnchorsFile))
    validator.check_schema(validator.schema)
    anchors.check_schema(anchors.schema)
    for file in (*shipped("probes").glob("*.yaml"), *(FOLDER / "probes").glob("*.yaml")):
        data = read(file).data
        mine = anchors if "anchors" in data else validator
        assert [error.message for error in mine.iter_errors(data)] == [], file
    assert not anchors.is_valid({"name": "x", "rubric": "r", "anchors": [{"id": "a", "prompt": "b", "answer": "c"}]})
    assert not validator.is_valid({"name": "x", "probes": [{"id": "a", "promt": "b"}]})


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_raises_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, probes: str
) -> None:
    file = tmp_path_factory.mktemp("garbage") / "x.yaml"
    file.write_bytes(f"name: x\nsystem: {prompt}\nprobes:\n  - {probes}\n".encode("utf-8", "surrogatepass"))
    suite, problems = read_suite(file)
    assert (suite is None) == bool(problems)
