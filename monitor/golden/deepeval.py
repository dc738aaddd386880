"""DeepEval: goldens as JSON, JSON Lines or CSV."""

from collections.abc import Iterator
from typing import Any

from monitor.golden.items import Notes, Source, conversation, item, unknown_keys

_KNOWN = {"input", "expected_output", "expectedOutput", "name", "source_file", "sourceFile", "comments", "id"}


def matches(source: Source) -> bool:
    keys = set(source.rows[0][1]) if source.rows else set()
    return bool(keys & {"expected_output", "retrieval_context", "additional_metadata", "source_file", "expected_tools"})


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        if "input" not in row:
            notes.add("a conversational golden has no input and is left out", place)
            continue
        unknown_keys(row, _KNOWN, notes, place)
        expected = row.get("expected_output") or row.get("expectedOutput")
        origin = row.get("source_file") or row.get("sourceFile") or f"DeepEval {source.path.name} {place}"
        name = row.get("name") or row.get("id") or f"golden-{line}"
        yield item(name, conversation(row["input"], notes, place), expected=expected, source=origin)
