"""Vendors' model names that move: from ``aliases.csv``, and from the names that ``genai-prices`` prices as one.

``aliases.csv`` has one row per alias: the snapshots that it can mean, the day the vendor retires it, and where and when
that was read. A name that neither source knows is unknown, which is no finding.
"""

import csv
import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from monitor.pins.records import Advice, Rule

_TABLE: Final = Path(__file__).with_name("aliases.csv")
_ROUTERS: Final = re.compile(
    r"^(?:openai|azure(?:_ai)?|azureml|anthropic|google|gemini|vertex_ai|mistral(?:ai)?|openrouter|litellm|bedrock|x-?ai)"
    r"(?:[:/](?:chat|completion|responses|messages))?[:/]",
    re.I,
)
"""Prefixes of gateways and clients: ``openai/gpt-4o``, ``openai:chat:gpt-4o``."""
_LATEST: Final = re.compile(
    r"(?:chatgpt|gpt|claude|gemini|(?:open-)?mistral|ministral|mixtral|codestral|devstral|magistral|pixtral|voxtral|"
    r"grok|command|deepseek|qwen|sonar|codex)-[\w.-]*?-?latest(?:-[\w-]+)?"
)
_DATED: Final = re.compile(r"[-@](?:\d{4}-\d\d-\d\d|\d{8}|\d{4})$")
AMBIGUOUS: Final = frozenset(("o1", "o3", "o1-pro", "o3-pro", "o1-mini", "o3-mini", "o4-mini"))
"""Aliases that are also ordinary names: they count only next to a client of a model."""


@dataclass(frozen=True, slots=True)
class Alias:
    """One alias. ``snapshots`` is empty if the vendor offers no dated one, or none is known."""

    name: str
    snapshots: tuple[str, ...]
    retires: date | None
    source: str


@lru_cache(maxsize=1)
def table() -> dict[str, Alias]:
    """Rows of ``aliases.csv`` by alias."""
    with _TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["alias"]: _row(row) for row in csv.DictReader(stream)}


def _row(row: dict[str, str]) -> Alias:
    retires = date.fromisoformat(row["retires"]) if row["retires"] else None
    snapshots = tuple(one for one in row["snapshot"].split("|") if one)
    return Alias(row["alias"], snapshots, retires, f"{row['source']} (read {row['read']})")


@lru_cache(maxsize=1)
def _priced() -> dict[str, Alias]:
    """Names that ``genai-prices`` lists together with dated forms of exactly themselves."""
    from importlib.metadata import version

    from genai_prices.data import providers

    source = f"https://pypi.org/project/genai-prices/{version('genai-prices')}/"
    found: dict[str, Alias] = {}
    for provider in (one for one in providers if one.id in ("openai", "anthropic", "mistral", "cohere", "x-ai")):
        for model in provider.models:
            names = _equals(model.match)
            for name in names:
                dated = sorted({one for one in names if _DATED.sub("", one) == name and one != name}, reverse=True)
                if dated and not _DATED.search(name):
                    found[name] = Alias(name, tuple(dated), None, source)
    return found


def _equals(clause: Any) -> list[str]:
    """The names that a clause of ``genai-prices`` matches by equality."""
    if (parts := getattr(clause, "or_", None)) is not None:
        return [name for part in parts for name in _equals(part)]
    name = getattr(clause, "equals", None)
    return [name] if isinstance(name, str) else []


def alias(name: str) -> Alias | None:
    """What is known about a name that moves; None for a name that is pinned or unknown.

    >>> alias("gpt-4o-mini").snapshots, alias("openai/gpt-4o-2024-08-06"), alias("my-model")
    (('gpt-4o-mini-2024-07-18',), None, None)
    """
    short = bare(name)
    if known := table().get(short):
        return known
    if _LATEST.fullmatch(short):
        return Alias(short, (), None, "")
    return _priced().get(short)


def bare(name: str) -> str:
    """A model's name without the prefix of a gateway or client."""
    return _ROUTERS.sub("", name.strip())


def advice(name: str, retires: date | None = None) -> Advice | None:
    """Advice about a model's name; None if it does not move, as far as known. ``retires`` overrides the table."""
    known = alias(name)
    if known is None:
        return None
    snapshots = known.snapshots
    if len(snapshots) == 1:
        instead = f"use '{snapshots[0]}'"
    elif snapshots:
        instead = f"use {' or '.join(repr(one) for one in snapshots)}: the one that replies name in 'model'"
    else:
        instead = "no dated snapshot is known; use a dated model"
    return Advice(
        Rule.MODEL_ALIAS, f"'{name}' is an alias that can move", instead, retires or known.retires, known.source
    )
