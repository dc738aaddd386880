"""A finding's sentences, rendered from its state, cause, advice and the words of its signal.

Pure, and the only place that makes these sentences. Code that needs a state, a cause or an advice reads the finding's
fields.
"""

from collections.abc import Mapping
from typing import Final

from monitor.core.records import Advice, Cause, Finding, FindingState
from monitor.core.signals import FINE_TUNE
from monitor.core.wording import power

BELOW: Final = "Below the alarm threshold, but worth a look"
NO_LOSS: Final = "Not an adapter loss, but worth a look"
UNREADABLE: Final = "Cannot be read"
RECOVERED: Final = "The evaluations since the alarm show enough evidence of recovery to clear it."
BOTH_DROPPED: Final = (
    "The base's score dropped too, by more than half as much: the judge, or something that both share, may have "
    "changed."
)

ADVICE: Final[Mapping[Advice, str]] = {
    Advice.NONE: "",
    Advice.WAIT: (
        "The evidence so far is {evidence}. The threshold that keeps the promised rate of false alarms is {threshold}. "
        "Each further scheduled run updates the evidence."
    ),
    Advice.CHECK_ADAPTER: "Check which adapter the endpoint serves and whether it is applied.",
    Advice.CHECK_BASE: (
        "Check which model answers as the base. If the base is meant to change, capture a new baseline. Otherwise "
        "restore it, because signals that compare with it cannot be trusted."
    ),
    Advice.CHECK_EVERY_REPLICA: "Check which adapter the endpoint serves, on every replica behind it.",
    Advice.CHECK_ADAPTER_AND_ANSWERS: "Check which adapter the endpoint serves, and read the answers.",
    Advice.CHECK_WHAT_BOTH_SHARE: "Check what both share: the prompt, the template, the serving stack.",
    Advice.READ_ANSWERS: "Read the answers: something else changed.",
    Advice.READ_FAILED_ANSWERS: "Read the answers, then check for a changed model, prompt or adapter.",
    Advice.READ_FLIPPED_ANSWERS: "Read the flipped answers, then check for a changed model, prompt or adapter.",
    Advice.FIND_LIMIT: (
        "Find the token limit that cuts the answers: max_tokens in the suite, the server's own limit, a proxy. Compare "
        "with the time of the first run that shows it."
    ),
    Advice.READ_REFUSALS: "Read the refusals, then check for a new content filter, system prompt or model version.",
    Advice.READ_EMPTY_REPLIES: (
        "Run cliffwatch ask TARGET PROBE --debug, which shows the whole reply and where its text is."
    ),
    Advice.FIND_NEW_TEMPLATE: "Check for another chat template, system prompt or tokenizer, then read the answers.",
    Advice.COMPARE_ANSWERS: "Compare the answers, and check for a new model version, prompt, sampling or weights.",
    Advice.COMPARE_SIGNALS: (
        "Something about the model or its serving changed. The other signals show whether it matters."
    ),
    Advice.FIND_NEW_PROMPT_OR_LIMIT: "Check for a new model version, prompt or token limit.",
    Advice.FIND_NEW_WEIGHTS_OR_TEMPLATE: (
        "Check for other weights, another prompt template or another serving stack. Ask the provider what was "
        "deployed. See whether the answers changed too."
    ),
    Advice.RESET_CACHE: (
        "Read both answers: without a salt, users with this prompt get the cached one. Restart the server or reset its "
        "prefix cache, then probe again."
    ),
    Advice.COMPARE_RELEASES: (
        "Compare the release notes and your deployments with the time of the first run that shows the change."
    ),
    Advice.DISTRUST_SCORES: (
        "Do not trust scores since then. Find out which model answers under the judge's name."
    ),
}  # fmt: skip
"""Advice -> what to do first."""

OF_CAUSE: Final[Mapping[Cause, Advice]] = {
    Cause.ANSWERS_CUT: Advice.FIND_LIMIT,
    Cause.ANSWERS_REFUSED: Advice.READ_REFUSALS,
    Cause.ANSWERS_EMPTY: Advice.READ_EMPTY_REPLIES,
    Cause.PROMPT_CHANGED: Advice.FIND_NEW_TEMPLATE,
}
"""Causes that all signals of a run decide together, and that need another first step than the finding alone."""


def summary(finding: Finding) -> str:
    """The whole finding in sentences that an on-call engineer can act on."""
    return " ".join(filter(None, (claim(finding), then(finding))))


def claim(finding: Finding) -> str:
    """The first sentence: what changed, with its numbers."""
    start, numbers = opening(finding), finding.numbers
    if finding.state is FindingState.LOOK:
        start = f"{start}: {_so_far(finding) if _reports_earlier_evaluations(finding) else finding.what}"
    told = f"{start}: {numbers}" if numbers else start
    return f"{told}." if told else ""


def opening(finding: Finding) -> str:
    """How the first sentence begins, without numbers and without a full stop."""
    if finding.state is FindingState.LOOK:
        return UNREADABLE if _rests_on_moved_base(finding) else NO_LOSS if is_no_loss(finding) else BELOW
    return _upper(_so_far(finding)) if finding.disagrees else finding.what


def then(finding: Finding, cause: Cause | None = None) -> str:
    """What follows the first sentence: the cause, what to do, and the caveat; may be empty.

    ``cause``: as all signals of the run decide it; ``None``: the finding is alone.
    """
    shared = finding.signal == "judge_score" and finding.cause is Cause.SHARED_CHANGE
    over = finding.disagrees and finding.recovered
    parts = (BOTH_DROPPED if shared else "", RECOVERED if over else "", _advised(finding, cause), finding.caveat)
    return " ".join(filter(None, parts))


def advice(finding: Finding) -> str:
    """What to do first; empty where there is nothing to do."""
    return ADVICE[finding.advice].format(
        evidence=power(finding.evidence_log10), threshold=power(finding.threshold_log10)
    )


def _advised(finding: Finding, cause: Cause | None) -> str:
    other = OF_CAUSE.get(cause) if cause is not None and finding.alarming and not finding.recovered else None
    return advice(finding) if other is None else ADVICE[other]


def news(finding: Finding) -> tuple[str, str]:
    """What changed, and its numbers; each can be shown alone."""
    if _reports_earlier_evaluations(finding):
        what = _upper(f"the evaluations so far {_say(finding)} that {finding.what}")
        return what, f"this evaluation alone does not show it{f': {finding.numbers}' if finding.numbers else ''}"
    if finding.state is FindingState.LOOK and not finding.what.startswith(finding.target):
        return _upper(finding.what), finding.numbers
    return finding.what, finding.numbers


def is_no_loss(finding: Finding) -> bool:
    """Whether the answers moved away from the approved ones, but not toward the base's: the adapter may be applied."""
    return finding.signal == "adapter_loss" and finding.cause in (Cause.NOT_ADAPTER_LOSS, Cause.SHARED_CHANGE)


def _rests_on_moved_base(finding: Finding) -> bool:
    """Whether it compares with a base that moved while the subject did not, so that it says nothing of the subject."""
    return finding.cause is Cause.BASE_MOVED and finding.signal in FINE_TUNE


def _reports_earlier_evaluations(finding: Finding) -> bool:
    """Whether it reports what the evaluations so far show, because this one alone does not show it."""
    return finding.disagrees and not is_no_loss(finding)


def _so_far(finding: Finding) -> str:
    return f"the evaluations so far {_say(finding)} that {finding.what}; this evaluation alone does not"


def _say(finding: Finding) -> str:
    return "indicate" if finding.alarming else "suggest"


def _upper(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}"
