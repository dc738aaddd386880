"""``cliffwatch sample``: what the next sample of production inputs would consist of, without asking anything."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli.options import DEFAULT, Config, Json, Target
from monitor.core.errors import CouldNotMeasure, UsageError

if TYPE_CHECKING:
    from monitor.config import Report
    from monitor.core.records import SampleAccount
    from monitor.core.settings import Production, Settings
    from monitor.sample import Sampled, SampledInput

PEEK_LINES: Final = 1000
"""Lines of the newest file that ``check`` reads."""

EXAMPLES: Final = 5
"""Redacted inputs that the dry run shows."""

EXAMPLE_CHARS: Final = 200
"""Characters of the last message that the text output shows of an example."""

MOST_STRATA: Final = 20
"""Strata that the text output shows, the largest first; JSON has all."""


def sample(
    target: Target,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the logs and print the account of the sample. Asks nothing.")
    ] = False,
    config: Config = DEFAULT,
    as_json: Json = False,
) -> None:
    """Print how many production inputs a run would ask now, and what it would leave out.

    Shows what was read, left out by reason with the first file and line, and kept, which files were not read, the paths
    at which requests were found, the strata, and a few of the redacted inputs. Makes no calls. Opens the store only for
    inputs that are pushed to the daemon. Exit 3 if there would be nothing to ask.
    """
    from monitor import config as configuration
    from monitor.core import schedule
    from monitor.core.lookup import known_names
    from monitor.core.records import SampleAccount
    from monitor.core.run_kinds import PRODUCTION
    from monitor.sample import Sampled

    if not dry_run:
        raise UsageError("sample: add --dry-run; the daemon and `cliffwatch probe` draw samples by themselves")
    settings = configuration.load(config, keys=frozenset())
    known_names(settings, target)
    production = settings.targets[target].production
    if production is None:
        raise UsageError(f"target {target} has no `production` section; docs/production.md shows one")
    now = datetime.now(UTC)
    since = now - timedelta(seconds=schedule.interval_seconds(settings.schedule, PRODUCTION.suite))
    try:
        sampled = _drawn(settings, target, production, since, now)
    except CouldNotMeasure as error:
        sampled = Sampled((), {}, SampleAccount(problem=str(error)))
    show(target, sampled, since if production.source.has_time else None, now, as_json=as_json)
    if not sampled.account.kept:
        raise CouldNotMeasure(f"{target}/{PRODUCTION.suite}: nothing to ask; see the reasons above")


def _drawn(settings: "Settings", target: str, production: "Production", since: datetime, now: datetime) -> "Sampled":
    """A sample now. Raises CouldNotMeasure."""
    from contextlib import closing

    from monitor.sample import sample_production

    if not production.source.pushed:
        return sample_production(production, 0, since, now, now)
    from monitor.runs.draw import draw_sample
    from monitor.store import open_store

    with closing(open_store(settings.store, migrate=False, create=False)) as store:
        return draw_sample(store, target, production, 0, since, now, now)


def show(target: str, sampled: "Sampled", since: datetime | None, until: datetime, *, as_json: bool) -> None:
    """Print the account: counts that add up, then reasons, files that were not read, paths, strata and examples.

    ``since``: ``None`` if requests have no time, so that all count.
    """
    from rich.text import Text

    from monitor.cli.output import print_json
    from monitor.cli.terminal import console, say, table
    from monitor.core import sampling
    from monitor.core.sanitize import visible

    account = sampled.account
    if as_json:
        print_json(_as_json(target, sampled, since, until))
        return
    out = console()
    period = f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC" if since else "of any time (no source.time)"
    out.print(Text(f"{target}: requests {period}", style="bold"))
    table(out, ("requests", "count"), list(_counts(account)), right=("count",))
    for note in _notes(account) if account.lines or account.problem else [sampling.nothing_to_ask(account)]:
        say(out, Text(visible(note)))
    if sampled.passed_over:
        found = ", ".join(f"{what} {count:,}" for what, count in sampled.passed_over.items())
        say(out, Text(f"Records that are not requests to ask again: {found}"))
    if sampled.mapping:
        rows = [(one.messages, one.time, one.stratum, f"{one.requests:,}") for one in sampled.mapping]
        table(out, ("messages at", "time at", "stratum at", "requests"), rows, right=("requests",))
    if len(sampled.strata) > 1:
        strata = [(visible(name), f"{count:,}") for name, count in _largest(sampled)]
        table(out, ("stratum", "requests"), strata, right=("requests",))
    for example in _examples(sampled):
        say(out, Text(f"{visible(example.stratum)}: {visible(_last_text(example), EXAMPLE_CHARS)}"))


def _as_json(target: str, sampled: "Sampled", since: datetime | None, until: datetime) -> dict[str, object]:
    from monitor.core import sampling

    account = sampled.account
    return {
        "target": target,
        "since": since and since.isoformat(),
        "until": until.isoformat(),
        **asdict(account),
        "considered": account.considered,
        "left_out_ratio": account.left_out_ratio,
        "notes": list(sampling.notes(account)),
        "inputs": account.kept,
        "no_requests": sampled.passed_over,
        "mapping": [asdict(one) for one in sampled.mapping],
        "strata": sampled.strata,
        "examples": [
            {
                "stratum": one.stratum,
                "requests": one.count,
                "messages": [{"role": message.role, "content": message.content} for message in one.probe.messages],
            }
            for one in _examples(sampled)
        ],
    }


def _largest(sampled: "Sampled") -> list[tuple[str, int]]:
    """The largest strata with their requests."""
    return sorted(sampled.strata.items(), key=lambda one: (-one[1], one[0]))[:MOST_STRATA]


def _examples(sampled: "Sampled") -> "list[SampledInput]":
    """A few of the redacted inputs, of different strata where there are several."""
    found, seen = [], set()
    for one in sampled.inputs:
        if one.stratum not in seen:
            seen.add(one.stratum)
            found.append(one)
    found += [one for one in sampled.inputs if all(one is not other for other in found)]
    return found[:EXAMPLES]


def _last_text(one: "SampledInput") -> str:
    return " ".join(one.probe.messages[-1].content.split())


def _counts(account: "SampleAccount") -> Iterator[tuple[str, str]]:
    yield "logged", f"{account.lines:,}"
    yield "  not matching `where`", f"{account.filtered:,}"
    yield "  outside", f"{account.outside:,}"
    yield "  malformed", f"{account.malformed:,}"
    yield "  read", f"{account.read:,}"
    yield "    unsupported", f"{account.unsupported:,}"
    yield "    truncated", f"{account.truncated:,}"
    yield "    duplicates", f"{account.duplicates:,}"
    yield "    not drawn", f"{account.not_drawn:,}"
    yield "    kept: inputs to ask", f"{account.kept:,}"


def _notes(account: "SampleAccount") -> Iterator[str]:
    from monitor.core import sampling
    from monitor.core.records import LeftOut

    told = list(sampling.notes(account))
    yield from told
    outside = (one for one in account.reasons if one.left_out is LeftOut.OUTSIDE)
    yield from (line for one in outside if (line := sampling.reason_line(account, one)) not in told)


def with_samples(report: "Report") -> "tuple[Report, bool]":
    """``check``'s report with warnings about samples, from the newest log file; and whether a sample would be empty."""
    from monitor.config.yaml_reader import Problem

    if report.settings is None:
        return report, False
    found = list(_samples(report.settings))
    warnings = [Problem("", None, f"targets.{name}.production", text) for name, text, _ in found]
    return replace(report, warnings=(*report.warnings, *warnings)), any(empty for *_, empty in found)


def _samples(settings: "Settings") -> Iterator[tuple[str, str, bool]]:
    """Target, what is wrong with its newest log, and whether nothing in it can be asked."""
    from monitor.core import sampling
    from monitor.core.sources import SOURCES
    from monitor.sample import peek

    for name, target in settings.targets.items():
        if target.production is None or SOURCES[target.production.source.kind].pushed:
            continue
        try:
            account = peek(target.production, PEEK_LINES, datetime.now(UTC))
        except CouldNotMeasure as error:
            yield name, f"a run would have nothing to ask: {error}", True
            continue
        if not sampling.needs_attention(account):
            continue
        if account.kept:
            left = f"{account.left_out_ratio:.0%} of the newest requests cannot be asked"
            yield name, f"{left}: {'; '.join(note.rstrip('.') for note in sampling.notes(account))}", False
        else:
            yield name, f"a run would have nothing to ask of the newest log: {sampling.nothing_to_ask(account)}", True
