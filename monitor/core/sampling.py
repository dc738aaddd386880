"""The account of a sample in words: for the log, commands, pages and mail."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.core.limits import is_partly
from monitor.core.records import LeftOut, LeftOutCount, LeftOutReason, SampleAccount, UnreadFile, UnreadReason
from monitor.core.wording import many

FEWEST_SAME: Final = 5
"""Fewer requests with the same text are no pattern."""


_OF_ONE: Final = {"have": "has", "are": "is", "were": "was"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a reason means, after "6 of 6 requests", and what to do."""

    means: str
    fix: str


WORDS: Final[Mapping[LeftOutReason, Words]] = {
    LeftOutReason.BEFORE: Words(
        "were logged before the run's period", "Expected in older files. If it is all of them, check `source.time`."
    ),
    LeftOutReason.AFTER: Words("were logged after the run's period", "Expected: the next run reads them."),
    LeftOutReason.FUTURE: Words(
        "have a time in the future", "Check the clock and the time zone of what writes the log."
    ),
    LeftOutReason.OTHER_CALL: Words(
        "have another call type than a chat", "Expected for embeddings, images and other calls."
    ),
    LeftOutReason.CACHE_HIT: Words("were answered from a cache", "Expected with a cache: the model was not asked."),
    LeftOutReason.FAILED: Words("were not answered", "Expected if few; the log of the proxy tells why."),
    LeftOutReason.TOOL_CALLS: Words(
        "contain calls of tools", "Text alone cannot repeat them. Watch these agents with a suite of probes."
    ),
    LeftOutReason.TOOL_RESULTS: Words(
        "contain results of tools", "Text alone cannot repeat them. Watch these agents with a suite of probes."
    ),
    LeftOutReason.TOOLS_OFFERED: Words(
        "offer tools to the model", "Set `replay: whole` to offer functions again; tools of a provider are never run."
    ),
    LeftOutReason.MEDIA: Words("contain images, audio or files", "Text alone cannot repeat them."),
    LeftOutReason.OTHER_CONTENT: Words("contain content other than text", "Text alone cannot repeat them."),
    LeftOutReason.STATE_ELSEWHERE: Words(
        "continue from a state that the provider keeps", "Log the complete messages of each request."
    ),
    LeftOutReason.PARAMETERS: Words(
        "have parameters that cannot be repeated", "Expected if few; else set `replay: text`, which sends texts alone."
    ),
    LeftOutReason.NOT_JSON: Words("are not a JSON object in one line", "Write one JSON object per line."),
    LeftOutReason.NOT_OBJECT: Words("are JSON but not an object", "Write one JSON object per line."),
    LeftOutReason.NOT_A_ROW: Words("are not a row of the table", "Check the quotes and the delimiter of the CSV file."),
    LeftOutReason.LINE_TOO_LONG: Words("are longer than the limit of a line", "Log shorter requests."),
    LeftOutReason.DAMAGED: Words("are the rest of a damaged file", "Compress the file again, or delete it."),
    LeftOutReason.NO_TIME: Words("have no readable time", "Set `source.time` to the path of the request's time."),
    LeftOutReason.NO_MESSAGES: Words(
        "have no messages",
        "Set `source.messages` or `source.prompt` to the path of the prompt, or filter with `where`.",
    ),
    LeftOutReason.NO_USER_MESSAGE: Words("have no text of a user", "Check what the logger writes."),
    LeftOutReason.UNKNOWN_ROLE: Words("have a message of an unknown role", "Check `source.messages`."),
    LeftOutReason.BAD_CONTENT: Words("have content in an unknown form", "Check `source.messages`."),
    LeftOutReason.NOT_STORED: Words(
        "have no stored prompt",
        "Store prompts; for LiteLLM set `general_settings.store_prompts_in_spend_logs: true` in the proxy's config.",
    ),
    LeftOutReason.PLACEHOLDER: Words(
        "have a placeholder in place of the prompt", "Turn on the logging of prompts, or read another log."
    ),
    LeftOutReason.SERIALISED: Words(
        "have a serialised structure in place of the prompt", "Log the messages as JSON, or set `source.messages`."
    ),
    LeftOutReason.MARKER: Words(
        "were cut by a logger",
        "Raise the logger's limit of the length; for LiteLLM, the proxy's variable MAX_STRING_LENGTH_PROMPT_IN_DB.",
    ),
    LeftOutReason.CUT_SHORT: Words("end inside their JSON", "Raise the logger's limit of the length."),
}

UNREAD: Final[Mapping[UnreadReason, str]] = {
    UnreadReason.ANOTHER_NAME: "not read, because the name is not that of a rotated file; if it is a log, use a glob",
    UnreadReason.UNKNOWN_FORMAT: "not read, because of its format",
    UnreadReason.NO_ACCESS: "not read, because it cannot be opened",
    UnreadReason.TOO_MANY_FILES: "not listed completely",
    UnreadReason.TOO_LARGE: "not read to its end",
}


def reason_line(account: SampleAccount, one: LeftOutCount, *, fix: bool = True) -> str:
    """``6 of 6 requests have no messages: no messages at `messages` (found an empty object), first logs/a.jsonl:1, then
    logs/a.jsonl:7, logs/b.jsonl:2.``"""
    of = account.lines - account.filtered if one.left_out is LeftOut.OUTSIDE else account.considered
    detail = f": {one.detail}" if one.detail else ""
    told = f"{one.count:,} of {many(of, 'request')} {_means(one, detail)}"
    where = f", first {one.place}" if one.place else ""
    if one.left_out is not LeftOut.OUTSIDE and one.also:
        where += f", then {', '.join(one.also)}"
    return f"{told}{where}. {WORDS[one.reason].fix}" if fix else f"{told}{where}"


def _means(one: LeftOutCount, detail: str) -> str:
    """What the reason means, with what was found. A detail that begins with the same words replaces them."""
    means = WORDS[one.reason].means
    verb, rest = means.split(" ", 1)
    verb = _OF_ONE.get(verb, f"{verb}s") if one.count == 1 else verb
    return f"{verb} {one.detail}" if one.detail.startswith("no ") else f"{verb} {rest}{detail}"


def unread_line(one: UnreadFile) -> str:
    """``2 files not read, because ...: a.bak, b.bak``"""
    names = ", ".join(one.names)
    more = f" and {one.count - len(one.names):,} more" if one.count > len(one.names) else ""
    detail = f" ({one.detail})" if one.detail else ""
    return f"{many(one.count, 'file')} {UNREAD[one.reason]}{detail}: {names}{more}"


def same_line(account: SampleAccount) -> str:
    """``40 of 41 requests are the same text``; empty if no text is more than a fifth of the requests."""
    if account.same < FEWEST_SAME or not account.considered or not is_partly(account.same / account.considered):
        return ""
    return f"{account.same:,} of {many(account.considered, 'request')} are the same text"


def lacks(account: SampleAccount) -> list[LeftOutCount]:
    """The reasons other than the window, the most frequent first."""
    found = (one for one in account.reasons if one.left_out is not LeftOut.OUTSIDE)
    return sorted(found, key=lambda one: -one.count)


def notes(account: SampleAccount) -> Iterator[str]:
    """What a reader of the sample must know, one sentence each, the most important first."""
    if account.problem:
        yield account.problem
    yield from (reason_line(account, one) for one in lacks(account))
    if told := same_line(account):
        yield told
    wrong_time = [one for one in account.reasons if one.left_out is LeftOut.OUTSIDE]
    if not account.considered or any(one.reason is LeftOutReason.FUTURE for one in wrong_time):
        yield from (reason_line(account, one) for one in wrong_time)
    yield from (unread_line(one) for one in account.unread)


def nothing_to_ask(account: SampleAccount) -> str:
    """Why a sample is empty, in one line: the counts, with places."""
    if account.problem:
        return account.problem
    if not account.lines:
        where = many(account.files, "file") if account.files or account.unread else "the period"
        return "; ".join((f"no requests in {where}", *(unread_line(one) for one in account.unread)))
    if account.lines == account.filtered:
        return f"none of {many(account.lines, 'request')} matches `where`"
    return "; ".join(note.rstrip(".") for note in notes(account))


def needs_attention(account: SampleAccount) -> bool:
    """Whether the sample is empty or more than a fifth of the requests is left out."""
    return bool(account.problem) or not account.kept or is_partly(account.left_out_ratio)


def summary(account: SampleAccount) -> str:
    """``41 requests read, 1 kept, 40 left out``: the counts in one line."""
    if account.problem:
        return account.problem
    parts = [
        *([many(account.files, "file")] if account.files else []),
        many(account.considered, "request"),
        f"{account.kept:,} kept",
        *(
            f"{count:,} {words}"
            for count, words in (
                (account.duplicates, "duplicates"), (account.not_drawn, "not drawn"),
                (account.unsupported, "unsupported"), (account.truncated, "truncated"),
                (account.malformed, "malformed"),
            )
            if count
        ),
    ]  # fmt: skip
    return ", ".join(parts)
