"""The lab's anchors are true, its judge agrees with them as stated, and another model in its place is told."""

from datetime import timedelta
from pathlib import Path

from monitor.config.suites import load_suite
from monitor.core.package_data import shipped
from monitor.core.records import AlarmState, BaselineStatus, Run, Severity
from monitor.lab import product
from monitor.lab.anchors import EACH, NAME, anchors_text, cases
from monitor.lab.process import LabServer
from monitor.runs.context import RunContext, ensure_run, open_capture
from monitor.runs.execute import execute_run
from monitor.runs.recompute import recompute
from tests.daemon import NOON, Clock, context_of

DAYS = 7
AGREED = 26
"""Of the 30: measured on the shipped weights, where the judge at temperature 0 says the same every time."""
SLACK = 2
"""Anchors on which another processor's rounding may tip the judge."""


def test_the_file_is_what_the_product_makes_and_says_the_truth() -> None:
    assert (shipped("probes") / f"{NAME}.yaml").read_text(encoding="utf-8") == anchors_text()
    found = cases()
    assert [one.kind == "right" for one in found].count(True) == EACH == len(found) / 2
    assert [product.is_right(one.case, one.reply) for one in found] == [one.kind == "right" for one in found]
    assert {one.kind for one in found} == {"right", *product.WRONG_KINDS}
    assert len(load_suite(NAME, Path("/nowhere")).probes) == 2 * EACH


def configure(folder: Path, lab: LabServer) -> Path:
    path = folder / "cliffwatch.yaml"
    path.write_text(
        f"""\
store: sqlite:///{folder}/cliffwatch.db
providers: {{lab: {{kind: openai, base_url: {lab.openai_url}, free: true, concurrency: 8}}}}
judge: {{provider: lab, model: lab-judge, anchors: {NAME}}}
targets: {{support-bot: {{subject: {{provider: lab, model: lab-support}}, suites: [lab-support]}}}}
http: {{port: 0}}
"""
    )
    return path


async def one_day(context: RunContext, clock: Clock) -> Run:
    run = ensure_run(context, "judge", NAME, clock.at)
    clock.forward(hours=1)
    assert await execute_run(context, run.id, at_once=True) is not None
    clock.forward(hours=23)
    return context.store.get_run(run.id)


def agreement(context: RunContext, run: Run) -> float:
    share = context.store.summaries([run.id])[run.id].pass_ratio
    assert share is not None
    return share


async def test_another_model_under_the_judges_name_is_a_ticket_on_the_judge(
    tmp_path: Path, lab_server: LabServer
) -> None:
    clock = Clock(NOON.replace(hour=0))
    async with context_of(configure(tmp_path, lab_server), clock) as context:
        open_capture(context, "judge", NAME, clock.at, clock.at + timedelta(days=DAYS), at_once=False)
        for _ in range(DAYS):
            assert abs(agreement(context, await one_day(context, clock)) - AGREED / 30) < (SLACK + 0.5) / 30
        context.store.close_due_baselines(clock.at)
        (captured,) = context.store.baselines("judge", NAME, BaselineStatus.CAPTURED)
        context.store.approve(captured.id, "test", "the lab is healthy", clock.at)
        await one_day(context, clock)
        assert context.store.alarms() == []
        assert len(context.store.findings("judge")) >= 2, "armed, and quiet"

        with lab_server.fault("judge-replaced"):
            for _ in range(3):
                replaced = await one_day(context, clock)
                if any(one.signal == "negative_flips" for one in context.store.alarms("judge")):
                    break
        assert agreement(context, replaced) < 0.7
        told = next(one for one in context.store.alarms("judge") if one.signal == "negative_flips")
        assert (told.severity, told.state) == (Severity.TICKET, AlarmState.CONFIRMED)
        assert {one.severity for one in context.store.alarms()} == {Severity.TICKET}
        (finding,) = context.store.findings("judge", run_id=told.raised_run_id, signal="negative_flips")
        assert finding.exhibits
        assert "<reply>" in finding.exhibits[0].prompt, "the labelled answer stands beside both verdicts"
        assert recompute(context.store).differences == []
