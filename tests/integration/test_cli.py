"""The commands as a user types them: exit codes, JSON, and errors that say what to do."""

import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.cli import selftest_output
from monitor.cli.operations import Probed
from monitor.core.clock import HEARTBEAT, STOPPED, utcnow
from monitor.core.records import Arm, IdentityCheck, Match, Run, RunOutcome, SelfTest
from monitor.runs.readonly import reading
from monitor.store import open_store
from tests.daemon import DOWN, HEALTHY, LOST, write
from tests.store_records import answer, recorded


def cliffwatch(folder: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "monitor", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def printed(folder: Path, *arguments: str) -> tuple[int, Any]:
    """Exit code and the JSON on standard output; nothing else may stand there."""
    code, out, _ = cliffwatch(folder, *arguments, "--json")
    return code, json.loads(out)


def test_a_newcomers_way_from_init_to_a_finding(tmp_path: Path) -> None:
    write(tmp_path, HEALTHY)
    assert cliffwatch(tmp_path, "check")[:2] == (0, "cliffwatch.yaml: fine\n")
    assert cliffwatch(tmp_path, "migrate")[0] == 0
    code, found = printed(tmp_path, "status")
    assert (code, found["watches"][0]["armed"], found["watches"][0]["baseline"]) == (
        0,
        False,
        "no baseline: cliffwatch baseline capture bot --days 14",
    )
    assert (found["daemon"]["running"], found["needing"]) == (False, {"unarmed": 1})

    code, out, _ = cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "10")
    assert code == 0
    assert "captured 10 runs" in out
    assert "To arm pages: cliffwatch baseline capture bot" in out
    waits = printed(tmp_path, "status")[1]["watches"][0]["baseline"]
    assert waits.endswith("waiting for approval: cliffwatch baseline approve bot --by YOU --why REASON")
    why = "\x1b[2Jread\nthem"
    code, out, error = cliffwatch(tmp_path, "baseline", "approve", "bot", "--by", "sre", "--why", why)
    assert (code, error) == (0, "")
    assert "cannot arm pages" in out
    assert "armed for tickets only" in cliffwatch(tmp_path, "status")[1]
    assert printed(tmp_path, "baseline", "show")[1][0]["approved_by"] == "sre"
    heading, row = cliffwatch(tmp_path, "baseline", "show")[1].splitlines()
    assert (heading.split()[-1], row.endswith("read them")) == ("why", True), "piped, a row is one line"
    _, named, _ = cliffwatch(tmp_path, "baseline", "show", "bot")
    title, columns, first = named.splitlines()[2:5]
    assert title.endswith("of bot/facts, typical answers:")
    assert columns.split() == ["probe", "answers", "equal", "typical", "answer"]
    assert first.split()[:3] == ["fact-0", "10", "100%"]
    assert first.endswith("Certainly: fact-fact-0, as in fact 0 to fact 11. Yours, the shop.")
    assert len(named.splitlines()) == 4 + 18
    assert ("\x1b" in row, "\\u{1b}[2Jread them" in row) == (False, True), "no terminal obeys a reason"

    code, results = printed(tmp_path, "probe", "bot")
    assert (code, results[0]["run"]["outcome"]) == (0, "measured")
    write(tmp_path, LOST)
    code, results = printed(tmp_path, "probe", "bot")
    assert code == 1
    loss = next(f for f in results[0]["findings"] if f["signal"] == "adapter_loss")
    assert loss["alarming"]
    assert loss["severity"] == "ticket", "a baseline captured at once arms no page"
    assert loss["evidence_log10"] > 2 < loss["threshold_log10"]
    code, found = printed(tmp_path, "status")
    assert (code, found["watches"][0]["alarms"][0]["target"]) == (1, "bot")
    code, out, _ = cliffwatch(tmp_path, "findings", "bot", "--signal", "adapter_loss", "--limit", "1")
    assert code == 0
    assert all(word in out for word in ("ALARM", "baseline", "now", "base", "no idea about", "to 1"))
    code, out, _ = cliffwatch(tmp_path, "status")
    assert (code, "captured at once, approved by sre" in out) == (1, True)
    listed = [line.split() for line in out.splitlines()]
    raised = [words[1].rstrip(",") for words in listed if words[:1] == ["ticket"]]
    assert (raised[0], len(raised), len(set(raised))) == ("adapter_loss", len(raised), len(raised)), "causes first"
    assert not [words for words in listed if words[:1] in (["ALARM"], ["quiet"])], "an alarm is told once"
    code, found = printed(tmp_path, "findings", "bot", "--limit", "4")
    assert (code, found[0]["signal"], found[0]["alarming"]) == (0, "adapter_loss", True), "what matters comes first"
    assert [one["alarming"] for one in found] == sorted((one["alarming"] for one in found), reverse=True)
    code, result = printed(tmp_path, "findings", "--recompute")
    assert (code, result["differences"], result["equal"]) == (0, [], result["findings"])

    code, found = printed(tmp_path, "alarms", "bot")
    assert (code, {one["state"] for one in found}) == (1, {"confirmed"})
    by_kim = ["--by", "kim", "--why", "asking the platform team"]
    code, out, error = cliffwatch(tmp_path, "alarms", "ack", "bot", "adapter_loss", *by_kim)
    assert (code, error) == (0, "")
    assert re.fullmatch(r"bot/facts: kim acknowledged alarm \d+ \(adapter_loss\); it stays open\n", out)
    code, found = printed(tmp_path, "alarms", "bot")
    assert code == 1, "still raised"
    (taken,) = [one for one in found if one["acknowledged_at"]]
    assert (taken["signal"], taken["acknowledged_by"]) == ("adapter_loss", "kim")
    assert taken["acknowledged_why"] == "asking the platform team"
    assert "Acknowledged by kim, " in cliffwatch(tmp_path, "alarms", "bot")[1]
    code, out, error = cliffwatch(tmp_path, "alarms", "ack", "bot", "--by", "lee", "--why", "the same cause")
    assert (code, error, "adapter_loss" in out) == (0, "", False), "what kim took stays kim's"
    assert out.count("lee acknowledged alarm") == len(printed(tmp_path, "alarms", "bot")[1]) - 1 > 0
    code, out, _ = cliffwatch(tmp_path, "alarms", "ack", "bot", "--by", "lee", "--why", "again")
    assert (code, out) == (0, "bot: no unacknowledged alarms; nothing changed\n")
    code, result = printed(tmp_path, "findings", "--recompute")
    assert (code, result["differences"]) == (0, []), "who looks into an alarm is no answer's doing"
    by_jo = ["--by", "jo", "--why", "taken out on purpose"]
    for one in found:
        assert cliffwatch(tmp_path, "alarms", "clear", "bot", one["signal"], *by_jo)[0] == 0
    assert cliffwatch(tmp_path, "alarms")[:2] == (0, "no open alarms\n")
    code, closed = printed(tmp_path, "alarms", "--all")
    assert (code, {one["cleared_why"] for one in closed}) == (0, {"taken out on purpose"})
    assert "cleared by jo, " in cliffwatch(tmp_path, "alarms", "bot", "--all")[1]
    code, out, _ = cliffwatch(tmp_path, "status")
    assert (code, "ALARM" in out, "cleared by jo, " in out) == (0, False, True)

    assert cliffwatch(tmp_path, "baseline", "retire", "bot", "--by", "sre", "--why", "new model")[0] == 0
    assert printed(tmp_path, "status")[1]["watches"][0]["armed"] is False


def test_an_empty_store_has_nothing_to_recompute(tmp_path: Path) -> None:
    write(tmp_path, HEALTHY)
    assert cliffwatch(tmp_path, "migrate")[0] == 0
    code, out, error = cliffwatch(tmp_path, "findings", "--recompute")
    assert (code, out) == (3, "")
    assert "nothing to recompute: " in error
    assert "sqlite:///" in error


def test_a_self_test_says_what_a_baseline_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, HEALTHY)
    suite = tmp_path / "probes" / "facts.yaml"
    fewer = yaml.safe_load(suite.read_text())
    suite.write_text(yaml.safe_dump({**fewer, "probes": fewer["probes"][:9]}))  # a test of each takes its time
    code, _, error = cliffwatch(tmp_path, "selftest")
    assert (code, "no approved baseline" in error) == (3, True)
    assert cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "3")[0] == 0
    assert cliffwatch(tmp_path, "baseline", "approve", "bot", "--by", "sre", "--why", "read them")[0] == 0
    code, out, progress = cliffwatch(tmp_path, "selftest", "bot", "--json")
    assert "bot/facts: truncation: " in progress
    result = json.loads(out)
    tests = [SelfTest(**{**one, "tested_at": datetime.fromisoformat(one["tested_at"])}) for one in result["tests"]]
    selftest_output.results(tests, result["failures"], [], as_json=False)  # a second one would take as long again
    out = capsys.readouterr().out
    assert "none (false alarms)" in out
    assert bool(result["failures"]) == ("see: cliffwatch calibrate bot" in out)
    caught = {one["fault"]: one["caught"] for one in result["tests"]}
    assert set(caught) >= {"healthy", "base-answers", "truncation", "scores-shifted"}
    assert caught["healthy"] == 0
    assert (code == 1) == bool(result["failures"]) == (caught["base-answers"] < 9), "three rounds see little"


def test_what_could_not_be_measured_is_exit_3(tmp_path: Path) -> None:
    write(tmp_path, DOWN)
    code, _, error = cliffwatch(tmp_path, "probe", "bot")
    assert code == 3
    assert "bot/facts: the subject returned no usable answers: " in error
    assert "(server_error 18). `cliffwatch ask bot PROBE --debug` explains one call" in error
    assert cliffwatch(tmp_path, "ask", "bot", "fact-1")[0] == 3


def test_a_run_that_the_budget_cut_short_does_not_look_fine(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY)
    settings = yaml.safe_load(path.read_text())
    settings["targets"]["bot"]["budget"] = {"requests_per_day": 10}
    path.write_text(yaml.safe_dump(settings))
    code, out, error = cliffwatch(tmp_path, "probe", "bot", "--json")
    (result,) = json.loads(out)
    assert (code, result["run"]["outcome"]) == (3, "partial")
    asked, refused = result["questions"], result["unmeasured"]["budget"]
    assert refused == asked - 10
    counted = f"{refused} of {asked} questions ({refused / asked:.0%}) have no usable answer"
    assert f"bot/facts: the run is largely unmeasured: {counted} (budget {refused}). " in error
    assert "raise `targets.bot.budget`" in error


@pytest.mark.parametrize(
    ("outcome", "unmeasured", "says"),
    [
        ("measured", {}, None),
        ("partial", {"timeout": 4}, None),
        ("partial", {"timeout": 4, "budget": 1}, "5 of 20 questions (25%) have no usable answer (budget 1, timeout 4)"),
        ("unmeasured", {"timeout": 2}, "the subject returned no usable answers"),
    ],
)
def test_more_than_a_fifth_without_an_answer_is_said(
    outcome: str, unmeasured: dict[str, int], says: str | None
) -> None:
    now = utcnow()
    run = Run(1, "bot", "facts", now, "done", RunOutcome(outcome), 1, 1, None, now, 1, "digest", now)
    told = Probed(run, (), True, unmeasured, 20).lost()
    assert told is None if says is None else says in str(told)


def test_a_capture_of_nothing_captures_nothing(tmp_path: Path) -> None:
    write(tmp_path, DOWN)
    code, _, error = cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "1")
    assert code == 3
    assert "nothing was captured" in error
    assert printed(tmp_path, "baseline", "show") == (0, [])


def test_a_capture_begun_by_mistake_can_be_given_up(tmp_path: Path) -> None:
    write(tmp_path, HEALTHY)
    code, out, _ = cliffwatch(tmp_path, "baseline", "capture", "bot", "--days", "6")
    assert (code, "A baseline of 6 days cannot arm pages" in out) == (0, True)
    code, _, error = cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "2")
    assert code == 2
    assert "baseline retire bot --id 1" in error
    assert cliffwatch(tmp_path, "baseline", "retire", "bot", "--id", "1", "--by", "me", "--why", "a slip")[0] == 0
    assert cliffwatch(tmp_path, "baseline", "capture", "bot", "--at-once", "2")[0] == 0


def test_ask_explains_one_exchange(tmp_path: Path) -> None:
    write(tmp_path, HEALTHY)
    code, out, _ = cliffwatch(tmp_path, "ask", "bot", "fact-3")
    assert (code, out.strip()) == (0, "Certainly: fact-fact-3, as in fact 0 to fact 11. Yours, the shop.")
    code, out, _ = cliffwatch(tmp_path, "ask", "bot", "fact-3", "--base", "--debug")
    assert code == 0
    assert all(
        part in out for part in ("request", "response", "parsed as", "check:contains: 0", "no idea about fact-3")
    )
    assert printed(tmp_path, "ask", "bot", "fact-3")[1]["explanation"]["outcome"]["text"].startswith("Certainly")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["probe", "bt"], "Unknown target 'bt'; did you mean 'bot'?"),
        (["probe", "bot", "--suite", "fact"], "did you mean 'facts'?"),
        (["findings", "--signal", "lenght"], "did you mean 'length'?"),
        (["init", "nowhere/cliffwatch.yaml"], "cannot be written"),
        (["findings", "bt"], "did you mean 'bot'?"),
        (["findings", "--recompute", "--signal", "length"], "--recompute cannot be filtered"),
        (["alarms", "bt"], "did you mean 'bot'?"),
        (["alarms", "clear", "bot", "length", "--who", "me", "--why", "x"], "no open alarm of length; open: none"),
        (["alarms", "clear", "bot", "length", "--who", " ", "--why", "x"], "give your name and a reason"),
        (["selftest", "bt"], "did you mean 'bot'?"),
        (["baseline", "show", "bt"], "did you mean 'bot'?"),
        (["ask", "bot", "fact-99"], "did you mean 'fact-9'?"),
        (["baseline", "capture", "bot"], "give either --days N"),
        (
            ["baseline", "approve", "bot", "--by", "me", "--why", "x"],
            "bot: no captured baseline (there are no baselines)",
        ),
        (["check", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["init", "cliffwatch.yaml"], "already exists; nothing was written"),
    ],
)
def test_a_mistake_is_one_message_and_exit_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    write(tmp_path, HEALTHY)
    code, out, error = cliffwatch(tmp_path, *arguments)
    assert (code, out) == (2, "")
    assert says in error
    assert "Traceback" not in error


def test_every_command_has_help_and_init_writes_what_check_reads(tmp_path: Path) -> None:
    code, out, _ = cliffwatch(tmp_path, "init")
    assert code == 0
    code, _, error = cliffwatch(tmp_path, "check")
    assert code == 2
    assert "is not set" in error, "the starter's key is the one thing that is missing"
    for command in (
        "run",
        "probe",
        "ask",
        "baseline",
        "status",
        "findings",
        "alarms",
        "selftest",
        "migrate",
        "schema",
        "demo",
        "lab",
    ):
        assert cliffwatch(tmp_path, command, "--help")[0] == 0
    assert json.loads(cliffwatch(tmp_path, "schema")[1])["title"] == "cliffwatch.yaml"
    assert out.startswith("wrote cliffwatch.yaml")


READERS = (("status",), ("findings",), ("alarms",), ("baseline", "show"), ("calibrate", "bot"), ("report", "--text"))


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_who_only_reads_needs_no_key_and_makes_no_store(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = write(tmp_path, HEALTHY, store=f"sqlite:///{tmp_path}/mistyped/cliffwatch.db")
    settings = yaml.safe_load(path.read_text())
    settings["providers"]["openai"] = {"kind": "openai", "api_key_env": "NEVER_SET_KEY"}
    settings["http"]["actions"] = {"jo": {"token_file": "never_there"}}
    settings["judge"]["provider"] = "openai"
    path.write_text(yaml.safe_dump(settings))
    code, out, error = cliffwatch(tmp_path, *command)
    assert (code, out) == (3, "")
    assert f"cliffwatch.yaml: store {tmp_path}/mistyped/cliffwatch.db: no such file" in error
    assert "the key 'store'" in error
    assert not (tmp_path / "mistyped").exists()
    open_store(f"sqlite:///{tmp_path}/mistyped/cliffwatch.db").close()
    code, out, error = cliffwatch(tmp_path, *command)
    assert "NEVER_SET_KEY" not in error
    assert code == (3 if command[0] == "calibrate" else 0), error


def test_a_key_that_is_not_set_still_stops_who_asks(tmp_path: Path) -> None:
    path = write(tmp_path, HEALTHY)
    settings = yaml.safe_load(path.read_text())
    settings["providers"]["openai"] = {"kind": "openai", "api_key_env": "NEVER_SET_KEY"}
    settings["judge"]["provider"] = "openai"
    path.write_text(yaml.safe_dump(settings))
    for command in (("check",), ("probe", "bot"), ("run",)):
        code, _, error = cliffwatch(tmp_path, *command)
        assert (code, "NEVER_SET_KEY is not set" in error) == (2, True)


def test_who_asks_nobody_needs_no_secret(tmp_path: Path) -> None:
    """An alarm is taken from any shell; a provider's key is for who asks, the mail's password for who sends."""
    path = write(tmp_path, HEALTHY)
    for arguments in (("capture", "bot", "--at-once", "3"), ("approve", "bot", "--by", "sre", "--why", "read them")):
        assert cliffwatch(tmp_path, "baseline", *arguments)[0] == 0
    settings = yaml.safe_load(path.read_text())
    settings["email"] = {
        "to": ["team@example.com"],
        "sender": "cliffwatch@example.com",
        "smtp": {"host": "127.0.0.1", "port": 9, "username": "cliffwatch", "password_env": "NEVER_SET_PASSWORD"},
    }
    settings["http"]["actions"] = {"jo": {"token_env": "NEVER_SET_TOKEN"}}
    path.write_text(yaml.safe_dump(settings))
    assert cliffwatch(tmp_path, "ask", "bot", "fact-1")[::2] == (0, ""), "only the endpoints' keys are needed"
    settings["providers"]["openai"] = {"kind": "openai", "api_key_env": "NEVER_SET_KEY"}
    settings["targets"]["bot"]["base"] = {"provider": "openai", "model": "gpt-4.1-mini"}
    path.write_text(yaml.safe_dump(settings))
    by_kim = ("--by", "kim", "--why", "looking")
    for entry in ("ack", "clear"):
        code, _, error = cliffwatch(tmp_path, "alarms", entry, "bot", "length", *by_kim)
        assert (code, "no open alarm of length" in error, "NEVER_SET" in error) == (2, True, False), error
    assert cliffwatch(tmp_path, "baseline", "retire", "bot", *by_kim)[::2] == (0, "")
    assert "no approved baseline" in cliffwatch(tmp_path, "selftest", "bot")[2]
    for command, missing in (
        (("ask", "bot", "fact-1"), "KEY"),
        (("report", "--send"), "PASSWORD"),
        (("check",), "KEY PASSWORD TOKEN"),
    ):
        code, _, error = cliffwatch(tmp_path, *command)
        assert (code, " ".join(one for one in ("KEY", "PASSWORD", "TOKEN") if f"NEVER_SET_{one}" in error)) == (
            2,
            missing,
        )


def test_a_crash_is_no_drift() -> None:
    """A mistake of ours exits 70 with its traceback: 1 would tell a script of drift."""
    program = "import sys, monitor.cli\nprogram = sys.modules['monitor.cli.main']\n"
    script = f"{program}program.app = lambda: 1 / 0\nprogram.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (70, True)


def fleet(folder: Path, targets: int, *, lost: int) -> None:
    """``targets`` without a baseline; of ``lost`` of them the last run brought nothing usable."""
    path = write(folder, HEALTHY)
    settings = yaml.safe_load(path.read_text())
    bot = settings["targets"].pop("bot")
    settings["targets"] = {f"bot-{number:02}": bot for number in range(targets)}
    path.write_text(yaml.safe_dump(settings))
    store, now = open_store(settings["store"]), utcnow()
    for number in range(lost):
        made = store.ensure_run(f"bot-{number:02}", "facts", now, seed=1, suite_digest="0" * 64, next_at=now)
        run = store.claim(made.id, now, 60)
        assert run is not None
        assert store.finish(run.id, run.fence, RunOutcome.UNMEASURED, (), now)
    store.close()


def test_a_short_command_looks_for_no_garbage(tmp_path: Path) -> None:
    """Neither while it runs nor at its end: through all that it imported and read that takes a sixth of its time."""
    fleet(tmp_path, 1, lost=0)
    script = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 0))\n"
        "sys.argv = ['cliffwatch', 'status']\n"
        "from monitor.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "False True"), done.stderr


def test_of_a_large_fleet_those_that_need_somebody_come_first(tmp_path: Path) -> None:
    fleet(tmp_path, 30, lost=3)
    code, out, _ = cliffwatch(tmp_path, "status")
    assert code == 3
    heads = [line for line in out.splitlines() if line.startswith("bot-")]
    assert [line.split("/")[0] for line in heads[:4]] == ["bot-00", "bot-01", "bot-02", "bot-03"]
    assert len(heads) == 15
    assert "30 suites of targets: 3 unmeasured, 27 unarmed, 0 quiet" in out
    assert "15 more need attention" in out
    _, out, _ = cliffwatch(tmp_path, "status", "--all")
    assert len([line for line in out.splitlines() if line.startswith("bot-")]) == 30
    assert "--all" not in out
    _, found = printed(tmp_path, "status")
    assert (found["total"], found["left_out"], found["unmeasured"]) == (30, 15, True)


def test_status_says_when_no_daemon_seems_to_run(tmp_path: Path) -> None:
    fleet(tmp_path, 1, lost=0)
    assert "no daemon has worked on this store yet" in cliffwatch(tmp_path, "status")[1]
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    store.set_state(HEARTBEAT, (utcnow() - timedelta(hours=2)).isoformat())
    assert "the daemon does not seem to run: its last heartbeat was at 20" in cliffwatch(tmp_path, "status")[1]
    store.set_state(HEARTBEAT, utcnow().isoformat())
    assert "the daemon runs (last heartbeat " in cliffwatch(tmp_path, "status")[1]
    store.set_state(HEARTBEAT, f"{utcnow().isoformat()}{STOPPED}")
    assert "the daemon was stopped at 20" in cliffwatch(tmp_path, "status")[1]
    store.close()


def test_who_serves_something_else_needs_somebody(tmp_path: Path) -> None:
    """What is served is not what is declared, which pages: exit 1, and told in full in 80 columns."""
    fleet(tmp_path, 2, lost=0)
    store, now = open_store(f"sqlite:///{tmp_path}/cliffwatch.db"), utcnow()
    wrong = IdentityCheck(
        "bot-01", Arm.SUBJECT, "root", Match.DIFFERS, "weights of their own", "\x1b[31mthe base's", now, now
    )
    right = IdentityCheck("bot-00", Arm.SUBJECT, "listed", Match.MATCHES, "'tuned' is listed", "it is", now, now)
    store.save_identity_checks([wrong, right])
    store.close()
    code, found = printed(tmp_path, "status")
    assert (code, found["needing"]) == (1, {"unarmed": 1, "identity": 1})
    rows = {row["target"]: row for row in found["watches"]}
    assert [one["check"] for one in rows["bot-01"]["identity"]] == ["root"]
    assert rows["bot-00"]["identity"] == []
    code, out, _ = cliffwatch(tmp_path, "status")
    assert "identity of the subject, root: expected weights of their own; " in " ".join(out.split())
    assert "\x1b" not in out


def test_a_missed_self_test_is_a_reason_to_look_and_no_exit_code(tmp_path: Path) -> None:
    fleet(tmp_path, 3, lost=0)
    for name, caught in (("bot-01", 0), ("bot-02", 10)):
        approve_something(tmp_path, name)
        store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
        tried = {"base-answers": caught, "truncation": 9, "truncation-30": 0, "healthy": 0}
        store.save_self_tests([SelfTest(name, "facts", fault, one, 10, utcnow()) for fault, one in tried.items()])
        store.close()
    code, told = printed(tmp_path, "status")
    assert (code, told["needing"]) == (0, {"unarmed": 1, "self-test missed": 1})
    rows = {row["target"]: row for row in told["watches"]}
    assert {name: [(one["fault"], one["caught"]) for one in row["missed"]] for name, row in rows.items()} == {
        "bot-00": [], "bot-01": [("base-answers", 0)], "bot-02": [],
    }  # fmt: skip
    code, out, _ = cliffwatch(tmp_path, "status")
    said = " ".join(out.split())
    assert (code, said.count("self-test missed")) == (0, 1), "quiet targets stay quiet"
    assert "self-test missed: base-answers (detected in 0 of 10 trials)" in said


def approve_something(folder: Path, target: str) -> None:
    """A baseline of this hour, with one answer; the last run is as fresh."""
    hour, begins = timedelta(hours=1), utcnow() - timedelta(hours=2)
    with reading(folder / "cliffwatch.yaml") as found:
        store, digest = found.store, found.digest(target, "facts")
        number = store.open_baseline(target, "facts", digest, "tuned", "plain", begins, begins + hour).id
        made = store.ensure_run(target, "facts", begins, seed=1, suite_digest=digest, next_at=begins)
        run = store.claim(made.id, begins, 60)
        assert run is not None
        assert store.record([recorded(run, answer(), "fact-0")]) == [True]
        assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), begins)
        store.close_due_baselines(begins + hour)
        store.approve(number, "jo", "as shipped", begins + hour)


def test_colour_is_for_terminals_that_want_it(tmp_path: Path) -> None:
    """A pipe gets none; a terminal does, unless NO_COLOR is set."""
    fleet(tmp_path, 1, lost=0)
    assert "\x1b[" not in cliffwatch(tmp_path, "status")[1]

    def on_a_terminal(**environ: str) -> str:
        leader, follower = pty.openpty()
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        subprocess.run(
            [sys.executable, "-m", "monitor", "status"], cwd=tmp_path, stdout=follower, stderr=follower, timeout=120,
            check=False, env={**kept, "TERM": "xterm-256color", **environ},
        )  # fmt: skip
        os.close(follower)
        shown = os.read(leader, 65_536).decode()
        os.close(leader)
        return shown

    assert "\x1b[" in on_a_terminal()
    plain = on_a_terminal(NO_COLOR="1")
    assert "unarmed" in plain
    assert "\x1b[3" not in plain
