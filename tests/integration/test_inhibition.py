"""Which alerts reach whom, through a real Alertmanager with the shipped routes: alerts go in by its API."""

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.house import MailServer, Webhook, shipped_routes, start_alertmanager, wait_for


class Way:
    """A running Alertmanager and what its receivers got."""

    def __init__(self, url: str, hook: Webhook) -> None:
        self.url, self.hook, self.instances, self.lasts = url, hook, 0, 0

    def told(self, *alerts: dict[str, str]) -> set[tuple[str, str]]:
        """(receiver, alert) of what is delivered when these fire together, on a Cliffwatch of their own.

        A last alert, which nothing inhibits, is sent after them: when it arrives their group was due as well.
        """
        self.instances += 1
        return {(receiver, name) for receiver, name, _ in self.told_again("d", *alerts)}

    def told_again(self, description: str, *alerts: dict[str, str]) -> list[tuple[str, str, str]]:
        """(receiver, alert, description) of all ever delivered for the last Cliffwatch, once these have fired."""
        instance = f"cw-{self.instances}:9464"
        self._post([{"job": "cliffwatch", "instance": instance, **labels} for labels in alerts], description)
        self.lasts += 1
        last = f"last-{self.lasts}:9464"

        def of(name: str) -> list[tuple[str, str, str]]:
            return [(one["receiver"], one["labels"]["alertname"].removeprefix("Cliffwatch"),
                     one["annotations"]["description"])
                    for one in list(self.hook.received) if one["labels"]["instance"] == name]  # fmt: skip

        time.sleep(1.5)  # group_wait is 1 s: an inhibited alert has had its turn
        self._post([{"alertname": "Last", "severity": "ticket", "job": "x", "instance": last}], "d")
        wait_for("the last alert", lambda: of(last), 30)
        return of(instance)

    def _post(self, labels: list[dict[str, str]], description: str) -> None:
        now = datetime.now(UTC)
        body = [
            {
                "labels": one,
                "annotations": {
                    "summary": "s",
                    "description": description,
                    "evidence_url": "http://e",
                    "runbook_url": "http://r",
                },
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(hours=1)).isoformat(),
            }
            for one in labels
        ]
        request = Request(f"{self.url}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urlopen(request, timeout=10) as reply:
            assert reply.status == 200


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with Webhook() as hook, MailServer() as mail, contextlib.ExitStack() as stack:
        yield Way(start_alertmanager(stack, folder, shipped_routes(hook.url, mail.address)), hook)


def alert(name: str, severity: str, **labels: str) -> dict[str, str]:
    return {"alertname": f"Cliffwatch{name}", "severity": severity, **labels}


LOST = alert("FineTuneLost", "page", target="bot")
MISMATCH = alert("IdentityMismatch", "page", target="bot", check="base")
DROP = alert("ScoreDrop", "page", target="bot", signal="judge_score")
FLIPS = alert("NegativeFlips", "page", target="bot", signal="negative_flips")
DRIFT = alert("JudgeDrift", "ticket", target="judge")
SHIFT = alert("DistributionShift", "ticket", target="bot")
CONTRACT = alert("ContractChanged", "ticket", target="bot", signal="contract")
UNMEASURED = alert("Unmeasured", "ticket", target="bot", suite="support")
NOT_ARMED = alert("NotArmed", "ticket", target="bot", suite="support")
BUDGET = alert("BudgetExhausted", "ticket", target="bot")
ROLLBACK = alert("RollbackNotReady", "ticket", target="bot")
SELF_TEST = alert("SelfTestFailed", "ticket", target="bot", fault="truncation")
EMAIL = alert("EmailFailed", "ticket")
DOWN = alert("Down", "page")


@pytest.mark.parametrize(
    ("fired", "told"),
    [
        pytest.param([LOST, DROP, FLIPS, SHIFT, CONTRACT], {("page", "FineTuneLost"), ("ticket", "ContractChanged")},
                     id="a lost fine-tune explains scores and flips"),
        pytest.param([MISMATCH, LOST, DROP, FLIPS], {("page", "IdentityMismatch"), ("page", "FineTuneLost")},
                     id="wrong weights never silence a lost fine-tune"),
        pytest.param([LOST, {**DROP, "target": "other"}], {("page", "FineTuneLost"), ("page", "ScoreDrop")},
                     id="of this target only"),
        pytest.param([{**LOST, "severity": "ticket"}, DROP], {("page", "ScoreDrop")},
                     id="a ticket never silences a page, the page silences it"),
        pytest.param([FLIPS, SHIFT, UNMEASURED, SELF_TEST, ROLLBACK],
                     {("page", "NegativeFlips"), ("ticket", "Unmeasured"), ("ticket", "SelfTestFailed"),
                      ("ticket", "RollbackNotReady")}, id="a page leaves what says how far to trust silence"),
        pytest.param([DRIFT, DROP, FLIPS], {("ticket", "JudgeDrift"), ("page", "NegativeFlips")},
                     id="a judge that drifted holds back scores alone"),
        pytest.param([BUDGET, UNMEASURED], {("ticket", "BudgetExhausted")}, id="a spent budget explains unmeasured"),
        pytest.param([BUDGET, {**UNMEASURED, "target": "other"}],
                     {("ticket", "BudgetExhausted"), ("ticket", "Unmeasured")}, id="its own target's"),
        pytest.param([UNMEASURED, NOT_ARMED, LOST, SHIFT | {"target": "other"}],
                     {("ticket", "Unmeasured"), ("page", "FineTuneLost"), ("ticket", "DistributionShift")},
                     id="unmeasured silences no verdict"),
        pytest.param([UNMEASURED, NOT_ARMED | {"suite": "format"}], {("ticket", "Unmeasured"), ("ticket", "NotArmed")},
                     id="of this suite only"),
        pytest.param([DOWN, LOST, SHIFT, CONTRACT, UNMEASURED, NOT_ARMED, EMAIL, BUDGET],
                     {("page", "Down"), ("page", "FineTuneLost")}, id="down silences every ticket and no page"),
        pytest.param([alert("Watchdog", "none"), DOWN], {("deadman", "Watchdog"), ("page", "Down")},
                     id="nothing silences the dead man's switch"),
    ],
)  # fmt: skip
def test_what_reaches_whom(way: Way, fired: list[dict[str, str]], told: set[tuple[str, str]]) -> None:
    assert way.told(*fired) == told


def test_an_alert_of_another_cliffwatch_is_not_silenced(way: Way, tmp_path: Path) -> None:
    before = len(way.hook.received)
    assert way.told(DOWN) == {("page", "Down")}
    assert way.told(SHIFT) == {("ticket", "DistributionShift")}
    assert len(way.hook.received) > before


def test_a_second_signal_that_agrees_is_no_second_notification(way: Way) -> None:
    """A rule that rests on several signals has none in its labels: what they say changes its annotations alone."""
    assert way.told(LOST) == {("page", "FineTuneLost")}
    assert way.told_again("Signals that agree: two", LOST) == [("page", "FineTuneLost", "d")]
    labelled = way.told_again("another signal", LOST | {"signal": "canaries"})
    assert ("page", "FineTuneLost", "another signal") in labelled, "with the signal in its labels it would have been"
