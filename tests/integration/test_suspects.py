"""Whose fault it likely is, from what the store holds of the same run."""

from pathlib import Path

import pytest

from monitor.core.records import RunOutcome
from monitor.report.explain.claim import claim_of
from monitor.store import open_store
from tests.store_records import NOW, claimed, finding
from tests.summaries import saying

AWAY = "Not an adapter loss, but worth a look: answers of bot moved away from the approved ones."
TOWARDS = "Below the alarm line, but worth a look: answers of bot moved towards its base model."


@pytest.mark.parametrize(("summary", "suspect"), [(AWAY, "the model"), (TOWARDS, "the served model")])
def test_only_a_move_towards_the_base_is_a_sign_of_a_lost_fine_tune(tmp_path: Path, summary: str, suspect: str) -> None:
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    run = claimed(store)
    longer = finding(run, alarming=True)
    moved = saying(summary, finding(run, alarming=False, signal="adapter_loss"))
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [moved, longer], NOW)
    told = {one.signal: claim_of(store, one) for one in store.latest_findings("bot")}
    store.close()
    assert told["length"].suspect == suspect
    assert ("adapter_loss" in told["length"].why) == (summary == TOWARDS)
    assert told["adapter_loss"].suspect == suspect, "the page of either says the same"
