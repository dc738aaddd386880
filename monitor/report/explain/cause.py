"""Who or what is suspected of a change, and why: the model, the judge, the inputs, the configuration or what is served.

Pure: everything is decided by the finding and its context.
"""

from collections.abc import Collection
from typing import Final

from monitor.core.limits import is_partly
from monitor.core.records import Cause, Finding, IdentityCheck
from monitor.core.run_kinds import run_kind
from monitor.core.signals import ANSWERS, FINE_TUNE
from monitor.core.wording import served
from monitor.report.explain.context import FindingContext

_SAME: Final = "The questions are those of the baseline, so it is not the inputs"
_NAMES: Final = frozenset({"model id", "fingerprint"})
_RENAMED: Final = "Replies name another model or build than in the baseline"


def suspect(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    who, why = _likely(finding, context, see)
    if is_partly(context.lost):
        why += (
            f" {context.lost:.0%} of the run's questions have no answer: there is an outage too; the finding reads "
            f"only what was answered."
        )
    return who, why


def _likely(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    if is_judge_drift(finding):
        return "the judge", "It no longer agrees with people's verdicts, so its scores of every target are in doubt."
    if context.mismatches:
        return "what is served", see or mismatch(context.mismatches[0])
    if finding.signal == "judge_score":
        return _judge_or_model(context)
    if finding.cause is Cause.ADAPTER_LOST:
        return "what is served", _served(finding, context)
    if "prompt tokens" in context.contract:
        return "your own configuration", (
            "The same prompts count another number of tokens: a chat template, system prompt or tokenizer changed."
        )
    if causes := _causes(context):
        return "what is served", _follows(causes)
    if _NAMES & set(context.contract):
        return "the model", f"{_RENAMED}: it was replaced or updated."
    if not run_kind(finding.target, finding.suite).frozen_items:
        return "the inputs or the model", (
            "These are production inputs, which change by themselves. If the suites of fixed probes are quiet, it is "
            "the inputs."
        )
    return "the model", f"{_SAME}: another version, prompt, sampling setting or precision is being served."


def is_judge_drift(finding: Finding) -> bool:
    return finding.cause is Cause.JUDGE_DRIFTED


def mismatch(one: IdentityCheck) -> str:
    """What a failing identity check comes to: in plain words, then in the server's."""
    return f"{served(one.check)}. Declared: {one.expected}; found: {one.found}."


def _served(finding: Finding, context: FindingContext) -> str:
    """What a lost fine-tune comes from, on how much of the traffic, and what else speaks for it."""
    told = f"The adapter is not loaded or not applied, or a route leads to the base: {_traffic(finding)}."
    if run_kind(finding.target, finding.suite).frozen_items:
        told += f" {_SAME}."
    return f"{told} {_RENAMED}." if _NAMES & set(context.contract) else told


def _causes(context: FindingContext) -> Collection[str]:
    """Signs of a lost fine-tune in the same run."""
    return (FINE_TUNE & set(context.moved)) - ({"adapter_loss"} if context.no_loss else set())


def _follows(causes: Collection[str]) -> str:
    """Of a change beside signs of a lost fine-tune: there is one fault, not two."""
    return f"It follows from a lost fine-tune, of which the same run has signs ({', '.join(sorted(causes))})."


def _traffic(finding: Finding) -> str:
    """How much of the traffic is hit."""
    if finding.traffic_share is None:
        return "on part of the sampled traffic"
    if on_all_traffic(finding):
        return "on all sampled traffic"
    least = "at least" if finding.signal == "base_match" else "about"  # the base does not always say the same
    return f"on {least} {finding.traffic_share:.0%} of the sampled traffic"


def on_all_traffic(finding: Finding) -> bool:
    whole = finding.traffic_share is not None and finding.traffic_share >= 1
    # Below the line, the share of answers that come from the base is an estimate with a wide interval.
    return whole and (finding.alarming or finding.signal != "adapter_loss")


def _judge_or_model(context: FindingContext) -> tuple[str, str]:
    if context.judge_drifted:
        return "the judge", "Its agreement with people's verdicts fell too (target judge): look there first."
    if causes := _causes(context):
        return "what is served", _follows(causes)
    others = sorted(set(context.moved) & ANSWERS)
    if others:
        return "the model", f"Signals that ask no judge moved too ({', '.join(others)})."
    return "the judge or the model", (
        "Only the judge's score moved; what is measured without a judge holds. Read the answers that it failed."
    )
