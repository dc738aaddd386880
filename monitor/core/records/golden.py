"""The golden set: inputs with what is expected of the answer, by which a change of a model is judged."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from monitor.core.records.exchange import Check, Message


@dataclass(frozen=True, slots=True)
class GoldenItem:
    """One input with what is expected of its answer."""

    id: str
    messages: tuple[Message, ...]
    expected: str | None = None
    checks: tuple[Check, ...] = ()
    rubric: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools that are offered with the input, each as the provider's API takes it."""
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    owner: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """All items of one file."""

    name: str
    items: tuple[GoldenItem, ...]

    @property
    def digest(self) -> str:
        """sha256 of what an answer or its score depends on. Order, owner and source do not count."""
        items = [asdict(item) for item in sorted(self.items, key=lambda one: one.id)]
        for item in items:
            del item["owner"], item["source"]
            item["tags"] = sorted(item["tags"])
        body = json.dumps(items, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(body.encode()).hexdigest()

    def coverage(self) -> dict[str, int]:
        """Number of items by tag, most first; items without a tag under ``""``."""
        counts = Counter(tag for item in self.items for tag in (item.tags or ("",)))
        return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))

    def ungraded(self) -> tuple[GoldenItem, ...]:
        """Items with nothing to grade an answer by."""
        return tuple(item for item in self.items if not (item.expected or item.checks or item.rubric))
