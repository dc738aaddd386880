"""Checks that take too long or too much memory: no score, told everywhere, and nothing else waits for them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from monitor.core.records import Check, Message, Probe
from monitor.judge.bounded import BoundedChecks
from monitor.judge.checks import CHECKS, grade_answer
from monitor.judge.unfinished import CheckUnfinishedError, Unfinished
from monitor.store import open_store
from tests.daemon import write

SLOW = {"items": {"anyOf": [*({"const": f"x{n}"} for n in range(500)), {"type": "string"}]}}
MANY = json.dumps([f"y{n}" for n in range(5000)])
"""2.5 million comparisons with ``SLOW``."""

HUNGRY = "(" * 10 + "." + ")" * 10 + "*"
"""Keeps ten captures for each character."""

OPERATORS = ("and", "or", "not", "any", "all", "none")
FILTER: dict[str, Any] = {
    "$defs": {
        "filter": {
            "oneOf": [
                {"type": "object", "properties": {"equals": {"type": "string"}}, "required": ["equals"]},
                *(
                    {
                        "type": "object",
                        "properties": {name: {"type": "array", "items": {"$ref": "#/$defs/filter"}}},
                        "required": [name],
                    }
                    for name in OPERATORS
                ),
            ]
        }
    },
    "$ref": "#/$defs/filter",
}
"""A search filter: each operator holds filters."""


def nested(depth: int, last: Any = "blue") -> dict[str, Any]:
    value: dict[str, Any] = {"equals": last}
    for level in range(depth):
        value = {OPERATORS[level % len(OPERATORS)]: [value, {"equals": "red"}]}
    return value


@pytest.fixture
def bounded() -> Iterator[BoundedChecks]:
    pool = BoundedChecks()
    yield pool
    pool.stop()


@pytest.mark.parametrize("depth", [2, 6, 12, 25])
def test_recursive_alternatives_cost_no_exponential_of_their_depth(depth: int) -> None:
    options = {"schema": FILTER}
    started = time.perf_counter()
    assert CHECKS["json_schema"](json.dumps(nested(depth)), options) == (1.0, "fits the schema")
    value, detail = CHECKS["json_schema"](json.dumps(nested(depth, 7)), options)
    assert value == 0
    assert "alternatives" in detail
    both = {"and": [{"equals": "red"}], "or": [{"equals": "red"}]}
    assert CHECKS["json_schema"](json.dumps(both), options)[0] == 0
    assert time.perf_counter() - started < 2


def test_remembered_parts_give_the_same_results() -> None:
    """Against the library's own validator, on values that it can do."""
    from jsonschema import Draft202012Validator

    schemas = [
        FILTER,
        {"not": FILTER["$defs"]["filter"]["oneOf"][0]},
        {"if": {"required": ["and"]}, "then": {"minProperties": 2}, "else": {"maxProperties": 1}},
        {"anyOf": [{"type": "array", "contains": {"const": 1}}, {"type": "object", "minProperties": 2}, False]},
        {"$defs": {"n": {"anyOf": [{"type": "number"}, {"items": {"$ref": "#/$defs/n"}, "type": "array"}]}},
         "allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]},
    ]  # fmt: skip
    values = [nested(2), nested(3, 5), {}, [], [1, [2, [3]]], [1, ["x"]], {"and": 1, "or": 2}, 5, "x", None, [[[[]]]]]
    for schema in schemas:
        for value in values:
            found = CHECKS["json_schema"](json.dumps(value), {"schema": schema})[0]
            assert found == float(Draft202012Validator(schema).is_valid(value)), (schema, value)


def test_a_check_past_its_time_is_ended_and_the_next_one_works(bounded: BoundedChecks) -> None:
    started = time.perf_counter()
    with pytest.raises(CheckUnfinishedError, match="more than 2 s of CPU time") as error:
        bounded.check("json_schema", MANY, {"schema": SLOW})
    assert error.value.reason is Unfinished.TIME
    assert time.perf_counter() - started < 30
    assert bounded.check("json_schema", "[1]", {"schema": {"type": "array"}}) == (1.0, "fits the schema")
    assert bounded.check("regex", "abc", {"pattern": "b"}) == (1.0, "matches: 'b'")


def test_a_check_past_its_memory_is_ended() -> None:
    bounded = BoundedChecks(memory_bytes=48 * 2**20)
    with pytest.raises(CheckUnfinishedError) as error:
        bounded.check("regex", "a" * 2_000_000, {"pattern": HUNGRY})
    assert error.value.reason is Unfinished.MEMORY
    assert bounded.check("regex", "abc", {"pattern": "b"})[0] == 1
    bounded.stop()


def test_stopping_ends_a_check_at_once(bounded: BoundedChecks) -> None:
    import threading

    assert bounded.check("regex", "abc", {"pattern": "b"})[0] == 1  # a process is there
    timer = threading.Timer(0.3, bounded.stop)
    timer.start()
    started = time.perf_counter()
    with pytest.raises(CheckUnfinishedError):
        bounded.check("json_schema", MANY, {"schema": SLOW})
    assert time.perf_counter() - started < 1.5
    timer.join()


def test_the_process_has_no_key_and_no_heavy_import(bounded: BoundedChecks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "planted-8c1f")
    bounded.check("regex", "abc", {"pattern": "b"})
    (process,) = bounded._idle
    assert b"planted-8c1f" not in Path(f"/proc/{process.pid}/environ").read_bytes()
    assert "torch" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_an_unfinished_check_is_part_of_the_result() -> None:
    slow, fine = Check("json_schema", {"schema": SLOW}), Check("contains", {"text": "y1"})
    grades, missing = grade_answer(Probe("p", (Message("user", "u"),), checks=(slow, fine)), MANY)
    assert [one.grader for one in grades] == ["check:contains"]
    assert [(one.grader, one.reason) for one in missing] == [("check:json_schema", Unfinished.TIME)]


# --- a daemon


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with config.with_name("daemon.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run", "--config", str(config)], stdout=log, stderr=log, env=environment
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def until(what: str, config: Path, condition: Any, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s\n{config.with_name('daemon.log').read_text()[-3000:]}")


def test_a_daemon_with_exploding_answers(tmp_path: Path) -> None:
    """It obeys SIGTERM, finishes the run after a restart, asks the neighbour, and tells what is missing."""
    rules = [{"model": "tuned", "answers": [MANY]}, {"model": "plain", "answers": ["fine"]}]
    targets = {
        "slow": {"subject": {"provider": "script", "model": "tuned"}, "suites": ["heavy"]},
        "bot": {"subject": {"provider": "script", "model": "plain"}, "suites": ["facts"]},
    }
    config = write(tmp_path, rules, targets=targets, judge=None, schedule={"batches": 1}, http={"port": 0})
    probes = [
        {"id": f"p{n}", "prompt": "?", "checks": [{"kind": "json_schema", "schema": SLOW}]} for n in range(4)
    ]  # fmt: skip
    (tmp_path / "probes" / "heavy.yaml").write_text(yaml.safe_dump({"name": "heavy", "probes": probes}))
    log = tmp_path / "daemon.log"

    def told() -> bool:
        return log.exists() and "check_unfinished" in log.read_text()

    with daemon(config) as process:
        until("a check that took too long", config, told)
        time.sleep(0.5)  # the next one is under way
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - started < 5

    def done(target: str) -> bool:
        store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
        try:
            return any(run.status == "done" for run in store.runs(target))
        finally:
            store.close()

    with daemon(config) as process:
        until("both runs", config, lambda: done("slow") and done("bot"))
        url = until("the address", config, lambda: [part for part in log.read_text().split('"') if "http://" in part])
        with urlopen(f"{url[-1]}/metrics", timeout=30) as reply:
            metrics = reply.read().decode()
        assert 'cliffwatch_run_checks_unfinished{target="slow",suite="heavy",reason="time"} 4.0' in metrics
        store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
        (run,) = store.runs("slow")
        store.close()
        with urlopen(f"{url[-1]}/runs/{run.id}", timeout=30) as reply:
            page = reply.read().decode()
        assert page.count("check:json_schema: no score (time)") == 4
        assert "Checks without a score" in page
        with urlopen(f"{url[-1]}/api/v1/runs/{run.id}", timeout=30) as reply:
            question = json.loads(reply.read())["questions"][0]
        assert question["unscored"][0]["reason"] == "time"
