"""Who or what is suspected of a change, and why: the model, the judge, the inputs, the configuration or what is served.

Pure: everything is decided by the finding and its context.
"""

from collections.abc import Mapping
from typing import Final

from monitor.core.limits import is_partly
from monitor.core.records import Cause, Finding, IdentityCheck
from monitor.core.run_kinds import run_kind
from monitor.core.signals import ANSWERS, FINE_TUNE
from monitor.core.wording import served
from monitor.report.explain import run_cause
from monitor.report.explain.context import FindingContext

_SAME: Final = "The questions are the same as in the baseline, so the inputs did not change"
_NAMES: Final = frozenset({"model id", "fingerprint"})
_RENAMED: Final = "Replies name another model or build than in the baseline"
SUSPECTS: Final[Mapping[Cause, tuple[str, str]]] = {
    Cause.ANSWERS_CUT: (
        "your own configuration",
        "A token limit cuts the answers: more of them end with the finish reason of a limit than in the baseline. The "
        "limit is set in the suite (max_tokens), in the server or in a proxy.",
    ),
    Cause.ANSWERS_REFUSED: (
        "the served model",
        "It refuses more of the questions than in the baseline, or a filter blocks them: a new content filter, system "
        "prompt or model version.",
    ),
    Cause.ANSWERS_EMPTY: (
        "the served model",
        "Its answers have no text: it may have moved to a reasoning field or a tool call.",
    ),
    Cause.PROMPT_CHANGED: (
        "your own configuration",
        "The same prompts have a different token count: a chat template, system prompt or tokenizer changed.",
    ),
    Cause.CACHE_STALE: (
        "the server's prefix cache",
        "The same question has another answer where the cache cannot serve it. The cache keeps what was computed with "
        "other weights or another adapter.",
    ),
    Cause.SERVED_ELSEWHERE: (
        "the served model",
        "Replies or metadata name another deployment, provider or adapter than in the baseline.",
    ),
    Cause.MODEL_RENAMED: ("the model", f"{_RENAMED}: it was replaced or updated."),
    Cause.SAMPLING_CHANGED: (
        "your own configuration",
        "Answers to one prompt differ from each other more, or less, than in the baseline, around the same answers: "
        "the temperature, top-p or another sampling setting changed.",
    ),
    Cause.SHARED_CHANGE: (
        "the model",
        "The base's answers moved too, so the change is in something that both share: the prompt, the chat template, "
        "the sampling settings or the serving stack.",
    ),
    Cause.BASE_MOVED: (
        "the base model",
        "Only the base answers differently than in the baseline. The target answers as approved, so its users are not "
        "affected. Signals that compare with today's base cannot be read.",
    ),
    Cause.ALIAS_MOVED: (
        "the model",
        "It no longer answers like its snapshot, which got the same questions in the same run: its name serves another "
        "version or another configuration.",
    ),
}
"""Cause -> who is suspected, and why. A lost fine-tune has its own words."""


def suspect(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    """Who or what is suspected, and why. ``see``: replaces the text of ``mismatch`` where it is shown elsewhere."""
    who, why = _likely(finding, context, see)
    if is_partly(context.lost):
        why += (
            f" {context.lost:.0%} of the run's questions have no answer, so there is an outage too. The finding covers "
            f"only the answered questions."
        )
    return who, why


def of(finding: Finding, context: FindingContext) -> Cause:
    """The cause of a finding, as all signals of its run decide it."""
    return run_cause.of(finding.signal, {finding.signal: finding}) if context.cause is None else context.cause


def _likely(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    if is_judge_drift(finding):
        return "the judge", "It no longer agrees with people's verdicts, so its scores of every target are in doubt."
    found = of(finding, context)
    if context.mismatches and found is not Cause.BASE_MOVED:
        return "the served model", see or mismatch(context.mismatches[0])
    if finding.signal == "judge_score" and context.judge_drifted:
        return "the judge", "Its agreement with people's verdicts fell too. Check target judge first."
    if found is Cause.ADAPTER_LOST:
        return "the served model", _served(finding, context)
    if found is Cause.NOT_ADAPTER_LOSS:
        return "the model", _unlike_base(finding, context)
    if found in SUSPECTS:
        who, why = SUSPECTS[found]
        shown = found in run_cause.IN_THE_REPLIES and finding.signal != "contract" and context.contract_news
        return who, f"{why} The contract changed: {context.contract_news}." if shown else why
    if "prompt tokens" in context.contract:
        return SUSPECTS[Cause.PROMPT_CHANGED]
    if _NAMES & set(context.contract):
        return SUSPECTS[Cause.MODEL_RENAMED]
    if finding.signal == "judge_score":
        return _judge_or_model(context)
    if not run_kind(finding.target, finding.suite).frozen_items:
        return "the inputs or the model", (
            "These are production inputs, which change by themselves. If the suites of fixed probes are quiet, the "
            "inputs changed."
        )
    return "the model", f"{_SAME}. Another version, prompt, sampling setting or precision is being served."


def is_judge_drift(finding: Finding) -> bool:
    """Whether the finding says that the judge itself changed."""
    return finding.cause is Cause.JUDGE_DRIFTED


def mismatch(one: IdentityCheck) -> str:
    """What a failed identity check means, with the declared and the found value."""
    return f"{served(one.check)}. Declared: {one.expected}; found: {one.found}."


def _served(finding: Finding, context: FindingContext) -> str:
    """What causes a lost fine-tune, how much of the traffic is affected, and what else supports it. For a signal that
    does not compare with the base: which signals show the loss."""
    if finding.signal not in FINE_TUNE and finding.signal != run_cause.LOST:
        signs = ", ".join(sorted(FINE_TUNE & set(context.moved)))
        return f"The likely cause is a lost fine-tune: the same run shows signs of it ({signs})."
    told = "The adapter is not loaded or not applied, or traffic is routed to the base model."
    told += f" Affected: {_traffic(finding)}."
    if run_kind(finding.target, finding.suite).frozen_items:
        told += f" {_SAME}."
    if "prompt tokens" in context.contract:
        told += " The same prompts have a different token count, too: check the chat template first."
    return f"{told} {_RENAMED}." if _NAMES & set(context.contract) else told


def _unlike_base(finding: Finding, context: FindingContext) -> str:
    """What is known of answers that are neither the approved ones nor the base's."""
    told = f" ({context.beside_base})" if context.beside_base else ""
    same = f"{_SAME}. " if run_kind(finding.target, finding.suite).frozen_items else ""
    return (
        f"{same}The answers are not its base model's{told}. Another adapter, scale of the adapter, version, prompt, "
        "sampling setting or precision is being served."
    )


def _traffic(finding: Finding) -> str:
    """How much of the traffic is affected."""
    if finding.traffic_share is None:
        return "part of the sampled traffic"
    if on_all_traffic(finding):
        return "all sampled traffic"
    least = "at least" if finding.signal == "base_match" else "about"  # the base itself varies
    return f"{least} {finding.traffic_share:.0%} of the sampled traffic"


def on_all_traffic(finding: Finding) -> bool:
    """Whether all sampled traffic is affected."""
    whole = finding.traffic_share is not None and finding.traffic_share >= 1
    # Below the threshold, the share of answers that come from the base is an estimate with a wide interval.
    return whole and (finding.alarming or finding.signal != "adapter_loss")


def _judge_or_model(context: FindingContext) -> tuple[str, str]:
    others = sorted(set(context.moved) & ANSWERS)
    if others:
        return "the model", f"Signals that do not use the judge moved too ({', '.join(others)})."
    return "the judge or the model", (
        "Only the judge's score moved. Signals that read the answers without the judge show no change. Read the "
        "answers that the judge failed."
    )
