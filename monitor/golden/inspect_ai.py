"""Inspect: samples as JSON, JSON Lines or CSV (``input``, ``target``, ``choices``, ``id``, ``metadata``)."""

from collections.abc import Iterator
from string import ascii_uppercase
from typing import Any

from monitor.golden.items import Notes, Source, conversation, item, text, unknown_keys

_KNOWN = {"input", "target", "choices", "id"}


def matches(source: Source) -> bool:
    keys = set(source.rows[0][1]) if source.rows else set()
    return {"input", "target"} <= keys and "doc" not in keys


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        unknown_keys(row, _KNOWN, notes, place)
        question = conversation(row["input"], notes, place)
        choices = row.get("choices")
        if isinstance(choices, list) and isinstance(question, str):
            listed = (f"{letter}) {text(one)}" for letter, one in zip(ascii_uppercase, choices, strict=False))
            question = "\n".join((question, "", *listed))
            notes.add("choices are asked as a list with letters", place)
        elif choices:
            notes.add("choices of a conversation are left out", place)
        target = row["target"]
        if isinstance(target, list):
            if len(target) > 1:
                notes.add("of several targets, the first is the expected answer", place)
            target = target[0] if target else None
        name = row.get("id") or f"sample-{line}"
        yield item(name, question, expected=text(target), source=f"Inspect {source.path.name} {place}")
