"""The cause of a change, from all signals of a run together: what the evidence says, not the name of the alert."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import pytest

from monitor.core.records import Advice, Cause, Finding, FindingState, Severity
from monitor.core.signals import CATALOGUE, FINE_TUNE
from monitor.report.explain import cause as causes
from monitor.report.explain import run_cause
from monitor.report.explain.claim import claim
from monitor.report.explain.context import FindingContext, with_heads

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Q, L, A = FindingState.QUIET, FindingState.LOOK, FindingState.ALARMING


@dataclass(frozen=True)
class One:
    state: FindingState
    cause: Cause = Cause.UNKNOWN


LOSS, LOOKS_LOST = One(A, Cause.ADAPTER_LOST), One(L, Cause.ADAPTER_LOST)
AWAY, BOTH = One(L, Cause.NOT_ADAPTER_LOSS), One(L, Cause.SHARED_CHANGE)
CUT, REFUSED, EMPTY = (One(A, one) for one in (Cause.ANSWERS_CUT, Cause.ANSWERS_REFUSED, Cause.ANSWERS_EMPTY))
TEMPLATE, RENAMED = One(A, Cause.PROMPT_CHANGED), One(L, Cause.MODEL_RENAMED)
ELSEWHERE, BASE = One(L, Cause.SERVED_ELSEWHERE), One(A, Cause.BASE_MOVED)
SAMPLED = One(A, Cause.SAMPLING_CHANGED)
FAILS = One(A)
OLD_FAILS = One(A, Cause.ADAPTER_LOST)
"""As a version stored it that took failed canaries for a lost fine-tune."""


@pytest.mark.parametrize(
    ("found", "decided"),
    [
        ({}, Cause.UNKNOWN),
        ({"adapter_loss": One(Q), "canaries": One(Q)}, Cause.UNKNOWN),
        # whose answers they are
        ({"adapter_loss": LOSS}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOSS, "canaries": FAILS, "negative_flips": FAILS}, Cause.ADAPTER_LOST),
        ({"adapter_loss": One(Q), "base_match": LOSS, "canaries": FAILS}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOOKS_LOST, "canaries": FAILS}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOSS, "contract": RENAMED}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOSS, "contract": CUT}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOSS, "contract": TEMPLATE}, Cause.ADAPTER_LOST),
        ({"adapter_loss": LOSS, "base_drift": BASE}, Cause.ADAPTER_LOST),
        # canaries alone say nothing about whose answers came
        ({"canaries": FAILS}, Cause.UNKNOWN),
        ({"canaries": OLD_FAILS}, Cause.UNKNOWN),
        ({"adapter_loss": One(Q), "canaries": OLD_FAILS}, Cause.NOT_ADAPTER_LOSS),
        ({"adapter_loss": AWAY, "canaries": FAILS, "negative_flips": FAILS}, Cause.NOT_ADAPTER_LOSS),
        ({"adapter_loss": AWAY}, Cause.NOT_ADAPTER_LOSS),
        # no whole answer to compare
        ({"adapter_loss": One(Q), "canaries": FAILS, "contract": CUT}, Cause.ANSWERS_CUT),
        ({"adapter_loss": AWAY, "canaries": FAILS, "contract": REFUSED}, Cause.ANSWERS_REFUSED),
        ({"adapter_loss": LOOKS_LOST, "canaries": FAILS, "contract": EMPTY}, Cause.ANSWERS_EMPTY),
        ({"contract": One(Q, Cause.ANSWERS_CUT), "canaries": FAILS}, Cause.UNKNOWN),
        # what the replies say
        ({"adapter_loss": AWAY, "canaries": FAILS, "contract": TEMPLATE}, Cause.PROMPT_CHANGED),
        ({"adapter_loss": LOOKS_LOST, "contract": TEMPLATE}, Cause.ADAPTER_LOST),
        ({"distribution": FAILS, "contract": RENAMED}, Cause.MODEL_RENAMED),
        ({"canaries": FAILS, "contract": ELSEWHERE}, Cause.SERVED_ELSEWHERE),
        ({"canaries": FAILS, "adapter_loss": AWAY, "distribution": SAMPLED}, Cause.SAMPLING_CHANGED),
        ({"adapter_loss": BOTH, "distribution": SAMPLED}, Cause.SAMPLING_CHANGED),
        ({"adapter_loss": LOOKS_LOST, "distribution": SAMPLED}, Cause.ADAPTER_LOST),
        # the base
        ({"base_drift": BASE, "adapter_loss": One(Q)}, Cause.BASE_MOVED),
        ({"base_drift": BASE, "base_match": One(L, Cause.BASE_MOVED)}, Cause.BASE_MOVED),
        ({"base_drift": BASE, "adapter_loss": One(Q), "canaries": FAILS}, Cause.NOT_ADAPTER_LOSS),
        ({"base_drift": BASE, "length": FAILS}, Cause.UNKNOWN),
        ({"adapter_loss": BOTH, "base_drift": One(A, Cause.SHARED_CHANGE), "canaries": FAILS}, Cause.SHARED_CHANGE),
        # the judge's scores of both arms may be the judge's own
        ({"judge_score": One(L, Cause.SHARED_CHANGE)}, Cause.UNKNOWN),
    ],
)
def test_the_evidence_of_all_signals_decides(found: dict[str, One], decided: Cause) -> None:
    assert run_cause.decide(found) is decided


def test_only_signals_that_compare_with_the_base_can_say_that_the_fine_tune_is_lost() -> None:
    """Over every combination: whatever else alarms, and whatever cause it was stored with."""
    others = [one.name for one in CATALOGUE if one.name not in FINE_TUNE]
    for states in product((None, One(A), One(A, Cause.ADAPTER_LOST)), repeat=4):
        found = {name: one for name, one in zip(["adapter_loss", *others], [One(Q), *states], strict=False) if one}
        assert run_cause.decide(found) is not Cause.ADAPTER_LOST, found


def test_what_is_about_the_base_stays_so_whatever_the_subject_does() -> None:
    found = {"base_drift": BASE, "adapter_loss": LOSS}
    assert run_cause.of("base_drift", found) is Cause.BASE_MOVED
    assert run_cause.of("adapter_loss", found) is Cause.ADAPTER_LOST


@pytest.mark.parametrize("decided", Cause)
def test_every_cause_is_said_in_words(decided: Cause) -> None:
    for signal in ("canaries", "negative_flips", "adapter_loss", "base_drift", "length"):
        own = Cause.JUDGE_DRIFTED if decided is Cause.JUDGE_DRIFTED else Cause.UNKNOWN
        who, why = causes.suspect(finding(signal, A, own), FindingContext(cause=decided), "")
        assert who
        assert why.endswith(".")
        lost = "adapter is not loaded" in why or "lost fine-tune" in why
        assert lost == (decided is Cause.ADAPTER_LOST), why


def finding(signal: str, state: FindingState, cause: Cause = Cause.UNKNOWN, numbers: str = "") -> Finding:
    return Finding(
        3, "desk", "support", signal, Severity.PAGE, state, 0.9, 0.8, 1.0, "share", 7.4, 7.1, 4.0, 2, 26, 260, NOW, NOW,
        f"desk changed ({signal})", cause=cause, numbers=numbers,
        advice=Advice.READ_FAILED_ANSWERS if state is A else Advice.NONE,
    )  # fmt: skip


def test_the_page_of_failed_canaries_says_what_all_signals_know() -> None:
    """A token cap: every answer is cut, none is nearer to the base's."""
    near = "87% of the fine-tune's effect is left. 0 of 26 answers are nearer to the base than to the approved answers"
    canaries = finding("canaries", A)
    heads = [
        canaries,
        finding("adapter_loss", Q, numbers=near),
        finding("negative_flips", A),
        finding("contract", A, Cause.ANSWERS_CUT, "finish reason 'stop' on 0% of answers (now also 'length')"),
    ]
    for one in (heads[0], heads[2]):
        told = claim(one, with_heads(FindingContext(), one, heads))
        assert told.suspect == "your own configuration"
        assert told.why.startswith("A token limit cuts the answers")
        assert told.why.endswith("The contract changed: finish reason 'stop' on 0% of answers (now also 'length').")
        assert told.now.startswith("Find the token limit")
    assert claim(canaries, with_heads(FindingContext(), canaries, heads)).runbook == "CliffwatchFineTuneBroken"
    alone = claim(canaries, with_heads(FindingContext(), canaries, heads[:2]))
    assert f"The answers are not its base model's ({near})" in alone.why
    assert "adapter is not loaded" not in alone.why
    lost = [canaries, finding("adapter_loss", A, Cause.ADAPTER_LOST)]
    both = claim(canaries, with_heads(FindingContext(), canaries, lost))
    assert both.runbook == "CliffwatchFineTuneLost"
    assert both.why.startswith("The adapter is not loaded or not applied")
