"""The fleet page's first sentence."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from monitor.core.limits import Gap
from monitor.core.measured import Standing
from monitor.core.records import IdentityCheck
from monitor.core.wording import many
from monitor.report import attention
from monitor.report.attention import Need
from monitor.report.daemon_notices import Notices
from monitor.report.web.fleet_overview import Watch

NONE: Final = Notices()


def headline(
    found: Sequence[Watch], mismatched: Sequence[IdentityCheck] = (), missed: int = 0, notices: Notices = NONE
) -> tuple[str, str]:
    """The tone (``bad``, ``warn`` or ``good``) and the overview in one line. It is good only if all was measured.

    ``mismatched``: the failing identity checks; they page, as alarms do. ``missed``: number of suites whose self-test
    missed a planted loss. ``notices``: what is not well with the daemon.
    """
    alarms = [alarm for watch in found for alarm in watch.alarms]
    pages = sum(alarm.severity == "page" for alarm in alarms)
    tickets, waiting = len(alarms) - pages, sum(alarm.state == "raised" for alarm in alarms)
    raised = [many(pages, "page") + " raised" + (f" ({waiting} being confirmed)" if waiting else "")] if pages else []
    raised += [many(tickets, "ticket") + ("" if pages else " raised")] if tickets else []
    gaps = _gaps(found) + [f"the self-test of {many(missed, 'suite')} missed a planted loss"] * bool(missed)
    gaps = [*filter(None, (notices.asks_nothing, notices.clock)), *gaps]
    tone = "bad" if pages or mismatched or notices.asks_nothing else "warn" if tickets or gaps else "good"
    told = [", ".join(raised)] * bool(raised) + _undeclared(mismatched)
    if not told and not gaps:
        return tone, "All quiet"
    return tone, "; ".join([*(told or ["No alarm raised"]), *gaps])


def _undeclared(mismatched: Sequence[IdentityCheck]) -> list[str]:
    """Targets that serve something other than declared; a single one by name."""
    names = list(dict.fromkeys(one.target for one in mismatched))
    if len(names) > 1:
        return [f"{len(names):,} targets serve something other than declared"]
    return [f"{name} serves something other than declared" for name in names]


def _gaps(found: Sequence[Watch]) -> list[str]:
    """Counts of the suites whose lack of alarms does not mean health, in words."""
    silent = Counter(one.gap for one in found)
    needs = Counter(attention.worst(one.reasons).need for one in found)
    unarmed = [one for one in found if not one.armed]
    changed = sum(one.standing is Standing.SUITE_CHANGED for one in unarmed)
    gaps = {
        "not measured": silent[Gap.LOST],
        "partly measured": silent[Gap.PARTLY],
        "late: no success in two intervals": silent[Gap.LATE],
        "not armed: suite changed since its baseline": changed,
        f"of {len(found)} not measured yet": needs[Need.NOT_MEASURED_YET],
        f"of {len(found)} not armed": len(unarmed) - changed,
    }
    return [f"{count} {words}" for words, count in gaps.items() if count]
