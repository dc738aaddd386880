"""lm-evaluation-harness: ``samples_*.jsonl`` (``--log_samples``)."""

from collections.abc import Iterator
from typing import Any

from monitor.golden.items import ImportProblem, Notes, Source, item, text


def matches(source: Source) -> bool:
    return bool(source.rows) and {"doc", "arguments"} <= set(source.rows[0][1])


def read(source: Source, notes: Notes) -> Iterator[dict[str, Any]]:
    """The prompts that the harness sent, with the target. Answers and scores of the model are not taken over."""
    task = source.path.stem.removeprefix("samples_").rpartition("_")[0] or source.path.stem
    for line, row in source.rows:
        place = f"line {line}"
        requests = [_request(one) for one in _arguments(row["arguments"])]
        if not requests or not requests[0][0]:
            raise ImportProblem(f"{place}: has no prompt in 'arguments'")
        expected = _expected(row.get("target"), requests, notes, place)
        for key in ("resps", "filtered_resps"):
            if row.get(key):
                notes.add(f"'{key}' (the model's answers) is left out", place)
        origin = f"lm-evaluation-harness {task} doc_hash {row.get('doc_hash', 'unknown')}"
        name = f"{task}-{row.get('doc_id', line)}"
        yield item(name, requests[0][0], expected=expected, tags=[item(task, "x")["id"]], source=origin)


def _arguments(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _request(value: Any) -> tuple[str, str]:
    """Prompt and continuation of one request."""
    parts = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    return (text(parts[0]) if parts else "", parts[1] if len(parts) > 1 and isinstance(parts[1], str) else "")


def _expected(target: Any, requests: list[tuple[str, str]], notes: Notes, place: str) -> str:
    """The right choice of several, or the target."""
    choices = [choice for _, choice in requests]
    if len(choices) < 2 or not all(choices):
        return text(target)
    notes.add("choices that the harness scores by likelihood are asked as free text", place)
    try:
        return choices[int(target)].strip()
    except (TypeError, ValueError, IndexError):
        return text(target)
