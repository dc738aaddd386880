"""Fleet: which of my targets needs me?"""

from typing import Any, Final

from dashboards import UIDS
from dashboards.panels import (
    AMBER,
    BLUE,
    BROWN,
    FAULTS,
    FLEET,
    GREEN,
    JOB,
    NEAR,
    PLAIN,
    RED,
    VIOLET,
    WARNINGS,
    Column,
    Link,
    Query,
    board,
    evidence,
    lines,
    number,
    runbooks_of,
    selector,
    share_of_threshold,
)
from dashboards.states import (
    ALARMS,
    RETIRES_DAYS,
    STATES,
    WORDS,
    alarm,
    not_armed,
    retiring,
    state,
    unmeasured,
)
from dashboards.tables import listing
from monitor.core.limits import PARTLY, TICK_SECONDS
from monitor.core.records import Severity
from monitor.core.signals import JUDGE_DRIFT, TITLES
from monitor.report.attention import Need

QUESTION: Final = "Which of my targets needs me?"

ROW: Final = '${__data.fields["Target"]}'
TO_TARGET: Final = board(UIDS["target"], "What changed, and when", ROW)
NO_DATA: Final = "no daemon is scraped"
NOT_YET: Final = "nothing compared yet"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first stands above them all."""
    return [(None, [*_counts(), _raised(), _over_time(), _targets()])]


def _counts() -> list[Any]:
    alarms = selector("alarm", FLEET + ', severity="{}"')
    return [
        number(
            "Targets", "Targets in the configuration, the judge left out.",
            f"count(max by (target) ({selector('target_info', FLEET)}))", "none", PLAIN, empty=NO_DATA,
        ),
        number(
            "Targets paging",
            "Targets with a confirmed alarm of severity page, however many of their signals raised one: the table "
            "below lists each signal.",
            f"sum(max by (target) ({alarms.replace('{}', 'page')}))", "none", FAULTS, empty=NOT_YET,
        ),
        number(
            "Targets with a ticket",
            "Targets with a confirmed alarm of severity ticket, those that page too included; pages that were not "
            "confirmed, or that their baseline does not arm, are among them.",
            f"sum(max by (target) ({alarms.replace('{}', 'ticket')}))", "none", WARNINGS, empty=NOT_YET,
        ),
        number(
            "Targets unmeasured",
            "Targets with a suite of which more than a fifth of the last run has no usable answer, or that had no "
            "usable reading for two periods: its silence says nothing. Runbook: CliffwatchUnmeasured.",
            f"sum(max by (target) ({unmeasured(FLEET)}))", "none", ((None, GREEN), (1, VIOLET)),
            empty="nothing asked yet",
        ),
        number(
            "Targets not armed",
            "Targets with a suite that has no approved baseline: nothing is compared and no alarm can be raised. "
            "Runbook: CliffwatchNotArmed.",
            f"sum(max by (target) ({not_armed(FLEET)}))", "none", ((None, GREEN), (1, BROWN)), empty=NO_DATA,
        ),
        number(
            f"Models retiring, {RETIRES_DAYS} days",
            "Models of a target that are to be shut down. Runbook: CliffwatchModelRetiring.",
            f"sum(max by (target, arm) ({retiring(FLEET)}))", "none", ((None, GREEN), (1, BLUE)), empty="none known",
        ),
        number(
            "Judge",
            "Is the judge as it was? If it drifted, a lower score may be about it. Runbook: CliffwatchJudgeDrift.",
            f'max(2 * {selector("alarm", _judge("page"))} or {selector("alarm", _judge("ticket"))})',
            "none", [(None, GREEN), (1, AMBER)], empty="not measured yet",
            names={0: ("as it was", GREEN), 1: ("drifted", AMBER), 2: ("drifted", AMBER)},
            link=board(UIDS["judge"], "Is it the judge?"),
        ),
        number(
            "Last tick of the daemon",
            "Seconds since the daemon's clock last looked at what is due: is it watching? Runbook: CliffwatchDown.",
            f"time() - min({selector('last_tick_timestamp_seconds', JOB)})", "s",
            [(None, GREEN), (60, AMBER), (TICK_SECONDS, RED)], empty=NO_DATA,
            link=board(UIDS["operations"], "Does Cliffwatch work?"),
        ),
    ]  # fmt: skip


def _judge(severity: str) -> str:
    return f'{JOB}, target="judge", signal=~"{"|".join(sorted(JUDGE_DRIFT))}", severity="{severity}"'


def _raised() -> Any:
    """A line for each alarm that is up, with the way to its answers."""
    by = "target, signal"
    up = f"{alarm(FLEET, by)} > 0"
    began = f"min by ({by}) ({selector('alarm_began_timestamp_seconds', FLEET)})"
    raised = f"min by ({by}) ({selector('alarm_raised_timestamp_seconds', FLEET)})"
    page = "${web:raw}/targets/" + ROW + '/${__data.fields["Signal"]}'
    return listing(
        "Raised now",
        "Every alarm that is confirmed, pages first. The signal leads to the answers that show it, the target to its "
        "history. Began: the first look that spoke for the change, often some before it "
        f"was raised. At its line, 100 %, evidence alarms. {runbooks_of(Severity.PAGE)} "
        "Runbook: CliffwatchIdentityMismatch.",
        [
            Column("Severity", up, names=ALARMS, width=90),
            Column("Target", label="target", links=[TO_TARGET]),
            Column("Signal", label="signal", links=[Link("The answers that show it", page, blank=True)]),
            Column("Began", f"1000 * {began} and {up}", unit="dateTimeAsIso", width=150),
            Column("Raised, ago", f"time() - {raised} and {up}", unit="s", decimals=1, width=95),
            Column("Of its line", f"{share_of_threshold(FLEET)} and {up}", unit="percentunit", decimals=0, width=90),
        ],
        empty="Nothing is raised.",
        first="Severity",
        width=12,
    )


def _targets() -> Any:
    """A line for each target, the most urgent on top."""
    info = f"max by (target, model) ({selector('target_info', FLEET)})"
    near = share_of_threshold(FLEET)
    worst = f"topk by (target) (1, 100 * {alarm(FLEET, 'target, signal')} + clamp_max({near}, 99) or {near})"
    age = f"max by (target) (time() - {selector('run_last_success_timestamp_seconds', FLEET)})"
    share = f"max by (target) ({selector('run_unmeasured_ratio', FLEET)})"
    return listing(
        "Targets, the most urgent first",
        "What each target needs: a page is up (or it serves something else than is declared), a ticket is, it was not "
        "measured, it is not armed, or (blue) there is something to do: a model retires, the version to roll back to "
        "is not ready, a budget was spent, a self-test failed. "
        "The bar is the evidence as a share of its line, in the signal with the worst alarm, or else the nearest to "
        "its line.",
        [
            Column("Needs", state(FLEET), names=STATES, width=120),
            Column("Target", label="target", links=[TO_TARGET, evidence(f"/targets/{ROW}")]),
            Column("Worst signal", label="signal", words=TITLES),
            Column("Of its line", f"{near} and on (target, signal) {worst}", unit="percentunit", decimals=0,
                   gauge=(0, 1), steps=NEAR),
            Column("Last answers read", age, unit="s", decimals=1),
            Column("Unmeasured", share, unit="percentunit", decimals=0,
                   steps=[(None, GREEN), (0.05, AMBER), (PARTLY, VIOLET)]),
            Column("Model", info, label="model"),
        ],
        empty=NO_DATA,
        key="target",
        first="Needs",
        height=10,
    )  # fmt: skip


def _over_time() -> Any:
    """Counts only, however many targets there are."""
    up = {
        one: f"sum(max by (target) ({selector('alarm', f'{FLEET}, {matcher}')}))"
        for one, matcher in ((Need.PAGE, 'severity="page"'), (Need.TICKET, 'severity="ticket"'))
    }
    unread = {
        one: f"sum(max by (target) ({expr}))"
        for one, expr in ((Need.UNMEASURED, unmeasured(FLEET)), (Need.UNARMED, not_armed(FLEET)))
    }
    return lines(
        "Targets in trouble: since when, and how many at once?",
        "Targets with a page and with a ticket up, unmeasured, and not armed, over time: one "
        "target's trouble, or everybody's?",
        [Query(expr, WORDS[one][0], color=WORDS[one][1]) for one, expr in {**up, **unread}.items()],
        "none",
        empty=NO_DATA,
        height=9,
        low=0,
        at_least=2,
        decimals=0,
        stacked=True,
    )
