"""OpenAI evals: JSON Lines with ``input`` (messages) and ``ideal``."""

from collections.abc import Iterator
from typing import Any

from monitor.golden.items import Notes, Source, conversation, item, text, unknown_keys


def matches(source: Source) -> bool:
    return bool(source.rows) and {"input", "ideal"} <= set(source.rows[0][1])


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        unknown_keys(row, {"input", "ideal", "id"}, notes, place)
        ideal = row.get("ideal")
        if isinstance(ideal, list):
            if len(ideal) > 1:
                notes.add("of several ideal answers, the first is the expected answer", place)
            ideal = ideal[0] if ideal else None
        question = conversation(row["input"], notes, place)
        name = row.get("id") or f"sample-{line}"
        yield item(name, question, expected=text(ideal), source=f"OpenAI evals {source.path.name} {place}")
