"""Fleet: which of my targets needs attention?"""

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

QUESTION: Final = "Which of my targets needs attention?"

ROW: Final = '${__data.fields["Target"]}'
TO_TARGET: Final = board(UIDS["target"], "What changed, and when", ROW)
NO_DATA: Final = "no daemon is scraped"
NOT_YET: Final = "nothing compared yet"


def panels() -> list[tuple[str | None, list[Any]]]:
    """Rows with their titles; the first row has none."""
    return [(None, [*_counts(), _raised(), _over_time(), _targets()])]


def _counts() -> list[Any]:
    alarms = selector("alarm", FLEET + ', severity="{}"')
    return [
        number(
            "Targets", "Number of configured targets, without the judge.",
            f"count(max by (target) ({selector('target_info', FLEET)}))", "none", PLAIN, empty=NO_DATA,
        ),
        number(
            "Targets paging",
            "Number of targets with a confirmed page. The table below lists each signal.",
            f"sum(max by (target) ({alarms.replace('{}', 'page')}))", "none", FAULTS, empty=NOT_YET,
        ),
        number(
            "Targets with a ticket",
            "Number of targets with a confirmed ticket, including targets that also have a page. A page that was not "
            "confirmed, or that its baseline does not arm, counts as a ticket.",
            f"sum(max by (target) ({alarms.replace('{}', 'ticket')}))", "none", WARNINGS, empty=NOT_YET,
        ),
        number(
            "Targets not measured",
            "Number of targets with a suite whose last run has no usable answer to over a fifth of its questions, or "
            "that had no usable run for two periods. The absence of alarms means nothing for them. "
            "Runbook: CliffwatchUnmeasured.",
            f"sum(max by (target) ({unmeasured(FLEET)}))", "none", ((None, GREEN), (1, VIOLET)),
            empty="nothing asked yet",
        ),
        number(
            "Targets not armed",
            "Number of targets with a suite that has no approved baseline. It is not compared, so no alarm can be "
            "raised. Runbook: CliffwatchNotArmed.",
            f"sum(max by (target) ({not_armed(FLEET)}))", "none", ((None, GREEN), (1, BROWN)), empty=NO_DATA,
        ),
        number(
            f"Models retiring, {RETIRES_DAYS} days",
            "Number of models of targets that retire soon. Runbook: CliffwatchModelRetiring.",
            f"sum(max by (target, arm) ({retiring(FLEET)}))", "none", ((None, GREEN), (1, BLUE)), empty="none known",
        ),
        number(
            "Judge",
            "Is the judge unchanged? If it drifted, a lower score may be the judge's change. "
            "Runbook: CliffwatchJudgeDrift.",
            f'max(2 * {selector("alarm", _judge("page"))} or {selector("alarm", _judge("ticket"))})',
            "none", [(None, GREEN), (1, AMBER)], empty="not measured yet",
            names={0: ("unchanged", GREEN), 1: ("drifted", AMBER), 2: ("drifted", AMBER)},
            link=board(UIDS["judge"], "Is it the judge?"),
        ),
        number(
            "Last tick of the daemon",
            "Seconds since the daemon last checked which runs are due. Runbook: CliffwatchDown.",
            f"time() - min({selector('last_tick_timestamp_seconds', JOB)})", "s",
            [(None, GREEN), (60, AMBER), (TICK_SECONDS, RED)], empty=NO_DATA,
            link=board(UIDS["operations"], "Does Cliffwatch work?"),
        ),
    ]  # fmt: skip


def _judge(severity: str) -> str:
    return f'{JOB}, target="judge", signal=~"{"|".join(sorted(JUDGE_DRIFT))}", severity="{severity}"'


def _raised() -> Any:
    """One row per open alarm, with a link to its answers."""
    by = "target, signal"
    up = f"{alarm(FLEET, by)} > 0"
    began = f"min by ({by}) ({selector('alarm_began_timestamp_seconds', FLEET)})"
    raised = f"min by ({by}) ({selector('alarm_raised_timestamp_seconds', FLEET)})"
    page = "${web:raw}/targets/" + ROW + '/${__data.fields["Signal"]}'
    return listing(
        "Open alarms",
        "Every confirmed alarm, pages first. The signal links to the answers that show it, the target to its "
        "history. Began: the first evaluation with evidence of the change, often some evaluations before the alarm "
        f"was raised. Evidence alarms at 100 % of its threshold. {runbooks_of(Severity.PAGE)} "
        "Runbook: CliffwatchIdentityMismatch.",
        [
            Column("Severity", up, names=ALARMS, width=90),
            Column("Target", label="target", links=[TO_TARGET]),
            Column("Signal", label="signal", links=[Link("The answers that show it", page, blank=True)]),
            Column("Began", f"1000 * {began} and {up}", unit="dateTimeAsIso", width=150),
            Column("Raised, ago", f"time() - {raised} and {up}", unit="s", decimals=1, width=95),
            Column("Of threshold", f"{share_of_threshold(FLEET)} and {up}", unit="percentunit", decimals=0, width=90),
        ],
        empty="No open alarm.",
        first="Severity",
        width=12,
    )


def _targets() -> Any:
    """One row per target, most urgent first."""
    info = f"max by (target, model) ({selector('target_info', FLEET)})"
    near = share_of_threshold(FLEET)
    worst = f"topk by (target) (1, 100 * {alarm(FLEET, 'target, signal')} + clamp_max({near}, 99) or {near})"
    age = f"max by (target) (time() - {selector('run_last_success_timestamp_seconds', FLEET)})"
    share = f"max by (target) ({selector('run_unmeasured_ratio', FLEET)})"
    return listing(
        "Targets, most urgent first",
        "What each target needs: it has a page (or serves something other than declared), it has a ticket, it was not "
        "measured, it is not armed, or (blue) another action: a model retires, the rollback version is not ready, a "
        "budget was spent, a self-test failed. "
        "The bar is the evidence as a share of its threshold, for the signal with the worst alarm; without an alarm, "
        "for the signal nearest to its threshold.",
        [
            Column("Needs", state(FLEET), names=STATES, width=120),
            Column("Target", label="target", links=[TO_TARGET, evidence(f"/targets/{ROW}")]),
            Column("Worst signal", label="signal", words=TITLES),
            Column("Of threshold", f"{near} and on (target, signal) {worst}", unit="percentunit", decimals=0,
                   gauge=(0, 1), steps=NEAR),
            Column("Last measured", age, unit="s", decimals=1),
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
        "Targets that need attention, over time",
        "Number of targets with a page, with a ticket, not measured, and not armed, over time. It shows whether one "
        "target is affected or many.",
        [Query(expr, WORDS[one][0], color=WORDS[one][1]) for one, expr in {**up, **unread}.items()],
        "none",
        empty=NO_DATA,
        height=9,
        low=0,
        at_least=2,
        decimals=0,
        stacked=True,
    )
