"""A good configuration: what becomes of it, what is warned of, and that no text whatever breaks the reading."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from syrupy.assertion import SnapshotAssertion

from monitor.config import Report, check, load, schema
from monitor.config.starter import starter_config
from monitor.config.yaml_reader import read
from monitor.core.errors import ConfigError
from monitor.core.providers import ApiProvider, ScriptedSettings
from monitor.core.settings import Settings, Target
from monitor.core.sources import JsonlSource

GOOD = Path(__file__).parent.parent / "config_fixtures" / "good" / "cliffwatch.yaml"
KEYS = dict.fromkeys(("VLLM_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"), "planted-should-not-appear")
HEAD = "providers:\n  mine: {kind: openai, base_url: 'http://127.0.0.1:8000/v1'}\n"
TARGET = (
    "targets:\n  bot:\n    subject: {provider: mine, model: tuned}\n"
    "    base: {provider: mine, model: plain}\n    suites: [format]\n"
)


def _check(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Report:
    config = tmp_path / "cliffwatch.yaml"
    config.write_text(text, encoding="utf-8")
    return check(config, environ or {}, installed=lambda module: True)


def _warned(report: Report) -> list[str]:
    assert report.problems == ()
    return [f"{warning.where}: {warning.text}" for warning in report.warnings]


def test_the_good_configuration_is_read_whole() -> None:
    report = check(GOOD, KEYS, installed=lambda module: True)
    assert (report.problems, report.warnings) == ((), ())
    assert report.settings is not None
    assert sorted(report.suites) == ["format", "judge_anchors", "more", "support"]
    found, folder = report.settings, GOOD.parent.absolute()
    assert found.store == f"sqlite:///{folder}/cliffwatch.db"
    assert found.providers["vllm"].requests_per_minute == 600
    dry = found.providers["dry"]
    assert isinstance(dry, ScriptedSettings)
    assert dry.script == folder / "answers.yaml"
    bot, local = found.targets["support-bot"], found.targets["local-bot"]
    assert bot.suites == ("support", "format", f"{folder}/../good/probes/more.yaml")
    assert bot.budget.usd_per_day == 2
    assert bot.production is not None
    assert isinstance(bot.production.source, JsonlSource)
    assert bot.production.source.path == f"{folder}/logs/*.jsonl"
    assert local.subject.model == f"{folder}/models/tiny"
    assert local.subject.adapter == folder / "adapter"
    assert found.targets["same-again"].subject == local.subject
    assert found.schedule.timezone == "Europe/Berlin"


def test_keys_never_reach_the_settings() -> None:
    report = check(GOOD, KEYS, installed=lambda module: True)
    assert "should-not-appear" not in repr(report)


def test_reading_again_what_was_read_changes_nothing(tmp_path: Path) -> None:
    first = check(GOOD, KEYS, installed=lambda module: True).settings
    assert first is not None
    written = first.model_dump(mode="json", exclude_none=True)
    assert written["targets"].pop("judge")["suites"] == [f"{GOOD.parent.absolute()}/probes/judge_anchors.yaml"]
    text = yaml.safe_dump(written)
    (tmp_path / "probes").symlink_to(GOOD.parent / "probes")
    second = _check(tmp_path, text, KEYS)
    assert second.problems == ()
    assert second.settings == first


def test_the_key_comes_from_the_environment_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "cliffwatch.yaml"
    config.write_text("providers:\n  mine: {kind: openai, api_key_env: SOME_KEY_SET_HERE}\n" + TARGET, encoding="utf-8")
    with pytest.raises(ConfigError, match="SOME_KEY_SET_HERE is not set"):
        load(config)
    monkeypatch.setenv("SOME_KEY_SET_HERE", "x")
    mine = load(config).providers["mine"]
    assert isinstance(mine, ApiProvider)
    assert mine.api_key_env == "SOME_KEY_SET_HERE"


@pytest.mark.parametrize("url", ["postgresql+psycopg://me@db/cliffwatch", "sqlite:////var/lib/cliffwatch/a.db?mode=rw"])
def test_a_store_that_is_absolute_stays_as_it_is(tmp_path: Path, url: str) -> None:
    report = _check(tmp_path, HEAD + TARGET + f"store: {url}\n")
    assert report.settings is not None
    assert report.settings.store == url


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"])
@pytest.mark.parametrize("when", ["daily", "every 1 days", "every 14 days", "weekly sun 23:59", "weekly mon 06:00"])
def test_schedules_that_can_be_kept(tmp_path: Path, when: str, zone: str) -> None:
    report = _check(tmp_path, HEAD + TARGET + f"schedule: {{probes: {when}, production: {when}, timezone: {zone}}}\n")
    assert report.problems == ()


def test_nothing_is_warned_of_without_reason(tmp_path: Path) -> None:
    assert _warned(_check(tmp_path, HEAD + TARGET)) == []


def test_what_cannot_be_seen_or_kept_is_warned_of_snapshot(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "kind.yaml").write_text(
        "name: kind\nrubric: Pass if kind.\nreplicates: 3\nprobes:\n  - {id: a, prompt: hello}\n", encoding="utf-8"
    )
    text = (
        "providers:\n"
        "  mine: {kind: openai, base_url: 'http://vllm:8000/v1', api_key_env: KEY, deadline_seconds: 5}\n"
        "  idle: {kind: openai, base_url: 'http://vllm:8000/v1'}\n"
        "targets:\n"
        "  bot:\n"
        "    subject: {provider: mine, model: tuned}\n"
        "    suites: [kind]\n"
        "    production: {source: {kind: jsonl, path: logs/*.jsonl}}\n"
        "    budget: {requests_per_day: 2}\n"
        "schedule: {day_seconds: 60}\n"
    )
    assert sorted(_warned(_check(tmp_path, text, {"KEY": "x"}))) == snapshot


def test_a_judge_that_is_not_asked_or_not_impartial_is_warned_of_snapshot(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    report = _check(tmp_path, HEAD + TARGET + "judge: {provider: mine, model: tuned}\n")
    assert _warned(report) == snapshot


def test_the_starter_lacks_nothing_but_the_key(tmp_path: Path) -> None:
    report = _check(tmp_path, starter_config())
    (problem,) = report.problems
    assert (problem.where, "LLM_API_KEY is not set" in problem.text) == ("providers.mine.api_key_env", True)
    assert _warned(_check(tmp_path, starter_config(), {"LLM_API_KEY": "x"})) == []


def test_what_the_starter_offers_in_comments_can_be_switched_on(tmp_path: Path) -> None:
    lines = starter_config().splitlines()
    offered = [
        line[2:] for line in lines if line.startswith(("# judge", "# schedule", "# alarms", "# store", "# http"))
    ]
    production = [line[2:] for line in lines if line.startswith("#     production")]
    end = next(index for index, line in enumerate(lines) if line.startswith("# Optional"))
    text = "\n".join([*lines[: end - 1], *production, *offered])
    assert len(offered) == 5
    assert len(production) == 1
    assert _check(tmp_path, text, {"LLM_API_KEY": "x"}).problems == ()


def test_the_json_schema_accepts_what_is_good_and_refuses_what_is_not() -> None:
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    good: Any = read(GOOD).data
    assert list(validator.iter_errors(good)) == []
    assert not validator.is_valid({**good, "scheduel": {}})
    assert not validator.is_valid({**good, "targets": {}})
    assert json.loads(json.dumps(schema())) == schema()


WORDS = [
    *Settings.model_fields,
    *ApiProvider.model_fields,
    *ScriptedSettings.model_fields,
    *Target.model_fields,
    "mine",
    "openai",
    "local",
    "format",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=8)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@example("a: &a [*a]")
@example("<<: &a {<<: *a}")
@example("? ? ? a")
@example('store: "\\ud800"')
@example('store: "a\\0b"')
@example("store: sqlite:///" + "x" * 5000)
@example("providers: {a: {kind: scripted, script: ~nobody/x}}")
@example("providers: {a: {kind: openai, base_url: 'http://[', api_key_file: \"\\x7f\"}}")
@example("schedule: {timezone: ../../etc/passwd}")
@example("targets: {b: {subject: {provider: a, model: m}, suites: ['/', '.yaml', '', '..', \"a/\\x7f\"]}}")
@example("1: 9" + "9" * 5000)
@given(st.text(max_size=200) | DATA.map(lambda data: yaml.dump(data, allow_unicode=True)))
def test_no_text_raises_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    config = tmp_path_factory.mktemp("garbage") / "cliffwatch.yaml"
    config.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as raised:
        load(config, {})
    assert str(raised.value).startswith(str(config.parent))


@settings(max_examples=100, deadline=None)
@example(["a"], "schedule", ("timezone",))
@example("America", "schedule", ("timezone",))
@example("\x7f" * 300, "schedule", ("timezone",))
@given(
    DATA,
    st.sampled_from(["providers", "targets", "judge", "embeddings", "schedule", "store", "http", "alarms"]),
    st.sampled_from([(), ("mine",), ("bot",)]),
)
def test_no_section_raises_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: Any, section: str, inside: tuple[str, ...]
) -> None:
    """The rest of the file is good, so that the further checks see the garbage too."""
    config = tmp_path_factory.mktemp("garbage") / "cliffwatch.yaml"
    (config.parent / "probes").mkdir()
    (config.parent / "probes" / "format.yaml").write_text(
        "{name: format, probes: [{id: a, prompt: b}]}", encoding="utf-8"
    )
    content: dict[str, Any] = yaml.safe_load(HEAD + TARGET)
    content[section] = {**content.get(section, {}), inside[0]: data} if inside else data
    config.write_text(yaml.dump(content), encoding="utf-8")
    report = check(config, {})
    assert bool(report.problems) != bool(report.settings)
    assert all(os.fspath(config) in str(problem) for problem in (*report.problems, *report.warnings))


CLAUDE = "providers:\n  theirs: {kind: anthropic, base_url: 'http://127.0.0.1:8001'}\n"
MIXED = HEAD + CLAUDE.removeprefix("providers:\n")


NEVER = "which kind anthropic never sends"


@pytest.mark.parametrize(
    ("sampling", "providers", "subject", "told"),
    [
        ("temperature: 0", CLAUDE, "theirs", f"sets temperature 0, {NEVER}: base_match and border are not measured"),
        ("temperature: 0.7", CLAUDE, "theirs", f"sets temperature 0.7, {NEVER}: the endpoint uses its default"),
        ("temperature: 0", MIXED, "mine", f"sets temperature 0, {NEVER}: base_match is not measured"),
        (
            "logprobs: 5", CLAUDE, "theirs",
            "requests logprobs, which kind anthropic does not return: logprobs is not measured",
        ),
        ("logprobs: 5", MIXED, "mine", ""),
        ("max_tokens: 9", CLAUDE, "theirs", ""),
        ("temperature: 0", HEAD, "mine", ""),
    ],
)  # fmt: skip
def test_sampling_that_a_kind_never_sends_is_warned_of(
    tmp_path: Path, sampling: str, providers: str, subject: str, told: str
) -> None:
    (tmp_path / "probes").mkdir()
    probes = [{"id": f"q{n}", "prompt": "Q?", "checks": [{"kind": "contains", "text": "a"}]} for n in range(6)]
    suite = {"name": "own", "probes": probes, "sampling": yaml.safe_load(f"{{{sampling}}}")}
    (tmp_path / "probes" / "own.yaml").write_text(yaml.safe_dump(suite))
    base = "mine" if providers == HEAD else "theirs"
    target = (
        f"targets:\n  bot:\n    subject: {{provider: {subject}, model: tuned}}\n"
        f"    base: {{provider: {base}, model: plain}}\n    suites: [own]\n"
    )
    warned = [f"targets.bot.suites: 'own' {told}"] if told else []
    assert _warned(_check(tmp_path, providers + target)) == warned
