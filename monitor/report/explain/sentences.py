"""A finding's sentences, rendered from its state, cause, advice and the words of its signal.

Pure, and the one home of these sentences: whoever needs a state, a cause or an advice reads the finding's fields.
"""

from collections.abc import Mapping
from typing import Final

from monitor.core.records import Advice, Cause, Finding, FindingState
from monitor.core.wording import power

BELOW: Final = "Below the alarm line, but worth a look"
NO_LOSS: Final = "Not an adapter loss, but worth a look"
RECOVERED: Final = "The looks since the alarm are evidence enough of recovery to clear it."
BOTH_DROPPED: Final = "The base lost most of it too: the judge, or what both arms share, may have changed."

ADVICE: Final[Mapping[Advice, str]] = {
    Advice.NONE: "",
    Advice.WAIT: (
        "The evidence so far is {evidence}, short of the {line} that keep the promised rate of false alarms; each "
        "further scheduled look adds to it."
    ),
    Advice.CHECK_ADAPTER: "Check which adapter the endpoint serves, and whether it is applied.",
    Advice.CHECK_EVERY_REPLICA: "Check which adapter the endpoint serves, on every replica behind it.",
    Advice.CHECK_ADAPTER_AND_ANSWERS: "Check which adapter the endpoint serves, and read the answers.",
    Advice.CHECK_WHAT_BOTH_SHARE: "Look for what both share: a prompt, a template, the serving stack.",
    Advice.READ_ANSWERS: "Read the answers: something else changed.",
    Advice.READ_FAILED_ANSWERS: "Read the answers, then look for a changed model, prompt or adapter.",
    Advice.READ_FLIPPED_ANSWERS: "Read the flipped answers, then look for a changed model, prompt or adapter.",
    Advice.COMPARE_ANSWERS: "Compare the answers, and look for a new model version, prompt, sampling or weights.",
    Advice.COMPARE_SIGNALS: (
        "Something about the model or its serving changed; whether it matters the other signals tell."
    ),
    Advice.FIND_NEW_PROMPT_OR_LIMIT: "Evaluated for a new model version, prompt or token limit.",
    Advice.FIND_NEW_WEIGHTS_OR_TEMPLATE: (
        "Look for other weights, another prompt template or another serving stack: ask the provider what was deployed; "
        "see whether answers changed too."
    ),
    Advice.COMPARE_RELEASES: (
        "Compare its release notes and your deployment with the time of the first such run."
    ),
    Advice.DISTRUST_SCORES: (
        "Trust no score since then, and find out which model answers under the judge's name."
    ),
}  # fmt: skip
"""What to do first, in a sentence."""
OF_SIGNAL: Final[Mapping[tuple[str, Advice], str]] = {
    ("base_match", Advice.CHECK_ADAPTER): "Check which adapter the endpoint serves and whether it is applied.",
}
"""(signal, advice) -> its sentence, where a signal has its own."""


def summary(finding: Finding) -> str:
    """All that the finding says, in sentences that an SRE can act on."""
    return " ".join(filter(None, (claim(finding), then(finding))))


def claim(finding: Finding) -> str:
    """The first sentence: what changed, with its numbers."""
    start, numbers = opening(finding), finding.numbers
    if finding.state is FindingState.LOOK:
        start = f"{start}: {_so_far(finding) if _speaks_of_looks(finding) else finding.what}"
    told = f"{start}: {numbers}" if numbers else start
    return f"{told}." if told else ""


def opening(finding: Finding) -> str:
    """How the first sentence begins, without numbers and without a full stop."""
    if finding.state is FindingState.LOOK:
        return NO_LOSS if is_no_loss(finding) else BELOW
    return _upper(_so_far(finding)) if finding.disagrees else finding.what


def then(finding: Finding) -> str:
    """What follows the first sentence: what it comes from, what to do, and what weakens it; may be empty."""
    shared = finding.signal == "judge_score" and finding.cause is Cause.SHARED_CHANGE
    over = finding.disagrees and finding.recovered
    return " ".join(
        filter(None, (BOTH_DROPPED if shared else "", RECOVERED if over else "", advice(finding), finding.caveat))
    )


def advice(finding: Finding) -> str:
    """What to do first, in a sentence; empty where there is nothing."""
    told = OF_SIGNAL.get((finding.signal, finding.advice), ADVICE[finding.advice])
    return told.format(evidence=power(finding.evidence_log10), line=power(finding.threshold_log10))


def news(finding: Finding) -> tuple[str, str]:
    """What changed, and its numbers, each to stand by itself."""
    if _speaks_of_looks(finding):
        what = _upper(f"the looks so far {_say(finding)} that {finding.what}")
        return what, f"this look alone does not show it{f': {finding.numbers}' if finding.numbers else ''}"
    if finding.state is FindingState.LOOK and not finding.what.startswith(finding.target):
        return _upper(finding.what), finding.numbers
    return finding.what, finding.numbers


def is_no_loss(finding: Finding) -> bool:
    """Whether the answers moved away from the approved ones, but not to the base's: the adapter may well be applied."""
    return finding.signal == "adapter_loss" and finding.cause in (Cause.NOT_ADAPTER_LOSS, Cause.SHARED_CHANGE)


def _speaks_of_looks(finding: Finding) -> bool:
    """Whether it tells what the looks so far say, since this one alone does not show it."""
    return finding.disagrees and not is_no_loss(finding)


def _so_far(finding: Finding) -> str:
    return f"the looks so far {_say(finding)} that {finding.what}; this look alone does not"


def _say(finding: Finding) -> str:
    return "say" if finding.alarming else "suggest"


def _upper(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"
