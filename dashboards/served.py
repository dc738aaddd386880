"""The Target dashboard's last row: what is served, could we go back, would a change be seen, was it measured at all?"""

from typing import Any, Final

from dashboards import UIDS
from dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    ONE,
    RED,
    Column,
    Query,
    bars,
    board,
    evidence,
    lines,
    selector,
    timeline,
)
from dashboards.states import CAUGHT, CHANGES, IDENTITY_DAYS, MATCHES, RETIRES_DAYS, limit
from dashboards.tables import listing

HERE: Final = evidence("/targets/$target")
NOT_CONTROL: Final = ', fault!="healthy"'
"""Every fault of the self-test but the one that injects nothing."""


def panels() -> list[Any]:
    retires = f"min by (arm) ({selector('model_retirement_timestamp_seconds', ONE)} - time())"
    info = f"max by (target, model, base_model, baseline) ({selector('target_info', ONE)})"
    checked = f"max by (target) (time() - {selector('identity_checked_timestamp_seconds', ONE)})"
    differs = f"max by (target) (time() - {selector('identity_mismatch_since_timestamp_seconds', ONE)})"
    approved = f"max by (suite) (time() - {selector('baseline_approved_timestamp_seconds', ONE)})"
    return [
        timeline(
            "Served as declared",
            "Each check of what the endpoint says it serves against what is declared: adapter, base, listed models. "
            "Runbook: CliffwatchIdentityMismatch.",
            Query(f"min by (check) ({selector('identity_match', ONE)})", "{{check}}"),
            MATCHES,
            empty="nothing declared that could be checked",
            width=12,
            height=8,
            link=HERE,
        ),
        timeline(
            "Answered under the same contract",
            "What the last finding says of each part of the contract: what replies tell of themselves (model id, "
            "fingerprint, prompt tokens of the same prompts), how they end, refusals, checks that pass. From what to "
            "what stands on the evidence page. Runbook: CliffwatchContractChanged.",
            Query(f"max by (part) ({selector('contract_changed', ONE)})", "{{part}}"),
            CHANGES,
            empty="no verdict yet: not armed, or not asked",
            width=12,
            height=8,
            link=evidence("/targets/$target/contract"),
        ),
        lines(
            "The version to go back to",
            "Share of a few probes that the snapshot answers, and (dashed) that it passes. "
            "Runbook: CliffwatchRollbackNotReady.",
            [
                Query(selector("rollback_answered_ratio", ONE), "answered", color=BLUE),
                Query(selector("rollback_pass_ratio", ONE), "passed", "reference", GREEN),
            ],
            "percentunit",
            empty="no snapshot is named",
            width=12,
            low=0,
            high=1,
            link=HERE,
        ),
        bars(
            "Until a model retires",
            "Time until each arm's model is to be shut down. Runbook: CliffwatchModelRetiring.",
            Query(retires, "{{arm}}"),
            "s",
            [(None, RED), (7 * 86400, AMBER), (RETIRES_DAYS * 86400, GREEN)],
            empty="no date is known",
            low=0,
            high=365 * 86400,
            width=6,
            link=HERE,
        ),
        bars(
            "Injected faults that were caught",
            "Self-test: share of the faults injected into copies of stored answers that raised an alarm; no call is "
            "made. Runbook: CliffwatchSelfTestFailed.",
            Query(selector("selftest_detection_ratio", ONE + NOT_CONTROL), "{{fault}}"),
            "percentunit",
            [(None, AMBER), (CAUGHT, GREEN)],
            empty="not yet tested",
            low=0,
            high=1,
            width=6,
            link=HERE,
        ),
        listing(
            "Who is who",
            "The model that is depended on, the base under it, the ids of the approved baselines, how long ago it "
            "was last checked that they are what is served (from two days on a ticket opens), and since when it is "
            "not. "
            "Runbook: CliffwatchIdentityMismatch.",
            [
                Column("Model", info, label="model"),
                Column("Base", label="base_model"),
                Column("Baselines", label="baseline", links=[HERE], width=85),
                Column(
                    "Checked, ago",
                    checked,
                    unit="s",
                    decimals=1,
                    width=110,
                    steps=[(None, GREEN), (IDENTITY_DAYS * 86400, AMBER)],
                ),
                Column("Differs, for", differs, unit="s", decimals=1, width=95, steps=[(None, RED)]),
            ],
            empty="This target is not watched.",
            key="target",
            first="Model",
            width=11,
            height=6,
        ),
        listing(
            "Baselines in use",
            "How long ago each suite's baseline was approved. One that is old is compared with all the same. "
            "Runbook: CliffwatchNotArmed.",
            [
                Column("Suite", label="suite"),
                Column("Approved, ago", approved, unit="s", decimals=1, links=[HERE]),
            ],
            empty="None is approved: nothing is compared.",
            first="Suite",
            descending=False,
            width=4,
            height=6,
        ),
    ]


def measured() -> list[Any]:
    return [
        lines(
            "Unmeasured share of the last run",
            "Questions of the last finished run without a usable answer; the dashed line is where the ticket opens. "
            "Runbook: CliffwatchUnmeasured.",
            [
                Query(selector("run_unmeasured_ratio", ONE), "{{suite}}", color=BLUE),
                Query(f"min({limit('unmeasured_ratio')})", "ticket", "reference", AMBER),
            ],
            "percentunit",
            empty="nothing asked yet",
            width=4,
            height=6,
            low=0,
            high=1,
            link=HERE,
        ),
        lines(
            "Since the last usable reading",
            "How old it is, in periods of the suite's schedule; the dashed line is where the ticket opens. "
            "Runbook: CliffwatchUnmeasured.",
            [
                Query(
                    f"(time() - {selector('run_last_success_timestamp_seconds', ONE)}) "
                    f"/ {selector('run_interval_seconds', ONE)}",
                    "{{suite}}",
                    color=BLUE,
                ),
                Query(f"min({limit('run_intervals')})", "ticket", "reference", AMBER),
            ],
            "suffix:periods",
            empty="nothing asked yet",
            width=5,
            height=6,
            low=0,
            decimals=1,
            link=board(UIDS["operations"], "Does Cliffwatch work?", "$target"),
        ),
    ]
