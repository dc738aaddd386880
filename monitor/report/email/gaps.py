"""Suites of a target that are not measured or not compared, and what is likely to blame."""

from collections.abc import Iterator
from datetime import datetime

from monitor.core.limits import CAPTURE_DAYS, Gap, gap, is_late
from monitor.core.records import BaselineStatus
from monitor.core.schedule import interval_seconds
from monitor.core.wording import many
from monitor.report import attention
from monitor.report.email.data import Facts, Stream
from monitor.report.email.items import Item, Trouble, at_page
from monitor.report.email.not_measured import standing_of
from monitor.report.email.wording import LOST as LOST_WORDS
from monitor.report.email.wording import NOT_ARMED, Times, percent
from monitor.report.explain.blame import BLAME, Blame, ranked


def silence(facts: Facts, stream: Stream, times: Times, address: str | None) -> Iterator[Trouble]:
    """Why the absence of alarms means nothing: not measured, late, partly measured, or not compared."""
    name, suite = stream
    progress, last = facts.progress.get(stream), facts.last.get(stream)
    success = progress.last_success if progress else None
    link = at_page(address, "targets", name)
    why = lost_words(facts, stream)
    silent = gap_of(facts, stream)
    if silent is Gap.LOST:
        text = f"The last run of {suite} gave no usable answer{why}. Last good run: {_when(success, times)}."
        item = Item(text, f"suite {suite}", "Not measured", link, f"cliffwatch probe {name} --suite {suite}", "warn",
                    likely=_to_blame(facts, stream))  # fmt: skip
        yield Trouble(attention.of_gap(silent, success), "has given no usable answer", success, item)
    elif silent is Gap.LATE:
        text = f"{suite} has had no good run for two intervals. Last good run: {_when(success, times)}."
        item = Item(text, f"suite {suite}", "Late", link, tone="warn")
        yield Trouble(attention.of_gap(silent, success), "has not been measured", success, item)
    elif silent is Gap.PARTLY and last is not None:
        text = f"{percent(last.unmeasured_ratio)} of the last run of {suite} has no usable answer{why}."
        item = Item(text, f"suite {suite}", "Partly measured", link, tone="warn", likely=_to_blame(facts, stream))
        yield Trouble(attention.of_gap(silent, success), "is only partly measured", None, item)
    yield from _unarmed(facts, stream, link, address)


def _unarmed(facts: Facts, stream: Stream, link: str | None, address: str | None) -> Iterator[Trouble]:
    name, suite = stream
    statuses = {one.status: one for one in reversed(facts.baselines.get(stream, ()))}
    where, read = f"{name} --suite {suite}", None
    capture = f"cliffwatch baseline capture {where} --days {CAPTURE_DAYS}"
    if BaselineStatus.APPROVED in statuses and stream not in facts.outdated:
        return
    if BaselineStatus.CAPTURED in statuses:
        kind: str = BaselineStatus.CAPTURED
        capture = f"cliffwatch baseline approve {where} --by YOU --why REASON"
        captured = statuses[BaselineStatus.CAPTURED]
        text = f"{many(captured.answers, 'answer')} of {suite} wait for approval. Until then, no alerts."
        page = at_page(address, "baselines", str(captured.id))
        read = ("Read the answers", page) if page else None
    elif BaselineStatus.CAPTURING in statuses:
        return
    elif BaselineStatus.APPROVED in statuses:
        kind, text = "outdated", f"{suite} changed after its baseline was approved. It needs a new baseline."
    else:
        asked = stream in facts.progress and facts.progress[stream].last_attempt is not None
        state = "is asked but not compared" if asked else "was not asked yet"
        kind, text = "", f"{suite} {state}. It needs a baseline."
    item = Item(text, f"suite {suite}", "Not armed", link, capture, "warn", first=read)
    yield Trouble(attention.of_standing(standing_of(facts, stream)), NOT_ARMED[kind], None, item)


def gap_of(facts: Facts, stream: Stream) -> Gap | None:
    """Why the absence of alarms does not mean health; ``None`` if it does."""
    last = facts.last.get(stream)
    return gap(last.outcome if last else None, last.unmeasured_ratio if last else None, late=late(facts, stream))


def late(facts: Facts, stream: Stream) -> bool:
    progress, interval = facts.progress.get(stream), interval_seconds(facts.settings.schedule, stream[1])
    return progress is not None and is_late(progress.last_success, interval, facts.now)


def lost_words(facts: Facts, stream: Stream) -> str:
    """`` (12 timed out, 3 rate limited)``: why questions of the period have no answer. Empty if all have one."""
    told = ", ".join(
        f"{count:,} {LOST_WORDS.get(reason, reason.replace('_', ' '))}" for reason, count in _reasons(facts, stream)[:3]
    )
    return f" ({told})" if told else ""


def _reasons(facts: Facts, stream: Stream) -> list[tuple[str, int]]:
    """Why questions of the period have no answer, most frequent first, with the number of questions."""
    return ranked({reason: count for reason, count in facts.asked.get(stream, {}).items() if reason})


def _to_blame(facts: Facts, stream: Stream) -> Blame | None:
    """What is likely at fault for the most frequent reason, and why."""
    worst = _reasons(facts, stream)
    return BLAME.get(worst[0][0]) if worst else None


def _when(at: datetime | None, times: Times) -> str:
    return "none yet" if at is None else times.stamp(at)
