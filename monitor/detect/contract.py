"""``contract``: what the endpoint promises around its answers changed, often the root cause and always free to look at.

*Facts*, by equality: the model id that replies name, the fingerprint, the prompt-token count of the same prompt. A
changed fingerprint is evidence of a change; an unchanged one proves nothing. Facts are not drawn at random, so where
the baseline never wavered a change is certain and its p-value is 0 (reported as the floor). Where it wavered -
fingerprints come and go, a model id alternates - something never seen is judged by the rule of succession over the
baseline's days: of J days u brought something that no other day had, so another such day has chance (u + 1) / (J + 1).
Values that alternated in the baseline are all known.

*Rates*, by exact shuffles inside each probe: the usual finish reason, refusals, and answers that pass all checks.

The p-value is the smallest times the number of parts looked at (Bonferroni). The effect is the share of answers that
break the contract in any way, now minus baseline.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from monitor.detect.evidence import Look, look
from monitor.detect.parts import (
    PLAIN,
    answers,
    by_probe,
    exhibits,
    finding,
    means,
    quiet_but_moved,
    sample,
    share_difference,
)
from monitor.records import Arm, Comparison, Finding, GradedAnswer, Severity

NAME: Final = "contract"
SEVERITY: Final = Severity.TICKET
_PASSED: Final = "checks passed by {0:.0%} of answers instead of {1:.0%}"
_REFUSED: Final = "refusals {0:.0%} of answers instead of {1:.0%}"
FAR_OFF: Final = 0.25
"""A share that moved by this much is never called as in the baseline, however few answers."""
_UNNAMED: Final = "none"


@dataclass(frozen=True)
class _Part:
    """One thing looked at: how surprising, what changed from what to what ("" where nothing did), and the answers (by
    identity) that show it."""

    p_value: float
    change: str
    broken: frozenset[int] = frozenset()
    level: str = ""
    """A rate's numbers where they are as ever; empty for a fact."""
    gap: float = 0.0
    """A rate's share now minus the baseline's."""


def detect(comparison: Comparison) -> Finding | None:
    """See the module. ``None`` with too few answers to the same probes on both sides."""
    refusals = sample(comparison, lambda one: float(one.refusal))
    if refusals is None:
        return None
    now, then = answers(comparison.now, Arm.SUBJECT), answers(comparison.baseline, Arm.SUBJECT)
    once = comparison.baseline_at_once
    refused = look(refusals, "either", at_once=once)
    parts = [
        _named("model id", now, then, lambda one: one.model or _UNNAMED),
        _named("fingerprint", now, then, lambda one: one.fingerprint or _UNNAMED),
        _prompt_tokens(comparison),
        _finish(comparison),
        _rate(refused.p_value, "refusals", *means(refusals), _REFUSED),
    ]
    passes = sample(comparison, _passes)
    measures: dict[str, float] = {}
    if passes is not None:
        ratio, before = means(passes)
        drop = look(passes, "drop", at_once=once)
        parts.append(_rate(drop.p_value, "checks passed", ratio, before, _PASSED))
        measures["pass_ratio"] = ratio
    broken = frozenset[int]().union(*(part.broken for part in parts))
    p_value = min(1.0, len(parts) * min(part.p_value for part in parts))
    effect = _effect(now, then, broken, refused)
    telling = {one.probe: (1.0, one) for one in now if _bad(one, broken)}
    return finding(
        comparison,
        NAME,
        SEVERITY,
        effect=effect,
        unit="share of answers that break the contract, now minus baseline",
        p_value=p_value,
        answers_now=len(now),
        answers_baseline=len(then),
        summary=_summary(comparison, parts, p_value, effect) + refused.caveat,
        measures=measures,
        exhibits=exhibits(comparison, telling),
    )


def _passes(one: GradedAnswer) -> float | None:
    """1 where all checks pass, 0 where one does not, ``None`` without checks."""
    checks = [value for grader, value in one.scores.items() if grader == "checks" or grader.startswith("check:")]
    return float(min(checks) >= 1.0) if checks else None


def _bad(one: GradedAnswer, broken: frozenset[int]) -> bool:
    return id(one) in broken or one.refusal or _passes(one) == 0.0


def _rate(p_value: float, what: str, now: float, then: float, change: str) -> _Part:
    """A share of answers; ``change`` takes both shares."""
    level = f"{what} {now:.0%} ({then:.0%} in the baseline)"
    return _Part(p_value, change.format(now, then), level=level, gap=now - then)


def _chance_of_new(exceptions: int, trials: int) -> float:
    """Rule of succession; 0 where there never was an exception (see the module)."""
    return (exceptions + 1) / (trials + 1) if exceptions else 0.0


def _named(what: str, now: list[GradedAnswer], then: list[GradedAnswer], value: Callable[[GradedAnswer], str]) -> _Part:
    """Whether today's replies name something that no reply of the baseline named."""
    seen = Counter(value(one) for one in then)
    fresh = [one for one in now if value(one) not in seen]
    if not fresh:
        return _Part(1.0, "")
    by_day: dict[object, set[str]] = {}
    for one in then:
        by_day.setdefault(one.slot, set()).add(value(one))
    days_with = Counter(name for names in by_day.values() for name in names)
    if len(by_day) > 1:
        chance = _chance_of_new(
            sum(any(days_with[name] == 1 for name in names) for names in by_day.values()), len(by_day)
        )
    else:
        chance = _chance_of_new(sum(count == 1 for count in seen.values()), len(then))
    news = Counter(value(one) for one in fresh).most_common(1)[0][0]
    usual = seen.most_common(1)[0][0]
    change = f"{what} {news!r} instead of {usual!r} ({len(fresh)} of {len(now)} answers)"
    return _Part(chance, change, frozenset(id(one) for one in fresh))


def _prompt_tokens(comparison: Comparison) -> _Part:
    """Whether the same prompts count otherwise; probes whose count wavered in the baseline, or is not told, are left
    out."""
    then = by_probe(comparison.baseline, Arm.SUBJECT)
    steady: dict[str, int] = {}
    wavering = 0
    for probe, found in then.items():
        counts = {one.prompt_tokens for one in found}
        if len(found) >= 2 and len(counts) == 1 and 0 not in counts:
            steady[probe] = counts.pop()
        elif len(counts) > 1:
            wavering += 1
    asked = [one for one in answers(comparison.now, Arm.SUBJECT) if one.probe in steady and one.prompt_tokens > 0]
    other = [one for one in asked if one.prompt_tokens != steady[one.probe]]
    if not other:
        return _Part(1.0, "")
    probes, first = len({one.probe for one in other}), other[0]
    change = (
        f"prompt tokens of {probes} of {len({one.probe for one in asked})} unchanged prompts, "
        f"e.g. {first.prompt_tokens} instead of {steady[first.probe]} for {first.probe}"
    )
    return _Part(_chance_of_new(wavering, len(then)), change, frozenset(id(one) for one in other))


def _finish(comparison: Comparison) -> _Part:
    """Whether answers end for another reason more, or less, often than they did."""
    reasons = Counter(one.finish_reason or _UNNAMED for one in answers(comparison.baseline, Arm.SUBJECT))
    usual = max(sorted(reasons), key=lambda reason: reasons[reason])
    found = sample(comparison, lambda one: float((one.finish_reason or _UNNAMED) == usual))
    if found is None:
        return _Part(1.0, "")
    odd = [one for one in answers(comparison.now, Arm.SUBJECT) if (one.finish_reason or _UNNAMED) != usual]
    now, then = means(found)
    instead = Counter(one.finish_reason or _UNNAMED for one in odd).most_common(1)
    change = f"finish reason {usual!r} on {now:.0%} of answers instead of {then:.0%}"
    change += f" (now also {instead[0][0]!r})" if instead else ""
    seen = look(found, "either", at_once=comparison.baseline_at_once)
    new = frozenset(id(one) for one in odd if (one.finish_reason or _UNNAMED) not in reasons)
    return replace(_rate(seen.p_value, f"finish reason {usual!r}", now, then, ""), change=change, broken=new)


def _effect(
    now: list[GradedAnswer], then: list[GradedAnswer], broken: frozenset[int], seen: Look
) -> tuple[float, float, float]:
    share_now, share_then = (sum(_bad(one, broken) for one in found) / len(found) for found in (now, then))
    return share_now - share_then, *share_difference(share_now, len(now), share_then, len(then), seen.inflation)


def _summary(comparison: Comparison, parts: list[_Part], p_value: float, effect: tuple[float, float, float]) -> str:
    if p_value > comparison.alpha:
        return _quiet(comparison, parts, p_value, effect)
    changed = [part.change for part in parts if part.p_value <= comparison.alpha / len(parts)]
    return (
        f"The endpoint of {comparison.target} changed: {'; '.join(changed)}. "
        f"Compare its release notes and your deployment with the time of the first such run."
    )


def _quiet(comparison: Comparison, parts: list[_Part], p_value: float, effect: tuple[float, float, float]) -> str:
    """No alarm: what moved all the same, facts that are new as often in the baseline, and what is as ever."""
    far = [part for part in parts if abs(part.gap) >= FAR_OFF]
    news = [part.change for part in parts if part.change and not part.level]
    moved = [part for part in parts if part in far or part.p_value <= PLAIN]
    if not news and effect[1] > 0:
        # broken in several ways, of which perhaps none tells by itself
        moved = moved or [part for part in parts if part.gap]
    elif p_value > PLAIN and not far:
        moved = []
    if moved:
        what = f"at the endpoint of {comparison.target}, {'; '.join(part.change for part in moved)}"
        return quiet_but_moved(what, p_value, comparison.alpha)
    levels = "; ".join(part.level for part in parts if part.level)
    if news:
        return f"New, but values like it were new in the baseline too: {'; '.join(news)}. Within chance: {levels}."
    return f"No new model id, fingerprint or prompt-token count. Within chance of the baseline: {levels}."
