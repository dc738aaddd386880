"""Langfuse: items of a dataset export (``input``, ``expectedOutput``, ``status``)."""

from collections.abc import Iterator
from typing import Any

from monitor.golden.items import Notes, Source, answer, conversation, item, unknown_keys

_KNOWN = {
    "id",
    "input",
    "expectedOutput",
    "status",
    "sourceTraceId",
    "datasetName",
    "datasetId",
    "createdAt",
    "updatedAt",
}
_KNOWN |= {"sourceObservationId", "projectId"}


def matches(source: Source) -> bool:
    keys = set(source.rows[0][1]) if source.rows else set()
    return "expectedOutput" in keys and bool(keys & {"datasetName", "datasetId", "sourceTraceId", "status"})


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        if row.get("status") == "ARCHIVED":
            notes.add("an archived item is left out", place)
            continue
        unknown_keys(row, _KNOWN, notes, place)
        trace = row.get("sourceTraceId")
        origin = f"Langfuse trace {trace}" if trace else f"Langfuse {source.path.name} {place}"
        question = conversation(row.get("input"), notes, place)
        yield item(row.get("id") or f"item-{line}", question, expected=answer(row.get("expectedOutput")), source=origin)
