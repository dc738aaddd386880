"""Pushed inputs: their reservoirs, what the store keeps of them, and that it is what a file would have given."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.core import schedule
from monitor.core.records import PushedWindow
from monitor.core.settings import Production, Schedule
from monitor.core.sources import JsonlSource
from monitor.sample import Sampled, pushed, sample_production
from monitor.sample.push_process import MAX_BODY_BYTES, Rules, process, unpacked
from monitor.sample.pushed import BodyError, Inputs, Outcome, Result
from monitor.store import Store, open_store

PLAN = Schedule()
"""Samples on Mondays at 06:00 UTC."""
SLOT = datetime(2026, 11, 30, 6, tzinfo=UTC)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
RULES = Rules("http", {"bot": {"source": {"kind": "http"}, "stratify": None}})


def item(number: int, text: str = "", **more: Any) -> dict[str, Any]:
    content = text or f"Where is parcel {number}?"
    return {"target": "bot", "id": f"id-{number}", "messages": [{"role": "user", "content": content}], **more}


def results(items: list[dict[str, Any]], rules: Rules = RULES) -> list[dict[str, Any]]:
    reply = process(rules, json.dumps(items).encode(), "application/json", "")
    found: list[dict[str, Any]] = json.loads(json.dumps(reply))["results"]
    return found


class Daemon:
    """What the daemon does with pushed inputs, over a real store."""

    def __init__(self, store: Store, sample: int = 20) -> None:
        self.store = store
        self.inputs = Inputs("bot", sample, store.pushed_ids("bot"))

    def push(self, items: list[dict[str, Any]], now: datetime = NOW) -> list[Outcome]:
        def stored(opened: datetime) -> list[PushedWindow]:
            return self.store.pushed_windows("bot", opened, opened + timedelta(microseconds=1))

        return self.inputs.take(results(items), PLAN, now, "app", stored)

    def flush(self) -> int:
        windows, ids = self.inputs.changes()
        self.store.save_pushed(windows, ids)
        self.inputs.stored()
        return sum(len(one.window.inputs) + len(one.dropped) for one in windows)


@pytest.fixture
def store(store_url: str) -> Any:
    opened = open_store(store_url)
    yield opened
    opened.close()


def from_file(folder: Path, items: list[dict[str, Any]], sample: int = 20, **production: Any) -> Sampled:
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in items))
    source = JsonlSource(kind="jsonl", path=str(path), time="time" if "time" in items[0] else None)
    settings = Production(source=source, sample=sample, rubric=None, **production)
    seed = schedule.run_seed("bot", "production", SLOT)
    return sample_production(settings, seed, SLOT - timedelta(days=7), SLOT, SLOT)


def week(count: int) -> list[dict[str, Any]]:
    """A week's requests, some of them the same, in two strata, some that cannot be asked."""
    made = []
    for n in range(count):
        at = SLOT - timedelta(days=7) + timedelta(seconds=n * 7 * 86_400 / count)
        text = f"Mail anna{n}@example.com" if n % 5 == 0 else f"Where is parcel {n % 300}?"
        more = {"tools": [{"type": "function"}]} if n % 50 == 7 else {}
        made.append(item(n, text, stratum="web" if n % 3 else "mail", time=at.isoformat(), **more))
    return made


def test_a_pushed_week_gives_the_sample_of_the_same_requests_in_a_file(store: Store, tmp_path: Path) -> None:
    items = week(1_000)
    daemon = Daemon(store)
    for start in range(0, 1_000, 50):
        if start % 200 == 0:
            daemon = Daemon(store)  # a restart
        daemon.push(items[start : start + 50], datetime.fromisoformat(items[start + 49]["time"]))
        daemon.flush()
    drawn = pushed.draw(20, store.pushed_windows("bot", SLOT - timedelta(days=7), SLOT))
    expected = from_file(tmp_path, items, stratify="stratum")
    assert [one.probe for one in drawn.inputs] == [one.probe for one in expected.inputs]
    assert [(one.stratum, one.count) for one in drawn.inputs] == [(one.stratum, one.count) for one in expected.inputs]
    assert drawn.strata == expected.strata
    for name in ("lines", "read", "unsupported", "duplicates", "not_drawn", "kept"):
        assert getattr(drawn.account, name) == getattr(expected.account, name), name
    assert drawn.account.unsupported == 20
    assert [(one.reason, one.count) for one in drawn.account.reasons] == [("tools_offered", 20)]
    assert not any("@" in message.content for one in drawn.inputs for message in one.probe.messages)


def test_one_day_can_be_drawn_alone(store: Store) -> None:
    daemon = Daemon(store)
    items = week(700)
    for start in range(0, 700, 100):
        daemon.push(items[start : start + 100], datetime.fromisoformat(items[start + 99]["time"]))
        daemon.flush()
    day = SLOT - timedelta(days=5)
    drawn = pushed.draw(20, store.pushed_windows("bot", day, day + timedelta(days=1)))
    assert drawn.account.lines == 100
    assert drawn.account.kept == 20


def test_an_id_counts_once_also_after_a_restart(store: Store) -> None:
    daemon = Daemon(store)
    assert [one.result for one in daemon.push([item(1), item(1), item(2)])] == ["accepted", "duplicate", "accepted"]
    daemon.flush()
    assert [one.result for one in Daemon(store).push([item(2), item(3)])] == ["duplicate", "accepted"]
    assert pushed.draw(20, store.pushed_windows("bot", None, None)).account.lines == 2


def test_the_recent_ids_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "PART", 10)
    monkeypatch.setattr(pushed, "PARTS", 3)
    daemon = Daemon(store)
    for start in range(0, 60, 5):
        daemon.push([item(n) for n in range(start, start + 5)])
        daemon.flush()
    assert [(one.part, len(one.hashes)) for one in store.pushed_ids("bot")] == [(3, 80), (4, 80), (5, 80)]
    assert {one.result for one in daemon.push([item(n) for n in range(40, 60)])} == {"duplicate"}
    assert {one.result for one in daemon.push([item(n) for n in range(30)])} == {"accepted"}


def test_only_what_changed_is_written(store: Store) -> None:
    daemon = Daemon(store)
    daemon.push([item(n) for n in range(100)])
    assert daemon.flush() == 20
    assert daemon.flush() == 0
    kept = store.pushed_windows("bot", None, None)[0].inputs
    daemon.push([item(101, kept[0].messages[0][1])])
    assert daemon.flush() == 1
    again = {one.key: one.count for one in store.pushed_windows("bot", None, None)[0].inputs}
    assert again == {one.key: one.count + (one is kept[0]) for one in kept}


@pytest.mark.parametrize(
    ("at", "result", "reason"),
    [
        (NOW - timedelta(days=2), "accepted", ""),
        (NOW - timedelta(days=4), "left_out", "before"),
        (NOW + timedelta(minutes=30), "accepted", ""),
        (NOW + timedelta(hours=2), "left_out", "future"),
        ("yesterday", "left_out", "no_time"),
        (None, "accepted", ""),
    ],
)
def test_the_time_of_an_input(store: Store, at: Any, result: str, reason: str) -> None:
    given = at.isoformat() if isinstance(at, datetime) else at
    [outcome] = Daemon(store).push([item(1, time=given)])
    assert (outcome.result, outcome.reason) == (result, reason)


def test_a_late_input_counts_in_the_next_period(store: Store) -> None:
    daemon = Daemon(store)
    [outcome] = daemon.push([item(1, time=(SLOT - timedelta(minutes=5)).isoformat())], SLOT + timedelta(minutes=5))
    daemon.flush()
    assert outcome.result == "accepted"
    assert [one.opened for one in store.pushed_windows("bot", None, None)] == [SLOT]


def test_what_is_kept_is_bounded_in_characters(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed, "MOST_CHARS", 50_000)
    daemon = Daemon(store)
    daemon.push([item(n, f"{n} " + "lorem " * 1_000) for n in range(100)])
    daemon.flush()
    [window] = store.pushed_windows("bot", None, None)
    assert sum(len(text) for one in window.inputs for _, text in one.messages) <= 57_000
    assert len(window.inputs) > 4
    assert window.strata == {"(none)": 100}


def test_nothing_of_an_input_that_is_not_kept_is_stored(store: Store, tmp_path: Path) -> None:
    daemon = Daemon(store, sample=3)
    secret = "sk-live-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c"
    daemon.push([item(n, f"Text {n} of anna.smith{n}@example.com, key {secret}") for n in range(50)])
    daemon.push([item(60, "", tools=[{"name": "PRIVATE"}]), item(61, "[REDACTED]")])
    daemon.flush()
    [window] = store.pushed_windows("bot", None, None)
    stored = repr(window) + repr(store.pushed_ids("bot"))
    assert len(window.inputs) == 3
    for part in ("anna.smith", secret, "PRIVATE", "id-1", "[REDACTED]"):
        assert part not in stored


def test_old_windows_are_deleted(store: Store) -> None:
    daemon = Daemon(store)
    daemon.push([item(1)])
    daemon.flush()
    store.forget_pushed(pushed.oldest_kept(PLAN, NOW + timedelta(days=14)))
    assert len(store.pushed_windows("bot", None, None)) == 1
    store.forget_pushed(pushed.oldest_kept(PLAN, NOW + timedelta(days=16)))
    assert store.pushed_windows("bot", None, None) == []


ITEMS: list[tuple[Any, str]] = [
    ("text", "not a JSON object"),
    ({"target": "bot"}, "requires 'id'"),
    ({"target": "bot", "id": ""}, "requires 'id'"),
    ({"target": "bot", "id": True}, "requires 'id'"),
    ({"target": "bot", "id": "x" * 513}, "requires 'id'"),
    ({"id": "a"}, "requires 'target'"),
    ({"target": "other", "id": "a"}, "not configured"),
]


@pytest.mark.parametrize(("given", "problem"), ITEMS)
def test_what_is_no_input_is_named(given: Any, problem: str) -> None:
    reply = process(RULES, json.dumps([given, item(1)]).encode(), "application/json", "")
    assert [one["index"] for one in reply["results"]] == [1]
    assert reply["invalid"][0][0] == 0
    assert problem in reply["invalid"][0][2]


def bomb() -> bytes:
    return gzip.compress(b"[" + b" " * (MAX_BODY_BYTES + 1) + b"]")


BODIES: list[tuple[Callable[[], bytes], str, str, int]] = [
    (lambda: b"{", "application/json", "", 400),
    (lambda: b"[" * 100_000, "application/json", "", 400),
    (lambda: b"{}", "text/csv", "", 415),
    (lambda: b"{}", "application/json", "br", 415),
    (lambda: b"{}", "application/json", "gzip", 400),
    (lambda: gzip.compress(b"{}" * 500)[:20], "application/json", "gzip", 400),
    (bomb, "application/json", "gzip", 413),
    (lambda: b"[" + b"1," * 10_000 + b"1]", "application/json", "", 413),
]


@pytest.mark.parametrize(("body", "content_type", "encoding", "status"), BODIES)
def test_a_body_that_cannot_be_read_is_refused(
    body: Callable[[], bytes], content_type: str, encoding: str, status: int
) -> None:
    assert process(RULES, body(), content_type, encoding)["error"][0] == status


def test_compressed_bodies_are_unpacked() -> None:
    assert unpacked(gzip.compress(b"{}"), "gzip") == b"{}"
    with pytest.raises(BodyError, match="not complete"):
        unpacked(gzip.compress(b"{}" * 9)[:-3], "gzip")


def test_filters_and_left_out_inputs_have_their_result(store: Store) -> None:
    rules = Rules("http", {"bot": {"source": {"kind": "http", "where": {"app": "shop"}}, "stratify": "app"}})
    read = results([item(1, app="shop"), item(2, app="bank"), {"target": "bot", "id": "3", "app": "shop"}], rules)
    assert [one["result"] for one in read] == [Result.ACCEPTED, Result.FILTERED, Result.LEFT_OUT]
    assert read[0]["stratum"] == "shop"
    assert read[2]["reason"] == "no_messages"
