"""The exporter's marks on each backend: whatever happens between two scrapes, a kept page is what a new one says."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from benchmarks import fleets
from monitor.core.errors import CliffwatchError
from monitor.core.records import Arm, BaselineStatus, IdentityCheck, Match, Reason, Retirement, RunOutcome, SelfTest
from monitor.core.settings import Settings
from monitor.detect.alarms import cleared_by_hand
from monitor.report.metrics import Internals
from monitor.store import Store, open_store
from tests.store_records import DAY, NOW, alarm, answer, finding, recorded, reservation, unmeasured

FLEET: Final = fleets.settings(2)
STEPS: Final = 80


@dataclass
class Walk:
    """Things that happen to a fleet's store, in an order that the seed draws."""

    store: Store
    chosen: random.Random
    now: datetime = NOW
    slots: int = 0
    fleet: Settings = FLEET
    reserved: list[int] = field(default_factory=list)

    def target(self) -> str:
        return self.chosen.choice(list(FLEET.targets))

    def suite(self, target: str) -> str:
        return self.chosen.choice(FLEET.targets[target].run_suites)

    def run(self) -> None:
        """One run, from made to whatever becomes of it."""
        target, lost = self.target(), self.chosen.random() < 0.3
        suite, digest = self.suite(target), self.chosen.choice(["1" * 64, "2" * 64])
        self.slots += 1
        slot, scheduled = NOW - 9 * DAY + timedelta(minutes=self.slots), self.chosen.random() < 0.7
        made = self.store.ensure_run(target, suite, slot, 1, digest, slot, scheduled=scheduled)
        run = self.store.claim(made.id, self.now, 60)
        assert run is not None
        for arm in (Arm.SUBJECT, Arm.SNAPSHOT):
            outcome = unmeasured(Reason.BUDGET) if lost else answer("x" * self.slots)
            self.store.record([recorded(run, outcome, arm=arm)])
        found = [replace(finding(run, alarming=True), effect=self.chosen.random())]
        found = found if self.chosen.random() < 0.7 else []
        raises = found and not self.store.open_alarms(target, suite) and self.chosen.random() < 0.5
        moves = [alarm(run, self.now)] if raises else []
        ends = RunOutcome.UNMEASURED if lost else RunOutcome.MEASURED
        assert self.store.finish(run.id, run.fence, ends, found, self.now, moves=moves)

    def person(self) -> None:
        """Somebody takes on, or clears, an alarm."""
        for raised in self.store.alarms(raised=True)[:1]:
            assert raised.id is not None
            if self.chosen.random() < 0.5:
                self.store.acknowledge(raised.id, "jo", "looking", self.now)
            else:
                self.store.clear_alarm(cleared_by_hand(raised, "jo", "planned", self.now))

    def baseline(self) -> None:
        """A window is opened, closed, approved or retired: whatever is next for one of them."""
        target = self.target()
        suite = self.suite(target)
        newest = next(iter(self.store.baselines(target, suite)), None)
        try:
            if newest is None or newest.status is BaselineStatus.RETIRED:
                ends = self.now + timedelta(seconds=1)
                self.store.open_baseline(target, suite, "1" * 64, "m", None, NOW - 10 * DAY, ends, at_once=True)
            elif newest.status is BaselineStatus.CAPTURING:
                self.store.close_due_baselines(self.now)
            elif newest.status is BaselineStatus.CAPTURED:
                self.store.approve(newest.id, "jo", "read", self.now)
            else:
                self.store.retire(newest.id, "jo", "old", self.now)
        except CliffwatchError:
            return  # nothing was captured

    def identity(self) -> None:
        target, arm = fleets.name_of(0), self.chosen.choice([Arm.SUBJECT, Arm.BASE])
        matches = self.chosen.random() < 0.5
        check = IdentityCheck(target, arm, "listed", Match.of(matches), "a", "b", self.now, self.now)
        self.store.save_identity_checks([check])
        if self.chosen.random() < 0.3:
            self.store.drop_identity_checks([(target, arm, check.check)])
        self.store.save_retirements([Retirement(target, arm, "m", self.now + self.slots * DAY, "config", self.now)])
        if self.chosen.random() < 0.3:
            self.store.drop_retirements([(target, arm)])

    def money(self) -> None:
        """A reservation is made; an older one is given back, or its caller was dead."""
        for run in self.store.runs(limit=1):
            expires = self.now + timedelta(hours=self.chosen.choice([1, 30]))
            wanted = replace(reservation(run, usd_limit=2.0, expires_at=expires), day=self.now.date())
            self.reserved += [number for number in self.store.reserve([wanted]) if number is not None]
        if self.reserved and self.chosen.random() < 0.5:
            self.store.cancel([self.reserved.pop()])
        self.store.release_expired(self.now)

    def self_test(self) -> None:
        target = self.target()
        fault = self.chosen.choice(["base-answers", "healthy"])
        test = SelfTest(target, self.suite(target), fault, self.chosen.randint(0, 9), 9, self.now)
        self.store.save_self_tests([test])

    def night(self) -> None:
        self.now += DAY

    def reload(self) -> None:
        """Another configuration, without one of the targets or with it again."""
        left = dict(FLEET.targets)
        if self.fleet is FLEET:
            del left[fleets.name_of(1)]
        self.fleet = FLEET if self.fleet is not FLEET else FLEET.model_copy(update={"targets": left})

    def step(self) -> str:
        kinds: list[Callable[[], None]] = [
            self.run, self.run, self.person, self.baseline, self.baseline, self.identity, self.money, self.self_test,
            self.night, self.reload,
        ]  # fmt: skip
        kind = self.chosen.choice(kinds)
        self.now += timedelta(seconds=1)
        kind()
        return kind.__name__


def test_a_kept_page_is_what_a_new_process_writes(store: Store, migrated_url: str) -> None:
    """``other`` is a second daemon's: each writes by turns, both are scraped."""
    other = open_store(migrated_url)
    kept, walk = Internals(), Walk(store, random.Random(1))
    pages = set()
    for number in range(STEPS):
        walk.store = (store, other)[number % 2]
        done = walk.step()
        page, new = (sorted(one.exposition(store, walk.fleet, walk.now)[0].splitlines()) for one in (kept, Internals()))
        assert page == new, f"step {number}: {done}"
        pages.add(tuple(page))
    other.close()
    assert len(pages) > STEPS / 3, "what happens must be seen"
