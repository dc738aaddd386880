"""Reads the model list of a server with OpenAI's API: GET /models, once for all the arms at it.

vLLM and NIM list the base onto which an adapter is loaded (``parent``) and the source of weights (``root``). Both
repeat the operator's settings: a server may list an adapter and answer without it. They detect a wrong deployment;
answers detect a lost adapter.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from monitor.identify.checks import Checked, Declared, Get, Key, Reading, UnreadableError, moment, quoted

MOST_ENTRIES: Final = 20_000
SHOWN: Final = 5
"""Names of a list that a message repeats."""

Entry = Mapping[str, Any]
Entries = Mapping[str, Entry]


async def read(declared: Sequence[Declared], get: Get) -> dict[Key, Reading]:
    """The server's metadata of every arm at it. Raises UnreadableError, and CouldNotMeasure without a reply."""
    entries = _entries(*await get("/models"))
    looked: dict[str, Entry | str | None] = {}
    readings: dict[Key, Reading] = {}
    for one in declared:
        if one.model not in looked:
            looked[one.model] = _find(entries, one.model) or await _alone(one.model, get)
        entry = looked[one.model]
        if isinstance(entry, str):
            readings[one.key] = Reading(_ft_base(one), unread={"listed": entry, "parent": entry, "root": entry})
        else:
            readings[one.key] = Reading(_checks(one, entry, entries), _retires(one, entry, entries))
    return readings


def _entries(status: int, body: Any) -> Entries:
    if status != 200:
        raise UnreadableError(f"GET /models: HTTP {status}")
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise UnreadableError("GET /models: the reply holds no list of models")
    entries = islice((one for one in data if isinstance(one, dict) and isinstance(one.get("id"), str)), MOST_ENTRIES)
    found = {one["id"]: one for one in entries}
    if not found:
        raise UnreadableError("GET /models: the server lists no model")
    return found


def _find(entries: Entries, model: str) -> Entry | None:
    """The entry of ``model``. Ollama leaves ``:latest`` out of requests; LiteLLM lists patterns."""
    for name in (model, f"{model}:latest"):
        if name in entries:
            return entries[name]
    patterns = (name for name in entries if "*" in name)
    return {"id": model} if any(fnmatchcase(model, pattern) for pattern in patterns) else None


async def _alone(model: str, get: Get) -> Entry | str | None:
    """A model that is not in the list, looked up alone: its entry, ``None`` if there is none, or why it is unknown."""
    status, body = await get(f"/models/{quote(model, safe='')}")
    if status == 200 and isinstance(body, dict) and body.get("id") == model:
        return body
    known = status in (200, 400, 404, 405, 422)
    return None if known else f"GET /models/...: HTTP {status}"


def _checks(one: Declared, entry: Entry | None, entries: Entries) -> tuple[Checked, ...]:
    listed = Checked("listed", entry is not None, f"{quoted(one.model)} is listed", _listing(one.model, entry, entries))
    if entry is None:
        return (listed, *_ft_base(one))
    made = (_parent(one, entry, entries), _root(one, entry, entries))
    return (listed, *(check for check in made if check is not None), *_ft_base(one))


def _listing(model: str, entry: Entry | None, entries: Entries) -> str:
    if entry is not None:
        return "it is"
    some = list(islice(entries, 500))
    names = list(dict.fromkeys([*get_close_matches(model[:200], some, SHOWN, 0.3), *some]))[:SHOWN]
    more = f" and {len(entries) - len(names)} more" if len(entries) > len(names) else ""
    return f"it is not; the server lists {', '.join(map(quoted, names))}{more}"


def _parent(one: Declared, entry: Entry, entries: Entries) -> Checked | None:
    """An adapter's base in the server's list; ``None`` if it has none that can be compared."""
    parent = entry.get("parent")
    if not isinstance(parent, str) or not parent:
        return None
    served = {parent, _root_of(entries, parent)} - {None}
    if one.base is not None:
        matches = bool(served & {one.base, _root_of(entries, one.base)})
        expected = f"an adapter on {quoted(one.base)}, the declared base"
    elif one.trained_on is not None:
        matches = one.trained_on in served
        if not matches and not any(_is_hub_id(str(name)) == _is_hub_id(one.trained_on) for name in served):
            return None  # a folder here and a hub id there may be the same weights
        expected = f"an adapter on {quoted(one.trained_on)}, as declared under 'adapter'"
    else:
        return None
    loaded = _root_of(entries, parent)
    return Checked("parent", matches, expected, _on(parent, loaded))


def _on(parent: str, loaded: str | None) -> str:
    where = f" (loaded from {quoted(loaded)})" if loaded and loaded != parent else ""
    return f"an adapter on {quoted(parent)}{where}"


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~"))


def _root(one: Declared, entry: Entry, entries: Entries) -> Checked | None:
    """Whether the subject is the base under another name: no adapter, and loaded from the same place."""
    if one.base is None or one.base == one.model or entry.get("parent"):
        return None
    mine, base = entry.get("root"), _root_of(entries, one.base)
    if not isinstance(mine, str) or not mine or not base or one.base not in entries:
        return None
    own_names = mine == one.model and base == one.base  # some servers repeat the id as root
    if own_names:
        return None
    expected = f"other weights than those of {quoted(one.base)}, the declared base"
    found = f"loaded from {quoted(mine)}" + (", as the base is: the base under another name" if mine == base else "")
    return Checked("root", mine != base, expected, found)


def _root_of(entries: Entries, name: str) -> str | None:
    root = entries.get(name, {}).get("root")
    return root if isinstance(root, str) and root else None


def _ft_base(one: Declared) -> tuple[Checked, ...]:
    """OpenAI's fine-tunes have their base in their id: ``ft:BASE:ORG:SUFFIX:ID``."""
    base = ft_base(one.model)
    if base is None or one.base is None:
        return ()
    # An alias (gpt-4o-mini) is the base of fine-tunes of its dated versions.
    matches = base == one.base or base.startswith(f"{one.base}-20") or one.base.startswith(f"{base}-20")
    return (Checked("ft_base", matches, f"a fine-tune of {quoted(one.base)}", f"its id says {quoted(base)}"),)


def ft_base(model: str) -> str | None:
    """The base that a fine-tune's id names; ``None`` for other ids."""
    parts = model.split(":")
    return parts[1] if parts[0] == "ft" and len(parts) >= 3 and parts[1] else None


def _retires(one: Declared, entry: Entry | None, entries: Entries) -> Any:
    """The day on which a model is shut down, if listed. A fine-tune ends with its base at the latest."""
    own = moment((entry or {}).get("shutdown_date"))
    base = ft_base(one.model)
    return own or (moment(entries.get(base, {}).get("shutdown_date")) if base else None)
