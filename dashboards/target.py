"""Target: what changed, when, and with what evidence?"""

from collections.abc import Mapping
from itertools import cycle
from typing import Any, Final

from dashboards import UIDS, served
from dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    NEAR,
    ONE,
    RED,
    VIOLET,
    Column,
    Query,
    board,
    evidence,
    lines,
    number,
    one_of,
    runbooks_of,
    selector,
    share_of_threshold,
    timeline,
)
from dashboards.served import HERE, NOT_CONTROL
from dashboards.states import ALARMS, CAUGHT, MATCHES, READY, STATES, judged, state
from dashboards.tables import listing
from monitor.core.limits import PARTLY
from monitor.core.records import Severity
from monitor.core.signals import CATALOGUE, TITLES, Scale, of_severity

QUESTION: Final = "What changed about this target, when, and with what evidence?"

PAGING: Final = one_of(one.name for one in of_severity(Severity.PAGE))
PAGE_SIGNALS: Final = f'signal=~"{PAGING}"'
TICKET_SIGNALS: Final = f'signal!~"{PAGING}"'
SERIES: Final = evidence("/targets/$target/${__field.labels.signal}")
"""Link from a series of a signal to its evidence page."""
ROW: Final = evidence('/targets/$target/${__data.fields["Signal"]}')
UNREAD: Final = "no verdict yet: not armed, or not asked"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first row has none."""
    return [
        (None, [*_glance(), _signals(), _alarms(), _told()]),
        ("How strong is the evidence?", [*_evidences(), _effects()]),
        ("Baseline, now and base", [*_fine_tune(), *_scores(), *_lengths()]),
        ("Is it served as declared, and can you roll back?", [*served.panels(), *served.measured()]),
    ]


def _glance() -> list[Any]:
    raised = selector("alarm_raised_timestamp_seconds", ONE)
    return [
        number(
            "Needs", "What this target needs most urgently.", f"max({state(ONE)})", "none",
            [(None, GREY)], empty="not monitored", names=STATES, link=HERE,
        ),
        number(
            "Raised for", "Time since the oldest open alarm was raised.", f"time() - min({raised})", "s",
            [(None, RED)], empty="no alarm", link=HERE, decimals=1,
        ),
        number(
            "Fine-tune left",
            "Its effect now as a share of its approved effect, in the worst suite. 100 %: as approved. 0 %: answers "
            "like the base. Runbook: CliffwatchFineTuneLost.",
            f"min({selector('adapter_effect_ratio', ONE)})", "percentunit",
            [(None, RED), (0.5, AMBER), (0.8, GREEN)], empty="no fine-tune",
            link=evidence("/targets/$target/adapter_loss"), decimals=0,
        ),
        number(
            "Unmeasured",
            "Share of the last run's questions without a usable answer, in the worst suite. An outage never counts as "
            "a measurement. "
            "Runbook: CliffwatchUnmeasured.",
            f"max({selector('run_unmeasured_ratio', ONE)})", "percentunit",
            [(None, GREEN), (0.05, AMBER), (PARTLY, VIOLET)], empty="never asked", decimals=0, link=HERE,
        ),
        number(
            "Baseline", "Does every suite have an approved baseline? Without one it is not compared. "
            "Runbook: CliffwatchNotArmed.",
            f"min(max by (suite) ({_approved()}))", "none", [(None, GREEN)], empty="not armed",
            names={1: ("armed", GREEN), 0: ("not armed", AMBER)}, link=HERE,
        ),
        number(
            "Served", "Is the served model as declared? Shows the worst of all checks. The link shows what was "
            "declared and what was found. Runbook: CliffwatchIdentityMismatch.",
            f"bottomk(1, min by (check) ({selector('identity_match', ONE)}))", "none", [(None, GREY)],
            empty="not checked", names=MATCHES, link=HERE, legend="{{check}}", both=True,
        ),
        number(
            "Rollback", "Does the rollback version still answer, and pass its checks? "
            "Runbook: CliffwatchRollbackNotReady.",
            f"min({selector('rollback_ready', ONE)})", "none", [(None, GREY)], empty="no snapshot", names=READY,
            link=HERE,
        ),
        number(
            "Self-test",
            "Share of trials in which a planted fault was caught, for the fault that was caught least. "
            "Runbook: CliffwatchSelfTestFailed.",
            f"min({selector('selftest_detection_ratio', ONE + NOT_CONTROL)})", "percentunit",
            [(None, AMBER), (CAUGHT, GREEN)], empty="not tested yet", decimals=0, link=HERE,
        ),
    ]  # fmt: skip


def _approved() -> str:
    status = ', status="approved"'
    return selector("baselines", ONE + status)


def _signals() -> Any:
    began, healthy = (
        f"max by (signal) (time() - {selector(f'alarm_{one}_timestamp_seconds', ONE)})"
        for one in ("began", "last_healthy")
    )
    return listing(
        "Signals",
        "Each signal with a verdict, alarms first. The change happened between the last healthy evaluation and the "
        "first one with evidence of it: check which deployment happened in between. The bar is the evidence as a share "
        "of its threshold, in the suite nearest to it. The signal links to the answers that show the change.",
        [
            Column("State", judged(ONE), names=ALARMS, width=85),
            Column("Signal", label="signal", links=[ROW], width=130),
            Column("Name", f'label_join({_near()}, "what", "", "signal")', label="what", words=TITLES, width=185),
            Column("Healthy, ago", healthy, unit="s", decimals=1, width=100),
            Column("Began, ago", began, unit="s", decimals=1, width=95),
            Column("Of threshold", _near(), unit="percentunit", decimals=0, gauge=(0, 1), steps=NEAR),
        ],
        empty=UNREAD,
        key="signal",
        first="State",
        width=12,
        height=11,
    )  # fmt: skip


def _near() -> str:
    return f"max by (signal) ({share_of_threshold(ONE)})"


def _alarms() -> Any:
    return timeline(
        "Alarms",
        "Each signal over time: shown as raised from its confirmation until the answers are evidence of recovery, or "
        "until a person clears it.",
        Query(judged(ONE), "{{signal}}"),
        ALARMS,
        empty=UNREAD,
        height=11,
        link=SERIES,
    )


def _told() -> Any:
    labels, told = "signal, what, how_bad, cause, advice", selector("alarm_info", f'{ONE}, signal!=""')
    return listing(
        "Alert texts",
        "The text of each alert about a verdict or an identity check of this target, as in its notification and on its "
        "evidence page.",
        [
            Column("Signal", label="signal", links=[ROW], width=110),
            Column("Began, ago", f"max by ({labels}) (time() - {told})", unit="s", decimals=1,
                   width=95),
            Column("What changed", label="what"),
            Column("How bad", label="how_bad"),
            Column("Likely at fault", label="cause"),
            Column("Do first", label="advice"),
        ],
        empty="no alarm",
        first="Began, ago",
        height=7,
    )  # fmt: skip


def _evidences() -> list[Any]:
    return [
        lines(
            f"Evidence, share of threshold: {kind}",
            "Evidence for a change from all evaluations since the baseline, as a share of the threshold (dashed) at "
            "which the signal alarms by itself. It is valid at any time. " + runbooks,
            [Query(f"max by (signal) ({share_of_threshold(f'{ONE}, {signals}')})", "{{signal}}")],
            "percentunit",
            empty=UNREAD,
            width=7,
            height=9,
            low=0,
            marks=[(1, color)],
            link=SERIES,
            decimals=0,
            colors=LOOKS,
        )
        for kind, signals, color, runbooks in (
            ("signals that page", PAGE_SIGNALS, RED, runbooks_of(Severity.PAGE)),
            ("signals that open a ticket", TICKET_SIGNALS, AMBER, runbooks_of(Severity.TICKET)),
        )
    ]


COLORS: Final[Mapping[Severity, tuple[str, ...]]] = {
    Severity.PAGE: (RED, "#ff780a", "#8ab8ff", "#f2cc0c", "#b877d9", "#5794f2", "#a16a3c"),
    Severity.TICKET: ("#8ab8ff", "#b877d9", "#5794f2", "#f2cc0c", "#ff780a", RED, "#a16a3c"),
}
"""Colours of signals, in their order. Green is not used, because it would read as healthy."""
LOOKS: Final = {
    one.name: color
    for severity, colors in COLORS.items()
    for one, color in zip(of_severity(severity), cycle(colors), strict=False)
}
"""Signal -> its colour."""

CHANGED: Final = {one.name: one.effect.change for one in CATALOGUE if one.effect.change}
"""Signal -> the quantity of which its effect is a share."""
RATIOS: Final = [one.name for one in CATALOGUE if one.effect.reference]
"""Signals whose effect is a ratio, with 1 as in the baseline."""
DISTANCES: Final = [one.name for one in CATALOGUE if one.effect.scale is Scale.DISTANCE and one.effect.at_least_none]
"""Signals whose effect is below 0 by chance alone."""
MOST_TIMES: Final = 10
"""Largest change of a ratio that is shown: of a spread that was nearly 0, more has no meaning."""
OTHERS: Final = [one.name for one in CATALOGUE if one.effect.scale is Scale.OTHER]
"""Signals whose effect is not a share."""


def _effects() -> Any:
    ratio = f', signal=~"{one_of(RATIOS)}"'
    distance = f', signal=~"{one_of(DISTANCES)}"'
    share = f', signal!~"{one_of([*RATIOS, *DISTANCES, *OTHERS])}"'

    def moved(metric: str) -> str:
        change = (
            f"clamp({selector(metric, ONE + ratio)} - 1, -1, {MOST_TIMES}) "
            f"or clamp_min({selector(metric, ONE + distance)}, 0) or {selector(metric, ONE + share)}"
        )
        return f'label_join(max by (suite, signal) ({change}), "what", "", "signal")'

    near = f"0 * {moved('effect')} + on (signal) group_left max by (signal) ({share_of_threshold(ONE)})"
    return listing(
        "How large is it?",
        "Difference of each signal's last finding from the approved baseline, with its 95 % interval; the signal "
        f"nearest to its threshold first. In percent of the baseline, at most {MOST_TIMES * 100:,}, for "
        f"{' and '.join(RATIOS)}, in percentage points for the others. "
        f"Not listed, because its effect has another unit: {', '.join(OTHERS)}. See its page.",
        [
            Column("Suite", label="suite", width=75),
            Column("Change", moved("effect"), unit="percentunit", decimals=0, width=75),
            Column("in", label="what", words=CHANGED),
            Column("from", moved("effect_low"), unit="percentunit", decimals=0, width=65),
            Column("to", moved("effect_high"), unit="percentunit", decimals=0, width=65),
            Column("Signal", label="signal", links=[ROW], width=115),
            Column("Of threshold", near, unit="percentunit", decimals=0, width=85),
        ],
        empty=UNREAD,
        first="Of threshold",
        width=10,
        height=9,
    )


def _fine_tune() -> list[Any]:
    loss = ONE + ', signal="adapter_loss"'
    link = evidence("/targets/$target/adapter_loss")
    return [
        lines(
            "Fine-tune's effect left",
            "The effect now as a share of the approved effect, with its 95 % interval. 100 % (dashed): as in the "
            "baseline. 0 % (dashed): answers like the base. Runbook: CliffwatchFineTuneLost.",
            [
                Query(selector("adapter_effect_ratio", ONE), "{{suite}}", color=BLUE),
                Query(selector("effect_low", loss), "{{suite}}, 95 % interval: low end", "bound", GREY),
                Query(selector("effect_high", loss), "{{suite}}, high end", "bound", GREY),
            ],
            "percentunit",
            empty="no base to compare with, or no baseline",
            width=8,
            marks=[(0, GREY), (1, GREEN)],
            link=link,
        ),
        lines(
            "Answers nearer to the base",
            "Share of answers that are more similar to the base's than to the approved baseline's. "
            "Runbook: CliffwatchFineTuneLost.",
            [Query(selector("base_like_ratio", ONE), "{{suite}}", color=BLUE)],
            "percentunit",
            empty="no base to compare with, or no baseline",
            width=8,
            low=0,
            high=1,
            link=link,
        ),
    ]


def _scores() -> list[Any]:
    return [
        lines(
            "Judge's score: now, baseline, base",
            "Mean score of the answers now, in the approved baseline (dashed) and of the base's answers now (dotted). "
            "Before you trust a drop, check whether the judge drifted. "
            "Runbook: CliffwatchScoreDrop. Runbook: CliffwatchJudgeDrift.",
            _three("judge_score", "judge_score_baseline", "judge_score_base"),
            "percentunit",
            empty="no judge is configured, or nothing is judged yet",
            width=8,
            low=0,
            high=1,
            link=board(UIDS["judge"], "Is it the judge?", "$target"),
        ),
        lines(
            "Answers that pass every check: now, baseline, base",
            "Share of the answers that pass all deterministic checks of their probe: now, in the approved baseline "
            "(dashed) and of the base's answers now (dotted). Runbook: CliffwatchContractChanged.",
            _three("pass_ratio", "pass_ratio_baseline", "pass_ratio_base"),
            "percentunit",
            empty="no suite with checks",
            width=7,
            low=0,
            high=1,
            link=HERE,
        ),
        lines(
            "Items that flipped",
            "Share of the frozen items that were right in the approved baseline and are wrong now, and the reverse "
            "(dashed). Runbook: CliffwatchNegativeFlips.",
            [
                Query(selector("negative_flip_ratio", ONE), "{{suite}} lost", color=RED),
                Query(selector("positive_flip_ratio", ONE), "{{suite}} won", "reference", GREEN),
            ],
            "percentunit",
            empty="no suite with checks, or no baseline",
            width=5,
            low=0,
            link=evidence("/targets/$target/negative_flips"),
        ),
    ]


def _three(now: str, then: str, base: str) -> list[Query]:
    """A number for the answers now, for the approved baseline, and for the base's answers now."""
    return [
        Query(selector(now, ONE), "{{suite}} now", color=BLUE),
        Query(selector(then, ONE), "{{suite}} baseline", "reference", GREEN),
        Query(selector(base, ONE), "{{suite}} base", "other", AMBER),
    ]


def _lengths() -> list[Any]:
    link = evidence("/targets/$target/length")
    return [
        lines(
            "Length in characters: now, baseline, base",
            "Mean length of the answers now, of those in the approved baseline (dashed) and of the "
            "base's answers now (dotted), which most runs ask few probes. Runbook: CliffwatchLengthShift.",
            _three("answer_length_chars", "answer_length_baseline_chars", "answer_length_base_chars"),
            "short",
            empty="nothing asked yet",
            width=7,
            decimals=0,
            low=0,
            link=link,
        ),
        lines(
            "Spread of length, over the baseline's",
            "Variance of the answers' length, divided by the approved baseline's; 1 (dashed): as in the baseline. "
            "Runbook: CliffwatchLengthShift.",
            [Query(selector("answer_length_variance_ratio", ONE), "{{suite}}", color=BLUE)],
            "none",
            empty=UNREAD,
            width=5,
            low=0,
            marks=[(1, GREY)],
            link=link,
            decimals=1,
        ),
    ]
