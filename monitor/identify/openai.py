"""Reads the model list of a server with OpenAI's API: GET /models, once for all the arms at it.

vLLM and NIM list the base onto which an adapter is loaded (``parent``) and the source of weights (``root``). Both
repeat the operator's settings: a server may list an adapter and answer without it. They detect a wrong deployment;
answers detect a lost adapter.

Most servers serve names that they do not list, so a missing name alone proves nothing: see ``asked``.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from monitor.core.errors import CouldNotMeasure
from monitor.identify import listing
from monitor.identify.checks import Absence, Checked, Declared, Get, Key, Reading, UnreadableError, moment, quoted
from monitor.identify.listing import Entry, HiddenError, Listing
from monitor.identify.names import copies, names_of, serves

SHOWN: Final = 5
"""Names of a list that a message repeats."""
KEPT: Final = ("root", "parent", "max_model_len", "owned_by")
"""Fields of an entry that are kept."""
LONGEST_VALUE: Final = 500

Found = tuple[str, Entry]
"""A listed name, and its entry."""


async def read(declared: Sequence[Declared], get: Get) -> dict[Key, Reading]:
    """The server's metadata of every arm at it. Raises UnreadableError, and CouldNotMeasure without a reply."""
    listed = await _listing(get)
    looked: dict[str, Found | str | None] = {}
    readings: dict[Key, Reading] = {}
    for one in declared:
        if one.model not in looked:
            looked[one.model] = listed.find(one.model) or await _alone(one.model, get)
        found = looked[one.model]
        if isinstance(found, str):
            readings[one.key] = Reading(_ft_base(one), unread={"listed": found, "parent": found, "root": found})
        elif found is None:
            absent = Absence(_instead(one.model, listed), listed.sure)
            readings[one.key] = Reading(_ft_base(one), _retires(one, None, listed), absent=absent)
        else:
            readings[one.key] = _reading(one, found, listed)
    return readings


def _reading(one: Declared, found: Found, listed: Listing) -> Reading:
    name, entry = found
    alias = "" if name == one.model else f", as {quoted(name)}"
    checks = (
        Checked("listed", True, f"{quoted(one.model)} is listed{alias}", f"it is{alias}"),
        *filter(None, (_parent(one, entry, listed), _root(one, entry, listed))),
        *_ft_base(one),
    )
    return Reading(checks, _retires(one, entry, listed), served=_kept(entry))


def _kept(entry: Entry) -> Mapping[str, str]:
    """The fields of an entry that tell from where it is served."""
    said = {name: entry[name] for name in KEPT if isinstance(entry.get(name), str | int) and entry[name] != ""}
    return {name: str(value)[:LONGEST_VALUE] for name, value in said.items()}


async def _listing(get: Get) -> Listing:
    """The server's list. Raises HiddenError and UnreadableError, with a hint if the list is below ``/v1``."""
    status, body = await get("/models")
    try:
        return listing.parse(status, body)
    except UnreadableError as error:
        if status not in (200, 404, 405) or not await _is_below_v1(get):
            raise
        raise UnreadableError(f"{error}. GET /v1/models has the list: add /v1 to the provider's base_url") from None


async def _is_below_v1(get: Get) -> bool:
    """Whether the list is one folder further down, because the configured address lacks ``/v1``."""
    with suppress(UnreadableError, CouldNotMeasure):
        return bool(listing.parse(*await get("/v1/models")).entries)
    return False


async def _alone(model: str, get: Get) -> Found | str | None:
    """A model that is not in the list, looked up alone: its entry, ``None`` if there is none, or why it is unknown."""
    status, body = await get(f"/models/{quote(model, safe='')}")
    if status == 200 and isinstance(body, dict):
        inner = body.get("data")
        entry = inner if isinstance(inner, dict) else body
        name = next((name for name in names_of(entry) if serves(name, model)), None)
        return None if name is None else (name, {**entry, "id": name})
    known = status in (200, 400, 404, 405, 422, 501)
    return None if known else f"GET /models/...: HTTP {status}"


def _instead(model: str, listed: Listing) -> str:
    """What the list has in place of the model."""
    some = list(islice(listed.ids, 500))
    names = list(dict.fromkeys([*get_close_matches(model[:200], some, SHOWN, 0.3), *some]))[:SHOWN]
    more = f" and {len(listed.ids) - len(names)} more" if len(listed.ids) > len(names) else ""
    more += "" if listed.complete else ", on the first page of its list"
    return f"the server lists {', '.join(map(quoted, names))}{more}"


def _parent(one: Declared, entry: Entry, listed: Listing) -> Checked | None:
    """An adapter's base in the server's list; ``None`` if it has none that can be compared."""
    parent = entry.get("parent")
    if not isinstance(parent, str) or not parent:
        return None
    loaded = _root_of(listed, parent)
    if one.base is not None:
        matches = _on_base(one.base, parent, listed)
        expected = f"an adapter on {quoted(one.base)}, the declared base"
    elif one.trained_on is not None:
        matches = _on_trained(one.trained_on, parent, loaded)
        expected = f"an adapter on {quoted(one.trained_on)}, as declared under 'adapter'"
    else:
        return None
    return Checked("parent", matches, expected, _on(parent, loaded, told=matches is not None))


def _on_base(base: str, parent: str, listed: Listing) -> bool | None:
    """Whether ``parent`` is the declared base. Names alone do not contradict each other: one may be an alias."""
    roots = _root_of(listed, base), _root_of(listed, parent)
    names = {base, roots[0]} - {None}, {parent, roots[1]} - {None}
    if any(serves(str(a), str(b)) or serves(str(b), str(a)) for a in names[0] for b in names[1]):
        return True
    if roots[0] is None or roots[1] is None or roots == (base, parent) or copies(*map(str, roots)):
        return None
    return False if _is_hub_id(str(roots[0])) == _is_hub_id(str(roots[1])) else None


def _on_trained(trained_on: str, parent: str, loaded: str | None) -> bool | None:
    """Whether the served base is the one of the declared adapter. A folder and a hub id may be the same weights."""
    names = [name for name in (parent, loaded) if name]
    if any(serves(name, trained_on) or serves(trained_on, name) for name in names):
        return True
    comparable = [name for name in names if _is_hub_id(name) and _is_hub_id(trained_on)]
    return False if comparable and not any(copies(name, trained_on) for name in names) else None


def _on(parent: str, loaded: str | None, *, told: bool) -> str:
    where = f" (loaded from {quoted(loaded)})" if loaded and loaded != parent else ""
    open_end = "" if told else "; the server does not say whether these are the same weights"
    return f"an adapter on {quoted(parent)}{where}{open_end}"


def _is_hub_id(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith(("/", ".", "~"))


def _root(one: Declared, entry: Entry, listed: Listing) -> Checked | None:
    """Whether the subject is the base under another name: no adapter, and loaded from the same place."""
    if one.base is None or one.base == one.model or entry.get("parent"):
        return None
    mine, base = entry.get("root"), _root_of(listed, one.base)
    if not isinstance(mine, str) or not mine or not base or one.base not in listed.entries:
        return None
    own_names = mine == one.model and base == one.base  # some servers repeat the id as root
    if own_names:
        return None
    expected = f"other weights than those of {quoted(one.base)}, the declared base"
    found = f"loaded from {quoted(mine)}" + (", as the base is: the base under another name" if mine == base else "")
    return Checked("root", mine != base, expected, found)


def _root_of(listed: Listing, name: str) -> str | None:
    found = listed.find(name)
    root = found[1].get("root") if found else None
    return root if isinstance(root, str) and root else None


def _ft_base(one: Declared) -> tuple[Checked, ...]:
    """OpenAI's fine-tunes have their base in their id: ``ft:BASE:ORG:SUFFIX:ID``."""
    base = ft_base(one.model)
    if base is None or one.base is None:
        return ()
    # An alias (gpt-4o-mini) is the base of fine-tunes of its dated versions.
    matches = serves(base, one.base) or serves(one.base, base)
    return (Checked("ft_base", matches, f"a fine-tune of {quoted(one.base)}", f"its id says {quoted(base)}"),)


def ft_base(model: str) -> str | None:
    """The base that a fine-tune's id names; ``None`` for other ids."""
    parts = model.split(":")
    return parts[1] if parts[0] == "ft" and len(parts) >= 3 and parts[1] else None


def _retires(one: Declared, entry: Entry | None, listed: Listing) -> Any:
    """The day on which a model is shut down, if listed. A fine-tune ends with its base at the latest."""
    own = moment((entry or {}).get("shutdown_date"))
    base = ft_base(one.model)
    return own or (moment(listed.entries.get(base, {}).get("shutdown_date")) if base else None)


__all__ = ["Entry", "HiddenError", "ft_base", "read"]
