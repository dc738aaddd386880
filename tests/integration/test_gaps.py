"""Why a silence is no health: status, the pages, the mail and the metrics say the same of the same store."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.core.limits import PARTLY, PERIODS
from monitor.core.records import Arm, RunOutcome
from monitor.report.email.compose import compose
from monitor.report.metrics import Internals
from monitor.report.status.fleet import status
from monitor.report.web import fleet_overview
from monitor.runs.readonly import ReadOnlyContext, reading
from monitor.store import Store, open_store
from tests.daemon import HEALTHY, NOON, write
from tests.store_records import answer, recorded, unmeasured

DAY = timedelta(days=1)
SUITE = "facts"
PROBES = 100


@dataclass(frozen=True)
class Last:
    """The last run of a target: how many of its ``PROBES`` questions each arm lost, and when it ended."""

    subject: int = 0
    base: int = 0
    days_ago: float = 0.1


RUNS: Mapping[str, Last] = {
    "dead": Last(subject=PROBES),
    "baseless": Last(base=PROBES),
    "half": Last(subject=PROBES // 2, base=PROBES // 2),
    "one-lost": Last(subject=1),
    "late": Last(days_ago=2.2),
    "overslept": Last(days_ago=1.8),
}
SAID = {
    # target: status, page, the mail's label, whether CliffwatchUnmeasured fires
    "dead": ("unmeasured", "unmeasured", "Not measured", True),
    "baseless": ("partly unmeasured", "partly", "Partly measured", True),
    "half": ("partly unmeasured", "partly", "Partly measured", True),
    "one-lost": (None, "quiet", None, False),
    "late": ("late", "late", "Late", True),
    "overslept": (None, "quiet", None, False),
}


def ended(store: Store, target: str, digest: str, slot: datetime, at: datetime, last: Last) -> None:
    made = store.ensure_run(target, SUITE, slot, seed=1, suite_digest=digest, next_at=slot)
    run = store.claim(made.id, at, 60)
    assert run is not None
    items = [
        recorded(run, unmeasured() if n < lost else answer(), f"p{n}", arm=arm)
        for arm, lost in ((Arm.SUBJECT, last.subject), (Arm.BASE, last.base))
        for n in range(PROBES)
    ]
    assert all(store.record(items))
    whole = RunOutcome.PARTIAL if last.subject else RunOutcome.MEASURED
    outcome = RunOutcome.UNMEASURED if last.subject == PROBES else whole
    assert store.finish(run.id, run.fence, outcome, (), at)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Targets that are armed with a baseline of a week ago, and whose last run is that of ``RUNS``."""
    path = tmp_path_factory.mktemp("gaps")
    bot = {
        "subject": {"provider": "script", "model": "tuned"},
        "base": {"provider": "script", "model": "plain"},
        "suites": [SUITE],
    }
    config = write(path, HEALTHY, targets=dict.fromkeys(RUNS, bot), store="sqlite:///cliffwatch.db")
    open_store(f"sqlite:///{path}/cliffwatch.db").close()
    with reading(config) as found:
        for target, last in RUNS.items():
            digest, begins = found.digest(target, SUITE), NOON - 7 * DAY
            number = found.store.open_baseline(target, SUITE, digest, "tuned", "plain", begins, begins + DAY).id
            ended(found.store, target, digest, begins, begins + DAY / 2, Last())
            found.store.close_due_baselines(begins + DAY)
            found.store.approve(number, "jo", "as shipped", begins + DAY)
            at = NOON - last.days_ago * DAY
            ended(found.store, target, digest, at - DAY / 4, at, last)
    return path


@pytest.fixture
def kept(folder: Path, tmp_path: Path) -> Iterator[ReadOnlyContext]:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with reading(tmp_path / "cliffwatch.yaml") as found:
        yield ReadOnlyContext(found.settings, found.suites, found.store, lambda: NOON)


def test_status_pages_mail_and_metrics_say_the_same(kept: ReadOnlyContext) -> None:
    stands = status(kept, everything=True)
    needs = {row.target: row.needs for row in stands.watches}
    seen = {
        watch.target: watch
        for watch in fleet_overview.watches(kept.store, kept.settings, NOON, fleet_overview.FleetCache())
    }
    mail = compose(kept, NOON).report
    labels = {card.name: card.items[0].label for card in mail.cards} | {
        row.name: row.label for row in mail.others.items
    }
    firing = unmeasured_alerts(kept)
    assert {name: (needs[name], seen[name].attention, labels.get(name), firing[name]) for name in RUNS} == SAID
    assert stands.unmeasured, "exit code 3"
    assert {name for name, watch in seen.items() if watch.stale} == {"dead", "late"}
    assert fleet_overview.headline(list(seen.values()))[1] == (
        "No alarm raised; 1 not measured; 2 partly measured; 1 late: no success in two intervals"
    )


def unmeasured_alerts(kept: ReadOnlyContext) -> dict[str, bool]:
    """Target -> what the first two terms of CliffwatchUnmeasured come to, of the very series that it reads."""
    exposition = Internals().exposition(kept.store, kept.settings, NOON)[0].decode()
    series = {
        (sample.name, sample.labels["target"]): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.labels.get("suite") == SUITE
    }

    def value(name: str, target: str) -> float:
        return series[f"cliffwatch_run_{name}", target]

    return {
        target: value("unmeasured_ratio", target) > PARTLY
        or NOON.timestamp() - value("last_success_timestamp_seconds", target)
        > PERIODS * value("interval_seconds", target)
        for target in RUNS
    }


def test_of_a_dead_subject_all_is_unmeasured(kept: ReadOnlyContext) -> None:
    """Its base answered every question, and that measures nothing."""
    stream = kept.store.streams("dead")[0]
    assert (stream.last_outcome, stream.last_run_id is not None) == (RunOutcome.UNMEASURED, True)
    exposition = Internals().exposition(kept.store, kept.settings, NOON)[0].decode()
    assert 'cliffwatch_run_unmeasured_ratio{target="dead",suite="facts"} 1' in exposition
