"""Whether an approved baseline arms pages: for commands that only read, so ``detect`` is imported only where needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from monitor.core.limits import too_short
from monitor.core.records import Baseline, Comparison, Finding, Severity
from monitor.core.run_kinds import run_kind
from monitor.core.signals import SEVERITIES

if TYPE_CHECKING:
    from monitor.store import Store, StoreReader

UNREAD: Final = "no page signal can be read"


def comparison(store: "StoreReader", baseline: Baseline, temperature: float | None) -> Comparison:
    """A day of the baseline against the whole baseline, without thresholds."""
    from monitor.detect.calibrate import as_today

    before = tuple(store.answers(baseline.run_ids))
    return Comparison(
        run_id=0,
        target=baseline.target,
        suite=baseline.suite,
        now=as_today(before),
        baseline=before,
        prompts={},
        page_threshold_log10=0.0,
        ticket_threshold_log10=0.0,
        baseline_id=baseline.id,
        baseline_at_once=baseline.at_once,
        baseline_days=baseline.days,
        temperature=temperature,
        unread=baseline.unread,
    )


def arming(
    store: "Store", baseline: Baseline | None, latest: Sequence[Finding], temperature: float | None
) -> list[tuple[str, str]]:
    """(page signal, why it is only a ticket) for each that ``baseline`` can measure, but does not arm; empty without an
    approved baseline.

    ``latest``: the suite's newest finding of every signal. A baseline that is too short arms none of the measurable
    signals, which come from its findings, else from its own answers, as in ``calibrate``. ``temperature``: the suite's.
    """
    if baseline is None or not run_kind(baseline.target, baseline.suite).may_page:
        return []
    pages = [one for one in latest if one.baseline_id == baseline.id and SEVERITIES.get(one.signal) is Severity.PAGE]
    if reason := too_short(baseline.days, at_once=baseline.at_once):
        read = [one.signal for one in pages] or _readable(store, baseline, temperature)
        return [(name, reason) for name in read or [UNREAD]]
    restless = (
        "The baseline's days are too few or differ too much: "
        f"cliffwatch calibrate {baseline.target} --suite {baseline.suite}"
    )
    return [(one.signal, restless) for one in pages if one.severity is Severity.TICKET and not one.judge_moved]


def _readable(store: "Store", baseline: Baseline, temperature: float | None) -> list[str]:
    """The page signals that can be measured on the baseline's answers."""
    from monitor.detect import SIGNALS

    compared = comparison(store, baseline, temperature)
    pages = [name for name, severity in SEVERITIES.items() if severity is Severity.PAGE]
    return [name for name in pages if compared.now and SIGNALS[name](compared) is not None]


def render_held(found: Sequence[tuple[str, str]]) -> list[str]:
    """The result of ``arming`` in sentences, one for each reason."""
    reasons = dict.fromkeys(reason for _, reason in found)
    return [
        f"pages are not armed ({', '.join(name for name, why in found if why == reason)}). {reason}"
        for reason in reasons
    ]
