"""LangSmith: examples of a dataset export (``inputs``, ``outputs``, ``split``)."""

from collections.abc import Iterator
from typing import Any

from monitor.golden.items import Notes, Source, answer, conversation, identifier, item, unknown_keys

_KNOWN = {"id", "inputs", "outputs", "split", "dataset_id", "created_at", "modified_at", "source_run_id", "name"}


def matches(source: Source) -> bool:
    return bool(source.rows) and "inputs" in source.rows[0][1]


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        unknown_keys(row, _KNOWN, notes, place)
        split = row.get("split")
        tags = [identifier(one) for one in (split if isinstance(split, list) else [split]) if one]
        question = conversation(row["inputs"], notes, place)
        run = row.get("source_run_id")
        origin = f"LangSmith run {run}" if run else f"LangSmith {source.path.name} {place}"
        name = row.get("id") or f"example-{line}"
        yield item(name, question, expected=answer(row.get("outputs")), tags=tags, source=origin)
