"""Which alerts reach whom, through a real Alertmanager with the shipped routes: alerts go in by its API."""

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.processes import MailServer, Webhook, shipped_routes, start_alertmanager, wait_for

Labels = dict[str, str]
Delivered = tuple[str, str, str]
"""Receiver, alert (without ``Cliffwatch``), description."""

Told = set[tuple[str, str]]
"""Receivers and alerts."""


def who(delivered: list[Delivered]) -> Told:
    return {(receiver, alert) for receiver, alert, _ in delivered}


class Way:
    """A running Alertmanager and what its receivers got."""

    def __init__(self, url: str, hook: Webhook) -> None:
        self.url, self.hook, self._lasts = url, hook, 0

    def told(
        self, fired: dict[str, list[Labels]], description: str, awaited: dict[str, Told]
    ) -> dict[str, list[Delivered]]:
        """What was ever delivered for each Cliffwatch, once all these have fired together, each on its own.

        A last alert, which nothing inhibits, is sent after them: when it and all that is ``awaited`` has arrived, what
        is missing was due as well.
        """
        here = [{"job": "cliffwatch", "instance": name, **one} for name, alerts in fired.items() for one in alerts]
        self._post(here, description)
        self._lasts += 1
        last = f"last-{self._lasts}"
        time.sleep(1.5)  # group_wait is 1 s: an inhibited alert has had its turn
        self._post([{"alertname": "Last", "severity": "ticket", "job": "x", "instance": last}], "d")
        wait_for("the last alert", lambda: self.of(last), 30)
        with contextlib.suppress(AssertionError):  # it is said which one is missing
            wait_for("the others", lambda: all(told <= who(self.of(name)) for name, told in awaited.items()), 30)
        return {name: self.of(name) for name in fired}

    def of(self, instance: str) -> list[Delivered]:
        return [
            (one["receiver"], one["labels"]["alertname"].removeprefix("Cliffwatch"), one["annotations"]["description"])
            for one in list(self.hook.received)
            if one["labels"]["instance"] == instance
        ]

    def _post(self, labels: list[Labels], description: str) -> None:
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


def alert(name: str, severity: str, **labels: str) -> Labels:
    return {"alertname": f"Cliffwatch{name}", "severity": severity, **labels}


LOST = alert("FineTuneLost", "page", target="bot")
BROKEN = alert("FineTuneBroken", "page", target="bot", signal="canaries")
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
AGAIN, LABELLED = "an alert whose text changes", "an alert with a signal in its labels"

STORIES: Final[dict[str, tuple[list[Labels], Told]]] = {
    "a lost fine-tune explains scores and flips": (
        [LOST, DROP, FLIPS, SHIFT, CONTRACT], {("page", "FineTuneLost"), ("ticket", "ContractChanged")},
    ),
    "failed canaries alone explain no flips and no scores": (
        [BROKEN, DROP, FLIPS, SHIFT, CONTRACT],
        {("page", "FineTuneBroken"), ("page", "ScoreDrop"), ("page", "NegativeFlips"), ("ticket", "ContractChanged")},
    ),
    "a ticket of failed canaries follows a lost fine-tune": (
        [LOST, {**BROKEN, "severity": "ticket"}], {("page", "FineTuneLost")},
    ),
    "wrong weights never silence a lost fine-tune": (
        [MISMATCH, LOST, DROP, FLIPS], {("page", "IdentityMismatch"), ("page", "FineTuneLost")},
    ),
    "of this target only": (
        [LOST, {**DROP, "target": "other"}], {("page", "FineTuneLost"), ("page", "ScoreDrop")},
    ),
    "a ticket never silences a page, the page silences it": (
        [{**LOST, "severity": "ticket"}, DROP], {("page", "ScoreDrop")},
    ),
    "a page leaves what says how far to trust silence": (
        [FLIPS, SHIFT, UNMEASURED, SELF_TEST, ROLLBACK],
        {("page", "NegativeFlips"), ("ticket", "Unmeasured"), ("ticket", "SelfTestFailed"),
        ("ticket", "RollbackNotReady")},
    ),
    "a judge that drifted holds back scores alone": (
        [DRIFT, DROP, FLIPS], {("ticket", "JudgeDrift"), ("page", "NegativeFlips")},
    ),
    "a spent budget explains unmeasured": (
        [BUDGET, UNMEASURED], {("ticket", "BudgetExhausted")},
    ),
    "its own target's": (
        [BUDGET, {**UNMEASURED, "target": "other"}],
        {("ticket", "BudgetExhausted"), ("ticket", "Unmeasured")},
    ),
    "unmeasured silences no verdict": (
        [UNMEASURED, NOT_ARMED, LOST, SHIFT | {"target": "other"}],
        {("ticket", "Unmeasured"), ("page", "FineTuneLost"), ("ticket", "DistributionShift")},
    ),
    "of this suite only": (
        [UNMEASURED, NOT_ARMED | {"suite": "format"}], {("ticket", "Unmeasured"), ("ticket", "NotArmed")},
    ),
    "down silences every ticket and no page": (
        [DOWN, LOST, SHIFT, CONTRACT, UNMEASURED, NOT_ARMED, EMAIL, BUDGET],
        {("page", "Down"), ("page", "FineTuneLost")},
    ),
    "nothing silences the dead man's switch": (
        [alert("Watchdog", "none"), DOWN], {("deadman", "Watchdog"), ("page", "Down")},
    ),
    "down here": ([DOWN], {("page", "Down")}),
    "a ticket of another Cliffwatch, which is not silenced": ([SHIFT], {("ticket", "DistributionShift")}),
    AGAIN: ([LOST], {("page", "FineTuneLost")}),
    LABELLED: ([LOST], {("page", "FineTuneLost")}),
}  # fmt: skip
"""What it shows -> what fires together on a Cliffwatch of its own, and what of it reaches whom."""


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with Webhook() as hook, MailServer() as mail, contextlib.ExitStack() as stack:
        yield Way(start_alertmanager(stack, folder, shipped_routes(hook.url, mail.address)), hook)


@pytest.fixture(scope="module")
def delivered(way: Way) -> dict[str, list[Delivered]]:
    """Of every story: they are told all at once, since each has its own Cliffwatch."""
    fired = {name: one for name, (one, _) in STORIES.items()}
    return way.told(fired, "d", {name: told for name, (_, told) in STORIES.items()})


@pytest.mark.parametrize("name", STORIES)
def test_what_reaches_whom(delivered: dict[str, list[Delivered]], name: str) -> None:
    assert who(delivered[name]) == STORIES[name][1]


def test_a_second_signal_that_agrees_is_no_second_notification(way: Way, delivered: dict[str, list[Delivered]]) -> None:
    """A rule that rests on several signals has none in its labels: what they say changes its annotations alone."""
    once = [("page", "FineTuneLost", "d")]
    assert delivered[AGAIN] == delivered[LABELLED] == once
    way.told({AGAIN: [LOST], LABELLED: [LOST | {"signal": "canaries"}]}, "two signals agree", {})
    labelled = ("page", "FineTuneLost", "two signals agree")
    wait_for("what a signal in the labels would have brought", lambda: labelled in way.of(LABELLED), 30)
    assert way.of(AGAIN) == once
