"""The conditions that a baseline fulfils: from its answers, the suite, the configuration and what endpoints accept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from monitor.core.errors import CouldNotMeasure, UsageError
from monitor.core.providers import PROVIDERS
from monitor.core.records import (
    Arm,
    Baseline,
    BaselineStatus,
    Condition,
    ConditionReason,
    ConditionState,
    Holds,
    Sampling,
)

if TYPE_CHECKING:
    from monitor.core.settings import Settings
    from monitor.store import StoreReader

PARAMETERS: Final = ("temperature", "logprobs")
"""Request parameters on which a condition rests."""


def conditions_of(settings: "Settings", store: "StoreReader", baseline: Baseline) -> tuple[ConditionState, ...]:
    """The conditions of a baseline: those stored at its approval; before, determined now from its answers."""
    if baseline.status in (BaselineStatus.APPROVED, BaselineStatus.RETIRED):
        return baseline.conditions
    return determined(settings, store, baseline)


def determined(settings: "Settings", store: "StoreReader", baseline: Baseline) -> tuple[ConditionState, ...]:
    """The conditions of a captured baseline. Reads all of its answers; empty without any."""
    from monitor.detect.conditions import conditions
    from monitor.runs.arming import comparison

    sampling = _sampling(store, baseline)
    compared = comparison(store, baseline, sampling.temperature)
    if not compared.baseline:
        return ()
    return conditions(compared, sampling, lacking(settings, store, baseline.target))


def _sampling(store: "StoreReader", baseline: Baseline) -> Sampling:
    """How the answers were sampled: as in the suite that its runs began with."""
    from monitor.runs.questions import stored_suite

    try:
        return stored_suite(store, store.get_run(baseline.run_ids[0])).sampling if baseline.run_ids else Sampling()
    except CouldNotMeasure:
        return Sampling()


def lacking(settings: "Settings", store: "StoreReader", target: str) -> Mapping[tuple[Arm, str], ConditionReason]:
    """(arm, request parameter) -> why the parameter never reaches the model of a target."""
    configured = settings.targets.get(target)
    found: dict[tuple[Arm, str], ConditionReason] = {}
    arms = {} if configured is None else {Arm.SUBJECT: configured.subject, Arm.BASE: configured.base}
    for arm, endpoint in arms.items():
        if endpoint is None or endpoint.provider not in settings.providers:
            continue
        provider = settings.providers[endpoint.provider]
        accepts = store.capability(endpoint.provider, provider.server, endpoint.model)
        for name in PARAMETERS:
            if name in PROVIDERS[provider.kind].never_sent:
                found[arm, name] = ConditionReason.NEVER_SENT
            elif accepts.get(name) is False:
                found[arm, name] = ConditionReason.REJECTED
    return found


def require_text(baseline: Baseline, found: tuple[ConditionState, ...]) -> None:
    """Raise UsageError if all answers of the subject are empty: nothing could be compared with them."""
    from monitor.core.condition_words import WORDS

    for one in found:
        mine = one.condition is Condition.TEXTS and one.arm is Arm.SUBJECT
        if mine and one.holds is Holds.FAILS and one.count == one.total:
            raise UsageError(
                f"{baseline.target}/{baseline.suite}: baseline {baseline.id} cannot be approved: "
                f"{WORDS[one.condition](one)}. Fix the endpoint or its settings, then capture again; "
                f"`cliffwatch ask {baseline.target} PROBE --debug` shows a whole reply"
            )
