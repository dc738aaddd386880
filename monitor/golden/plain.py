"""Plain CSV, JSON and JSON Lines: columns whose names say what they are."""

from collections.abc import Iterator
from typing import Any, Final

from monitor.golden.items import Notes, Source, conversation, identifier, item, text, unknown_keys

_INPUT: Final = ("input", "prompt", "question", "query", "instruction", "messages")
_EXPECTED: Final = (
    "expected",
    "expected_output",
    "output",
    "answer",
    "reference",
    "completion",
    "response",
    "ideal",
    "label",
)


def matches(source: Source) -> bool:
    return bool(source.rows) and _first(source.rows[0][1], _INPUT) is not None


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((key for key in row if key.strip().lower() in names), None)


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    for line, row in source.rows:
        place = f"line {line}"
        asked, expected = _first(row, _INPUT), _first(row, _EXPECTED)
        if asked is None or not row[asked]:
            notes.add("a row without input is left out", place)
            continue
        unknown_keys(row, {asked, expected or asked, "id", "tags", "weight", "owner", "rubric", "system"}, notes, place)
        tags = row.get("tags") or []
        words = tags.replace(",", " ").replace(";", " ").split() if isinstance(tags, str) else tags
        more = {key: row.get(key) for key in ("owner", "rubric", "system")}
        weight = float(row["weight"]) if row.get("weight") else None
        yield item(
            row.get("id") or f"row-{line}",
            conversation(row[asked], notes, place),
            expected=text(row.get(expected)) if expected else None,
            tags=[identifier(one) for one in words],
            weight=weight,
            source=f"{source.path.name} {place}",
            **more,
        )
