"""Named values of the contract: those that a person may accept, those that are new, and fingerprints in words."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.detect.common import answers, by_probe

NONE: Final = "none"
"""Stands for a missing model id or fingerprint."""

_FINGERPRINT: Final = re.compile(
    r"(?P<server>[a-z][a-z_]*(?:-[a-z]+)*)-v?(?P<version>\d[\w.+]*)(?P<parallel>(?:-[a-z]{2}\d+)*)-(?P<hash>[0-9a-f]{6,})"
)
"""``vllm-0.31.0-tp2-1a2b3c4d``: server, version, parallelism and a hash of the flags."""
_BUILD: Final = re.compile(r"b(?P<version>\d+)-(?P<hash>[0-9a-f]{7,})")
"""llama.cpp: build number and commit."""


def completions(found: Sequence[GradedAnswer]) -> Sequence[GradedAnswer]:
    """Without refusals that came as an HTTP error: they name no model."""
    return [one for one in found if one.model or not one.refusal] or found


def model_id(one: GradedAnswer) -> str:
    return one.model or NONE


def fingerprint(one: GradedAnswer) -> str:
    return one.fingerprint or NONE


def prompt_tokens(one: GradedAnswer) -> str:
    """The probe with its count, as in ``returns=41``."""
    return f"{one.probe}={one.prompt_tokens}"


def served(key: str, value: str) -> str:
    return f"{key}={value}"


def is_fallback(key: str, value: str) -> bool:
    """Whether it says that a gateway answered with a fallback."""
    return "fallback" in key.casefold() and value.strip().casefold() not in ("", "0", "false", "none", "null", "[]")


def _served(one: GradedAnswer) -> Iterator[str]:
    return (served(key, value) for key, value in one.served.items())


_VALUES: Final[Mapping[str, Callable[[GradedAnswer], Iterator[str]]]] = {
    "fingerprint": lambda one: iter((fingerprint(one),)),
    "model_id": lambda one: iter((one.model,) if one.model else ()),
    "prompt_tokens": lambda one: iter((prompt_tokens(one),) if one.prompt_tokens > 0 else ()),
    "served": _served,
}


def fresh(comparison: Comparison, part: str) -> tuple[str, ...]:
    """The values of a part that the run has, and neither the baseline nor an acceptance; in the order of the answers.

    A probe or a name that the baseline does not have is not compared, so it is not new.
    """
    of = _VALUES[part]
    then = [value for one in completions(answers(comparison.baseline, Arm.SUBJECT)) for value in of(one)]
    known = {*then, *comparison.accepted.get(part, ())}
    now = dict.fromkeys(value for one in completions(answers(comparison.now, Arm.SUBJECT)) for value in of(one))
    found = tuple(value for value in now if value not in known)
    if part not in ("prompt_tokens", "served"):
        return found
    named = {_name(value) for value in then}
    return tuple(value for value in found if _name(value) in named or _is_fallback(value))


def usual(comparison: Comparison, part: str, value: str) -> str | None:
    """The baseline's most frequent value in place of a new one; ``None`` if it has none."""
    if part == "prompt_tokens":
        found = by_probe(comparison.baseline, Arm.SUBJECT).get(_name(value), [])
    else:
        found = list(completions(answers(comparison.baseline, Arm.SUBJECT)))
    before = [one for answer in found for one in _VALUES[part](answer)]
    same = [one for one in before if _name(one) == _name(value)] if part == "served" else before
    return max(sorted(set(same)), key=same.count, default=None)


def _name(value: str) -> str:
    """The probe of a prompt-token count, or the name of a served value."""
    return value.rpartition("=")[0] if value.rpartition("=")[2].isdigit() else value.partition("=")[0]


def _is_fallback(value: str) -> bool:
    key, _, said = value.partition("=")
    return is_fallback(key, said)


def explained(now: str, then: str) -> str:
    """What changed between two fingerprints, as far as their parts show; empty if they show nothing.

    >>> explained("vllm-0.31.0-tp1-1a2b3c4d", "vllm-0.30.0-tp1-1a2b3c4d")
    'version 0.30.0 -> 0.31.0; same flags'
    >>> explained("fp_2", "fp_1")
    ''
    """
    for pattern in (_FINGERPRINT, _BUILD):
        new, old = pattern.fullmatch(now), pattern.fullmatch(then)
        if new and old:
            return _differences(new.groupdict(), old.groupdict())
    return ""


def _differences(new: Mapping[str, str], old: Mapping[str, str]) -> str:
    told = []
    if new.get("server") != old.get("server"):
        told.append(f"server {old['server']} -> {new['server']}")
    same_version = new["version"] == old["version"]
    word = "version" if "server" in new else "build"
    told.append(f"same {word} {new['version']}" if same_version else f"{word} {old['version']} -> {new['version']}")
    if new.get("parallel", "") != old.get("parallel", ""):
        parts = [(one.get("parallel", "").strip("-") or "none") for one in (old, new)]
        told.append(f"parallelism {parts[0]} -> {parts[1]}")
    if "server" not in new:
        return "; ".join(told)
    if new["hash"] == old["hash"]:
        told.append("same flags")
    else:
        told.append("other flags" if same_version else "other flags too, or defaults of the new version")
    return "; ".join(told)


def alone(by_day: Mapping[object, set[str]]) -> list[bool]:
    """For each day, in order, whether it had a value that no other day had."""
    days_with = Counter(name for names in by_day.values() for name in names)
    return [any(days_with[name] == 1 for name in by_day[day]) for day in sorted(by_day, key=str)]


def days(found: Sequence[GradedAnswer], value: Callable[[GradedAnswer], str]) -> dict[object, set[str]]:
    by_day: dict[object, set[str]] = {}
    for one in found:
        by_day.setdefault(one.slot, set()).add(value(one))
    return by_day
