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

_SAME: Final = "The questions are the same as in the baseline, so the inputs did not change"
_NAMES: Final = frozenset({"model id", "fingerprint"})
_RENAMED: Final = "Replies name another model or build than in the baseline"


def suspect(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    """Who or what is suspected, and why. ``see``: replaces the text of ``mismatch`` where it is shown elsewhere."""
    who, why = _likely(finding, context, see)
    if is_partly(context.lost):
        why += (
            f" {context.lost:.0%} of the run's questions have no answer, so there is an outage too. The finding covers "
            f"only the answered questions."
        )
    return who, why


def _likely(finding: Finding, context: FindingContext, see: str) -> tuple[str, str]:
    if is_judge_drift(finding):
        return "the judge", "It no longer agrees with people's verdicts, so its scores of every target are in doubt."
    if context.mismatches:
        return "the served model", see or mismatch(context.mismatches[0])
    if finding.signal == "judge_score":
        return _judge_or_model(context)
    if finding.cause is Cause.ADAPTER_LOST:
        return "the served model", _served(finding, context)
    if "prompt tokens" in context.contract:
        return "your own configuration", (
            "The same prompts have a different token count: a chat template, system prompt or tokenizer changed."
        )
    if causes := _causes(context):
        return "the served model", _follows(causes)
    if _NAMES & set(context.contract):
        return "the model", f"{_RENAMED}: it was replaced or updated."
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
    """What causes a lost fine-tune, how much of the traffic is affected, and what else supports it."""
    told = "The adapter is not loaded or not applied, or traffic is routed to the base model."
    told += f" Affected: {_traffic(finding)}."
    if run_kind(finding.target, finding.suite).frozen_items:
        told += f" {_SAME}."
    return f"{told} {_RENAMED}." if _NAMES & set(context.contract) else told


def _causes(context: FindingContext) -> Collection[str]:
    """Signs of a lost fine-tune in the same run."""
    return (FINE_TUNE & set(context.moved)) - ({"adapter_loss"} if context.no_loss else set())


def _follows(causes: Collection[str]) -> str:
    """Why a change is a consequence of a lost fine-tune whose signs are in the same run: one fault, not two."""
    return f"The likely cause is a lost fine-tune: the same run shows signs of it ({', '.join(sorted(causes))})."


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
    if context.judge_drifted:
        return "the judge", "Its agreement with people's verdicts fell too. Check target judge first."
    if causes := _causes(context):
        return "the served model", _follows(causes)
    others = sorted(set(context.moved) & ANSWERS)
    if others:
        return "the model", f"Signals that do not use the judge moved too ({', '.join(others)})."
    return "the judge or the model", (
        "Only the judge's score moved. Signals that read the answers without the judge show no change. Read the "
        "answers that the judge failed."
    )
