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
from monitor.core.records import Severity
from monitor.core.signals import CATALOGUE, TITLES, Scale, of_severity
from monitor.core.wording import PARTLY

QUESTION: Final = "What changed about this target, when, and with what evidence?"

PAGING: Final = one_of(one.name for one in of_severity(Severity.PAGE))
PAGE_SIGNALS: Final = f'signal=~"{PAGING}"'
TICKET_SIGNALS: Final = f'signal!~"{PAGING}"'
SERIES: Final = evidence("/targets/$target/${__field.labels.signal}")
"""From a series of a signal to the answers that tell most."""
ROW: Final = evidence('/targets/$target/${__data.fields["Signal"]}')
UNREAD: Final = "no verdict yet: not armed, or not asked"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first stands above them all."""
    return [
        (None, [*_glance(), _signals(), _alarms(), _told()]),
        ("How strong is the evidence?", [*_evidences(), _effects()]),
        ("Baseline, now and base", [*_fine_tune(), *_scores(), *_lengths()]),
        ("Is it what we think it is, and could we go back?", [*served.panels(), *served.measured()]),
    ]


def _glance() -> list[Any]:
    raised = selector("alarm_raised_timestamp_seconds", ONE)
    return [
        number(
            "Needs", "The most urgent thing that is true of this target.", f"max({state(ONE)})", "none",
            [(None, GREY)], empty="not watched", names=STATES, link=HERE,
        ),
        number(
            "Raised for", "How long the oldest alarm that is still open has been up.", f"time() - min({raised})", "s",
            [(None, RED)], empty="no alarm", link=HERE, decimals=1,
        ),
        number(
            "Fine-tune left",
            "Its present effect over its approved effect, in the worst suite: 100 % is as approved, 0 % answers like "
            "the base. Runbook: CliffwatchFineTuneLost.",
            f"min({selector('adapter_effect_ratio', ONE)})", "percentunit",
            [(None, RED), (0.5, AMBER), (0.8, GREEN)], empty="no fine-tune",
            link=evidence("/targets/$target/adapter_loss"), decimals=0,
        ),
        number(
            "Unmeasured",
            "Largest share of a last run's questions without a usable answer. An outage is never a reading. "
            "Runbook: CliffwatchUnmeasured.",
            f"max({selector('run_unmeasured_ratio', ONE)})", "percentunit",
            [(None, GREEN), (0.05, AMBER), (PARTLY, VIOLET)], empty="never asked", decimals=0, link=HERE,
        ),
        number(
            "Baseline", "Is there an approved baseline in every suite? Without one nothing is compared. "
            "Runbook: CliffwatchNotArmed.",
            f"min(max by (suite) ({_approved()}))", "none", [(None, GREEN)], empty="not armed",
            names={1: ("armed", GREEN), 0: ("not armed", AMBER)}, link=HERE,
        ),
        number(
            "Served", "What the endpoint says it serves, against what is declared; the worst of all checks, with its "
            "name. What was declared and what was found is a click away. Runbook: CliffwatchIdentityMismatch.",
            f"bottomk(1, min by (check) ({selector('identity_match', ONE)}))", "none", [(None, GREY)],
            empty="not checked", names=MATCHES, link=HERE, legend="{{check}}", both=True,
        ),
        number(
            "Rollback", "Does the version to go back to still answer, and pass? Runbook: CliffwatchRollbackNotReady.",
            f"min({selector('rollback_ready', ONE)})", "none", [(None, GREY)], empty="none named", names=READY,
            link=HERE,
        ),
        number(
            "Self-test",
            "Share of injected faults that were caught, of the fault caught least: would a change be seen? "
            "Runbook: CliffwatchSelfTestFailed.",
            f"min({selector('selftest_detection_ratio', ONE + NOT_CONTROL)})", "percentunit",
            [(None, AMBER), (CAUGHT, GREEN)], empty="not yet tested", decimals=0, link=HERE,
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
        "Each kind of change that has a verdict, what is raised on top. What changed did so between the last healthy "
        "look and the first that spoke for it: which deploy lies between? The bar is the evidence as a share of the "
        "line where it alarms, in the suite that is nearest to it. The signal leads to the answers that show it.",
        [
            Column("State", judged(ONE), names=ALARMS, width=85),
            Column("Signal", label="signal", links=[ROW], width=130),
            Column("Name", f'label_join({_near()}, "what", "", "signal")', label="what", words=TITLES, width=185),
            Column("Healthy, ago", healthy, unit="s", decimals=1, width=100),
            Column("Began, ago", began, unit="s", decimals=1, width=95),
            Column("Of its line", _near(), unit="percentunit", decimals=0, gauge=(0, 1), steps=NEAR),
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
        "Each signal over time: raised from its confirmation until the answers are evidence of recovery, or until "
        "somebody clears it.",
        Query(judged(ONE), "{{signal}}"),
        ALARMS,
        empty=UNREAD,
        height=11,
        link=SERIES,
    )


def _told() -> Any:
    labels, told = "signal, what, how_bad, cause, advice", selector("alarm_info", f'{ONE}, signal!=""')
    return listing(
        "What the alerts say",
        "The text of each alert about this target that carries a verdict or an identity check, as its notification and "
        "its evidence page have it.",
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
            f"Evidence, of its line: {kind}",
            "How strongly all looks since the baseline speak for a change, as a share of the line (dashed) where the "
            "signal alarms by itself. It may be looked at at any time. " + runbooks,
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
"""The colours of the lines of signals, in their order: green would read as well."""
LOOKS: Final = {
    one.name: color
    for severity, colors in COLORS.items()
    for one, color in zip(of_severity(severity), cycle(colors), strict=False)
}
"""Signal -> the colour of its line."""

CHANGED: Final = {one.name: one.effect.change for one in CATALOGUE if one.effect.change}
"""Signal -> of what its effect is a share."""
RATIOS: Final = [one.name for one in CATALOGUE if one.effect.reference]
"""Signals whose effect is a ratio, 1 as in the baseline."""
OTHERS: Final = [one.name for one in CATALOGUE if one.effect.scale is Scale.OTHER]
"""Signals whose effect is no share of anything."""


def _effects() -> Any:
    ratio = f', signal=~"{one_of(RATIOS)}"'
    share = f', signal!~"{one_of([*RATIOS, *OTHERS])}"'

    def moved(metric: str) -> str:
        change = f"{selector(metric, ONE + ratio)} - 1 or {selector(metric, ONE + share)}"
        return f'label_join(max by (suite, signal) ({change}), "what", "", "signal")'

    near = f"0 * {moved('effect')} + on (signal) group_left max by (signal) ({share_of_threshold(ONE)})"
    return listing(
        "How large is it?",
        "How far each signal's last finding is from the approved baseline, with its 95 % interval, what is nearest to "
        f"its line on top: in percent of the baseline for {' and '.join(RATIOS)}, in points of percent for the others. "
        f"Not listed, as its effect is in another unit: {', '.join(OTHERS)}. See its page.",
        [
            Column("Suite", label="suite", width=75),
            Column("Change", moved("effect"), unit="percentunit", decimals=0, width=75),
            Column("in", label="what", words=CHANGED),
            Column("from", moved("effect_low"), unit="percentunit", decimals=0, width=65),
            Column("to", moved("effect_high"), unit="percentunit", decimals=0, width=65),
            Column("Signal", label="signal", links=[ROW], width=115),
            Column("Of its line", near, unit="percentunit", decimals=0, width=85),
        ],
        empty=UNREAD,
        first="Of its line",
        width=10,
        height=9,
    )


def _fine_tune() -> list[Any]:
    loss = ONE + ', signal="adapter_loss"'
    link = evidence("/targets/$target/adapter_loss")
    return [
        lines(
            "Fine-tune's effect left",
            "The present effect over the approved effect, with its 95 % interval: 1 (dashed) is the baseline, 0 "
            "(dashed) answers like the base. Runbook: CliffwatchFineTuneLost.",
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
            "Share of answers that look more like the base's than like the approved baseline's. "
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
            "Before you believe a drop, see whether the judge is as it was. "
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
            "Share of the frozen items that were right in the approved baseline and are wrong now, and the other way "
            "round (dashed). Runbook: CliffwatchNegativeFlips.",
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
    """What the answers are now, what they were when the baseline was approved, and what the base's are now."""
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
            "base's answers now (dotted). Runbook: CliffwatchLengthShift.",
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
            "Variance of the answers' length over the approved baseline's; 1 (dashed) is the baseline. "
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
