"""After a good rollback: the look that ended the alarms is told as over, by commands and pages alike."""

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.cli import operations, output
from monitor.core.records import Finding
from monitor.report.explain import recovery
from monitor.report.explain.claim import claim_of
from tests.daemon import AFTER, DOWN, HEALTHY, LOST, Clock, context_of, one_day, write
from tests.integration.test_cli import cliffwatch, printed


async def lost(folder: Path) -> Clock:
    """Three days of a lost fine-tune; then the script has the adapter back, and nobody has asked yet."""
    clock = Clock(AFTER)
    async with context_of(write(folder, LOST), clock) as context:
        for _ in range(3):
            await one_day(context, clock)
    write(folder, HEALTHY)
    return clock


def alarming(result: operations.Probed) -> list[Finding]:
    return [one for one in result.findings if one.alarming]


async def test_the_look_that_clears_is_told_as_recovered_whatever_its_evidence(
    armed_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = await lost(armed_folder)
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        (result,) = await operations.probe(context, "bot", "facts")
        well = {one.signal: one for one in alarming(result)}
        assert well.keys() >= {"adapter_loss", "judge_score", "length"}, "the evidence of before is still over its line"
        claims = {signal: claim_of(context.store, one) for signal, one in well.items()}
        before = next(one for one in context.store.findings("bot", signal="judge_score") if one != well["judge_score"])
        earlier = claim_of(context.store, before)
        assert recovery.summary(before, recovery.ending(result.alarms, before)).startswith(
            "The judge's score of bot dropped"
        )
    assert result.raised == []
    capsys.readouterr()
    output.runs([result], as_json=False)
    out = capsys.readouterr().out
    assert "ALARM" not in out
    for signal, told in claims.items():
        assert (told.state, told.suspect, told.why, told.since) == ("cleared", "", "", ""), signal
        assert told.headline.startswith("bot has recovered ("), signal
        assert told.now.startswith("Nothing to do: cleared automatically, 2026-12-09"), signal
        words = recovery.summary(well[signal], recovery.ending(result.alarms, well[signal]))
        assert words == f"{told.headline}: {told.bad} {recovery.RECOVERED}.", signal
        assert words in out
        for wrong in ("dropped", "Read the answers", "check for", "this evaluation alone"):
            assert wrong not in f"{words} {told.bad} {told.sure} {told.now}", (signal, wrong)
    capsys.readouterr()
    output.findings([(well["adapter_loss"], claims["adapter_loss"])], as_json=False)
    assert capsys.readouterr().out.startswith("cleared  bot/facts  adapter_loss")
    assert (earlier.state, earlier.suspect) == ("cleared", ""), "the looks of before are over with it"
    assert earlier.headline.startswith("The judge's score of bot dropped by 1.00")


async def test_a_probe_s_exit_code_is_whether_an_alarm_stays_raised(armed_folder: Path) -> None:
    await lost(armed_folder)
    half_down = {"model": "tuned", "probe": "fact-[0-7]", "error": {"reason": "server_error"}, "answers": ["never"]}
    write(armed_folder, [half_down, *HEALTHY])
    code, out, _ = cliffwatch(armed_folder, "probe", "bot")
    assert (code, "ALARM" in out) == (1, True), "too few answers to clear anything"
    write(armed_folder, DOWN)
    assert cliffwatch(armed_folder, "probe", "bot")[0] == 3, "nothing was measured: neither drift nor recovery"
    write(armed_folder, HEALTHY)
    code, (result,) = printed(armed_folder, "probe", "bot")
    assert (code, {one["state"] for one in result["alarms"]}) == (0, {"cleared"})
    assert [one for one in result["findings"] if one["alarming"]], "its numbers stay as they are"


async def test_an_alarm_that_stays_raised_is_told_though_its_look_is_quiet(
    armed_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = await lost(armed_folder)
    async with context_of(armed_folder / "cliffwatch.yaml", clock) as context:
        raised = context.store.open_alarms("bot")
        (result,) = await operations.probe(context, "bot", "facts")
    quiet = tuple(one for one in result.findings if not one.alarming)
    still = replace(result, findings=quiet, alarms=tuple(raised))
    assert {one.signal for one in still.raised} >= {"adapter_loss", "length"}
    capsys.readouterr()
    output.runs([still], as_json=False)
    assert "page adapter_loss, raised 2026-12-06 21:00 UTC" in capsys.readouterr().out
