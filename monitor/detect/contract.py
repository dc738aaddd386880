"""``contract``: metadata and format of the answers changed. It is often the root cause, and costs nothing to check.

*Facts*, by equality: the model id in the replies, the fingerprint, the prompt-token count of the same prompt. A
changed fingerprint is evidence of a change; an unchanged one proves nothing. Facts are not random, so if the baseline
never varied, a change is certain: its score is ``day_scores.FARTHEST``. If it varied (fingerprints come and go, a model
id alternates), a new value is judged by the rule of succession over the baseline's days: u of J days had a value that
no other day had, so another such day has chance (u + 1) / (J + 1), and its score is that chance's normal quantile, as
for those u days. Values that alternated in the baseline are all known.

*The prefix cache*, by equality of answers: see ``cache_check``.

Values that a person accepted count as the baseline's. ``served``: what replies and their headers say about who served
them, such as a gateway's provider; a fallback is new even if the baseline has no such header.

A missing model id is not a new one: an answer that came as an HTTP error names none.

*Rates*, by the days' scores: empty answers, answers that pass all checks, the usual finish reason, refusals. A filtered
answer is a refusal, not an empty answer. Of fresh samples, a rate is the least of three views (``fresh_views``): what
the base does as well with the same inputs is no change of the subject.

Each has its own channel. The effect is the share of answers that break the contract in any way, now minus baseline.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from monitor.core.finish_reasons import Ending, finish_of
from monitor.core.records import Advice, Arm, Cause, Comparison, Exhibit, GradedAnswer
from monitor.detect import cache_check, contract_values, evidence
from monitor.detect.common import (
    alarming,
    answers,
    by_probe,
    exhibits,
    means,
    no_longer,
    passes,
    per_score,
    quiet,
    quiet_but_moved,
    sample,
    share_difference,
    where_empty,
)
from monitor.detect.contract_parts import SURE, Part, fact
from monitor.detect.contract_values import completions
from monitor.detect.day_scores import FARTHEST, Sample, day_scores
from monitor.detect.fresh_views import least, views
from monitor.detect.measurement import Channel, Reading, Told, Verdict
from monitor.detect.sensitivity import curve

FAR_OFF: Final = 0.25
"""A share that moved by this much is never reported as unchanged, however few answers."""
MOST: Final = 0.5
"""Share of empty answers or refusals that is a fact if the baseline has none."""
_UNNAMED: Final = "none"
_EMPTY: Final = "empty"
_REFUSALS: Final = "refusals"
_NO_NEWS: Final = "no new model id, fingerprint or prompt-token count"


def measure(comparison: Comparison) -> Reading | None:
    """See the module. ``None`` with too few answers to the same probes on both sides."""
    refusals = sample(comparison, lambda one: float(one.refusal))
    if refusals is None:
        return None
    now, then = answers(comparison.now, Arm.SUBJECT), answers(comparison.baseline, Arm.SUBJECT)
    passed = sample(comparison, passes)
    seen = views(comparison, lambda one: float(one.refusal), refusals)
    rates = [
        _finish(comparison, now, then),
        _rate(seen, refusals, _REFUSALS, "refusals", "either"),
        _empty(comparison, now),
    ]
    if passed is not None:
        rates.insert(0, _rate(views(comparison, passes, passed), passed, "checks passed", "checks passed by", "drop"))
    parts = [
        *(part for part in rates if part is not None),
        _named(
            "model id",
            [one for one in now if one.model],
            completions(then),
            contract_values.model_id,
            comparison.accepted.get("model_id"),
        ),
        _fingerprint(comparison, completions(now), completions(then)),
        _prompt_tokens(comparison, now),
        *_served(comparison, now, then),
        *cache_check.part(comparison),
    ]
    broken = frozenset[int]().union(*(part.broken for part in parts))
    effect = _effect(now, then, broken, evidence.likely_spread(parts[0].channel.baseline))
    return Reading(
        channels=tuple(part.channel for part in parts),
        effect=effect,
        unit="share of answers that break the contract, now minus baseline",
        per_score=per_score(refusals if passed is None else passed),
        curve=curve(refusals, 1.0, 1 - means(refusals)[1]) if passed is None else curve(passed, 0.0, means(passed)[1]),
        answers_now=len(now),
        answers_baseline=len(then),
        tell=lambda verdict: _tell(comparison.target, parts, verdict, effect),
        measures=_measures(parts) | ({} if passed is None else _passing(passed)),
        exhibits=_exhibits(comparison, now, broken),
    )


def _exhibits(comparison: Comparison, now: Sequence[GradedAnswer], broken: frozenset[int]) -> tuple[Exhibit, ...]:
    """The answers that break the contract; those that only a prefix cache gives come first, with the other one."""
    telling = {one.probe: (1.0, one) for one in now if _bad(one, broken)}
    return cache_check.with_uncached(comparison, exhibits(comparison, telling | cache_check.telling(comparison)))


def _measures(parts: Sequence[Part]) -> dict[str, float]:
    """Which parts changed, 1 or 0. Parts that were not compared are left out."""
    return {f"contract_changed_{part.channel.name.replace(' ', '_')}": float(part.changed) for part in parts}


def _passing(passed: Sample) -> dict[str, float]:
    now, then = means(passed)
    return {"pass_ratio": now, "pass_ratio_baseline": then}


def _bad(one: GradedAnswer, broken: frozenset[int]) -> bool:
    return id(one) in broken or one.refusal or one.empty or passes(one) == 0.0


def _empty(comparison: Comparison, now: Sequence[GradedAnswer]) -> Part | None:
    """The share of answers without a text, and where the replies have it instead.

    Only compared once an answer was empty: a part that never was there must not weaken the evidence of the others.
    """
    seen = any(_EMPTY in scores for scores in comparison.history.get("contract", ()))
    seen = seen or any(one.empty and one.arm == Arm.SUBJECT for one in (*comparison.now, *comparison.baseline))
    found = sample(comparison, lambda one: float(one.empty)) if seen else None
    if found is None:
        return None
    share_now, share_then = means(found)
    channel = _rate_channel(_EMPTY, views(comparison, lambda one: float(one.empty), found), "either", found)
    if share_now == share_then == 0:
        return Part(channel)
    empty = [one for one in now if one.empty]
    change = f"{len(empty)} of {len(now)} answers are empty, {share_then:.0%} in the baseline"
    if len(empty) == len(now):
        change = "every answer is empty" + (f", {share_then:.0%} in the baseline" if share_then else "")
    return Part(
        channel,
        "; ".join(filter(None, (change, where_empty(empty)))),
        frozenset(map(id, empty)),
        f"empty answers {share_now:.0%} ({share_then:.0%} in the baseline)",
        share_now - share_then,
    )


def _rate_channel(what: str, seen: Sequence[Sample], side: evidence.Side, found: Sample) -> Channel:
    """A rate's channel. What no answer of the baseline did and most answers do now is no chance, so it is a fact.

    A short baseline would otherwise need weeks to tell that users get no answers. ``seen``: the ``views`` of the rate,
    ``found``: of all answers.
    """
    scores = least([day_scores(one) for one in seen], side)
    gaps = [now - then for now, then in map(means, seen)]
    if side == "either" and means(found)[1] == 0 and min(gaps) >= MOST:
        return Channel(what, FARTHEST, (0.0,) * max(SURE, len(scores.baseline)), "rise", FARTHEST)
    return Channel.of(what, scores, side, int(found.now.sum()))


def _rate(seen: Sequence[Sample], found: Sample, what: str, change: str, side: evidence.Side) -> Part:
    """A share of answers. ``seen``: its ``views``."""
    now, then = means(found)
    return Part(
        _rate_channel(what, seen, side, found),
        f"{change} {now:.0%} of answers instead of {then:.0%}",
        level=f"{what} {now:.0%} ({then:.0%} in the baseline)",
        gap=now - then,
        cause=Cause.ANSWERS_REFUSED if what == "refusals" and now > then else Cause.UNKNOWN,
    )


def _finish(comparison: Comparison, now: Sequence[GradedAnswer], then: Sequence[GradedAnswer]) -> Part | None:
    """Whether the share of answers with the usual finish reason changed."""
    reasons = Counter(one.finish_reason or _UNNAMED for one in then)
    usual = max(sorted(reasons), key=lambda reason: reasons[reason])

    def as_usual(one: GradedAnswer) -> float:
        return float((one.finish_reason or _UNNAMED) == usual)

    found = sample(comparison, as_usual)
    if found is None:
        return None
    odd = [one for one in now if (one.finish_reason or _UNNAMED) != usual]
    share_now, share_then = means(found)
    scores = least([day_scores(one) for one in views(comparison, as_usual, found)], "either")
    instead = Counter(one.finish_reason or _UNNAMED for one in odd).most_common(1)
    change = f"finish reason {usual!r} on {share_now:.0%} of answers instead of {share_then:.0%}"
    change += f" (now also {instead[0][0]!r})" if instead else ""
    return Part(
        Channel.of("finish reason", scores, "either", int(found.now.sum())),
        change,
        frozenset(id(one) for one in odd if (one.finish_reason or _UNNAMED) not in reasons),
        f"finish reason {usual!r} {share_now:.0%} ({share_then:.0%} in the baseline)",
        share_now - share_then,
        Cause.ANSWERS_CUT if _cut(now) > _cut(then) else Cause.UNKNOWN,
    )


def _cut(found: Sequence[GradedAnswer]) -> float:
    """Share of the answers that a token limit cut."""
    return sum(finish_of(one.finish_reason).ending is Ending.TRUNCATED for one in found) / max(1, len(found))


def _named(
    what: str, now: Sequence[GradedAnswer], then: Sequence[GradedAnswer], value: Callable[[GradedAnswer], str],
    accepted: Collection[str] | None = None,
) -> Part:  # fmt: skip
    """Whether today's replies contain a value that no reply of the baseline had, and that nobody accepted."""
    seen = Counter(value(one) for one in then)
    fresh = [one for one in now if value(one) not in seen and value(one) not in (accepted or ())]
    days = contract_values.days(then, value)
    if len(days) > 1:
        odd = contract_values.alone(days)
        channel = fact(what, bool(fresh), sum(odd), len(odd), odd)
    else:
        once = sum(count == 1 for count in seen.values())
        channel = fact(what, bool(fresh), once, len(then), [once > 0])
    if not fresh:
        return Part(channel)
    channel = replace(channel, share=len(fresh) / len(now))
    news = Counter(value(one) for one in fresh).most_common(1)[0][0]
    usual = seen.most_common(1)[0][0]
    change = f"{what} {news!r} instead of {usual!r} ({len(fresh)} of {len(now)} answers)"
    return Part(channel, change, frozenset(id(one) for one in fresh))


def _fingerprint(comparison: Comparison, now: Sequence[GradedAnswer], then: Sequence[GradedAnswer]) -> Part:
    """Whether a fingerprint is new; its change also in words, where its parts show what changed."""
    value = contract_values.fingerprint
    part = _named("fingerprint", now, then, value, comparison.accepted.get("fingerprint"))
    if not part.change:
        return part
    news = Counter(value(one) for one in now if id(one) in part.broken).most_common(1)[0][0]
    usual = Counter(value(one) for one in then).most_common(1)[0][0]
    why = contract_values.explained(news, usual)
    return replace(part, change=f"{part.change}: {why}") if why else part


def _served(comparison: Comparison, now: Sequence[GradedAnswer], then: Sequence[GradedAnswer]) -> tuple[Part, ...]:
    """Whether another deployment or provider served answers than in the baseline; empty if replies do not say it.

    Names that alternated in the baseline are judged by the rule of succession, one by one; the least certain of those
    with a new value counts, unless another name never varied.
    """
    parts = [part for key in sorted({key for one in (*then, *now) for key in one.served})
             if (part := _served_by(comparison, key, now, then)) is not None]  # fmt: skip
    if not parts:
        return ()
    news = [part for part in parts if part.change]
    steady = [part for part in news if part.channel.score >= FARTHEST]
    telling = [part for part in news if part.channel.score > 0]
    lead = min(steady or telling or news or parts, key=lambda part: part.channel.score)
    news = telling or news
    broken = frozenset[int]().union(*(part.broken for part in news))
    return (Part(replace(lead.channel, name="served"), "; ".join(part.change for part in news), broken),)


def _served_by(
    comparison: Comparison, key: str, now: Sequence[GradedAnswer], then: Sequence[GradedAnswer]
) -> Part | None:
    """One name of what replies say about who served them; ``None`` if the baseline does not have it."""
    accepted = {value.partition("=")[2] for value in comparison.accepted.get("served", ())
                if value.partition("=")[0] == key}  # fmt: skip
    said = [one for one in now if key in one.served]
    fell = [one for one in said if contract_values.is_fallback(key, one.served[key])]
    if fell and not any(contract_values.is_fallback(key, one.served.get(key, "")) for one in then):
        fell = [one for one in fell if one.served[key] not in accepted]
        change = f"a fallback of the gateway served {len(fell)} of {len(now)} answers ({key})" if fell else ""
        return Part(fact("served", bool(fell), 0, 1, [False]), change, frozenset(id(one) for one in fell))
    before = [one for one in then if key in one.served]
    if "fallback" in key.casefold():
        return Part(fact("served", False, 0, 1, [False])) if before else None
    if not before or not said:
        return None
    return _named(f"served by {key}", said, before, lambda one: one.served[key], accepted)


def _prompt_tokens(comparison: Comparison, now: Sequence[GradedAnswer]) -> Part:
    """Whether the token counts of the same prompts changed. Probes whose count varied in the baseline, or is missing,
    are left out, but count as exceptions among the probes."""
    then = by_probe(comparison.baseline, Arm.SUBJECT)
    counts = {probe: {one.prompt_tokens for one in found} for probe, found in then.items()}
    steady = {
        probe: min(counts[probe]) for probe, found in then.items() if len(found) >= 2 and counts[probe] != {0}
        and len(counts[probe]) == 1
    }  # fmt: skip
    wavering = [one for probe, found in then.items() if len(counts[probe]) > 1 for one in found]
    asked = [one for one in now if one.probe in steady and one.prompt_tokens > 0]
    accepted = comparison.accepted.get("prompt_tokens", ())
    other = [one for one in asked if one.prompt_tokens != steady[one.probe]
             and contract_values.prompt_tokens(one) not in accepted]  # fmt: skip
    days = contract_values.days(wavering, lambda one: f"{one.probe} {one.prompt_tokens}")
    days = {day: days.get(day, set()) for day in {one.slot for found in then.values() for one in found}}
    channel = fact(
        "prompt tokens",
        bool(other),
        len({one.probe for one in wavering}),
        len(then),
        contract_values.alone(days),
    )
    if not other:
        return Part(channel)
    channel = replace(channel, share=len(other) / len(asked))
    probes, first = len({one.probe for one in other}), other[0]
    change = (
        f"prompt tokens of {probes} of {len({one.probe for one in asked})} unchanged prompts, "
        f"e.g. {first.prompt_tokens} instead of {steady[first.probe]} for {first.probe}"
    )
    return Part(channel, change, frozenset(id(one) for one in other))


def _effect(
    now: Sequence[GradedAnswer], then: Sequence[GradedAnswer], broken: frozenset[int], spread: float
) -> tuple[float, float, float]:
    share_now, share_then = (sum(_bad(one, broken) for one in found) / len(found) for found in (now, then))
    return share_now - share_then, *share_difference(share_now, len(now), share_then, len(then), spread)


def _tell(target: str, parts: Sequence[Part], verdict: Verdict, effect: tuple[float, float, float]) -> Told:
    cause = _cause(parts)
    if verdict.evaluation_disagrees:
        news = [part.change for part in parts if part.change and not part.level]
        numbers = "; ".join([*(news or [_NO_NEWS]), *(part.level for part in parts if part.level)])
        return no_longer(f"the endpoint of {target} changed", numbers, verdict, cause=cause)
    if not verdict.alarming:
        return _quiet(target, parts, verdict, effect)
    changed = sorted((part for part in parts if part.changed), key=lambda part: part.channel.name != _EMPTY)
    # evidence that accumulated slowly: no part shows it alone today
    changed = changed or sorted((part for part in parts if part.change), key=lambda part: -part.evaluation_log10)[:1]
    changes = "; ".join(part.change for part in changed)
    if cause is Cause.ANSWERS_EMPTY:
        return alarming(f"Answers of {target} are empty", changes, Advice.READ_EMPTY_REPLIES, cause)
    if cause is Cause.CACHE_STALE:
        return alarming(f"The server's prefix cache changes answers of {target}", changes, Advice.RESET_CACHE, cause)
    return alarming(f"The endpoint of {target} changed", changes, Advice.COMPARE_RELEASES, cause)


def _cause(parts: Sequence[Part]) -> Cause:
    """The cause by what is new in today's replies.

    Empty answers take precedence, because they change whatever is measured on texts. Then a stale cache, because its
    answers are not the model's; then a changed prompt, what became of the answers, and another server or name.
    """
    fresh = {part.channel.name for part in parts if part.channel.score > 0}
    more = {part.channel.name for part in parts if part.gap > 0 and (part.changed or part.gap >= FAR_OFF)}
    if _EMPTY in more:
        return Cause.ANSWERS_EMPTY
    if cache_check.NAME in fresh:
        return Cause.CACHE_STALE
    if "prompt tokens" in fresh:
        return Cause.PROMPT_CHANGED
    far = {part.cause for part in parts if part.changed or abs(part.gap) >= FAR_OFF}
    if of_answers := [cause for cause in (Cause.ANSWERS_REFUSED, Cause.ANSWERS_CUT) if cause in far]:
        return of_answers[0]
    if "served" in fresh:
        return Cause.SERVED_ELSEWHERE
    return Cause.MODEL_RENAMED if fresh & {"model id", "fingerprint"} else Cause.UNKNOWN


def _quiet(target: str, parts: Sequence[Part], verdict: Verdict, effect: tuple[float, float, float]) -> Told:
    """Without an alarm: parts that moved, new values such as the baseline had, or everything unchanged."""
    far = [part for part in parts if abs(part.gap) >= FAR_OFF]
    news = [part.change for part in parts if part.change and not part.level]
    moved = [part for part in parts if part in far or part.changed]
    if not moved and (verdict.moved or (not news and effect[1] > 0)):
        # broken in several parts, or over several evaluations, none of which may show it alone
        moved = [part for part in parts if part.gap]
    if moved:
        what = f"at the endpoint of {target}, {'; '.join(part.change for part in moved)}"
        return quiet_but_moved(what, cause=_cause(parts))
    levels = "; ".join(part.level for part in parts if part.level)
    if news:
        what = "New values, but the baseline also had new values"
        return quiet(what, "; ".join(news), f"Within chance: {levels}.")
    return quiet(_NO_NEWS.capitalize(), "", f"Within chance of the baseline: {levels}.")
