"""Judge: is a lower score about the model, or about the judge?"""

from typing import Any, Final

from dashboards import UIDS
from dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    JOB,
    PLAIN,
    RED,
    Column,
    Query,
    board,
    evidence,
    lines,
    number,
    or_zero,
    selector,
    share_of_threshold,
    timeline,
)
from dashboards.states import ALARMS, ARMS, OUTCOMES, alarm, judged
from dashboards.tables import listing
from monitor.core.limits import PARTLY
from monitor.core.signals import JUDGE_DRIFT

QUESTION: Final = "Is the judge unchanged, or is a lower score the judge's change?"

ITSELF: Final = JOB + ', target="judge"'
DRIFT: Final = ITSELF + f', signal=~"{"|".join(sorted(JUDGE_DRIFT))}"'
"""Only these signals read its verdicts, as in CliffwatchJudgeDrift."""
CHOSEN: Final = JOB + ', target=~"$target", target!="judge"'
CALLS: Final = JOB + ', arm=~"judge-.*"'
"""The judge's calls about the answers of every target."""
NO_ANCHORS: Final = "no anchors: set judge.anchors"
NO_JUDGE: Final = "no judge is configured"
HERE: Final = evidence("/targets/judge")
TO_TARGET: Final = board(UIDS["target"], "What changed, and when", '${__data.fields["Target"]}')


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first row has none."""
    return [
        (None, [*_glance(), *_itself()]),
        ("Scores of the targets", [*_scores()]),
        ("Cost", [*_cost()]),
    ]


def _glance() -> list[Any]:
    agreement, anchored = selector("judge_agreement_ratio", JOB), selector("judge_anchor_timestamp_seconds", JOB)
    return [
        number(
            "Judge", "The model that scores answers.", f"max by (judge) ({agreement})", "none", PLAIN,
            empty=NO_ANCHORS, width=4, legend="{{judge}}", link=HERE,
        ),
        number(
            "Verdict", "Is the judge unchanged? It drifted if its verdicts on answers that a person labelled have "
            "moved. Do not trust score alerts until the cause is known. Runbook: CliffwatchJudgeDrift.",
            f"max({alarm(DRIFT, 'target')})", "none", [(None, GREEN), (1, AMBER)], empty="not measured yet", width=4,
            names={0: ("unchanged", GREEN), 1: ("drifted", AMBER), 2: ("drifted", AMBER)}, link=HERE,
        ),
        number(
            "Agreement", "Share of the anchors on which it agrees with the person who labelled them, in the last run. "
            "Runbook: CliffwatchJudgeDrift.",
            f"min({agreement})", "percentunit", [(None, RED), (0.7, AMBER), (0.85, GREEN)], empty=NO_ANCHORS, width=4,
            decimals=0, link=HERE,
        ),
        number(
            "Anchors last scored", "How long ago the judge last scored its anchors. Runbook: CliffwatchUnmeasured.",
            f"time() - min({anchored})", "s", [(None, GREEN), (2 * 86400, AMBER), (7 * 86400, RED)], empty=NO_ANCHORS,
            width=4, decimals=1, link=HERE,
        ),
        number(
            "Anchors unmeasured", "Share of the last run's anchors on which it gave no usable verdict. "
            "Runbook: CliffwatchUnmeasured.",
            f"max({selector('run_unmeasured_ratio', ITSELF)})", "percentunit",
            [(None, GREEN), (0.05, AMBER), (PARTLY, RED)], empty=NO_ANCHORS, width=4, decimals=0, link=HERE,
        ),
        number(
            "Cost, shown period",
            "US dollars for judging in the shown period, including verdicts on anchors and retries.",
            f"sum(increase({selector('api_spend_usd_total', CALLS)}[$__range])) "
            f"+ ({or_zero(f'''sum(increase({selector('api_spend_usd_total', ITSELF)}[$__range]))''')})",
            "currencyUSD", PLAIN, empty="nothing judged", width=4, decimals=2,
        ),
    ]  # fmt: skip


def _itself() -> list[Any]:
    return [
        lines(
            "Agreement with the people who labelled the anchors",
            "Share of the anchors on which the judge agrees with the person, run by run, and in its approved baseline "
            "(dashed). Anchors never change, so a step is a change of the judge. Runbook: CliffwatchJudgeDrift.",
            [
                Query(selector("judge_agreement_ratio", JOB), "{{judge}}", color=BLUE),
                Query(f"max({selector('pass_ratio_baseline', ITSELF)})", "baseline", "reference", GREEN),
            ],
            "percentunit",
            empty=NO_ANCHORS,
            width=8,
            low=0,
            high=1,
            link=HERE,
        ),
        lines(
            "Evidence that the judge drifted, share of threshold",
            "Evidence for a change of the judge from all evaluations of the anchors, as a share of the threshold "
            "(dashed) at which the signal alarms. Runbook: CliffwatchJudgeDrift.",
            [Query(f"max by (signal) ({share_of_threshold(DRIFT)})", "{{signal}}", color=BLUE)],
            "percentunit",
            empty="no verdict yet: no approved baseline of the anchors",
            width=8,
            low=0,
            marks=[(1, AMBER)],
            link=evidence("/targets/judge/${__field.labels.signal}"),
            decimals=0,
        ),
        timeline(
            "Alarms about the judge",
            "Each signal of the anchors over time. negative_flips: the judge no longer agrees with people. The other "
            "signals show changes of its endpoint, as for any endpoint. Runbook: CliffwatchJudgeDrift.",
            Query(judged(ITSELF), "{{signal}}"),
            ALARMS,
            empty=NO_ANCHORS,
            width=8,
            height=8,
            link=evidence("/targets/judge/${__field.labels.signal}"),
        ),
    ]


def _scores() -> list[Any]:
    now, then = selector("judge_score", CHOSEN), selector("judge_score_baseline", CHOSEN)
    by = "target, suite"
    moved = f"max by ({by}) ({now}) - max by ({by}) ({then})"
    return [
        lines(
            "Did every target's score move at once?",
            "Score now minus the baseline's score, over the chosen targets: median, 10th and 90th percentile. If one "
            "target falls, its model changed; if all fall, suspect the judge. "
            "Runbook: CliffwatchScoreDrop.",
            [
                Query(f"quantile(0.5, {moved})", "median", color=BLUE),
                Query(f"quantile(0.1, {moved})", "lowest tenth", color=RED),
                Query(f"quantile(0.9, {moved})", "highest tenth", color=GREY),
            ],
            "percentunit",
            empty="nothing is judged against a baseline yet",
            width=10,
            height=9,
            marks=[(0, GREY)],
            decimals=0,
        ),
        listing(
            "Score of each target",
            "Mean score now and in the approved baseline, 0 to 1, largest drop first. The target links to its "
            "history. Runbook: CliffwatchScoreDrop.",
            [
                Column("Target", label="target", links=[TO_TARGET]),
                Column("Suite", label="suite"),
                Column("Moved", moved, unit="percentunit", decimals=1, width=90,
                       steps=[(None, RED), (-0.1, AMBER), (-0.05, GREEN)]),
                Column("Now", f"max by ({by}) ({now}) and {moved}", unit="percentunit", decimals=0, width=80),
                Column("Baseline", f"max by ({by}) ({then})", unit="percentunit", decimals=0, width=90),
            ],
            empty="Nothing is judged against a baseline yet.",
            first="Moved",
            descending=False,
            width=14,
        ),
    ]  # fmt: skip


def _cost() -> list[Any]:
    arms, own = selector("api_spend_usd_total", CALLS), selector("api_spend_usd_total", ITSELF)
    requests, tokens = selector("api_requests_total", CALLS), selector("api_tokens_total", CALLS)
    return [
        lines(
            "Dollars per day",
            "Cost of judging in the last 24 hours: answers of the subject, of the base, and the anchors.",
            [
                Query(f"sum by (arm) (increase({arms}[1d]))", "{{arm}}"),
                Query(or_zero(f"sum(increase({own}[1d]))"), "anchors", color=GREY),
            ],
            "currencyUSD",
            empty=NO_JUDGE,
            width=8,
            low=0,
            decimals=2,
            colors=ARMS,
        ),
        lines(
            "Verdicts per day",
            "The judge's calls about answers in the last 24 hours: ok, or why there is no usable verdict.",
            [Query(f"sum by (outcome) (increase({requests}[1d]))", "{{outcome}}")],
            "none",
            empty=NO_JUDGE,
            width=8,
            low=0,
            colors=OUTCOMES,
        ),
        lines(
            "Tokens per day",
            "The judge's tokens in the last 24 hours, prompt and completion.",
            [Query(f"sum by (type) (increase({tokens}[1d]))", "{{type}}")],
            "short",
            empty=NO_JUDGE,
            width=8,
            low=0,
        ),
    ]  # fmt: skip
