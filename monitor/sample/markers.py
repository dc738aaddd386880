"""Recognises texts that no user wrote: placeholders of loggers, marks of a cut, and serialised structures.

A rule here must not match what a person types. So a placeholder is the whole text or is in brackets, and a mark of a
cut has the form that a program writes.
"""

import ast
import json
import re
from typing import Any, Final

_HIDDEN: Final = (
    r"(?:redacted|removed|filtered|hidden|masked|scrubbed|omitted|censored|sanitized|sanitised|anonymi[sz]ed|obfuscated"
    r"|withheld|suppressed|stripped|dropped|excluded|confidential|private|sensitive|classified|not[ _-]?logged"
    r"|not[ _-]?(?:recorded|captured|available)|no[ _-]?content|(?:content|logging)[ _-]?(?:disabled|off)"
    r"|opted?[ _-]?out|pii|data[ _-]?masked|encrypted)"
)

_PLACEHOLDER: Final = re.compile(
    "|".join(
        (
            # the bare word, with who did it or what was there
            r"_*(?:(?:message|content|prompt|input|request|text|data|body|payload|value|user|pii|fully|all)"
            r"[ _:-]{0,3}){0,3}"
            r"(?:is |was |has been )?redacted_*"
            r"(?:[ _:-]{1,2}(?:by|for|due to|because of|from)[ _:-][\w .:@/-]{1,60}|: ?[\w .-]{1,60})?[.!]?",
            r"(?:message|content|prompt|input|request|text|body|payload)s?[ _-](?:is |was |has been |are |were )?"
            + _HIDDEN
            + r"(?:[ _-](?:by|for|due to|because of|from)[ _-][\w .:@/-]{1,60})?[.!]?",
            # in brackets of any kind: [REDACTED], <redacted>, {{hidden}}, ***masked***, __REDACTED__
            r"[\[<({*_#%$«‹][\[<({*_#%$«‹!-]* *[\w :.,'/@-]{0,60}?(?<![a-z])"
            + _HIDDEN
            + r"(?![a-z])[\w :.,'/@&-]{0,120} *[\]>)}*_#%$»›-]*[\]>)}*_#%$»›]",
            # the same sign again and again
            r"(?:\*{3,}|[xX]{4,}|•{3,}|█+|▇+|■{2,}|#{4,}|-{4,}|_{4,}|\?{4,})",
            # hashes only
            r"(?:(?:sha-?\d{1,3}|md5|hmac|blake2[bs]?|hash|digest|xxh\d*)[-\w]{0,12}[ :=_$-]+)?(?:0x)?"
            r"(?:[0-9a-f]{128}|[0-9a-f]{96}|[0-9a-f]{64}|[0-9a-f]{56}|[0-9a-f]{40}|[0-9a-f]{32})",
            r"(?:sha-?\d{1,3}|md5|hmac|blake2[bs]?|hash|digest|xxh\d*)[-\w]{0,12}[ :=$-]+[0-9a-f]{8,128}(?:\.{3}|…)?",
            r"(?:sha-?(?:256|512)[ :=-]+)?(?:[A-Za-z0-9+/_-]{43}=|[A-Za-z0-9+/_-]{86}==)",
            # a value that was missing, and a template that was not filled
            r"undefined|null|[(<](?:null|nil|none|undefined)[)>]",
            r"\{\{ ?[\w.$-]{1,60} ?\}\}|\$?\{[a-z_][\w.]{0,60}\}|<%=? ?[\w.@]{1,60} ?%>|%\([\w.]{1,60}\)s",
            # the words of single products
            r"<fully masked due to failed mask function>|<masked due to .{1,80}>",
            r"\[This value has been dropped because .{1,160}\]",
            r"\[?(?:scrubbed|filtered) due to .{1,80}\]?",
            r"(?:request|response|prompt|message) body (?:is )?not available.{0,80}",
            r"helicone[-_ ](?:omit\w*|message[-_ ]omitted).{0,80}|\[?omitted by helicone.{0,60}",
            r"<?(?:no input|no prompt|input hidden|hidden input)>?",
            r"turn_off_message_logging.{0,60}",
        )
    ),
    re.IGNORECASE | re.DOTALL,
)
"""Whole texts that a logger wrote in place of a message."""

_LONGEST_PLACEHOLDER: Final = 300

_FIRST_WORDS: Final = frozenset(
    {
        "message", "messages", "content", "contents", "prompt", "prompts", "input", "inputs", "request", "requests",
        "text", "texts", "body", "payload", "payloads", "no", "response", "scrubbed", "filtered", "omitted", "helicone",
        "sha", "sha1", "sha224", "sha256", "sha384", "sha512", "sha-1", "sha-256", "sha-512", "md5", "hmac", "hash",
        "digest", "blake2", "blake2b", "blake2s", "xxh64", "xxh3", "hidden",
    }
)  # fmt: skip
"""First words of the placeholders that begin with a letter, are several words and do not say "redacted"."""

_HINTS: Final = (
    "runcated", "RUNCATED", "mitted", "MITTED", "skipped", "chars", "haracter", "bytes", "snip", "clipped", "trimmed",
    "exceed", "too l", "too b", "hortened", "bbreviated", " tokens", "cut]", "cut)", "cut>", " lines", " words",
    "more)",
    "more]", "more>", "removed", "elided", "dropped", "kb ", "KB ",
)  # fmt: skip
"""One of these is in every mark. Most texts have none, and cost no search."""

_HINT: Final = re.compile("|".join(map(re.escape, _HINTS)))
_NEAR: Final = 160
"""A mark lies within this many characters of its hint."""

_MUCH: Final = r"\+?\d[\d,._]{0,14} ?(?:k|m|kb|mb|kib|mib|b)?"
_UNIT: Final = r"(?:more )?(?:chars?|characters?|bytes?|tokens?|lines?|words?|symbols?|kb|mb|kib|mib)"
_GONE: Final = r"(?:truncated|omitted|skipped|removed|elided|dropped|clipped|trimmed|cut(?: off)?)"
_DOTS: Final = r"(?:\.{2,4}|…)"

_MARK: Final = re.compile(
    "|".join(
        (
            r"litellm_truncated",
            # [truncated], <truncated due to ...>, (output truncated), {TRUNCATED}, [...truncated 40 chars...]
            rf"[\[<({{]{{1,2}} ?{_DOTS}? ?(?:[\w-]{{1,20}} ){{0,4}}_*"
            r"(?:truncated|clipped|trimmed|snip(?:ped)?|abbreviated|shortened)_*\b"
            rf"[\w ,.:;/+'…-]{{0,100}}[\]>)}}]{{1,2}}",
            # ... (123 more characters), …[12,345 chars omitted], [+40 chars], ... 5 more bytes
            rf"{_DOTS} ?[\[<({{] ?\+?{_MUCH} ?(?:{_UNIT}|more)(?: {_GONE})? ?{_DOTS}? ?[\]>)}}]",
            rf"[\[<({{] ?{_DOTS} ?{_MUCH} ?(?:{_UNIT}|more)(?: {_GONE})? ?{_DOTS}? ?[\]>)}}]",
            rf"[\[<({{] ?(?:\+{_MUCH} ?{_UNIT}|{_MUCH} ?{_UNIT} {_GONE}) ?{_DOTS}? ?[\]>)}}]",
            rf"[\[<({{]{_DOTS}? ?{_GONE}:? {_MUCH} ?{_UNIT}? ?{_DOTS}?[\]>)}}]",
            rf"{_DOTS} ?[\[<({{]? ?cut ?[\]>)}}]",
            # ... 5 characters omitted
            rf"{_DOTS} ?{_MUCH} ?{_UNIT} {_GONE}",
            r"[-_*=~]{2,8} ?(?:(?:output|content|message|text|input|prompt|log|value) )?"
            r"(?:truncated|snip)[\w ,.:+]{0,60}[-_*=~]{2}",
            r"[\[<({](?:value|content|message|text|input|prompt|string|attribute|payload|body) "
            r"(?:too (?:long|large|big)|exceed(?:s|ed)) ?[\w ,.:+/'-]{0,100}[\]>)}]",
        )
    ),
    re.IGNORECASE,
)

_MARK_AT_END: Final = re.compile(
    "|".join(
        (
            # ...[+40], ... 512 more bytes, ... truncated, truncated due to its size
            rf"{_DOTS} ?[\[<({{]? ?\+{_MUCH} ?(?:{_UNIT}|more)? ?[\]>)}}]?\s{{0,4}}\Z",
            rf"{_DOTS} ?{_MUCH} more {_UNIT}\s{{0,4}}\Z",
            rf"{_DOTS} ?[-_*<\[({{]{{0,4}}truncated[-_*>\])}}]{{0,4}}\.?\s{{0,4}}\Z",
            r"\b(?:truncated|TRUNCATED)(?: by| due to| because of|_by_|_due_to_)[\w ,.:+/-]{1,80}\Z",
        )
    ),
    re.IGNORECASE,
)

MAX_LITERAL: Final = 2**18
"""Longest Python literal that is parsed, in characters: parsing takes about a hundred times its memory."""

_MAX_DEPTH: Final = 60
_OPENING: Final = re.compile(r"""(?:\[\s*[\[{('"\]]|\{\s*["'}]|\(\s*[\[{('"])""")
_OBJECTS: Final = re.compile(
    r"[\[(]?\s{0,8}(?:(?:Human|AI|System|Tool|Chat|Function|Base|User|Assistant|Developer)Message(?:Chunk)?\("
    r"|(?:ChatCompletion\w*|ChatMessage|ChatPromptValue|Message|Content|Part|ModelRequest|ModelResponse|TextBlock\w*"
    r"|StringPromptValue|EasyInputMessage\w*|ResponseInput\w*)\(\s*(?:\w+\s*=|\[)"
    r"|content=['\"]|messages=\[|role: *['\"]?\w+['\"]?\s+parts *\{"
    r"|<\w[\w.]* object at 0x[0-9a-f]+>|\[object Object\])"
)


def is_placeholder(text: str) -> bool:
    """Whether the whole text stands for a message that was not logged."""
    if len(text) > _LONGEST_PLACEHOLDER:
        return False
    bare = text.strip(" \t\r\n\"'`")
    if bare[:1].isalpha() and " " in bare and "edact" not in bare and "EDACT" not in bare:
        first = bare.split(None, 1)[0].lower().rstrip(":,=")
        if first not in _FIRST_WORDS:
            return False  # most texts
    return _PLACEHOLDER.fullmatch(bare) is not None


def is_cut(text: str) -> bool:
    """Whether the text has a mark that a program leaves where it cut a text."""
    if not ("[" in text or "(" in text or "<" in text or "{" in text or ".." in text or "\u2026" in text
            or "runcated" in text or "RUNCATED" in text):  # fmt: skip
        return False  # most texts: every mark has one of these
    if _MARK_AT_END.search(text[-_NEAR:]):
        return True
    if not any(hint in text for hint in _HINTS):
        return False
    searched = 0
    for hint in _HINT.finditer(text):
        if hint.start() + _NEAR > searched:
            searched = hint.start() + 3 * _NEAR  # in few windows, so that many hints cost no more than a long text
            if _MARK.search(text, max(0, hint.start() - _NEAR), searched):
                return True
    return False


class SerialisedError(ValueError):
    """A text is a serialised structure that cannot be read; ``cut`` if it ends before the structure does."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__("a serialised structure that cannot be read")
        self.cut = cut


def looks_serialised(text: str) -> bool:
    """Whether the text begins like JSON, like a Python literal or like printed Python objects."""
    begin = text.lstrip()[:400]
    return _OPENING.match(begin) is not None or _OBJECTS.match(begin) is not None


def structure(text: str) -> Any:
    """The list or mapping that a text of JSON or of a Python literal holds.

    Raises SerialisedError if it cannot be parsed, is no list or mapping, or is longer than ``MAX_LITERAL`` and no JSON.
    """
    found: Any = text
    for _ in range(3):  # JSON inside a JSON string, and once more
        if not isinstance(found, str):
            break
        found = _parsed(found)
    if not isinstance(found, list | dict):
        raise SerialisedError(cut=False)
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        ended = isinstance(error, json.JSONDecodeError) and ends_early(error, text)
    try:
        return literal(text)
    except ValueError:
        raise SerialisedError(cut=ended or _unclosed(text)) from None


def ends_early(error: json.JSONDecodeError, text: str) -> bool:
    """Whether a text is the beginning of JSON."""
    return error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")


def goes_on(error: json.JSONDecodeError) -> bool:
    """Whether a text has something after its JSON."""
    return error.msg.startswith("Extra data")


def literal(text: str) -> Any:
    """The value of a Python literal, as ``str`` or ``repr`` of a list or dict prints it. Raises ValueError."""
    text = text.strip()
    if len(text) > MAX_LITERAL or _depth(text) > _MAX_DEPTH:
        raise ValueError("too long or too deep for a literal")
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("no literal") from None
    return _plain(found)


def _plain(value: Any) -> Any:
    """A literal with lists in place of tuples. Raises ValueError for what JSON cannot hold."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("no JSON")


def _depth(text: str) -> int:
    """Upper bound of the depth of brackets, those in strings included."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[({\])}]", text):
        depth = depth + 1 if bracket in "[({" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _unclosed(text: str) -> bool:
    """Whether a literal ends before its brackets are closed: its last sign is not a closing bracket."""
    return text.rstrip()[-1:] not in ("]", "}", ")", '"', "'")


_CONVERSATION: Final = re.compile(
    r"""role\\?['"]\s{0,4}:\s{0,4}\\?['"](?:user|assistant|system|developer|human|ai|model|tool)\b"""
    r"""|\A\{\s{0,4}\\?['"](?:messages|contents)\\?['"]\s{0,4}:\s{0,4}\["""
)


def looks_like_messages(text: str) -> bool:
    """Whether a text is a serialised conversation, whole or cut, or prints Python's objects of messages."""
    begin = text.lstrip()[:400]
    if begin[:1] in "[{" and begin and _CONVERSATION.search(begin):
        return True
    return ("(" in begin or "=" in begin or "[" in begin or "<" in begin) and _OBJECTS.match(begin) is not None
