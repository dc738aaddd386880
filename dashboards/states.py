"""What a target needs, in PromQL: one definition for all dashboards, so that panels cannot disagree."""

from collections.abc import Mapping
from typing import Final

from dashboards.panels import AMBER, BLUE, BROWN, GREEN, GREY, JOB, RED, VIOLET, Names, selector
from monitor.core.limits import CAUGHT as CAUGHT
from monitor.core.limits import IDENTITY_SECONDS, RETIRES_SECONDS
from monitor.core.selftest_results import MUST_SEE
from monitor.report.attention import Need

WORDS: Final[Mapping[Need, tuple[str, str]]] = {
    Need.PAGE: ("page", RED),
    Need.IDENTITY: ("not as declared", RED),
    Need.TICKET: ("ticket", AMBER),
    Need.UNMEASURED: ("unmeasured", VIOLET),
    Need.UNARMED: ("not armed", BROWN),
    Need.UNSEEN: ("self-test failed", BLUE),
    Need.RETIRES: ("model retires", BLUE),
    Need.ROLLBACK: ("no rollback", BLUE),
    Need.BUDGET: ("budget spent", BLUE),
    Need.NOT_MEASURED_YET: ("not measured yet", GREY),
    Need.QUIET: ("quiet", GREEN),
}
"""The needs that are told apart by metrics, each with its word and its colour."""


def number(need: Need) -> int:
    """What a query has for a need: 0 for quiet, and the more, the more pressing."""
    return Need.QUIET - need


STATES: Final[Names] = {number(need): WORDS[need] for need in sorted(WORDS)}
ALARMS: Final[Names] = {2: ("page", RED), 1: ("ticket", AMBER), 0: ("quiet", GREEN)}
MATCHES: Final[Names] = {1: ("as declared", GREEN), 0: ("differs", RED)}
CHANGES: Final[Names] = {1: ("changed", AMBER), 0: ("as approved", GREEN)}
READY: Final[Names] = {1: ("ready", GREEN), 0: ("not ready", AMBER)}

ARMS: Final = {
    "subject": BLUE, "base": AMBER, "judge-subject": VIOLET, "judge-base": BROWN, "snapshot": "#8ab8ff",
    "cache-check": GREY,
}  # fmt: skip
"""Arm of a call -> its colour."""
OUTCOMES: Final = {
    "ok": GREEN, "timeout": RED, "connection": "#ff780a", "server_error": "#f2495c", "rate_limited": AMBER,
    "quota": "#f2cc0c", "budget": BLUE, "unpriced": "#8ab8ff", "rejected": VIOLET, "unauthorized": "#b877d9",
    "malformed": BROWN, "truncated": GREY, "unknown_finish": "#705da0",
}  # fmt: skip
"""Outcome of a call's question -> its colour. Green is only for a usable answer."""

IDENTITY_DAYS: Final = IDENTITY_SECONDS // 86_400
"""As in CliffwatchUnmeasured."""
RETIRES_DAYS: Final = RETIRES_SECONDS // 86_400
"""As in CliffwatchModelRetiring."""


def limit(name: str) -> str:
    """A limit of the alert rules, as each daemon exports it; match it with ``EACH``."""
    return selector("alert_limit", f'{JOB}, limit="{name}"')


EACH: Final = "on (job, instance) group_left ()"


def unmeasured(matchers: str) -> str:
    """By target and suite: 1 if too much of the last run has no usable answer, or two periods passed without a run."""
    late = (
        f"time() - {selector('run_last_success_timestamp_seconds', matchers)} "
        f"> bool {selector('run_interval_seconds', matchers)} * {EACH} {limit('run_intervals')}"
    )
    share = f"{selector('run_unmeasured_ratio', matchers)} > bool {EACH} {limit('unmeasured_ratio')}"
    return f'max by (target, suite) ({share} or label_replace({late}, "why", "late", "", ""))'


def unread(matchers: str) -> str:
    """By target: 1 if its identity could not be checked for days, so that the last result may be out of date."""
    checked = selector("identity_checked_timestamp_seconds", matchers)
    return f"time() - {checked} > bool {EACH} {limit('identity_age_seconds')}"


def retiring(matchers: str) -> str:
    """By target and arm: 1 if its model retires soon."""
    retires = selector("model_retirement_timestamp_seconds", matchers)
    return f"{retires} - time() < bool {EACH} {limit('notice_seconds')}"


def not_armed(matchers: str) -> str:
    """By target and suite: 1 if no baseline is approved."""
    return f"{_approved(matchers)} == bool 0"


def compared(matchers: str) -> str:
    """By target and suite: a series if a run was measured since the baseline in use was approved."""
    by = "max by (target, suite)"
    success = f"{by} ({selector('run_last_success_timestamp_seconds', matchers)})"
    approved = f"{by} ({selector('baseline_approved_timestamp_seconds', matchers)})"
    return f"({success} >= {approved} and {_approved(matchers)} > 0)"


def not_yet(matchers: str) -> str:
    """By target and suite: 1 if a baseline is approved and nothing was measured since."""
    return f"({_approved(matchers)} > bool 0 == 1 unless {compared(matchers)})"


def _approved(matchers: str) -> str:
    status = 'status="approved"'
    return f"max by (target, suite) ({selector('baselines', f'{matchers}, {status}')})"


def alarm(matchers: str, by: str) -> str:
    """2 while a page is raised, 1 for a ticket, 0 for neither; the maximum ``by`` these labels."""
    page, ticket = (selector("alarm", f'{matchers}, severity="{one}"') for one in ("page", "ticket"))
    return f"max by ({by}) (2 * {page} or {ticket})"


def judged(matchers: str) -> str:
    """``alarm`` by signal, for signals with a verdict in a suite that is currently compared with its baseline: a signal
    that was never evaluated, or no longer is, is not quiet."""
    known = alarm(matchers, "signal")
    seen = f"{selector('effect', matchers)} and on (target, suite) {compared(matchers)}"
    return f"{known} and on (signal) ({seen}) or {known} > 0"


def state(matchers: str) -> str:
    """By target: the number in ``STATES`` of its most urgent need."""
    page, ticket = (selector("alarm", f'{matchers}, severity="{one}"') for one in ("page", "ticket"))
    parts = (
        f"{number(Need.PAGE)} * {page}",
        f"{number(Need.TICKET)} * {ticket}",
        f"{number(Need.IDENTITY)} * (1 - {selector('identity_match', matchers)})",
        f"{number(Need.UNMEASURED)} * {_marked(unmeasured(matchers), 'unmeasured')}",
        f"{number(Need.UNMEASURED)} * {_marked(unread(matchers), 'unread')}",
        f"{number(Need.UNARMED)} * {_marked(not_armed(matchers), 'not armed')}",
        f"{number(Need.NOT_MEASURED_YET)} * {_marked(not_yet(matchers), 'not measured yet')}",
        *(f"{number(need)} * {_marked(expr, WORDS[need][0])}" for need, expr in _to_do(matchers).items()),
        f"{number(Need.QUIET)} * {selector('target_info', matchers)}",
    )
    return f"max by (target) ({' or '.join(parts)})"


def _to_do(matchers: str) -> dict[Need, str]:
    """Need -> 1 if a ticket other than for drift is open or will open."""
    faults = f'{matchers}, fault=~"{"|".join(MUST_SEE)}"'
    return {
        Need.RETIRES: retiring(matchers),
        Need.ROLLBACK: f"1 - {selector('rollback_ready', matchers)}",
        Need.BUDGET: f"{selector('budget_refused_questions', matchers)} > bool 0",
        Need.UNSEEN: f"{selector('selftest_detection_ratio', faults)} < bool {EACH} {limit('detection_ratio')}",
    }


def _marked(expr: str, why: str) -> str:
    """``expr`` with a label of its own, so that ``or`` keeps it apart from its neighbours."""
    return f'label_replace({expr}, "why", "{why}", "", "")'
