"""Reads the token counts of a reply, in every dialect and numeric form. A count that is unclear is never read as 0.

A reply may count in several places, or twice in one. The reading is the dearest one, and its note says why it is not
certain. A part without a readable count is unknown, and ``ask.budget`` then charges the maximum for it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, Final

from monitor.core.records import TokenUsage

LARGEST_COUNT: Final = 100_000_000
"""Maximum tokens of one call. A larger number is no count: no model has such a context."""

_DECIMAL: Final = re.compile(r"\+?[0-9]{1,12}(?:\.[0-9]{0,12})?(?:[eE]\+?[0-9]{1,2})?")
_MAX_DEPTH: Final = 4
_MAX_OBJECTS: Final = 100

_ROLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("prompttokens", "prompttokencount", "prompttokenscount"), "prompt"),
    **dict.fromkeys(("prompttokenstotal", "tokensevaluated", "promptevalcount"), "prompt"),
    **dict.fromkeys(("inputtokens", "inputtokencount", "inputtokenscount", "promptn"), "input"),
    **dict.fromkeys(("completiontokens", "completiontokencount", "outputtokens", "outputtokencount"), "completion"),
    **dict.fromkeys(("outputtokenscount", "candidatestokencount", "responsetokencount"), "completion"),
    **dict.fromkeys(("generatedtokens", "generatedtokencount", "completiontokenscount"), "completion"),
    **dict.fromkeys(("predictedn", "tokenspredicted", "evalcount"), "completion"),
    **dict.fromkeys(("reasoningtokens", "reasoningtokencount", "thinkingtokens"), "reasoning"),
    "thoughtstokencount": "thoughts",
    **dict.fromkeys(("cachecreationinputtokens", "cachereadinputtokens", "cachewriteinputtokens"), "cache"),
    **dict.fromkeys(("cachereadinputtokencount", "cachewriteinputtokencount", "cachen"), "cache"),
    "tooluseprompttokencount": "tools",
    **dict.fromkeys(("totaltokens", "totaltokencount", "totaltokenscount"), "total"),
}
"""Name of a count, lower case without separators -> its part. ``input`` excludes ``cache``; ``prompt`` includes it.
Sources: the references of OpenAI, Anthropic, Gemini, Bedrock Converse, Cohere, watsonx, Ollama, TGI, llama.cpp."""

_CONTAINERS: Final = frozenset(
    ("usage", "xusage", "xgroq", "tokenusage", "usagemetadata", "meta", "metadata", "responsemetadata", "tokens",
     "billedunits", "metrics", "amazonbedrockinvocationmetrics")
)  # fmt: skip
_PERFORMANCE: Final = frozenset(("timings", "performance"))
"""Objects that measure speed. They are read only where no other place counts, because they may leave out the cache."""


class Twice(list[Any]):
    """The values of a key that an object names more than once, in the order of the reply."""


def is_count(name: str) -> bool:
    """Whether a field with this name counts tokens, or holds such counts."""
    plain = _plain(name)
    return plain in _ROLES or plain in _CONTAINERS


def counted(parsed: Mapping[str, Any]) -> TokenUsage | None:
    """``read_usage``; ``None`` if the reply counts nothing."""
    usage = read_usage(parsed)
    return None if usage.prompt is None and usage.completion is None and not usage.hidden else usage


def read_usage(parsed: Mapping[str, Any]) -> TokenUsage:
    """The tokens of one call, reasoning and cached tokens included, as the dearest reading of all that the reply says.

    Args:
        parsed: the reply's object. What it says twice is ``Twice``.
    """
    stated = list(_containers(parsed, _CONTAINERS))
    readings = [_read(one, path) for path, one in stated]
    usage = _dearest(readings)
    if usage.prompt is None or usage.completion is None:
        other = _dearest([_read(one, path) for path, one in (*_containers(parsed, _PERFORMANCE), *_outside(parsed))])
        usage = replace(
            usage,
            prompt=other.prompt if usage.prompt is None else usage.prompt,
            completion=other.completion if usage.completion is None else usage.completion,
        )
    if usage.note or (usage.prompt is not None and usage.completion is not None and not usage.contradicts):
        return usage
    missing = [name for name, value in (("prompt", usage.prompt), ("completion", usage.completion)) if value is None]
    named = f"its {' and '.join(missing)} tokens" if missing else "one part of its tokens"
    return replace(usage, note=f"the reply does not count {named}")


def count(value: object) -> float | None:
    """``value`` as a number of tokens, 0 to ``LARGEST_COUNT``: a number, or a decimal in a string."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        value = float(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= LARGEST_COUNT else None


@dataclass(slots=True)
class _Said:
    """What one object says: part -> the counts that it states for it."""

    counts: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    def add(self, part: str, value: object, name: str) -> None:
        for one in value if isinstance(value, Twice) else [value]:
            number = count(one)
            if number is None:
                self.bad.add(part)
                self.notes.append(f"{name} is {_kind(one)}")
            else:
                self.counts.setdefault(part, []).append(number)

    def most(self, part: str) -> float | None:
        """The largest count of ``part``; ``None`` without any."""
        found = self.counts.get(part)
        if not found:
            return None
        if max(found) - min(found) >= 1:
            self.notes.append(f"{part} tokens are stated as {' and '.join(f'{n:g}' for n in dict.fromkeys(found))}")
        return max(found)


def _read(value: object, path: str) -> TokenUsage:
    if isinstance(value, Twice):
        return _dearest([_read(one, path) for one in value])
    if isinstance(value, list):
        parts = [_read(one, f"{path}[{n}]") for n, one in enumerate(value[:_MAX_OBJECTS])]
        return parts[0] if len(parts) == 1 else _sum(parts, path)
    if not isinstance(value, Mapping):
        return TokenUsage(note=f"{path} is {_kind(value)}")
    said = _Said()
    for key, inner in value.items():
        part = _ROLES.get(_plain(str(key)))
        if part is not None:
            said.add(part, inner, f"{path}.{str(key)[:40]}")
        elif isinstance(inner, Mapping) and _plain(str(key)).endswith("details"):
            _details(said, inner, f"{path}.{str(key)[:40]}")
    return _combine(said)


def _details(said: _Said, details: Mapping[str, Any], path: str) -> None:
    for key, value in details.items():
        if _ROLES.get(_plain(str(key))) == "reasoning" and value is not None:
            said.add("reasoning", value, f"{path}.{str(key)[:40]}")


def _combine(said: _Said) -> TokenUsage:
    """Prompt and completion of one object, and whether its total agrees with them."""
    prompt, given = said.most("prompt"), said.most("input")
    added = said.most("tools") or 0.0
    cache = sum(said.counts.get("cache", ()))
    if given is not None:
        prompt = max(prompt or 0.0, given + cache)
    unsure = bool(said.bad & {"cache", "tools", "thoughts", "reasoning"})
    completion, reasoning = said.most("completion"), said.most("reasoning") or 0.0
    thoughts = said.most("thoughts") or 0.0
    total = said.most("total")
    if completion is None and thoughts and total is not None and prompt is not None:
        completion = max(0.0, total - prompt - added - thoughts)  # Gemini leaves out a count of 0
    if completion is not None:
        outside = thoughts or (reasoning if _is_outside(reasoning, prompt, completion, total) else 0.0)
        completion += outside
    if prompt is not None:
        prompt += added
    usage = TokenUsage(_whole(prompt), _whole(completion), 0, unsure)
    if total is not None:
        usage = _against_total(usage, (prompt or 0.0) + (completion or 0.0), total, cache, said)
    if usage.prompt == 0:
        said.notes.append("prompt tokens are stated as 0")
        usage = replace(usage, prompt=None)
    return replace(usage, note="; ".join(said.notes)[:300])


def _is_outside(reasoning: float, prompt: float | None, completion: float, total: float | None) -> bool:
    """Whether ``completion`` leaves the reasoning out. The total decides; else more reasoning than completion."""
    if not reasoning:
        return False
    if total is None or prompt is None:
        return reasoning > completion
    return abs(prompt + completion + reasoning - total) < 1 <= abs(prompt + completion - total)


def _against_total(usage: TokenUsage, stated: float, total: float, cache: float, said: _Said) -> TokenUsage:
    prompt, completion = usage.prompt, usage.completion
    if prompt is None and completion is None:
        return replace(usage, hidden=_whole(total) or 0)
    # What is left of the total is a reading, but not a count: the call may have cost its maximum.
    if completion is None and prompt is not None and total >= prompt:
        return replace(usage, completion=_whole(total - prompt), contradicts=True)
    if prompt is None and completion is not None and total > completion:
        return replace(usage, prompt=_whole(total - completion), contradicts=True)
    whole = (prompt or 0) + (completion or 0)
    if any(stated - 1 < one <= whole for one in (total, total + cache)):  # fractions are rounded up
        return usage
    said.notes.append(f"the total of {total:g} tokens is not the sum of its parts, {stated:g}")
    if total > whole and completion is not None and prompt is not None:
        hidden = ceil(total - whole)
        return replace(usage, completion=completion + hidden, hidden=hidden)
    return replace(usage, contradicts=True)


def _dearest(readings: Sequence[TokenUsage]) -> TokenUsage:
    """The reading that is at least as dear as each of ``readings``, which state the same tokens."""
    notes = [one.note for one in readings if one.note]
    prompts = {one.prompt for one in readings if one.prompt is not None}
    completions = {one.completion for one in readings if one.completion is not None}
    for part, values in (("prompt", prompts), ("completion", completions)):
        if len(values) > 1:
            notes.append(f"{part} tokens are stated as {' and '.join(map(str, sorted(values)))}")
    return TokenUsage(
        max(prompts, default=None),
        max(completions, default=None),
        max((one.hidden for one in readings), default=0),
        any(one.contradicts for one in readings),
        "; ".join(dict.fromkeys(notes))[:300],
    )


def _sum(parts: Sequence[TokenUsage], path: str) -> TokenUsage:
    """Several objects, such as one for each step of the server: their sum."""
    prompts, completions = [one.prompt for one in parts], [one.completion for one in parts]
    notes = [f"{path} is a list of {len(parts)}", *(one.note for one in parts if one.note)]
    return TokenUsage(
        sum(n or 0 for n in prompts) or None,
        None if None in completions else sum(n or 0 for n in completions),
        sum(one.hidden for one in parts),
        any(one.contradicts for one in parts) or None in prompts,
        "; ".join(notes)[:300],
    )


def _containers(value: Mapping[str, Any], names: frozenset[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Objects of ``value`` that have one of ``names``, with their path, also inside each other."""
    for key, inner in value.items():
        if _plain(str(key)) not in names:
            continue
        here = f"{path}.{str(key)[:40]}" if path else str(key)[:40]
        if _plain(str(key)) in ("meta", "metadata", "responsemetadata", "tokens", "metrics") and not _counts(inner):
            pass  # a name of many meanings
        else:
            yield here, inner
        if isinstance(inner, Mapping) and here.count(".") < _MAX_DEPTH:
            yield from _containers(inner, names, here)


def _outside(parsed: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Counts at the top level (Ollama), in a choice (Moonshot) or in a result (watsonx)."""
    if _counts(parsed):
        yield "reply", {key: value for key, value in parsed.items() if _plain(str(key)) in _ROLES}
    for name in ("choices", "results", "output", "message"):
        parts = parsed.get(name)
        for part in parts[:_MAX_OBJECTS] if isinstance(parts, list) else [parts]:
            if isinstance(part, Mapping):
                yield from _containers(part, _CONTAINERS, name)
                if _counts(part):
                    yield name, {key: value for key, value in part.items() if _plain(str(key)) in _ROLES}


def _counts(value: object) -> bool:
    keys: Iterable[Any] = value if isinstance(value, Mapping) else ()
    return any(_plain(str(key)) in _ROLES for key in keys)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name[:60].lower())


def _whole(value: float | None) -> int | None:
    return None if value is None else ceil(value - 1e-9)


def _kind(value: object) -> str:
    """What ``value`` is instead of a count. Without its text, which is the server's."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "negative" if value < 0 else "not finite" if value != value else "too large"
    if isinstance(value, str):
        return "a text that is no number"
    return "a list" if isinstance(value, list) else "an object"
