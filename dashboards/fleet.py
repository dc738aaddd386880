"""Fleet: which of my targets needs me?"""

from typing import Any, Final

from dashboards import UIDS
from dashboards.panels import (
    AMBER,
    FAULTS,
    FLEET,
    GREEN,
    JOB,
    PLAIN,
    RED,
    WARNINGS,
    Column,
    Link,
    Query,
    board,
    evidence,
    lines,
    number,
    or_zero,
    selector,
)
from dashboards.states import (
    ALARMS,
    NOT_ARMED,
    PAGE,
    RETIRES_DAYS,
    STATES,
    TICKET,
    UNMEASURED,
    UNMEASURED_SHARE,
    alarm,
    not_armed,
    state,
    unmeasured,
)
from dashboards.tables import listing

QUESTION: Final = "Which of my targets needs me?"

ROW: Final = '${__data.fields["Target"]}'
TO_TARGET: Final = board(UIDS["target"], "What changed, and when", ROW)
NO_DATA: Final = "no daemon is scraped"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first stands above them all."""
    return [(None, [*_counts(), _raised(), _over_time(), _targets()])]


def _counts() -> list[Any]:
    alarms = selector("alarm", FLEET + ', severity="{}"')
    retiring = f"{selector('model_retirement_timestamp_seconds', FLEET)} - time() < bool {RETIRES_DAYS * 86400}"
    return [
        number(
            "Targets", "Targets in the configuration, the judge left out.",
            f"count(max by (target) ({selector('target_info', FLEET)}))", "none", PLAIN, empty=NO_DATA,
        ),
        number(
            "Pages", "Alarms of severity page that are confirmed now.",
            f"sum(max by (target, signal) ({alarms.replace('{}', 'page')}))", "none", FAULTS, empty=NO_DATA,
        ),
        number(
            "Tickets",
            "Alarms of severity ticket that are confirmed now; pages that were not confirmed, or that their baseline "
            "does not arm, are among them.",
            f"sum(max by (target, signal) ({alarms.replace('{}', 'ticket')}))", "none", WARNINGS, empty=NO_DATA,
        ),
        number(
            "Unmeasured",
            "Suites of which more than a fifth of the last run has no usable answer, or that had no usable reading for "
            "two periods: their silence says nothing. Runbook: CliffwatchUnmeasured.",
            f"sum({unmeasured(FLEET)})", "none", WARNINGS, empty="nothing asked yet",
        ),
        number(
            "Not armed",
            "Suites without an approved baseline: nothing is compared and no alarm can be raised. "
            "Runbook: CliffwatchNotArmed.",
            f"sum({not_armed(FLEET)})", "none", WARNINGS, empty=NO_DATA,
        ),
        number(
            f"Retire in {RETIRES_DAYS} days",
            "Models of a target that are to be shut down. Runbook: CliffwatchModelRetiring.",
            f"sum(max by (target, arm) ({retiring}))", "none", WARNINGS, empty="none known",
        ),
        number(
            "Judge",
            "Is the judge as it was? If it drifted, a lower score may be about it. Runbook: CliffwatchJudgeDrift.",
            f'max(2 * {selector("alarm", _judge("page"))} or {selector("alarm", _judge("ticket"))})',
            "none", [(None, GREEN), (1, AMBER)], empty="no anchors",
            names={0: ("as it was", GREEN), 1: ("drifted", AMBER), 2: ("drifted", AMBER)},
            link=board(UIDS["judge"], "Is it the judge?"),
        ),
        number(
            "Last look",
            "Seconds since the daemon's clock last looked at what is due: is it watching? Runbook: CliffwatchDown.",
            f"time() - min({selector('last_tick_timestamp_seconds', JOB)})", "s",
            [(None, GREEN), (60, AMBER), (300, RED)], empty=NO_DATA,
            link=board(UIDS["operations"], "Does Cliffwatch work?"),
        ),
    ]  # fmt: skip


def _judge(severity: str) -> str:
    return f'{JOB}, target="judge", severity="{severity}"'


def _raised() -> Any:
    """A line for each alarm that is up, with the way to its answers."""
    by = "target, signal"
    up = f"{alarm(FLEET, by)} > 0"
    since = f"max by ({by}) (time() - {selector('alarm_raised_timestamp_seconds', FLEET)})"
    odds, line = (f"max by ({by}) ({selector(one, FLEET)})" for one in ("evidence_log10", "evidence_line_log10"))
    page = "${web:raw}/targets/" + ROW + '/${__data.fields["Signal"]}'
    return listing(
        "Raised now",
        "Every alarm that is confirmed, pages first. The signal leads to the answers that show it, the target to its "
        "history. Evidence is a power of ten (3 is 1,000 to 1) and alarms at its line. "
        "Runbook: CliffwatchFineTuneLost. Runbook: CliffwatchNegativeFlips. Runbook: CliffwatchScoreDrop. "
        "Runbook: CliffwatchIdentityMismatch.",
        [
            Column("Severity", up, names=ALARMS, width=90),
            Column("Target", label="target", links=[TO_TARGET]),
            Column("Signal", label="signal", links=[Link("The answers that show it", page, blank=True)]),
            Column("For", f"{since} and {up}", unit="s", decimals=1),
            Column("Evidence", f"{odds} and {up}", decimals=1),
            Column("Its line", f"{line} and {up}", decimals=1),
        ],
        empty="Nothing is raised.",
        first="Severity",
        width=12,
    )


def _targets() -> Any:
    """A line for each target, the most urgent on top."""
    info = f"max by (target, model, baseline) ({selector('target_info', FLEET)})"
    near = f"{selector('evidence_log10', FLEET)} / {selector('evidence_line_log10', FLEET)}"
    age = f"max by (target) (time() - {selector('run_last_success_timestamp_seconds', FLEET)})"
    share = f"max by (target) ({selector('run_unmeasured_ratio', FLEET)})"
    return listing(
        "Targets, the most urgent first",
        "What each target needs: a page is up (or it serves something else than is declared), a ticket is, it was not "
        "measured, it is not armed, or there is something to do (a model retires, the version to roll back to is not "
        "ready, a budget was spent, a self-test failed). "
        "The bar is the evidence as a share of its line, in the signal that is nearest to it.",
        [
            Column("Needs", state(FLEET), names=STATES, width=110),
            Column("Target", label="target", links=[TO_TARGET, evidence(f"/targets/{ROW}")]),
            Column("Of its line", f"clamp_min(max by (target) ({near}), 0)", unit="percentunit", decimals=0,
                   gauge=(0, 1), steps=[(None, GREEN), (0.7, AMBER), (1, RED)]),
            Column("Last read", age, unit="s", decimals=1),
            Column("Unmeasured", share, unit="percentunit", decimals=0,
                   steps=[(None, GREEN), (UNMEASURED_SHARE, AMBER)]),
            Column("Model", info, label="model"),
            Column("Baseline", label="baseline", width=110),
        ],
        empty=NO_DATA,
        key="target",
        first="Needs",
        height=10,
    )  # fmt: skip


def _over_time() -> Any:
    """Counts only, however many targets there are."""
    up = {
        one: or_zero(f"count(count by (target) ({selector('alarm', f'{FLEET}, {matcher}')} == 1))")
        for one, matcher in ((PAGE, 'severity="page"'), (TICKET, 'severity="ticket"'))
    }
    unread = {UNMEASURED: f"sum({unmeasured(FLEET)})", NOT_ARMED: f"sum({not_armed(FLEET)})"}
    return lines(
        "Since when, and how many at once?",
        "Targets with a page and with a ticket up, suites that are unmeasured and that are not armed, over time: one "
        "target's trouble, or everybody's?",
        [Query(expr, STATES[one][0], color=STATES[one][1]) for one, expr in {**up, **unread}.items()],
        "none",
        empty=NO_DATA,
        height=9,
        low=0,
        at_least=2,
        decimals=0,
        stacked=True,
    )
