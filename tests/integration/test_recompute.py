"""Every finding and alarm comes out of the store again; what does not is named."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.cli.operations import open_alarm
from monitor.cli.output import not_recomputed
from monitor.core.records import AlarmState, DataKind
from monitor.daemon.actions import Actions
from monitor.runs.context import RunContext
from monitor.runs.execute import execute_run
from monitor.runs.recompute import Recomputed, recompute
from monitor.store import Store, open_store
from monitor.store.tables import alarm, answer, finding
from tests.daemon import DOWN, HEALTHY, LOST, Clock, armed, context_of, fresh_sample, one_day, write

FORTNIGHT = 14


async def confirm(context: RunContext) -> None:
    """Ask the fresh sample that is due."""
    assert await execute_run(context, fresh_sample(context).id) is not None


async def until_raised(context: RunContext, clock: Clock) -> None:
    for _ in range(FORTNIGHT):
        await one_day(context, clock)
        if any(one.signal == "adapter_loss" for one in context.store.open_alarms("bot", "facts")):
            return
    raise AssertionError("the loss was never seen")


async def life(folder: Path, clock: Clock) -> Path:
    """Health, a loss that is raised and confirmed, its recovery, a second loss that a person clears, an outage."""
    path = write(folder, HEALTHY)
    await armed(path, clock)
    async with context_of(path, clock) as context:
        for _ in range(2):
            await one_day(context, clock)
    write(folder, LOST)
    async with context_of(path, clock) as context:
        await until_raised(context, clock)
        await confirm(context)
    write(folder, HEALTHY)
    async with context_of(path, clock) as context:
        for _ in range(FORTNIGHT):
            await one_day(context, clock)
            if not context.store.open_alarms("bot", "facts"):
                break
        assert [one.cleared_by for one in context.store.alarms("bot") if one.signal == "adapter_loss"] == [None]
    write(folder, LOST)
    async with context_of(path, clock) as context:
        await until_raised(context, clock)
        write(folder, DOWN)
    async with context_of(path, clock) as context:
        await confirm(context)
        clock.forward(hours=1)
        number = open_alarm(context, "bot", "adapter_loss", None)
        audit_entries = Actions(lambda: context)
        audit_entries.acknowledge(number, "kim", "asking who unloaded it")
        audit_entries.clear(number, "jo", "the adapter was unloaded on purpose")
        await one_day(context, clock)
    write(folder, LOST)
    async with context_of(path, clock) as context:
        await until_raised(context, clock)
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("life")
    asyncio.run(life(folder, Clock()))
    return folder / "cliffwatch.db"


@pytest.fixture
def lived(template: Path, tmp_path: Path) -> Iterator[Store]:
    """A store of its own with that life in it."""
    store = open_store(f"sqlite:///{shutil.copy(template, tmp_path)}")
    yield store
    store.close()


def test_a_life_comes_out_as_it_was_stored(lived: Store) -> None:
    states = [(one.state, one.cleared_by) for one in lived.alarms("bot") if one.signal == "adapter_loss"]
    assert states == [(AlarmState.RAISED, None), (AlarmState.CLEARED, "jo"), (AlarmState.CLEARED, None)]
    result = recompute(lived)
    assert result.differences == []
    assert result.equal == result.findings == len(lived.findings(limit=10_000)) > 30
    assert result.alarms_equal == result.alarms == len(lived.alarms())


def test_a_tampered_answer_is_named(lived: Store) -> None:
    verdicts = [context.run_id for context in lived.verdicts("bot")]
    with lived._database.write() as connection:
        where = (answer.c.run_id == verdicts[1], answer.c.arm == "subject")
        connection.execute(answer.update().where(*where).values(text="something else, and longer"))
    result = recompute(lived)
    named = {(one.run_id, one.signal, one.field) for one in result.differences}
    assert (verdicts[1], "length", "scores") in named
    assert not any(run_id == verdicts[0] for run_id, _, _ in named), "what came before is as it was"
    assert (verdicts[2], "length", "evidence_log10") in named, "evidence adds up, so later looks differ too"
    assert result.equal < result.findings


def test_a_tampered_finding_and_alarm_are_named(lived: Store) -> None:
    run_id, raised = lived.verdicts("bot")[0].run_id, lived.alarms("bot")[0]
    with lived._database.write() as connection:
        mine = (finding.c.run_id == run_id, finding.c.signal == "length")
        connection.execute(finding.update().where(*mine).values(cause="prompt_changed", what="All is well"))
        connection.execute(alarm.update().where(alarm.c.id == raised.id).values(confirmation="not_asked", note="x"))
    told = {(one.run_id, one.signal, one.field): one for one in recompute(lived).differences}
    assert set(told) == {
        (run_id, "length", "cause"), (raised.raised_run_id, raised.signal, "alarm.confirmation"),
    }, "words are not compared"  # fmt: skip
    assert told[run_id, "length", "cause"].stored == '"prompt_changed"'


def test_a_finding_and_an_alarm_that_are_gone_are_named(lived: Store) -> None:
    run_id, raised = lived.verdicts("bot")[0].run_id, lived.alarms("bot")[0]
    with lived._database.write() as connection:
        connection.execute(finding.delete().where(finding.c.run_id == run_id, finding.c.signal == "contract"))
        connection.execute(alarm.delete().where(alarm.c.id == raised.id))
    told = {(one.run_id, one.signal, one.field): one for one in recompute(lived).differences}
    assert told[run_id, "contract", "finding"].stored == "nothing"
    assert told[raised.raised_run_id, raised.signal, "alarm"].stored == "nothing"


def test_an_empty_store_has_nothing_to_recompute(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    assert recompute(store) == Recomputed()
    store.close()


def test_a_verdict_without_its_texts_says_that_it_cannot_be_repeated(lived: Store) -> None:
    verdicts = [context.run_id for context in lived.verdicts("bot")]
    after = lived.get_run(verdicts[1]).finished_at
    assert after is not None
    for run_id in verdicts[:2]:
        assert lived.delete_old(DataKind.TEXTS, run_id, 7, after)
    result = recompute(lived)
    assert [one.run_id for one in result.cannot] == verdicts[:2]
    assert result.differences == [], "the stored findings take the place of the history of later ones"
    assert 0 < result.equal == result.findings < len(lived.findings(limit=10_000))
    assert not_recomputed(result).startswith("2 verdicts cannot be recomputed")


def test_nothing_can_be_repeated_without_the_texts_of_the_baseline(lived: Store) -> None:
    (approved,) = lived.baselines("bot")
    lived.retire(approved.id, "kim", "over", datetime(2027, 1, 1, tzinfo=UTC))
    assert lived.delete_old(DataKind.TEXTS, approved.run_ids[0], 7, datetime(2027, 1, 1, tzinfo=UTC))
    result = recompute(lived)
    assert len(result.cannot) == len(lived.verdicts("bot"))
    assert result.findings == 0
