"""Prints results: tables for people, JSON for programs. Answers are hostile text and are escaped."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.cli.terminal import block, boxed, console, has_room, say, table
from monitor.core import sampling
from monitor.core.condition_words import render
from monitor.core.lookalikes import difference
from monitor.core.measured import Standing
from monitor.core.records import (
    Alarm,
    Answer,
    Baseline,
    BaselineStatus,
    Finding,
    FindingState,
    Severity,
)
from monitor.core.sanitize import visible
from monitor.core.texts import NOT_ASKED, is_empty, shown
from monitor.core.wording import alarm_state, cleared, evidence, many, no_text, sized, state_of, urgency
from monitor.report.explain import recovery, sentences
from monitor.report.explain.claim import Claim
from monitor.report.explain.jsonable import plain
from monitor.report.status import liveness

if TYPE_CHECKING:
    from monitor.cli.operations import Asked, Probed
    from monitor.config import Report
    from monitor.report.status.fleet import Status, StatusRow
    from monitor.runs.recompute import Recomputed

EXHIBITS_SHOWN = 3
ANSWER_SHOWN = 400
DIFFERENCES_SHOWN = 10
STYLES: Final[Mapping[FindingState, tuple[str, str]]] = {
    FindingState.ALARMING: ("ALARM", "bold red"),
    FindingState.LOOK: ("look", "yellow"),
    FindingState.QUIET: ("quiet", "green"),
    FindingState.CLEARED: ("cleared", "dim"),
}
"""State of a finding -> its word and style on a terminal."""


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False, default=str) + "\n")


def check_report(report: "Report", path: Path, *, nothing_to_ask: bool, as_json: bool) -> None:
    """Prints every problem and warning, one per line; problems first."""
    if as_json:
        print_json({"problems": [str(p) for p in report.problems], "warnings": [str(w) for w in report.warnings]})
        return
    for problem in report.problems:
        sys.stderr.write(f"{problem}\n")
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if report.problems:
        sys.stderr.write(f"{path}: {many(len(report.problems), 'problem')}\n")
    else:
        fine = "valid, but a sample of production inputs would be empty" if nothing_to_ask else "fine"
        sys.stdout.write(f"{path}: {fine}\n")


def exchange(asked: "Asked", *, debug: bool, as_json: bool) -> None:
    """Prints one exchange: the answer alone, or with ``debug`` everything that was sent, received and concluded."""
    if as_json:
        print_json(asked)
        return
    out, outcome = console(), asked.explanation.outcome
    if isinstance(outcome, Answer):
        out.print(Text(visible(shown(outcome.text)) if outcome.text.strip() else no_text(outcome)), soft_wrap=True)
    else:
        out.print(Text(f"unmeasured ({outcome.reason}): {visible(outcome.detail)}", style="bold red"), soft_wrap=True)
    if debug:
        for title, body in _sections(asked):
            boxed(out, [Text(visible(body, limit=20_000))], title)


def _sections(asked: "Asked") -> Iterator[tuple[str, str]]:
    """Parts of an exchange, in order, each as title and text."""
    explained = asked.explanation
    question, outcome = explained.question, explained.outcome
    where = explained.base_url or "the vendor's default address"
    yield "asked", f"{question.arm} {question.model} at {question.provider} ({explained.provider_kind}, {where})"
    yield "prompt", "\n".join(f"{m.role}: {m.content}" for m in question.messages)
    yield (
        "attempts",
        "\n".join(f"{a.outcome} after {a.seconds:.2f} s  {a.detail}" for a in explained.attempts) or "none",
    )
    yield "accepted parameters", _json(explained.accepts) if explained.accepts else "not known yet"
    yield "price", _json(explained.price.model_dump()) if explained.price else "unknown"
    if outcome.exchange is not None:
        yield "request", _json(outcome.exchange.request)
        yield "response", f"HTTP {outcome.exchange.status}\n{_json(outcome.exchange.response)}"
        yield "headers", _json(outcome.exchange.headers)
    yield "parsed as", _json({name: value for name, value in asdict(outcome).items() if name != "exchange"})
    lines = [f"{grade.grader}: {grade.value:g}  {grade.detail}" for grade in asked.grades]
    lines += [f"{one.grader}: no score ({one.reason})  {one.detail}" for one in asked.unscored]
    if lines:
        yield "checks", "\n".join(lines)


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), indent=2, ensure_ascii=False, default=str)


def runs(results: Sequence["Probed"], *, as_json: bool) -> None:
    if as_json:
        print_json(list(results))
        return
    out = console()
    for result in results:
        run = result.run
        out.print(Text(f"{run.target}/{run.suite}: run {run.id} {run.outcome or run.status}", style="bold"))
        if result.sample is not None:
            for told in (sampling.summary(result.sample), *sampling.notes(result.sample)):
                say(out, Text(f"  {visible(told)}"))
        if result.unmeasured:
            out.print(Text(f"  without a usable answer: {_counts(result.unmeasured)}", style="bold yellow"))
        if not result.findings:
            why = "too few answers to compare" if result.armed else "no approved baseline of this suite (unarmed)"
            out.print(Text(f"  no findings: {why}"))
        for words in render(result.conditions):
            say(out, Text(f"  {visible(words)}", style="yellow"))
        width = _width(result.findings)
        for finding in result.findings:
            ended = recovery.ending(result.alarms, finding)
            if state_of(finding, ended) is FindingState.ALARMING:
                finding_view(out, finding)
            else:
                say(out, _one_line(finding, width, closed=ended))
        alarming = {finding.signal for finding in result.findings if finding.alarming}
        for alarm in sorted(result.raised, key=urgency):
            if alarm.signal not in alarming:
                say(out, _alarm_line(alarm))


def most_urgent(found: Sequence[Finding]) -> list[Finding]:
    """Returns findings, newest run first; within a run by urgency: alarms first, of these pages first."""
    runs = {run_id: number for number, run_id in enumerate(dict.fromkeys(one.run_id for one in found))}
    return sorted(found, key=lambda one: (runs[one.run_id], not one.alarming, urgency(one)))


def findings(found: Sequence[tuple[Finding, Claim]], *, as_json: bool) -> None:
    """Prints findings, each with the claim that its page shows."""
    if as_json:
        print_json([{**plain(finding), "claim": claim} for finding, claim in found])
        return
    out = console()
    if not found:
        out.print(Text("no findings"))
    for finding, claim in found:
        finding_view(out, finding, claim)


def _width(found: Iterable[Finding]) -> int:
    return max((len(finding.signal) for finding in found), default=0)


def _one_line(finding: Finding, width: int, note: str = "", closed: Alarm | None = None) -> Text:
    """``closed``: the cleared alarm that the finding raised, kept open or cleared, if any."""
    state = state_of(finding, closed)
    word, style = STYLES[state]
    mark = (f"{word:<5}", "dim" if note and state is FindingState.QUIET else style)
    if closed is not None and state is FindingState.CLEARED:
        mark = (visible(cleared(closed), limit=ANSWER_SHOWN), style)
    told = visible(recovery.summary(finding, closed))
    return Text.assemble("  ", mark, f"  {finding.signal:<{width}}  ", told, (note, "bold yellow"))


def finding_view(out: Console, finding: Finding, claim: Claim | None = None) -> None:
    """Prints one finding: its claim, its numbers, and its answers side by side."""
    word, style = STYLES[claim.state if claim else finding.state]
    told, held_against = evidence(finding)
    for_change = "no evidence of a change" if told == "none" else f"evidence for a change {told}"
    numbers = (
        f"{sized(finding)}   "
        f"{finding.answers_now} answers now, {finding.answers_baseline} in the baseline\n"
        f"{for_change} ({held_against})"
    )
    said = visible(claim.headline if claim else sentences.summary(finding))
    head = Text.assemble((said, "bold"), "\n", *_claimed(claim), (numbers, "dim"))
    title = f"{word}  {finding.target}/{finding.suite}  {finding.signal} ({finding.severity})"
    fresh = ", a fresh sample to confirm a page" if finding.confirming else ""
    stamp = f"run {finding.run_id}{fresh}, {finding.window_end:%Y-%m-%d %H:%M:%S} UTC"
    exhibits = _exhibits(finding) if finding.alarming else []
    wide = has_room(out) and exhibits
    boxed(out, [head, _side_by_side(exhibits)] if wide else [head], title, stamp=stamp, style=style)
    for exhibit in () if wide else exhibits:
        block(out, exhibit)


def _claimed(claim: Claim | None) -> Iterator[str | tuple[str, str]]:
    """How bad, since when, how certain, what to do and the likely cause: one line each, worded as on the page."""
    if claim is None:
        return
    runbook = f" Runbook: {claim.runbook}." if claim.runbook else ""
    suspect = f"{claim.suspect}. {claim.why}" if claim.suspect else ""
    since = f"{claim.since}." if claim.since else ""
    for words in (claim.bad, since, claim.sure):
        if words:
            yield f"{visible(words)}\n"
    for title, words in (
        ("What to do now", f"{claim.now}{runbook}" if claim.now else ""),
        ("Likely at fault", suspect),
    ):
        if words:
            yield (f"{title}: ", "bold")
            yield f"{visible(words)}\n"


def _exhibits(finding: Finding) -> list[dict[str, str]]:
    told = []
    checked = any(one.uncached is not None for one in finding.exhibits[:EXHIBITS_SHOWN])
    for one in finding.exhibits[:EXHIBITS_SHOWN]:
        answers = {"baseline": one.baseline, "now": one.now, "base": one.base}
        answers |= {"now, past the cache": one.uncached} if checked else {}
        texts = {"prompt": one.prompt} | {
            name: NOT_ASKED if text is None else shown(text) for name, text in answers.items()
        }
        laid = {name: visible(text, limit=ANSWER_SHOWN) for name, text in texts.items()}
        both = one.baseline is not None and not is_empty(one.baseline) and not is_empty(one.now)
        alike = difference(one.baseline or "", one.now) if both else ""
        told.append(laid | {"now": f"{laid['now']}\n({alike})"} if alike else laid)
    return told


def _side_by_side(exhibits: Sequence[Mapping[str, str]]) -> Table:
    columns = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    for name in exhibits[0]:
        columns.add_column(name, ratio=1, overflow="fold")
    for exhibit in exhibits:
        columns.add_row(*map(Text, exhibit.values()))
    return columns


def baselines(rows: Iterable[Baseline], *, as_json: bool) -> None:
    listed = list(rows)
    if as_json:
        print_json(listed)
        return
    out = console()
    if not listed:
        out.print(Text("no baselines"))
        return
    names = ("id", "target/suite", "status", "answers", "days", "subject", "base", "approved", "why")
    told = [
        (
            str(b.id), f"{b.target}/{b.suite}", b.status.value, str(b.answers), "at once" if b.at_once else str(b.days),
            b.subject_model, b.base_model or "—",
            visible(f"{b.approved_by}, {b.approved_at:%Y-%m-%d}") if b.approved_at else "—",
            visible(b.approved_why or "—"),
        )
        for b in listed
    ]  # fmt: skip
    table(out, names, told, right=("id", "answers", "days"))
    for b in listed:
        for words in render(b.conditions) if b.status is not BaselineStatus.RETIRED else ():
            say(out, Text(f"baseline {b.id} of {b.target}/{b.suite}: {visible(words)}", style="yellow"))


def status(found: "Status", *, as_json: bool) -> None:
    """Prints what needs attention first. For large fleets, only counts the quiet suites."""
    if as_json:
        print_json({**{one.name: getattr(found, one.name) for one in fields(found)}, "left_out": found.left_out})
        return
    out = console()
    for words in (liveness.render_liveness(found.daemon), *liveness.render_notices(found.daemon)):
        out.print(Text(*words))
    for row in found.watches:
        _watch(out, row)
    if len(found.watches) < found.total:
        waiting = {"capturing": found.capturing, Standing.NOT_MEASURED_YET.value: found.not_measured_yet}
        told = ", ".join(f"{count} {need}" for need, count in {**found.needing, **waiting}.items() if count)
        more = f"{found.left_out} more need attention" if found.left_out else ""
        out.print(
            Text(f"{found.total} suites of targets: {f'{told}, ' if told else ''}{found.quiet} quiet", style="bold")
        )
        out.print(Text("; ".join((*filter(None, [more]), "--all lists every suite")), style="dim"))


def _watch(out: Console, row: "StatusRow") -> None:
    out.print(Text.assemble((f"{row.target}/{row.suite}", "bold"), "  ", _state(row), "  ", row.baseline))
    for why in row.warnings:
        say(out, Text(f"  {why}", style="yellow"))
    for one in row.identity:
        seen = f"expected {visible(one.expected, limit=ANSWER_SHOWN)}; {visible(one.found, limit=ANSWER_SHOWN)}"
        say(out, Text(f"  identity of the {one.arm}, {one.check}: {seen} (since {one.since:%Y-%m-%d})", style="yellow"))
    last = f"{row.last_run:%Y-%m-%d %H:%M:%S} UTC, {row.last_outcome}" if row.last_run else "none yet"
    lost = f"; without a usable answer: {_counts(row.unmeasured)}" if row.unmeasured else ""
    late = "; the next is late" if row.needs == "late" else ""
    say(out, Text(f"  last finished run: {last}{lost}{late}", style="bold yellow" if lost or late else ""))
    for alarm in sorted(row.alarms, key=urgency):
        say(out, _alarm_line(alarm))
    told = {alarm.signal for alarm in row.alarms}
    others = [one for one in sorted(row.findings, key=urgency) if one.signal not in told]
    # With an alarm, quiet signals are only counted: their numbers would hide it.
    shown = [one for one in others if not told or one.state is not FindingState.QUIET]
    width, closed = _width(shown), {alarm.signal: alarm for alarm in row.cleared}
    for finding in shown:
        older = row.last_run is not None and finding.window_end < row.last_run
        note = f" (of {finding.window_end:%Y-%m-%d %H:%M}, not of the last run)" if older else ""
        if row.standing is not Standing.COMPARED:
            note = f" (of {finding.window_end:%Y-%m-%d %H:%M}; nothing is compared now)"
        say(out, _one_line(finding, width, note, closed.get(finding.signal)))
    if quiet := len(others) - len(shown):
        out.print(Text(f"  {many(quiet, 'other signal')} quiet", style="dim"))


def _state(row: "StatusRow") -> tuple[str, str]:
    if row.alarms:
        return STYLES[FindingState.ALARMING]
    if not row.armed:
        return "unarmed", "bold yellow"
    told, style = ("armed for tickets only", "yellow") if row.tickets_only else ("armed", "green")
    return (told, style) if row.standing is Standing.COMPARED else (f"{told}, {row.standing}", "yellow")


def _alarm_line(alarm: Alarm) -> Text:
    style = "bold red" if alarm.severity is Severity.PAGE else "bold yellow"
    raised = f"raised {alarm.raised_at:%Y-%m-%d %H:%M} UTC by run {alarm.raised_run_id}"
    told = alarm_state(alarm, alarm.raised_at)
    if alarm.cleared_at is not None:
        style, told = "dim", cleared(alarm)
    return Text.assemble(
        "  ", (f"{alarm.severity} {alarm.signal}", style), f", {raised}. ", visible(told, limit=ANSWER_SHOWN)
    )


def alarms(found: Sequence[Alarm], *, closed_too: bool, as_json: bool) -> None:
    """Prints alarms with their state, under a heading per target and suite."""
    if as_json:
        print_json(list(found))
        return
    out, heading = console(), ""
    if not found:
        out.print(Text("no alarms yet" if closed_too else "no open alarms"))
    for alarm in sorted(found, key=lambda one: (one.target, one.suite, urgency(one))):
        if heading != (heading := f"{alarm.target}/{alarm.suite}"):
            out.print(Text(heading, style="bold"))
        say(out, _alarm_line(alarm))


def not_recomputed(result: "Recomputed") -> str:
    """How many verdicts cannot be recomputed, and why."""
    kinds = sorted({one.kind.value for verdict in result.cannot for one in verdict.deleted})
    verdicts = many(len(result.cannot), "verdict")
    return f"{verdicts} cannot be recomputed, because data was deleted (retention, forget): {', '.join(kinds)}"


def recomputed(result: "Recomputed", *, as_json: bool) -> None:
    """Prints how many findings and alarms were reproduced, and the first differences."""
    if as_json:
        print_json(result)
        return
    out = console()
    if result.differences:
        first = result.differences[0]
        out.print(Text(f"first difference: run {first.run_id}, {first.signal}, {first.field}", style="bold red"))
    out.print(Text(f"{result.equal} of {result.findings} findings and {result.alarms_equal} of {result.alarms} alarms "
                   f"are reproduced exactly as stored"))  # fmt: skip
    if result.cannot:
        out.print(Text(not_recomputed(result), style="yellow"))
    for one in result.differences[:DIFFERENCES_SHOWN]:
        out.print(
            Text.assemble(
                (f"run {one.run_id}, {one.signal}, {one.field}: ", "bold red"),
                f"stored {visible(one.stored, limit=ANSWER_SHOWN)}, "
                f"recomputed {visible(one.recomputed, limit=ANSWER_SHOWN)}",
            )
        )  # fmt: skip
    more = len(result.differences) - DIFFERENCES_SHOWN
    if more > 0:
        out.print(Text(f"and {more} more; --json lists all"))


def _counts(unmeasured: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(unmeasured.items()))
