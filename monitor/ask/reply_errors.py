"""What a reply says of its own failure, at every level of it, and what follows: a reason, a retry, or a refusal."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from itertools import islice
from typing import Any, Final

from monitor.core import logs
from monitor.core.records import Reason

MOST_SCRUBBED: Final = 20_000
"""Characters of an error message that are scrubbed before it is cut to the stored length."""

LONGEST_WORDS: Final = 300
"""Characters of an error message that are kept."""

_MESSAGES: Final = (
    "message", "msg", "detail", "error_msg", "errmsg", "error_message", "errorMessage", "Message", "status_msg",
    "error_description", "description", "faultstring", "title", "error", "reason", "raw",
)  # fmt: skip
_CODES: Final = (
    "code", "status", "status_code", "statusCode", "http_status", "error_code", "errcode", "errorCode", "type",
    "error_type", "errorType", "__type", "reason",
)  # fmt: skip
_STATUSES: Final = ("code", "status", "status_code", "statusCode", "http_status", "error_code", "errcode")
_MOST_LAYERS: Final = 30
_FAILED: Final = frozenset(("error", "failed", "failure", "cancelled", "canceled"))
_NO_FILTER: Final = frozenset((401, 404, 408, 429))
_FINE: Final = frozenset(("", "none", "null", "ok", "success", "no error", "false", "0", "200"))

_OUT_OF_CREDIT: Final = re.compile(
    r"insufficient.?(quota|balance|credit)|billing.(hard.limit|not.active)|credit balance|exceeded your current quota"
    r"|out of credits?|payment.required|budget.?(has been )?exceeded",
    re.IGNORECASE,
)
_FILTER_CODE: Final = re.compile(
    r"content[_ ]?filter(ed|ing)?\b(?!_error)|content_?policy_?violation|responsible_?ai_?policy_?violation"
    r"|moderation_?blocked|content_?moderation|guardrail_?(intervened|violation|blocked)|data_?inspection_?failed"
    r"|prohibited_?content|content_?blocked|\bblocklist\b|\bsafety\b|\brecitation\b|\bspii\b|\binvalid_prompt\b"
    r"|\bsensitive\b|sensitive_?content|new_sensitive|unsafe_?content|jailbreak",
    re.IGNORECASE,
)
_FILTER_WORDS: Final = re.compile(
    r"content[ _](management|filter|policy|moderation|safety)|ContentPolicyViolation|ResponsibleAIPolicy"
    r"|responsible ai polic|guardrail|safety (system|filter|polic|setting)|flagged (as|for|by)|moderation"
    r"|usage polic|inappropriate content|sensitive content|prohibited content|blocked by .{0,40}(filter|safety)"
    r"|blockreason|content exists risk|violates? .{0,20}(usage|content|safety|community) (guideline|rule|standard)"
    r"|(contain|considered|detected).{0,20}(sensitive (information|word)|high risk)|new_sensitive|敏感|违规|不合规",
    re.IGNORECASE,
)
_NOT_THIS_PROMPT: Final = re.compile(
    r"\b(account|organi[sz]ation|subscription|api key)\b|access (was|has been)|deactivated|suspended|terminated"
    r"|unavailable|timed? ?out|failed to|un(known|supported|recognized)"
    r"|not (supported|found|enabled|configured)|extra inputs|invalid (value|param)",
    re.IGNORECASE,
)
"""A message about a policy that does not block this prompt."""

_KINDS: Final = tuple(
    (status, re.compile(pattern, re.IGNORECASE))
    for status, pattern in (
        (429, r"rate.?limit|too.?many.?(requests|tokens)|throttl|resource.?exhausted|(requests|tokens) per|quota"
              r"|slow.?down|1015\b"),
        (402, r"payment.?required|insufficient.?(balance|credit)|out of credits?"),
        (401, r"invalid.{0,3}api.?key|incorrect api key|unauthori[sz]ed|authenticat|invalid.?token"),
        (403, r"permission|forbidden|access.?denied"),
        (503, r"overloaded|unavailable|no healthy upstream|upstream (connect|request|host)|out of capacity|at capacity"
              r"|temporarily|please try again|loading|not.?ready|insufficient_system_resource|network_error"),
        (504, r"time.?d?.?out|deadline.?exceeded"),
        (404, r"not.?found|does not exist|no such model"),
        (400, r"invalid.?(request|argument|parameter|value)|bad.?request|validation|unprocessable|context.{0,3}length"
              r"|too (long|large)|maximum context|unsupported|not supported|extra inputs|missing.?(field|param)"),
        (500, r"internal|server.?error|api_error|bad.?gateway|exception"),
    )
)  # fmt: skip
"""HTTP status -> the words that mean it, in codes and messages without a number."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One error as a reply tells it."""

    where: str
    """The field that has it, such as ``choices[0].error``."""
    code: str
    """Its code or type, cleaned."""
    words: str
    """Its message for people, cleaned and cut."""
    message: str
    """The beginning of its message as it came, to classify it."""
    status: int | None
    """The HTTP status that it amounts to, from its own code or words; ``None`` if they do not tell."""
    param: object = None
    filtered: bool = False
    """A filter blocked the prompt or the answer."""
    wait_seconds: float | None = None
    """How long to wait, by the error itself."""

    def detail(self, status: int) -> str:
        """``HTTP 200 with an error in choices[0].error: 502 upstream host went away``."""
        told = " ".join(part for part in (self.code, self.words) if part)
        if status >= 300:
            return f"HTTP {status} {told}".rstrip()
        return f"HTTP {status} with an error in {self.where}: {told or 'it has no message'}"


def trouble_in(body: object, http_status: int = 200) -> Trouble | None:
    """The error that a reply's JSON tells, at any level; ``None`` without one.

    With an HTTP status of an error any message is one. A filter takes precedence over an error that it causes.
    """
    found = (_trouble(*one, http_status) for one in _errors(body, failed=http_status >= 300))
    first = next(found, None)
    if first is None or first.filtered:
        return first
    return next((one for one in found if one.filtered), first)


def trouble_in_text(text: str) -> Trouble:
    """The error in a body that is not JSON: a gateway's page or text."""
    shown = clean(_title(text))
    number = re.search(r"(?<![\d.])(4\d\d|5\d\d)(?![\d.])", shown[:200])
    status = int(number[1]) if number else _status_of(shown)
    return Trouble("the text of the body", "", shown, text[:1000], status)


def clean(text: str, longest: int = LONGEST_WORDS) -> str:
    """``text`` on one line, without control characters and keys, cut to ``longest`` characters."""
    visible = "".join(c if c.isprintable() else " " for c in text[:MOST_SCRUBBED])
    # Scrubbed before the cut, because a part of a key has no known shape.
    return re.sub(r"\s+", " ", logs.scrub(visible)).strip()[:longest]


def classify(status: int, words: str) -> tuple[Reason, bool]:
    """Reason for an HTTP status, and whether a retry would fail in the same way."""
    if status == 402 or (status in (400, 403, 429) and _OUT_OF_CREDIT.search(words)):
        return Reason.QUOTA, True
    if status in (401, 403):
        return Reason.UNAUTHORIZED, True
    if status == 408:
        return Reason.TIMEOUT, False
    if status == 429:
        return Reason.RATE_LIMITED, False
    if status in (409, 425) or status >= 500:
        return Reason.SERVER_ERROR, status in (501, 505)
    return Reason.REJECTED, True


Found = tuple[str, Any, Mapping[str, Any]]
"""Field, value of the error, and the object that has it."""


def _errors(body: object, *, failed: bool) -> Iterator[Found]:
    if isinstance(body, list):
        for index, one in enumerate(body[:3]):
            yield from ((f"[{index}].{where}", value, outer) for where, value, outer in _errors(one, failed=failed))
        return
    if not isinstance(body, Mapping):
        if failed and body not in (None, ""):
            yield "the body", body, {}
        return
    yield from _named(body, "")
    choices = body.get("choices")
    answered = bool(choices) or body.get("type") == "message" or isinstance(body.get("content"), list)
    listed = choices if isinstance(choices, list) else [choices]
    for index, choice in enumerate(listed[:8]):
        if isinstance(choice, Mapping):
            yield from _named(choice, f"choices[{index}].")
            for part in ("message", "delta"):
                if isinstance(choice.get(part), Mapping):
                    yield from _named(choice[part], f"choices[{index}].{part}.")
    yield from _blocked(body)
    yield from _stated(body, answered=answered, failed=failed)


def _named(part: Mapping[str, Any], prefix: str) -> Iterator[Found]:
    """Errors under their name. Empty ones, and codes of success, are none."""
    for name in ("error", "errors", "err", "exception", "fault"):
        if not _fine(part.get(name)):
            yield prefix + name, part[name], part


def _fine(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _FINE
    if isinstance(value, Mapping):
        return all(_fine(one) for one in value.values())
    if isinstance(value, list):
        return all(_fine(one) for one in value)
    return value is None or value is False or value in (0, 200)


def _blocked(body: Mapping[str, Any]) -> Iterator[Found]:
    """A prompt that Gemini or Azure blocked in a reply without an answer."""
    feedback = body.get("promptFeedback", body.get("prompt_feedback"))
    if isinstance(feedback, Mapping) and feedback.get("blockReason", feedback.get("block_reason")):
        reason = str(feedback.get("blockReason", feedback.get("block_reason")))
        told = {"code": "content_filter", "message": f"blockReason {reason}"}
        yield "promptFeedback", told, body
    results = body.get("prompt_filter_results")
    if not body.get("choices") and isinstance(results, list) and any_filtered(results):
        yield "prompt_filter_results", {"code": "content_filter", "message": "the prompt was filtered"}, body


def any_filtered(value: object) -> bool:
    """Whether one of Azure's filters says that it acted."""
    if isinstance(value, Mapping):
        return value.get("filtered") is True or any(any_filtered(one) for one in value.values())
    return isinstance(value, list) and any(any_filtered(one) for one in value)


def _stated(body: Mapping[str, Any], *, answered: bool, failed: bool) -> Iterator[Found]:
    """Errors that the whole object states: by its type, its status, or by a message in place of an answer."""
    state = str(body.get("status")).lower()
    stated = body.get("object") == "error" or body.get("type") == "error" or body.get("success") is False
    stated = stated or state in _FAILED or any((_status(body.get(name)) or 0) >= 400 for name in _STATUSES)
    if stated:
        yield "the whole reply", body, body
    base = body.get("base_resp")
    if isinstance(base, Mapping) and not _fine(base.get("status_code")):
        yield "base_resp", base, body
    if failed or not answered:
        told = (name for name in (*_MESSAGES[:10], "__type", "error_code") if _tells(body.get(name)))
        yield from ((name, body, body) for name in told)


def _tells(value: object) -> bool:
    """Whether a field with a message has one. An object in it may be an answer in another dialect."""
    told = value.get("error", value.get("message")) if isinstance(value, Mapping) and "role" not in value else value
    return isinstance(told, str | list | int) and not _fine(told)


def _trouble(where: str, value: Any, outer: Mapping[str, Any], http_status: int) -> Trouble:
    layers = list(islice(_layers(value), _MOST_LAYERS))
    if not isinstance(value, Mapping) or not any(layer.get(name) for layer in layers for name in _CODES):
        # {"error": "slow down", "code": 429}
        layers += [outer]
    codes = [str(layer[name]) for layer in layers for name in _CODES if isinstance(layer.get(name), str | int | float)]
    codes = [code for code in dict.fromkeys(codes) if code and code.lower() not in ("none", "null", "error", "true")]
    texts = list(dict.fromkeys(_texts(value, layers)))
    message = " (".join(texts[:2]) + ")" * (len(texts[:2]) - 1) or str(value)
    names = " ".join(codes)
    stated = next((one for one in map(_status, codes) if one is not None and one >= 400), None)
    if stated is None and http_status >= 300:
        stated = http_status
    return Trouble(
        where,
        clean(codes[0], 60) if codes else "",
        clean(message),
        message[:1000],
        stated or _status_of(names) or _status_of(message),
        next((layer["param"] for layer in layers if layer.get("param") is not None), None),
        http_status not in _NO_FILTER and _filtered(stated, names, " ".join(texts)[:MOST_SCRUBBED], layers),
        _wait(layers),
    )


def _filtered(status: int | None, names: str, texts: str, layers: list[Mapping[str, Any]]) -> bool:
    if status in _NO_FILTER:
        return False
    if _filter_result(layers):
        return True
    if _FILTER_CODE.search(names):
        return not re.search(r"unknown_param|unsupported|invalid_value", names)
    about_this = status in (None, 400, 403, 406, 422, 451) and not _NOT_THIS_PROMPT.search(texts)
    return about_this and bool(_FILTER_WORDS.search(texts))


def _layers(value: object, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The error object, and those inside it."""
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in islice(inner, _MOST_LAYERS):
        if depth < 5 and isinstance(one, Mapping | list):
            yield from _layers(one, depth + 1)


def _texts(value: object, layers: list[Mapping[str, Any]]) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for layer in layers:
        for name in _MESSAGES:
            one = layer.get(name)
            if isinstance(one, str) and one:
                yield one
                if name != "message":
                    break
            elif isinstance(one, list) and one and name in ("detail", "message"):
                yield str(one)
        if isinstance(layer.get("reasons"), list) and layer.get("flagged_input") is not None:
            yield f"flagged for {', '.join(map(str, layer['reasons']))}"
    if not isinstance(value, str | Mapping) and value is not None:
        yield str(value)


def _filter_result(layers: list[Mapping[str, Any]]) -> bool:
    """Azure's filter and the moderation of OpenRouter tell what they blocked in fields of their own."""
    for layer in layers:
        if any_filtered([layer.get("content_filter_result"), layer.get("content_filter_results")]):
            return True
        if layer.get("flagged_input") is not None or layer.get("guardrail") or layer.get("bedrock_guardrail_response"):
            return True
    return False


def _status(code: object) -> int | None:
    """An HTTP status in a code of any form: 429, 429.0, ``"429"``."""
    if isinstance(code, bool) or code is None:
        return None
    text = re.fullmatch(r"\s*(\d{3})(\.0+)?\s*", str(code))
    return int(text[1]) if text and 100 <= int(text[1]) < 600 else None


def _status_of(words: str) -> int | None:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words[:2000])
    return next((status for status, pattern in _KINDS if pattern.search(spaced)), None)


def _wait(layers: list[Mapping[str, Any]]) -> float | None:
    """Seconds to wait by the error's own fields, such as ``retryDelay: "26s"`` of Google's RetryInfo."""
    for layer in layers:
        for name in ("retryDelay", "retry_after", "retry_after_seconds", "retryAfter", "estimated_time"):
            text = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)s?", str(layer.get(name)))
            if text:
                return float(text[1])
    return None


def _title(text: str) -> str:
    """Of an HTML page its title and heading; else the text."""
    if not re.match(r"\s*<(!doctype|html|head|body|h1|center|\?xml)", text[:500], re.IGNORECASE):
        return text
    found = re.findall(r"<(?:title|h1|h2)[^>]*>(.{1,300}?)</", text[:20_000], re.IGNORECASE | re.DOTALL)
    titles = dict.fromkeys(unescape(re.sub(r"<[^>]*>", " ", one)).strip() for one in found)
    return f"an HTML page: {'; '.join(titles)}" if titles else "an HTML page"
