"""How summaries were worded up to schema 0003, read once and for all: what migration 0004 takes findings apart with.

Frozen: it imports nothing of this program, so that no later wording moves what is made of an old store.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

_BELOW: Final = "Below the alarm line, but worth a look: "
_NO_LOSS: Final = "Not an adapter loss, but worth a look: "
_SAY: Final = "The looks so far say that "
_SUGGEST: Final = "the looks so far suggest that "
_NOT_ALONE: Final = "; this look alone does not: "
_RECOVERED: Final = " The looks since the alarm are evidence enough of recovery to clear it."
_BOTH_DROPPED: Final = " The base lost most of it too: the judge, or what both arms share, may have changed."
_NEWS: Final = ". Within chance"
_UNARMED: Final = {True: " A ticket, not a page: ", False: " (A ticket at most, not a page: "}
"""By whether the finding alarms."""
_WAIT: Final = re.compile(
    r" The evidence so far is [\d,^ to]+, short of the [\d,^ to]+ that keep the promised rate of false alarms; each "
    r"further scheduled look adds to it\.$"
)
_SENTENCE_END: Final = re.compile(r"(?<!e\.g)\. (?=[A-Z])")
_SHARE: Final = re.compile(r"about (\d+)% of the answers come from the base")
_ADVICE: Final = {
    "check_adapter": "Check which adapter the endpoint serves, and whether it is applied.",
    "check_every_replica": "Check which adapter the endpoint serves, on every replica behind it.",
    "check_adapter_and_answers": "Check which adapter the endpoint serves, and read the answers.",
    "check_what_both_share": "Look for what both share: a prompt, a template, the serving stack.",
    "read_answers": "Read the answers: something else changed.",
    "read_failed_answers": "Read the answers, then look for a changed model, prompt or adapter.",
    "read_flipped_answers": "Read the flipped answers, then look for a changed model, prompt or adapter.",
    "compare_answers": "Compare the answers, and look for a new model version, prompt, sampling or weights.",
    "compare_signals": "Something about the model or its serving changed; whether it matters the other signals tell.",
    "find_new_prompt_or_limit": "Look for a new model version, prompt or token limit.",
    "find_new_weights_or_template": (
        "Look for other weights, another prompt template or another serving stack: ask the provider what was deployed; "
        "see whether answers changed too."
    ),
    "compare_releases": "Compare its release notes and your deployment with the time of the first such run.",
    "distrust_scores": "Trust no score since then, and find out which model answers under the judge's name.",
}
_BASE_MATCH: Final = "Check which adapter the endpoint serves and whether it is applied."
_NOTES: Final = {
    "A fresh sample, asked at once, agrees.": "fresh_sample",
    "A later look agrees.": "later_look",
    "A fresh sample, asked at once, does not agree: a ticket, not a page, until one does.": "fresh_sample_disagrees",
    "It rests on the judge's verdicts, and the judge itself moved: a ticket, not a page, until it is back.": (
        "judge_moved"
    ),
    "Not confirmed: no fresh sample could be asked (budget spent, or no answer).": "not_asked",
}


@dataclass(frozen=True)
class Row:
    """What of a stored finding its summary is read with; a number that could not be had is None."""

    target: str
    signal: str
    alarming: bool
    recovered: bool
    effect: float | None
    effect_high: float | None
    evidence_log10: float | None
    line_log10: float | None
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Parts:
    """The columns that came with 0004."""

    state: str
    what: str
    numbers: str = ""
    cause: str = "unknown"
    advice: str = "none"
    traffic_share: float | None = None
    disagrees: bool = False
    caveat: str = ""


def confirmation(note: str | None) -> str | None:
    """What an alarm's note says of its confirmation; ``None`` where it says nothing known."""
    return _NOTES.get(note or "")


def read(summary: str, row: Row) -> Parts:
    """The parts of a summary. Text of an unknown form stays whole in ``what``, with its further sentences in
    ``caveat``."""
    look = not row.alarming and summary.startswith((_BELOW, _NO_LOSS))
    state = "alarming" if row.alarming else "look" if look else "quiet"
    body = summary.partition(": ")[2] if look else summary
    body, caveat = _caveat(body.strip(), row.alarming)
    if state == "quiet":
        first, _, levels = body.partition(_NEWS) if row.signal == "contract" else (body, "", "")
        return _split(Parts(state, first, caveat=f"{_NEWS[2:]}{levels}" if levels else caveat))
    told = _moved(body, state, row.signal)
    told = replace(told, caveat=" ".join(filter(None, (told.caveat, caveat))))
    cause = _cause(told, summary, row)
    return replace(told, cause=cause, traffic_share=_traffic_share(summary, cause, row))


def _caveat(body: str, alarming: bool) -> tuple[str, str]:
    """Body and why it is no page, which stands last."""
    before, mark, why = body.rpartition(_UNARMED[alarming])
    return (before, f"{mark.strip()} {why}") if mark else (body, "")


def _moved(body: str, state: str, signal: str) -> Parts:
    body, advice = _advice(body, signal)
    start = _SAY if state == "alarming" else _SUGGEST
    if body.startswith(start) and _NOT_ALONE in body:
        what, _, numbers = body.removeprefix(start).partition(_NOT_ALONE)
        numbers, more = _sentence_and_more(numbers, whole=advice != "none" or signal == "contract")
        return Parts(state, what, numbers, advice=advice, disagrees=True, caveat=more)
    shared = signal == "judge_score" and body.endswith(_BOTH_DROPPED)
    told = _split(Parts(state, body.removesuffix(_BOTH_DROPPED) if shared else body, advice=advice))
    return replace(told, cause="shared_change") if shared else told


def _advice(body: str, signal: str) -> tuple[str, str]:
    """The text before the advice, and the advice that stands last."""
    if waits := _WAIT.search(body):
        return body[: waits.start()], "wait"
    if body.endswith(_RECOVERED):
        return body.removesuffix(_RECOVERED), "none"
    for advice, sentence in _ADVICE.items():
        said = _BASE_MATCH if (signal, advice) == ("base_match", "check_adapter") else sentence
        if body.endswith(f" {said}"):
            return body.removesuffix(f" {said}"), advice
    return body, "none"


def _split(told: Parts) -> Parts:
    """Its first sentence into claim and numbers; what follows goes before the caveat."""
    first, more = _sentence_and_more(told.what, whole=told.advice != "none")
    what, _, numbers = first.partition(": ")
    return replace(told, what=what, numbers=numbers, caveat=" ".join(filter(None, (more, told.caveat))))


def _sentence_and_more(text: str, *, whole: bool) -> tuple[str, str]:
    """The first sentence without its full stop, and those after it. ``whole``: there are none; what looks like one is
    part of a name that a reply chose."""
    first, *others = [text] if whole else _SENTENCE_END.split(text)
    return first.removesuffix("."), ". ".join(others)


def _cause(told: Parts, summary: str, row: Row) -> str:
    if row.signal == "adapter_loss" and summary.startswith(_NO_LOSS):
        return "shared_change" if " and of its base, asked beside them, " in told.what else "not_adapter_loss"
    if row.signal in ("adapter_loss", "base_match", "canaries"):
        return "adapter_lost"
    if (row.target, row.signal) == ("judge", "negative_flips"):
        return "judge_drifted"
    if row.signal == "contract":
        fresh = {name for name, score in row.scores.items() if score > 0}
        named = "model_renamed" if fresh & {"model id", "fingerprint"} else "unknown"
        return "prompt_changed" if "prompt tokens" in fresh else named
    return told.cause


def _traffic_share(summary: str, cause: str, row: Row) -> float | None:
    if cause != "adapter_lost":
        return None
    if share := _SHARE.search(summary):
        return int(share[1]) / 100
    if row.effect is None:
        return None
    if row.signal == "adapter_loss":
        return 1.0 if row.effect < 0.5 else None
    if row.signal == "canaries" and row.effect >= 0.95 and (row.effect_high or 0.0) >= 0.995:
        return 1.0
    return round(100 * row.effect) / 100 if row.effect >= 0.05 else None


def write(told: Parts, row: Row) -> str:
    """The summary of the parts, as it was up to 0003."""
    no_loss = row.signal == "adapter_loss" and told.cause in ("not_adapter_loss", "shared_change")
    looks = told.disagrees and not no_loss
    start = (_NO_LOSS if no_loss else _BELOW) if told.state == "look" else ""
    say = _SAY if told.state == "alarming" else _SUGGEST
    join = _NOT_ALONE if looks else ": "
    first = f"{start}{say if looks else ''}{told.what}{f'{join}{told.numbers}' if told.numbers else ''}"
    shared = _BOTH_DROPPED if row.signal == "judge_score" and told.cause == "shared_change" else ""
    over = _RECOVERED if told.disagrees and row.recovered else ""
    rest = " ".join(filter(None, (shared.strip(), over.strip(), _sentence(told.advice, row), told.caveat)))
    return " ".join(filter(None, (f"{first}." if first else "", rest)))


def _sentence(advice: str, row: Row) -> str:
    if advice == "wait":
        return (
            f"The evidence so far is {_power(row.evidence_log10)}, short of the {_power(row.line_log10)} that keep the "
            f"promised rate of false alarms; each further scheduled look adds to it."
        )
    if (row.signal, advice) == ("base_match", "check_adapter"):
        return _BASE_MATCH
    return _ADVICE.get(advice, "")


def _power(log10: float | None) -> str:
    size = abs(log10 or 0.0)
    odds = f"10^{size:.0f}" if size >= 6 else f"{10**size:,.0f}"
    return f"{odds} to 1" if (log10 or 0.0) >= 0 else f"1 to {odds}"
