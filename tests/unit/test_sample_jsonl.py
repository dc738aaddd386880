"""Production inputs out of real files: plain, rotated, gzipped, damaged, growing, moving."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.core import sampling
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOut
from monitor.core.settings import Production
from monitor.core.sources import JsonlSource
from monitor.sample import Sampled, jsonl, sample_production
from monitor.sample.request_log import Logged, Tally, Window, dig, instant

OPEN = Window(None, None)


def line(text: str, **more: Any) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}], **more}) + "\n"


def read(path: object, tally: Tally | None = None, **source: Any) -> list[Logged]:
    settings = JsonlSource(kind="jsonl", path=str(path), **source)
    return list(jsonl.read(settings, None, OPEN, tally or Tally()))


def prompts(path: object, tally: Tally | None = None, **source: Any) -> list[str]:
    return [request.messages[-1].content for request in read(path, tally, **source)]


def sample(path: object, count: int = 100, seed: int = 1, **production: Any) -> Sampled:
    source = JsonlSource(kind="jsonl", path=str(path), **production.pop("source", {}))
    window = production.pop("since", None), production.pop("until", None)
    return sample_production(Production(source=source, sample=count, rubric=None, **production), seed, *window)


def test_rotated_and_gzipped_files_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("now"))
    (tmp_path / "a.jsonl.1").write_text(line("yesterday"))
    (tmp_path / "a.jsonl.2.gz").write_bytes(gzip.compress(line("before").encode()))
    (tmp_path / "a.jsonl-20261120.gz").write_bytes(gzip.compress(line("long ago").encode()))
    (tmp_path / "a.jsonl.bak").write_text(line("no rotation"))
    (tmp_path / "ab.jsonl").write_text(line("another"))
    assert sorted(prompts(tmp_path / "a.jsonl")) == ["before", "long ago", "now", "yesterday"]
    assert sorted(prompts(tmp_path / "*.jsonl")) == ["another", "before", "long ago", "now", "yesterday"]
    assert sorted(prompts(f"{tmp_path.parent}/**/ab.jsonl")) == ["another"]


def test_brackets_in_a_plain_path_are_no_glob(tmp_path: Path) -> None:
    folder = tmp_path / "a.b"
    folder.mkdir()
    (folder / "x.jsonl").write_text(line("here"))
    assert prompts(folder / "x.jsonl") == ["here"]


def test_two_names_of_one_file_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("one"))
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    os.link(tmp_path / "a.jsonl", tmp_path / "c.jsonl")
    assert prompts(tmp_path / "*.jsonl") == ["one"]


def test_a_file_that_is_rotated_while_it_is_read_is_read_whole_and_once(tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text("".join(line(f"old {n}") for n in range(5000)))
    stream = jsonl.read(JsonlSource(kind="jsonl", path=str(log)), None, OPEN, Tally())
    texts = [next(stream).messages[-1].content]
    log.rename(tmp_path / "a.jsonl.1")
    log.write_text(line("new"))
    texts += [request.messages[-1].content for request in stream]
    assert sorted(texts) == sorted(["new", *(f"old {n}" for n in range(5000))])


def test_files_that_move_between_listing_and_opening(tmp_path: Path) -> None:
    """While the first file is read, every later one is renamed or removed."""
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(line(name))
    stream: Iterator[Logged] = jsonl.read(JsonlSource(kind="jsonl", path=f"{tmp_path}/*.jsonl"), None, OPEN, Tally())
    first = next(stream).messages[-1].content
    (tmp_path / "b.jsonl").rename(tmp_path / "b.jsonl.1")
    (tmp_path / "c.jsonl").unlink()
    assert [first, *(request.messages[-1].content for request in stream)] == ["a", "b"]


def test_malformed_lines_are_counted_and_passed_over(tmp_path: Path) -> None:
    bad = ["{", "[1]", "null", '"text"', "{}", '{"messages": 3}', '{"messages": [{"role": "user", "content": 5}]}']
    bad += ['{"messages": [{"role": "user", "content": "  "}]}', '{"messages": [{"role": "alien", "content": "x"}]}']
    bad += ["[" * 100_000, '{"messages": ' + "[" * 100_000, "\udcff", '{"a": ' + "9" * 5000 + "}"]
    path = tmp_path / "a.jsonl"
    path.write_bytes("\n".join([*bad, "", line("good"), ""]).encode("utf-8", "surrogateescape"))
    tally = Tally()
    assert prompts(path, tally) == ["good"]
    assert (tally.read, tally.malformed) == (1, len(bad))
    assert tally.first_malformed == f"{path}:1"


def test_the_first_malformed_line_is_named_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line("good") + "\n" + line("x" * 900) + "{my secret\n" + line("good"))
    result = sample(path)
    assert (result.account.malformed, result.account.reasons[0].place) == (1, f"{path}:4")
    tally = Tally()
    list(jsonl.read(JsonlSource(kind="jsonl", path=str(path)), None, OPEN, tally, max_line_bytes=500))
    assert (tally.malformed, tally.first_malformed) == (2, f"{path}:3")
    path.write_text(line("good"))
    assert sample(path).account.reasons == ()


def test_a_reason_names_up_to_three_places(tmp_path: Path) -> None:
    path, old = tmp_path / "a.jsonl", tmp_path / "a.jsonl.1"
    path.write_text("{x\n" + line("good") + '{"messages": []}\n' + "{x\n" * 5)
    old.write_text("{x\n")
    account = sample(path).account
    told = {one.reason.value: (one.count, one.place, one.also) for one in account.reasons}
    assert told == {
        "not_json": (7, f"{path}:1", (f"{path}:4", f"{path}:5")),
        "no_messages": (1, f"{path}:3", ()),
    }
    (line_of_json,) = [note for note in sampling.notes(account) if "JSON" in note]
    assert f", first {path}:1, then {path}:4, {path}:5. " in line_of_json


def test_an_empty_sample_says_that_the_requests_lie_outside_the_window(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(line("old", at="2026-01-01T00:00:00Z", bot=bot) for bot in "xxxy"))
    since, until = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    result = sample(path, since=since, until=until, source={"time": "at", "where": {"bot": "x"}})
    assert (result.inputs, result.account.read, result.account.outside, result.account.malformed) == ((), 0, 3, 0)


def test_a_line_too_long_costs_no_memory_and_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line("x" * 5000) + line("good") + line("y" * 5000).rstrip())
    tally = Tally()
    source = JsonlSource(kind="jsonl", path=str(path))
    found = list(jsonl.read(source, None, OPEN, tally, max_line_bytes=1000))
    assert [request.messages[-1].content for request in found] == ["good"]
    assert tally.malformed == 2


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\ufeff" + line("whole") + line("half")[:20])
    tally = Tally()
    assert prompts(path, tally) == ["whole"]
    assert tally.malformed == 0
    path.write_text(line("whole") + line("last").rstrip())
    assert prompts(path) == ["whole", "last"]


def test_a_damaged_gzip_file_gives_what_it_still_holds(tmp_path: Path) -> None:
    packed = gzip.compress("".join(line(f"{n} {os.urandom(40).hex()}") for n in range(3000)).encode())
    (tmp_path / "a.jsonl.1.gz").write_bytes(packed[: len(packed) // 2])
    broken = bytearray(packed)
    broken[len(packed) // 2 : len(packed) // 2 + 400] = bytes(400)
    (tmp_path / "a.jsonl.2.gz").write_bytes(broken)
    (tmp_path / "a.jsonl").write_text(line("fine"))
    tally = Tally()
    found = prompts(tmp_path / "a.jsonl", tally)
    assert "fine" in found
    assert len(found) > 1000
    assert tally.malformed >= 2
    assert str(tally.first_malformed).startswith(f"{tmp_path}/a.jsonl.1.gz: damaged after line ")


def test_no_file_and_no_right_to_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(CouldNotMeasure, match=r"no file matches .*nothing\.jsonl"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(CouldNotMeasure, match=r"cannot read /proc/self/mem \(production source\): "):
        read("/proc/self/mem")


SU = [("system", "s"), ("user", "u")]
FORMS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"messages": [{"role": "developer", "content": "s"}, {"role": "user", "content": "u"}]}, SU),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        [("user", "a\nb")],
    ),
    ({"system": "s", "messages": [{"role": "user", "content": "u"}]}, SU),
    ({"system": [{"type": "text", "text": "s"}], "messages": [{"role": "user", "content": "u"}]}, SU),
    ({"messages": json.dumps([{"role": "user", "content": "packed"}])}, [("user", "packed")]),
    ({"messages": "just a text"}, [("user", "just a text")]),
    (
        {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "the logged answer"}]},
        [("user", "u")],
    ),
    (
        {"messages": [
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "2"}]},
            {"role": "user", "content": "3"},
        ]},
        [("user", "1"), ("assistant", "2"), ("user", "3")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), FORMS)
def test_forms_of_messages(tmp_path: Path, record: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    (request,) = read(tmp_path / "a.jsonl")
    assert [(message.role, message.content) for message in request.messages] == expected


UNSUPPORTED: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    [{"role": "user", "content": "u"}, {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}],
    [{"role": "user", "content": "u"}, {"role": "tool", "content": "42"}],
    [{"role": "user", "content": [{"type": "tool_result", "content": "42"}]}],
]


@pytest.mark.parametrize("messages", UNSUPPORTED)
def test_what_text_cannot_repeat_is_counted_apart(tmp_path: Path, messages: list[dict[str, Any]]) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}) + "\n")
    result = sample(tmp_path / "a.jsonl")
    assert (result.inputs, result.account.read, result.account.malformed, result.account.unsupported) == ((), 1, 0, 1)


def test_dotted_paths(tmp_path: Path) -> None:
    record = {
        "request": {"body": [{"messages": [{"role": "user", "content": "deep"}], "system": "s"}]},
        "a.b": {"c.d": 7},
    }
    assert dig(record, "request.body.0.system") == "s"
    assert dig(record, "a.b.c.d") == 7
    assert dig(record, "request.body.1.system") is None
    assert dig(record, "request.body.x") is None
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({"text": "plain"}) + "\n")
    assert [len(r.messages) for r in read(tmp_path / "a.jsonl", messages="request.body.0.messages", prompt="text")] == [
        2,
        1,
    ]


def test_where_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        line("iso", at="2026-11-20T10:00:00Z", meta={"bot": "x", "live": True}),
        line("offset", at="2026-11-20T23:30:00-02:00", meta={"bot": "x", "live": True}),
        line("naive", at="2026-11-20T10:00:00", meta={"bot": "x", "live": True}),
        line("seconds", at=1_763_632_800 + 365 * 86_400, meta={"bot": "x", "live": True}),
        line("milliseconds", at=str((1_763_632_800 + 365 * 86_400) * 1000), meta={"bot": "x", "live": True}),
        line("early", at="2026-11-19T23:59:59.999Z", meta={"bot": "x", "live": True}),
        line("late", at="2026-11-21T00:00:00Z", meta={"bot": "x", "live": True}),
        line("other bot", at="2026-11-20T10:00:00Z", meta={"bot": "y", "live": True}),
        line("test traffic", at="2026-11-20T10:00:00Z", meta={"bot": "x", "live": False}),
        line("no time", meta={"bot": "x", "live": True}),
        line("nonsense", at="0001-01-01T00:00:00+10:00", meta={"bot": "x", "live": True}),
        line("nan", at="nan", meta={"bot": "x", "live": True}),
    ]
    path.write_text("".join(rows))
    settings = JsonlSource(kind="jsonl", path=str(path), time="at", where={"meta.bot": "x", "meta.live": "true"})
    tally = Tally()
    window = Window(datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
    found = [request.messages[0].content for request in jsonl.read(settings, None, window, tally)]
    assert found == ["iso", "naive", "seconds", "milliseconds"]
    assert (tally.read, tally.malformed, tally.left(LeftOut.OUTSIDE)) == (4, 3, 3)
    assert tally.filtered == 2
    assert tally.first_malformed == f"{path}:10"


@pytest.mark.parametrize("value", [None, True, [], "soon", 1e300, float("inf"), 10**400, ""])
def test_no_time(value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        instant(value)


def test_the_sample_is_redacted_folded_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        line("Write to a@x.com  please", user="eve@x.com")
        + line("Write to b@y.org please\n", user="eve@x.com")
        + line("Hello \ud800 \x00", user="eve@x.com")
        + line("Hello again", user=None)
    )
    result = sample(tmp_path / "a.jsonl", stratify="user")
    by_text = {one.probe.prompt: one for one in result.inputs}
    # of the two that are one but for blanks, the smaller stands for both, whichever came first
    assert sorted(by_text) == ["Hello ? \ufffd", "Hello again", "Write to ‹email›  please"]
    folded = next(one for text, one in by_text.items() if "email" in text)
    assert (folded.count, folded.stratum) == (2, "‹email›")
    assert result.strata == {"(none)": 1, "‹email›": 3}
    assert (result.account.read, result.account.duplicates, result.account.malformed) == (4, 1, 0)
    assert len({one.probe.id for one in result.inputs}) == 3


def test_names_and_order_of_files_do_not_change_the_sample(tmp_path: Path) -> None:
    rows = [line(f"question  {n % 700}" if n % 2 else f"question {n % 700}", kind=n % 3) for n in range(2000)]
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir()
    many.mkdir()
    (one / "a.jsonl").write_text("".join(rows))
    (many / "b.jsonl").write_text("".join(rows[1500:]))
    (many / "a.jsonl.1.gz").write_bytes(gzip.compress("".join(reversed(rows[:1500])).encode()))
    (many / "a.jsonl").write_text("")
    draw: Callable[[Path, int], Sampled] = lambda folder, seed: sample(  # noqa: E731
        folder / "*.jsonl", 60, seed, stratify="kind"
    )
    assert replace(draw(one, 4).account, files=0) == replace(draw(many, 4).account, files=0)
    assert (draw(one, 4).inputs, draw(one, 4).strata) == (draw(many, 4).inputs, draw(many, 4).strata)
    assert draw(one, 4).inputs != draw(one, 5).inputs
    assert len(draw(one, 4).inputs) == 60
    assert draw(one, 4).strata == {"0": 667, "1": 667, "2": 666}


def test_an_input_keeps_its_id_from_week_to_week(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line("the same") + line("x"))
    (tmp_path / "b.jsonl").write_text(line("the  same ") + line("y"))
    first, second = (
        {one.probe.id for one in sample(tmp_path / name, seed=n).inputs}
        for n, name in enumerate(["a.jsonl", "b.jsonl"])
    )
    assert len(first & second) == 1
    assert all(len(probe) == 16 for probe in first | second)
