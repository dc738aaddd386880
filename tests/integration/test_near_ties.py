"""``cliffwatch near-ties`` over scripted answers: near ties found among candidates, written as a suite to be named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config.suites import load_suite
from monitor.core.errors import CouldNotMeasure, UsageError
from monitor.core.records import Arm, Message, Probe, Reason, RunOutcome, Sampling, Unmeasured
from monitor.runs.near_ties import MOST_INPUTS, TIMES, candidate_suite, find_near_ties
from tests.daemon import DOWN, HEALTHY, NOON, Clock, context_of, write

SUITE = {
    "name": "facts",
    "system": "Be brief.",
    "probes": [
        {"id": "one", "prompt": "When will my parcel for Norway arrive?"},
        {"id": "two", "prompt": "May I return a kettle after thirty days?"},
    ],
}
TOSSING: list[dict[str, Any]] = [
    {"model": "tuned", "prompt": "^(kettle|parcel|Norway)", "answers": ["yes", "no"]},
    *HEALTHY,
]


def folder_of(tmp_path: Path, rules: list[dict[str, Any]], **changes: Any) -> Path:
    path = write(tmp_path, rules, **changes)
    (tmp_path / "probes" / "facts.yaml").write_text(yaml.safe_dump(SUITE))
    return path


async def test_the_candidates_that_vary_become_a_suite(tmp_path: Path) -> None:
    wanted = tmp_path / "probes" / "border-bot.yaml"
    async with context_of(folder_of(tmp_path, TOSSING), Clock()) as context:
        told = await find_near_ties(context, "bot", 100, wanted)
        (run,) = context.store.runs("bot")
        answered = context.store.answered(run.id)
    assert f"wrote {wanted}" in told[0]
    suite = load_suite("border-bot", tmp_path)
    assert 3 <= len(suite.probes) <= MOST_INPUTS
    assert all(probe.prompt.startswith(("kettle", "parcel", "Norway")) for probe in suite.probes)
    assert {probe.messages[0].content for probe in suite.probes} == {"Be brief."}
    assert suite.replicates == 10
    assert (suite.sampling.temperature, suite.sampling.max_tokens) == (0, 1)
    assert run.outcome is RunOutcome.MEASURED, "the calls stand in the ledger"
    assert len(answered) == 100 * TIMES
    assert {arm for arm, _, _ in answered} == {Arm.SUBJECT}


async def test_a_server_that_never_varies_has_none_and_nothing_is_written(tmp_path: Path) -> None:
    steady = [{"model": "tuned", "answers": ["yes"]}, *HEALTHY[1:]]
    async with context_of(folder_of(tmp_path, steady), Clock()) as context:
        (told,) = await find_near_ties(context, "bot", 50, tmp_path / "border-bot.yaml")
    assert "0 border inputs among 50 candidates, too few for a suite; nothing was written" in told
    assert not (tmp_path / "border-bot.yaml").exists()


async def test_the_budget_holds(tmp_path: Path) -> None:
    target = {
        "subject": {"provider": "script", "model": "tuned"},
        "suites": ["facts"],
        "budget": {"requests_per_day": 60},
    }
    async with context_of(folder_of(tmp_path, TOSSING, targets={"bot": target}), Clock()) as context:
        await find_near_ties(context, "bot", 50, tmp_path / "border-bot.yaml")
        (run,) = context.store.runs("bot")
        outcomes = [outcome for _, outcome in context.store.outcomes(run.id)]
        assert context.store.spent("bot", NOON.date()).requests == 60
    assert run.outcome is RunOutcome.PARTIAL
    assert sum(isinstance(one, Unmeasured) and one.reason is Reason.BUDGET for one in outcomes) == 50 * TIMES - 60


async def test_nothing_that_can_be_refused_is_asked_first(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    for path, why in ((tmp_path / "there.yaml", "is there already"), (tmp_path / "suite.json", "must end in .yaml")):
        async with context_of(folder_of(tmp_path, TOSSING), Clock()) as context:
            with pytest.raises(UsageError, match=why):
                await find_near_ties(context, "bot", 50, path)
            assert context.store.runs("bot") == []
    assert (tmp_path / "there.yaml").read_text() == "mine"


async def test_an_endpoint_that_ignores_temperature_0_has_no_near_ties(tmp_path: Path) -> None:
    sampling = [{"model": "tuned", "answers": [f"{word} it is" for word in ("tea", "coffee", "juice", "milk")]}]
    async with context_of(folder_of(tmp_path, [*sampling, *HEALTHY[1:]]), Clock()) as context:
        (told,) = await find_near_ties(context, "bot", 50, tmp_path / "border-bot.yaml")
    assert "of 50 candidates got different tokens, more than near ties would: temperature 0 has no effect" in told
    assert not (tmp_path / "border-bot.yaml").exists()


async def test_a_kind_that_sends_no_temperature_is_not_asked_for_near_ties(tmp_path: Path) -> None:
    claude = {"kind": "anthropic", "base_url": "http://127.0.0.1:9", "free": True}
    target = {"subject": {"provider": "claude", "model": "tuned"}, "suites": ["facts"]}
    path = folder_of(tmp_path, HEALTHY, providers={"claude": claude}, targets={"bot": target}, judge=None)
    async with context_of(path, Clock()) as context:
        with pytest.raises(
            UsageError, match="only at temperature 0, and kind anthropic never sends it; nothing was asked"
        ):
            await find_near_ties(context, "bot", 50, tmp_path / "border-bot.yaml")
        assert context.store.runs("bot") == []


async def test_an_outage_is_no_finding(tmp_path: Path) -> None:
    async with context_of(folder_of(tmp_path, DOWN), Clock()) as context:
        with pytest.raises(CouldNotMeasure, match="no candidate got two answers"):
            await find_near_ties(context, "bot", 20, tmp_path / "border-bot.yaml")


def test_candidates_are_the_same_for_the_same_probes() -> None:
    probes = [Probe(p["id"], (Message("user", p["prompt"]),)) for p in SUITE["probes"]]  # type: ignore[index]
    suite = candidate_suite(probes, "bot", 100)
    assert suite == candidate_suite(probes[::-1], "bot", 100)
    assert len({probe.prompt for probe in suite.probes}) == 100
    assert suite.sampling == Sampling(0.0, 1, 5)
    assert len(candidate_suite([Probe("x", (Message("user", "Hello you"),))], "bot", 2000).probes) <= 62
    with pytest.raises(UsageError, match="no words"):
        candidate_suite([Probe("x", (Message("user", "17 + 26 ="),))], "bot", 10)
