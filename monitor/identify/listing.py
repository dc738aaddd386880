"""Reads a server's list of models, in every form that servers and gateways send it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Final

from monitor.identify.checks import UnreadableError, quoted
from monitor.identify.names import Index, fits, names_of

MOST_ENTRIES: Final = 20_000
HIDDEN: Final = frozenset((401, 403, 404, 405, 501))
"""Statuses of servers that do not show their list. They can serve models all the same."""

CONTAINERS: Final = (
    "data", "models", "result", "results", "items", "model_list", "available_models", "modelSummaries",
    "publisherModels", "deployments", "value", "list", "body", "response",
)  # fmt: skip
MORE: Final = ("has_more", "hasMore", "next", "next_page", "nextPage", "next_page_token", "nextPageToken",
               "next_cursor", "nextCursor", "next_url", "nextLink", "nextToken", "@nextLink")  # fmt: skip
"""Keys of a list that has further pages."""
TOTALS: Final = ("total", "total_count", "totalCount", "count")
ANY_NAME: Final = frozenset(("sglang", "llamacpp", "llama.cpp", "koboldcpp"))
"""``owned_by`` of servers that answer requests for any name."""

Entry = Mapping[str, Any]


class HiddenError(UnreadableError):
    """The server does not show its list. It can serve models all the same."""


@dataclass(frozen=True)
class Listing:
    """The models that a server lists."""

    entries: Mapping[str, Entry]
    """Name -> its entry. An entry with several names is there under each of them."""
    complete: bool = True
    """Whether the list has no further page."""
    ids: tuple[str, ...] = field(default=())
    """The id of each entry, in the list's order."""

    @property
    def sure(self) -> bool:
        """Whether a model that is not listed is not served: vLLM lists exactly what it serves.

        Gateways and hosted APIs serve aliases, deployments and variants that they do not list.
        """
        own = (entry for entry in self.entries.values() if _has_source(entry))
        any_name = any(entry.get("owned_by") in ANY_NAME for entry in self.entries.values())
        return self.complete and not any_name and next(own, None) is not None

    @cached_property
    def _index(self) -> Index:
        return Index(name for name in self.entries if "*" not in name)

    def find(self, model: str) -> tuple[str, Entry] | None:
        """The listed name of ``model`` and its entry; ``None`` if the list leaves it out."""
        if model in self.entries:
            return model, self.entries[model]
        if (name := self._index.find(model)) is not None:
            return name, self.entries[name]
        pattern = next((name for name in self.entries if "*" in name and fits(name, model)), None)
        return None if pattern is None else (pattern, {"id": model})


def _has_source(entry: Entry) -> bool:
    """Whether a server says from where it loads the model, as vLLM does. Gateways repeat the id as root."""
    parent, root = entry.get("parent"), entry.get("root")
    return bool(isinstance(parent, str) and parent) or (isinstance(root, str) and bool(root) and root != entry["id"])


def parse(status: int, body: Any) -> Listing:
    """The list in a reply to GET /models. Raises HiddenError, and UnreadableError if it holds no list."""
    if status in HIDDEN:
        raise HiddenError(f"GET /models: HTTP {status}")
    if status != 200:
        raise UnreadableError(f"GET /models: HTTP {status}")
    entries: dict[str, Entry] = {}
    ids: dict[str, None] = {}
    read = 0
    for entry in islice(_entries(body), MOST_ENTRIES):
        read += 1
        ids.setdefault(entry["id"])
        for name in names_of(entry):
            entries.setdefault(name, entry)
    if not entries:
        raise UnreadableError(f"GET /models: {_without(body)}")
    return Listing(entries, read < MOST_ENTRIES and _ends(body, read), tuple(ids))


def _entries(body: Any, depth: int = 0) -> Iterator[Entry]:
    """Every entry with a name, each with its first name as ``id``."""
    if isinstance(body, list):
        for one in body:
            if entry := _entry(one):
                yield entry
    elif isinstance(body, dict) and depth < 3:
        held = [key for key in CONTAINERS if isinstance(body.get(key), list | dict)]
        for key in held:
            yield from _entries(body[key], depth + 1)
        if not held:
            yield from _keyed(body, depth)


def _keyed(body: Mapping[str, Any], depth: int) -> Iterator[Entry]:
    """The entries of a dictionary that is keyed by id, or whose list has a name that nobody knows."""
    if "error" in body or "errors" in body or "detail" in body:
        return
    lists = [value for value in body.values() if isinstance(value, list) and any(map(_entry, value))]
    if lists:
        for value in lists:
            yield from _entries(value, depth + 1)
    elif body and all(isinstance(value, dict) for value in body.values()):
        yield from ({**value, "id": key} for key, value in body.items() if key)


def _entry(one: Any) -> Entry | None:
    if isinstance(one, str):
        return {"id": one} if one else None
    if not isinstance(one, dict):
        return None
    name = next(names_of(one), None)
    return None if name is None else {**one, "id": name}


def _ends(body: Any, read: int) -> bool:
    """Whether the list has no further page, as far as it says."""
    if not isinstance(body, dict):
        return True
    said = [body, *(value for value in body.values() if isinstance(value, dict))]
    if any(one.get(key) for one in said for key in MORE):
        return False
    totals = (one.get(key) for one in said for key in TOTALS)
    return not any(isinstance(total, int) and not isinstance(total, bool) and total > read for total in totals)


def _without(body: Any) -> str:
    """Why a reply holds no model."""
    if isinstance(body, list) or (isinstance(body, dict) and any(key in body for key in CONTAINERS[:4])):
        held = body if isinstance(body, list) else next(body[key] for key in CONTAINERS[:4] if key in body)
        if held is None or held in ([], {}):
            return "the server lists no model"
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return f"the reply is an error: {quoted(error)}" if isinstance(error, str) else "the reply holds no list of models"
