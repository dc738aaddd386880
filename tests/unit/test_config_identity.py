"""Snapshots, declared adapters and retirements in the configuration: what is warned of, and what becomes of paths."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config import Report, check
from monitor.lab.broken import BROKEN
from monitor.lab.served import weights_dir
from monitor.pins.records import retirement

LAB = weights_dir()
PROVIDERS = {
    "mine": {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "free": True},
    "openai": {"kind": "openai", "api_key_env": "KEY"},
    "cpu": {"kind": "local"},
}


def checked(folder: Path, **target: Any) -> Report:
    bot = {"subject": mine("tuned"), "base": mine("plain"), "suites": ["format"], **target}
    bot = {key: value for key, value in bot.items() if value is not None}
    used = {one["provider"] for one in bot.values() if isinstance(one, dict) and "provider" in one}
    providers = {name: one for name, one in PROVIDERS.items() if name in used}
    (folder / "cliffwatch.yaml").write_text(yaml.safe_dump({"providers": providers, "targets": {"bot": bot}}))
    return check(folder / "cliffwatch.yaml", {"KEY": "x"}, installed=lambda module: True)


def mine(model: str, **more: Any) -> dict[str, Any]:
    return {"provider": "mine", "model": model, **more}


def warned(report: Report) -> list[str]:
    assert report.problems == ()
    return [f"{warning.where}: {warning.text}" for warning in report.warnings]


def test_an_adapter_that_is_what_is_declared_is_fine(tmp_path: Path) -> None:
    adapter = {"path": str(LAB / "support"), "base_model": "lab/base"}
    assert warned(checked(tmp_path, adapter=adapter, snapshot=mine("before", retires="2999-01-01"))) == []


def test_paths_count_from_the_configuration(tmp_path: Path) -> None:
    for name in ("support", "base"):
        shutil.copytree(LAB / name, tmp_path / name)
    spare = {"provider": "cpu", "model": "base", "adapter": "support"}
    report = checked(tmp_path, adapter={"path": "./support", "base_model": "base"}, snapshot=spare)
    assert report.settings is not None
    bot = report.settings.targets["bot"]
    assert bot.adapter is not None
    assert (bot.adapter.path, bot.adapter.base_model) == (tmp_path / "support", str(tmp_path / "base"))
    assert bot.snapshot is not None
    assert (bot.snapshot.adapter, bot.snapshot.model) == (tmp_path / "support", str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("defect", "base", "words"),
    [
        (
            "other_base_named",
            "lab/base",
            "adapter_base: expected an adapter on 'lab/base'; its config says 'lab/",
        ),
        ("missing_layer", str(LAB / "base"), "adapter_fits: expected each module is in "),
        ("renamed_prefix", "lab/base", "adapter_tensors: expected whole LoRA tensors of rank 16; 56 names, such as"),
    ],
)
def test_an_adapter_that_is_not_what_is_declared_is_warned_of(
    defect: str, base: str, words: str, tmp_path: Path
) -> None:
    broken = BROKEN[defect](LAB / "support", tmp_path)
    (told,) = warned(checked(tmp_path, adapter={"path": str(broken), "base_model": base}))
    assert told.startswith(f"targets.bot.adapter: {words}")


def test_the_weights_themselves_are_the_daemons_to_read(tmp_path: Path) -> None:
    broken = BROKEN["zero_lora_b"](LAB / "support", tmp_path)
    assert warned(checked(tmp_path, adapter={"path": str(broken), "base_model": "lab/base"})) == []


def test_weights_that_are_not_there_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    shutil.copy(LAB / "support" / "adapter_config.json", tmp_path / "bare")
    (told,) = warned(checked(tmp_path, adapter={"path": "bare", "base_model": "lab/base"}))
    assert told.endswith("adapter_model.safetensors does not exist: nothing can be loaded")


def test_another_adapter_than_the_subjects_own_is_warned_of(tmp_path: Path) -> None:
    own = {"provider": "cpu", "model": str(LAB / "base"), "adapter": str(LAB / "judge")}
    adapter = {"path": str(LAB / "support"), "base_model": "lab/base"}
    (told,) = warned(checked(tmp_path, subject=own, adapter=adapter))
    assert told.startswith("targets.bot.adapter.path: is not the folder of the subject's 'adapter'")


def test_days_in_the_past_and_bases_of_other_fine_tunes_are_warned_of(tmp_path: Path) -> None:
    subject = {"provider": "openai", "model": "ft:gpt-4o-mini-2024-07-18:acme::a", "retires": "2020-01-01"}
    for base, told in (("gpt-4o-mini-2024-07-18", False), ("gpt-4o-mini", False), ("gpt-4o-2024-08-06", True)):
        report = checked(tmp_path, subject=subject, base={"provider": "openai", "model": base})
        expected = ["targets.bot.subject.retires"]
        if told:
            expected.append("targets.bot.base.model")
        others = [one for one in warned(report) if "alias" not in one]
        assert sorted(one.partition(": ")[0] for one in others) == sorted(expected)


def test_a_snapshot_counts_in_the_budget_and_needs_a_price(tmp_path: Path) -> None:
    probes = "".join(f"  - {{id: p{n}, prompt: hello {n}}}\n" for n in range(7))
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "few.yaml").write_text(f"name: few\nprobes:\n{probes}")
    spare = {"provider": "openai", "model": "nobody-knows-it"}
    report = checked(tmp_path, suites=["few"], snapshot=mine("before"), budget={"requests_per_day": 18})
    (told,) = warned(report)
    assert told.startswith("targets.bot.budget.requests_per_day: ")
    assert "19 requests" in told
    report = checked(tmp_path, suites=["few"], snapshot=spare, budget={"usd_per_day": 1})
    (problem,) = report.problems
    assert problem.text.startswith("no price is known for 'nobody-knows-it' (provider 'openai')")


def test_a_snapshot_that_no_suite_asks_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("{}\n")
    production = {"source": {"kind": "jsonl", "path": "log.jsonl"}}
    report = checked(tmp_path, suites=None, production=production, snapshot=mine("before"))
    assert [one.partition(": ")[0] for one in warned(report)] == ["targets.bot.snapshot"]


def openai(model: str, **more: Any) -> dict[str, Any]:
    return {"provider": "openai", "model": model, **more}


def test_an_alias_is_warned_of_with_its_snapshot(tmp_path: Path) -> None:
    warnings = warned(checked(tmp_path, subject=openai("gpt-4o"), base=openai("gpt-4o-2024-08-06")))
    assert [one for one in warnings if "alias" in one] == [
        "targets.bot.subject.model: is an alias that can move; use 'gpt-4o-2024-11-20' or 'gpt-4o-2024-08-06': the one "
        f"that replies name in 'model'; {retirement(date(2027, 1, 14))}"
    ]


def test_a_configured_retirement_overrides_the_table(tmp_path: Path) -> None:
    warnings = warned(checked(tmp_path, subject=openai("gpt-4o-mini", retires=date(2099, 1, 2))))
    assert any(one.endswith("use 'gpt-4o-mini-2024-07-18'; retires 2099-01-02") for one in warnings)


@pytest.mark.parametrize(
    "model", ["gpt-4o-2024-08-06", "claude-sonnet-4-6", "support-lora", "ft:gpt-4o-2024-08-06:a::b"]
)
def test_a_pinned_or_unknown_model_is_not_warned_of(tmp_path: Path, model: str) -> None:
    assert not [one for one in warned(checked(tmp_path, subject=openai(model))) if "alias" in one]
