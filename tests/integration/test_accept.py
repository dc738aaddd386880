"""A known harmless change is accepted by a command, on a page and through the API, and stays reproducible."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.core.errors import NotThere, UsageError
from monitor.core.records import Arm, IdentityCheck, Match, ServedMetadata
from monitor.daemon.actions import Actions
from monitor.runs.context import RunContext
from monitor.runs.recompute import recompute
from tests.daemon import AFTER, HEALTHY, Clock, context_of, one_day, write

UPGRADED = "vllm-0.31.0-tp1-abcd1234"


def speaking(**fields: Any) -> list[dict[str, Any]]:
    """The healthy answers; the subject's replies have these fields."""
    return [{**rule, **fields} if rule["model"] == "tuned" else rule for rule in HEALTHY]


def changed(folder: Path, **fields: Any) -> Path:
    return write(folder, speaking(**fields))


def contract(context: RunContext) -> Mapping[str, object]:
    (found,) = [one for one in context.store.latest_findings("bot", "facts") if one.signal == "contract"]
    open_now = [one.signal for one in context.store.open_alarms("bot", "facts")]
    return {"state": found.state.value, "open": "contract" in open_now, "what": found.numbers or found.what}


async def test_an_accepted_fingerprint_ends_the_alarm_and_stays_quiet(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(changed(armed_folder, fingerprint=UPGRADED), clock) as context:
        await one_day(context, clock)
        assert contract(context)["open"]
        (entry,) = Actions(lambda: context).accept("bot", "fingerprint", "ada", "vLLM was upgraded")
        assert entry.subject == f"fingerprint '{UPGRADED}' instead of 'none'"
        assert not contract(context)["open"]
        (stored,) = context.store.accepted("bot")
        assert (stored.part, stored.value, stored.who, stored.why) == (
            "fingerprint", UPGRADED, "ada", "vLLM was upgraded",
        )  # fmt: skip
        assert [one.action for one in context.store.audit_entries("bot")] == ["accept"]
        (cleared,) = [one for one in context.store.alarms("bot") if one.signal == "contract"]
        assert cleared.cleared_by == "ada"
        for _ in range(2):
            await one_day(context, clock)
            assert contract(context) == {**contract(context), "state": "quiet", "open": False}
        again = recompute(context.store)
        assert (again.equal, again.alarms_equal, again.differences) == (again.findings, again.alarms, [])
        assert again.alarms >= 1, "the verdict from before the acceptance alarms again, as it did"
    async with context_of(changed(armed_folder, fingerprint="vllm-0.31.0-tp1-ffff1234"), clock) as context:
        await one_day(context, clock)
        assert contract(context)["open"], "another value is not accepted"
        with pytest.raises(UsageError, match="no new model id"):
            Actions(lambda: context).accept("bot", "model-id", "ada", "why")


async def test_the_alarm_stays_open_while_another_part_has_changed(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(changed(armed_folder, fingerprint=UPGRADED, reply_model="plain"), clock) as context:
        await one_day(context, clock)
        actions = Actions(lambda: context)
        actions.accept("bot", "fingerprint", "ada", "vLLM was upgraded")
        assert contract(context)["open"]
        actions.accept("bot", "model_id", "ada", "it names the base now", suite="facts")
        assert not contract(context)["open"]
        await one_day(context, clock)
        assert contract(context)["state"] == "quiet"
        assert recompute(context.store).differences == []


async def test_what_cannot_be_accepted_says_why(armed_folder: Path) -> None:
    clock = Clock(AFTER)
    async with context_of(changed(armed_folder), clock) as context:
        actions = Actions(lambda: context)
        with pytest.raises(UsageError, match=r"no run since the baseline has answers; run: cliffwatch probe bot"):
            actions.accept("bot", "fingerprint", "ada", "why")
        await one_day(context, clock)
        for part, says in (
            ("fingerprint", "no new fingerprint"), ("served", "no new served"),
            ("prompt_tokens", "no new prompt tokens"),
            ("fingerprnt", "did you mean 'fingerprint'"), ("refusals", "Unknown part"),
            ("root", "no model is loaded from another place"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=says):
                actions.accept("bot", part, "ada", "why")
        with pytest.raises(UsageError, match="give your name and a reason"):
            actions.accept("bot", "fingerprint", " ", "why")
        with pytest.raises(NotThere, match="Unknown target 'bto'"):
            actions.accept("bto", "fingerprint", "ada", "why")
        assert context.store.accepted() == []
        assert context.store.audit_entries() == []


async def test_a_moved_adapter_is_accepted_for_the_whole_target(armed_folder: Path) -> None:
    async with context_of(changed(armed_folder), Clock(AFTER)) as context:
        check = IdentityCheck("bot", Arm.SUBJECT, "served_root", Match.DIFFERS, "/a/tuned", "/b/tuned", AFTER, AFTER)
        context.store.save_identity_checks([check])
        facts = {"root": "/b/tuned"}
        context.store.save_served_metadata([ServedMetadata("bot", Arm.SUBJECT, "tuned", facts, AFTER)])
        (entry,) = Actions(lambda: context).accept("bot", "root", "ada", "another volume")
        assert (entry.suite, entry.subject) == (None, "root '/b/tuned'")
        (stored,) = context.store.identity_checks("bot")
        assert stored.result is Match.MATCHES


def test_the_command_accepts_and_says_what(tmp_path: Path) -> None:
    write(tmp_path, speaking(fingerprint="vllm-0.30.0-tp1-abcd1234"))
    assert cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "3")[0] == 0
    assert cliffwatch(tmp_path, "baseline", "approve", "bot", "--by", "ada", "--why", "read")[0] == 0
    changed(tmp_path, fingerprint=UPGRADED)
    assert cliffwatch(tmp_path, "probe", "bot", "--suite", "facts")[0] == 1
    arguments = ("accept", "bot", "fingerprint", "--by", "ada", "--why", "vLLM was upgraded")
    code, out, _ = cliffwatch(tmp_path, *arguments)
    assert code == 0
    assert out == (
        f"bot/facts: ada accepted fingerprint '{UPGRADED}' instead of 'vllm-0.30.0-tp1-abcd1234': "
        "version 0.30.0 -> 0.31.0; same flags\n"
    )
    code, _, err = cliffwatch(tmp_path, *arguments, "--json")
    assert (code, "the newest run has no new fingerprint" in err) == (2, True)
    code, out, _ = cliffwatch(tmp_path, "findings", "--recompute", "--json")
    assert code == 0
    assert json.loads(out)["differences"] == []


def cliffwatch(folder: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "monitor", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr
