"""Production inputs out of Parquet and CSV files: columns, windows, row groups, damage."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import LeftOutReason, UnreadReason
from monitor.core.settings import Production
from monitor.core.sources import CsvSource, JsonlSource, ParquetSource
from monitor.sample import Sampled, csv, parquet, sample_production
from monitor.sample.request_log import Logged, Tally, Window

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
OPEN = Window(None, None)


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def rows(path: Path, window: Window = OPEN, tally: Tally | None = None, **source: Any) -> list[Logged]:
    settings = ParquetSource(kind="parquet", path=str(path), **source)
    return list(parquet.read(settings, None, window, tally or Tally()))


def cells(path: Path, window: Window = OPEN, tally: Tally | None = None, **source: Any) -> list[Logged]:
    return list(csv.read(CsvSource(kind="csv", path=str(path), **source), None, window, tally or Tally()))


def texts(found: Sequence[Logged]) -> list[str]:
    return [one.messages[-1].content for one in found]


def reasons(tally: Tally) -> dict[str, int]:
    return {one.reason.value: one.count for one in tally.account([]).reasons}


def unread(tally: Tally) -> dict[UnreadReason, str]:
    return {one.reason: one.detail for one in tally.account([]).unread}


def written(path: Path, count: int = 100, group: int = 10, **columns: Any) -> Path:
    made = {
        "messages": [chat(f"question {n}") for n in range(count)],
        "at": [NOON + timedelta(minutes=n) for n in range(count)],
        "embedding": [[0.5] * 4] * count,
    }
    pq.write_table(pa.table({**made, **columns}), path, row_group_size=group)
    return path


def test_row_groups_outside_the_window_are_counted_and_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet")
    content = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(0)
    begin = first.dictionary_page_offset or first.data_page_offset
    content[begin : begin + first.total_compressed_size] = b"\xff" * first.total_compressed_size
    path.write_bytes(content)  # what is read of the first group is an error
    tally = Tally()
    window = Window(NOON + timedelta(minutes=25), NOON + timedelta(minutes=35), NOON + timedelta(days=1))
    assert texts(rows(path, window, tally, time="at")) == [f"question {n}" for n in range(25, 35)]
    assert reasons(tally) == {"after": 65, "before": 25}
    (before,) = (one for one in tally.account([]).reasons if one.reason is LeftOutReason.BEFORE)
    assert before.place == f"{path}:1"


def test_a_group_with_a_missing_time_is_read(tmp_path: Path) -> None:
    times = [NOON - timedelta(days=9)] * 4 + [None]
    path = written(tmp_path / "a.parquet", 5, at=pa.array(times, pa.timestamp("ns", "UTC")))
    tally = Tally()
    assert rows(path, Window(NOON, None), tally, time="at") == []
    assert reasons(tally) == {"before": 4, "no_time": 1}


@pytest.mark.parametrize(
    "times",
    [
        pa.array([(NOON + timedelta(minutes=n)).isoformat() for n in range(10)]),
        pa.array([NOON.timestamp() + 60 * n for n in range(10)]),
        pa.array([NOON.replace(tzinfo=None) + timedelta(minutes=n) for n in range(10)], pa.timestamp("ms")),
    ],
)
def test_times_of_any_type(tmp_path: Path, times: Any) -> None:
    path = written(tmp_path / "a.parquet", 10, at=times)
    window = Window(NOON + timedelta(minutes=2), NOON + timedelta(minutes=4))
    assert texts(rows(path, window, time="at")) == ["question 2", "question 3"]


def test_only_the_needed_columns_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", 3, tools=[None, "[]", None])
    source = ParquetSource(kind="parquet", path=str(path), time="at")
    (file,) = [pq.ParquetFile(path)]
    from monitor.sample.columns import needed

    assert needed(file.schema_arrow.names, source, None) == ["messages", "at", "tools"]
    assert needed(
        ["request", "meta.lang", "x"], source.model_copy(update={"messages": "request.messages"}), "meta.lang"
    )
    tally = Tally()
    with pytest.raises(CouldNotMeasure, match=r"no column for `chat` \(found the columns messages, at, embedding"):
        rows(path, OPEN, tally, messages="chat")


def test_messages_as_text_and_in_a_structure(tmp_path: Path) -> None:
    table = {
        "request": [{"messages": chat("nested"), "system": "Be brief."}],
        "text": [json.dumps({"messages": chat("in JSON")})],
        "prompt": ["plain"],
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table), path)
    (found,) = rows(path, messages="request.messages")
    assert [message.content for message in found.messages] == ["Be brief.", "nested"]
    assert texts(rows(path, messages="text")) == ["in JSON"]
    assert texts(rows(path)) == ["plain"]


def test_damage(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(whole.read_bytes()[:-20])
    tally = Tally()
    assert len(rows(tmp_path / "*.parquet", tally=tally)) == 100
    assert unread(tally) == {UnreadReason.UNKNOWN_FORMAT: "no complete Parquet file"}
    with pytest.raises(CouldNotMeasure, match="no complete Parquet file"):
        rows(tmp_path / "b.parquet")


CSV = 'at,messages,lang\n2026-11-30T12:00:00Z,"[\n{""role"": ""user"", ""content"": ""Hi, there""}\n]",de\n'


def test_csv_cells_with_json_and_newlines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(CSV + '2026-11-30T12:00:01Z,"plain\ntext",en\n')
    (tmp_path / "a.csv.1.gz").write_bytes(gzip.compress(("\ufeff" + CSV.replace("Hi", "Ho")).encode()))
    assert sorted(texts(cells(tmp_path / "a.csv"))) == ["Hi, there", "Ho, there", "plain\ntext"]
    assert texts(cells(tmp_path / "a.csv", where={"lang": "en"})) == ["plain\ntext"]
    assert texts(cells(tmp_path / "a.csv", Window(NOON + timedelta(seconds=1), None), time="at")) == ["plain\ntext"]


def test_csv_rows_of_another_length_and_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt;lang\nWhat is 2?;en\ntoo;many;cells\n\nlast;")
    tally = Tally()
    assert texts(cells(path, tally=tally, prompt="prompt")) == ["What is 2?", "last"]
    assert reasons(tally) == {"not_a_row": 1}
    (wrong,) = tally.account([]).reasons
    assert wrong.place == f"{path}:3"


def test_csv_cells_that_are_empty_are_no_conditions(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('prompt,tools\nA?,\nB?,[]\nC?,null\nD?,"[{""name"": ""find""}]"\n')
    tally = Tally()
    assert texts(cells(path, tally=tally)) == ["A?", "B?", "C?"]
    assert reasons(tally) == {"tools_offered": 1}


def test_csv_without_a_column_or_with_a_huge_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CouldNotMeasure, match=r"no column for `messages` \(found the columns a, b\)"):
        cells(path)
    path.write_text('prompt\nA?\n"' + ("x" * 1000 + "\n") * 9000 + '"\nB?\n')
    tally = Tally()
    assert texts(cells(path, tally=tally))[0] == "A?"
    assert reasons(tally)["not_a_row"] >= 1


def sampled(source: Any) -> Sampled:
    return sample_production(Production(source=source, sample=20, rubric=None), 7, NOON, NOON + timedelta(hours=1))


def test_the_same_requests_give_the_same_sample_in_each_kind(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", 200)
    records = [{"messages": chat(f"question {n}"), "at": (NOON + timedelta(minutes=n)).isoformat()} for n in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    quoted = [json.dumps(one["messages"]).replace('"', '""') for one in records]
    lines = (f'{one["at"]},"{cell}"\n' for one, cell in zip(records, quoted, strict=True))
    (tmp_path / "a.csv").write_text("at,messages\n" + "".join(lines))
    found = [
        sampled(JsonlSource(kind="jsonl", path=str(tmp_path / "a.jsonl"), time="at")),
        sampled(CsvSource(kind="csv", path=str(tmp_path / "a.csv"), time="at")),
        sampled(ParquetSource(kind="parquet", path=str(tmp_path / "a.parquet"), time="at")),
    ]
    assert len(found[0].inputs) == 20
    assert found[0].inputs == found[1].inputs == found[2].inputs
