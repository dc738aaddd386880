"""The last row of the Target dashboard: what is served, rollback, self-test, and whether it was measured."""

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
"""Matches every fault of the self-test except the control."""


def panels() -> list[Any]:
    retires = f"min by (arm) ({selector('model_retirement_timestamp_seconds', ONE)} - time())"
    info = f"max by (target, model, base_model, baseline) ({selector('target_info', ONE)})"
    checked = f"max by (target) (time() - {selector('identity_checked_timestamp_seconds', ONE)})"
    differs = f"max by (target) (time() - {selector('identity_mismatch_since_timestamp_seconds', ONE)})"
    approved = f"max by (suite) (time() - {selector('baseline_approved_timestamp_seconds', ONE)})"
    return [
        timeline(
            "Served as declared",
            "Each identity check of the served model against its declaration: adapter, base, listed models. "
            "Runbook: CliffwatchIdentityMismatch.",
            Query(f"min by (check) ({selector('identity_match', ONE)})", "{{check}}"),
            MATCHES,
            empty="nothing to check is declared",
            width=12,
            height=8,
            link=HERE,
        ),
        timeline(
            "Answered under the same contract",
            "State of each part of the contract in the last finding: metadata of replies (model id, fingerprint, "
            "prompt tokens of the same prompts), how they end, refusals, empty answers, passed checks. The evidence "
            "page shows old and new values. Runbook: CliffwatchContractChanged.",
            Query(f"max by (part) ({selector('contract_changed', ONE)})", "{{part}}"),
            CHANGES,
            empty="no verdict yet: not armed, or not asked",
            width=12,
            height=8,
            link=evidence("/targets/$target/contract"),
        ),
        lines(
            "Rollback version",
            "Share of a few probes that the snapshot answers, and that it passes (dashed). "
            "Runbook: CliffwatchRollbackNotReady.",
            [
                Query(selector("rollback_answered_ratio", ONE), "answered", color=BLUE),
                Query(selector("rollback_pass_ratio", ONE), "passed", "reference", GREEN),
            ],
            "percentunit",
            empty="no snapshot is configured",
            width=12,
            low=0,
            high=1,
            link=HERE,
        ),
        bars(
            "Time until a model retires",
            "Time until each arm's model retires. Runbook: CliffwatchModelRetiring.",
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
            "Planted faults that were caught",
            "Self-test: share of trials in which a fault planted in copies of stored answers raised an alarm. It makes "
            "no calls. Runbook: CliffwatchSelfTestFailed.",
            Query(selector("selftest_detection_ratio", ONE + NOT_CONTROL), "{{fault}}"),
            "percentunit",
            [(None, AMBER), (CAUGHT, GREEN)],
            empty="not tested yet",
            low=0,
            high=1,
            width=6,
            link=HERE,
        ),
        listing(
            "Models and baselines",
            "The target's model, its base, the ids of the approved baselines, the time since the last identity check "
            "(a ticket opens after two days), and the time since a check fails. "
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
            empty="This target is not monitored.",
            key="target",
            first="Model",
            width=11,
            height=6,
        ),
        listing(
            "Baselines in use",
            "Time since each suite's baseline was approved. A baseline does not expire. Runbook: CliffwatchNotArmed.",
            [
                Column("Suite", label="suite"),
                Column("Approved, ago", approved, unit="s", decimals=1, links=[HERE]),
            ],
            empty="No approved baseline: nothing is compared.",
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
            "Questions of the last finished run without a usable answer. A ticket opens at the dashed line. "
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
            "Since the last usable run",
            "Time since the last usable run, in periods of the suite's schedule. A ticket opens at the dashed line. "
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
