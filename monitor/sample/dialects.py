"""Reads the messages of a logged request in the dialects of OpenAI, Anthropic, Gemini, Bedrock, Cohere and LangChain.

What is understood becomes messages of text. Everything else raises ``LeftOutError`` with its reason: no request is
asked in a form in which no user sent it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal

from monitor.core.records import LeftOutReason, Message
from monitor.sample import markers
from monitor.sample.blocks import joined
from monitor.sample.left_out import LeftOutError, kind_of
from monitor.sample.parameters import parameters

Role = Literal["system", "user", "assistant"]

ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
}
"""Role or type of a message, in lower case, in any dialect -> its role here."""

TOOL_ROLES: Final = frozenset({"tool", "function", "ipython", "observation", "tool_result", "toolmessage"})

CONTAINERS: Final = (
    "messages", "contents", "conversation", "conversations", "chat_history", "input", "inputs", "prompt", "kwargs",
    "body", "request", "params", "modelInput", "inputBodyJson",
)  # fmt: skip
"""Keys under which a request, or what holds it, keeps its messages."""

SYSTEM: Final = (
    "system", "instructions", "systemInstruction", "system_instruction", "system_instructions", "system_prompt",
    "preamble",
)  # fmt: skip
"""Keys of the system prompt beside the messages."""

_TOOLS: Final = ("tools", "functions", "toolConfig", "tool_config")
_STATES: Final = ("previous_response_id", "cachedContent", "cached_content")
CONDITIONS: Final = frozenset((*_TOOLS, *_STATES))
"""Keys beside the messages that make a request more than its text."""

_CONTENT: Final = ("content", "parts", "text", "value", "message")
_ITEMS: Final[Mapping[str, LeftOutReason]] = {
    "function_call_output": LeftOutReason.TOOL_RESULTS,
    "custom_tool_call_output": LeftOutReason.TOOL_RESULTS,
    "local_shell_call_output": LeftOutReason.TOOL_RESULTS,
    "computer_call_output": LeftOutReason.TOOL_RESULTS,
    "item_reference": LeftOutReason.STATE_ELSEWHERE,
}
_SILENT: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "compaction"})
_DEEPEST: Final = 5
_SHORT: Final = 4096

Found = tuple[Any, Mapping[str, Any]]
"""Messages, and the mapping that holds them."""


def messages(value: Any, holder: Mapping[str, Any], path: str) -> tuple[Message, ...]:
    """The messages of a request. ``value``: what is at ``path``; ``holder``: the mapping around it.

    Raises LeftOutError if they cannot be asked.
    """
    return _asked(*_opened_request(value, holder, path), path, whole=False)


def whole(value: Any, holder: Mapping[str, Any], path: str) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The messages of a request and its parameters. Raises LeftOutError if they cannot be asked."""
    value, holder = _opened_request(value, holder, path)
    return _asked(value, holder, path, whole=True), parameters(holder)


def _opened_request(value: Any, holder: Mapping[str, Any], path: str) -> Found:
    if type(value) is list and value and type(value[0]) is dict and "role" in value[0]:
        return value, holder
    return container(value, holder, path)


def _asked(value: Any, holder: Mapping[str, Any], path: str, *, whole: bool) -> tuple[Message, ...]:
    if not holder.keys().isdisjoint(CONDITIONS):
        _refuse_conditions(holder, whole=whole)
    found = [message for item in _items(value) if (message := _message(item)) is not None]
    found = _unwrapped(found)
    system = _system(holder)
    if system and all(message.role != "system" for message in found):
        found.insert(0, Message("system", system))
    # A log may contain the answer after the request. The question must end with the user's message.
    while found and found[-1].role == "assistant":
        found.pop()
    if not any(message.role == "user" and message.content.strip() for message in found):
        raise LeftOutError(LeftOutReason.NO_USER_MESSAGE, f"no message of a user with a text at `{path}`")
    return tuple(_checked(message) for message in found)


def container(value: Any, holder: Mapping[str, Any], path: str) -> Found:
    """The list or text of messages inside ``value``. Opens JSON in a string and the bodies of requests."""
    for _ in range(_DEEPEST):
        if isinstance(value, str):
            value = _opened(value, path)
        if isinstance(value, str) or value is None:
            break
        if isinstance(value, list):
            value = value[0] if _is_batch(value) else value
            if isinstance(value, list):
                break
            continue
        if not isinstance(value, Mapping) or not value:
            break
        if _is_message(value):
            value = [value]
            break
        key = next((key for key in CONTAINERS if value.get(key)), None)
        if key is None:
            raise LeftOutError(LeftOutReason.NO_MESSAGES, f"no messages in the object at `{path}`: name their key")
        if key == "prompt" and isinstance(value[key], Mapping) and "id" in value[key]:
            raise LeftOutError(LeftOutReason.STATE_ELSEWHERE, "a prompt template that the provider keeps")
        value, holder = value[key], value
    if not isinstance(value, str | list) or not value or (isinstance(value, str) and not value.strip()):
        raise LeftOutError(LeftOutReason.NO_MESSAGES, f"no messages at `{path}` (found {kind_of(value)})")
    return value, holder


def _opened(text: str, path: str) -> Any:
    """The list or mapping in a text that is serialised; else the text itself."""
    bare = text.strip()
    if bare in ("null", "None", "undefined", "NULL", "nil"):
        return None
    begins = bare[:1] == '"' and bare[-1:] == '"' and '\\"' in bare
    if not (begins or markers.looks_serialised(bare)):
        return text
    try:
        return markers.structure(bare)
    except markers.SerialisedError as error:
        if error.cut or markers.is_cut(bare):
            raise LeftOutError(LeftOutReason.CUT_SHORT, f"the text at `{path}` ends inside its JSON") from None
        what = f"a text at `{path}` that looks like JSON or Python objects and cannot be read"
        raise LeftOutError(LeftOutReason.SERIALISED, what) from None


def _is_batch(value: list[Any]) -> bool:
    """LangChain's list of one list of messages; a pair of texts is a message of its own."""
    return len(value) == 1 and isinstance(value[0], list) and not _is_pair(value[0])


def _is_pair(value: Any) -> bool:
    """LangChain's ``["human", "Hello"]``."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(one, str) for one in value)
        and (value[0].lower() in ROLES or value[0].lower() in TOOL_ROLES)
    )


def _is_message(value: Mapping[str, Any]) -> bool:
    role = value.get("role", value.get("from", value.get("author")))
    if isinstance(role, str):
        return any(key in value for key in _CONTENT)
    kind = value.get("type")
    if kind == "constructor" or "lc" in value:
        return isinstance(value.get("kwargs"), Mapping) and "content" in value["kwargs"]
    return (isinstance(kind, str) and kind.lower() in ROLES) or isinstance(value.get("parts"), list)


def _items(value: Any) -> Sequence[Any]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if type(value) is list and type(value[0]) is dict and "role" in value[0]:
        return value
    if _is_pair(value):
        return [value]
    if isinstance(value, list) and value and all(_is_bare_block(one) for one in value):
        return [{"role": "user", "content": value}]
    return value if isinstance(value, list) else [value]


def _is_bare_block(item: Any) -> bool:
    """A content block without a message around it: the parts of one user message."""
    kinds = ("text", "input_text", "image_url", "input_image", "image")
    return isinstance(item, Mapping) and "role" not in item and item.get("type") in kinds


def _refuse_conditions(holder: Mapping[str, Any], *, whole: bool) -> None:
    """Raise LeftOutError if the model may call tools, or if the request goes on from a state that the log lacks.

    ``whole``: tools are asked too.
    """
    choice = holder.get("tool_choice")
    offered = next((key for key in _TOOLS if holder.get(key)), None)
    off = choice == "none" or holder.get("function_call") == "none"
    off = off or (isinstance(choice, Mapping) and choice.get("type") == "none")
    if offered is not None and not off and not whole:
        raise LeftOutError(LeftOutReason.TOOLS_OFFERED, f"`{offered}` beside the messages")
    before = next((key for key in _STATES if holder.get(key)), None)
    if before is not None:
        raise LeftOutError(LeftOutReason.STATE_ELSEWHERE, f"`{before}` beside the messages")


def _system(holder: Mapping[str, Any]) -> str:
    if holder.keys().isdisjoint(SYSTEM):
        return ""
    value = next((holder[key] for key in SYSTEM if holder.get(key)), None)
    if isinstance(value, Mapping):
        value = next((value[key] for key in _CONTENT if key in value), None)
    if isinstance(value, str):
        return joined(value)
    return joined(value) if isinstance(value, list) else ""


def _message(item: Any) -> Message | None:
    if type(item) is dict and len(item) == 2 and type(item.get("content")) is str and item.get("role") in ROLES:
        return Message(ROLES[item["role"]], joined(item["content"]))  # most messages
    if isinstance(item, str) and item[:1] == "{":
        item = _opened(item, "messages")
    if _is_pair(item):
        item = {"role": item[0], "content": item[1]}
    if not isinstance(item, Mapping):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, f"{kind_of(item)} in place of a message")
    item = _flat(item)
    extra = item.get("additional_kwargs")
    for one in (item, extra if isinstance(extra, Mapping) else {}):
        if one.get("tool_calls") or one.get("function_call"):
            raise LeftOutError(LeftOutReason.TOOL_CALLS)
    role = _role(item)
    if role is None:
        return None
    content = next((item[key] for key in _CONTENT if item.get(key) is not None), None)
    return Message(role, joined(content))


def _flat(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message without what LangChain puts around it: ``{"type": "human", "data": {...}}``, ``{"lc": 1, ...}``."""
    for key in ("kwargs", "data"):
        inner = item.get(key)
        if isinstance(inner, Mapping) and "content" in inner and "content" not in item:
            name = item["id"][-1] if isinstance(item.get("id"), list) and item["id"] else item.get("type")
            return {"type": name, **inner}
    if isinstance(item.get("message"), Mapping) and "content" in item["message"]:
        return {**item, **item["message"]}  # OpenInference and choices: the message is one level down
    if "message.role" in item:
        return {"role": item["message.role"], "content": item.get("message.content"), **item}
    return item


def _role(item: Mapping[str, Any]) -> Role | None:
    """The role of a message; ``None`` if it is part of the model's reasoning and has no text for this request."""
    named = next((item[key] for key in ("role", "from", "author") if isinstance(item.get(key), str)), None)
    kind = item.get("type")
    kind = kind if isinstance(kind, str) else ""
    if named is None and kind in _SILENT:
        return None
    if named is None and kind in _ITEMS:
        raise LeftOutError(_ITEMS[kind], f"an item of type {kind}")
    if named is None and kind.endswith("_call"):
        raise LeftOutError(LeftOutReason.TOOL_CALLS, f"an item of type {kind[:40]}")
    if named is None and not kind and isinstance(item.get("parts"), list):
        return "user"  # Gemini's role is optional in a single turn
    role = (named or kind).lower().removesuffix("chunk").removesuffix("message")
    if role in TOOL_ROLES:
        raise LeftOutError(LeftOutReason.TOOL_RESULTS)
    if role not in ROLES:
        shown = f" `{role}`" if role.isidentifier() and len(role) <= 30 else ""
        raise LeftOutError(
            LeftOutReason.UNKNOWN_ROLE, f"an unknown role{shown}" if role else "a message without a role"
        )
    return ROLES[role]


def _unwrapped(found: list[Message]) -> list[Message]:
    """The messages in the only message, if its text is a serialised conversation."""
    if len(found) != 1 or found[0].content[:1] not in "[{":
        return found
    try:
        inner = markers.structure(found[0].content)
    except markers.SerialisedError:
        return found  # ``_checked`` decides
    if isinstance(inner, dict):
        inner = inner.get("messages", [inner] if _is_message(inner) else None)
    if isinstance(inner, list) and inner and all(isinstance(one, Mapping) and _is_message(one) for one in inner):
        return [message for one in inner if (message := _message(one)) is not None]
    return found


def _checked(message: Message) -> Message:
    """The message. Raises LeftOutError if a logger wrote or cut its text."""
    text = message.content
    reason = _wrong_short(text) if len(text) <= _SHORT else _wrong(text)
    if reason is None:
        return message
    if reason is LeftOutReason.PLACEHOLDER:
        raise LeftOutError(reason, "", text.strip())
    what = "a mark in" if reason is LeftOutReason.MARKER else "a serialised conversation as"
    raise LeftOutError(reason, f"{what} the text of the {message.role}")


def _wrong(text: str) -> LeftOutReason | None:
    """Why no person wrote ``text``; ``None`` if one may have."""
    if markers.is_placeholder(text):
        return LeftOutReason.PLACEHOLDER
    if markers.is_cut(text):
        return LeftOutReason.MARKER
    return LeftOutReason.SERIALISED if markers.looks_like_messages(text) else None


_wrong_short: Final = lru_cache(maxsize=256)(_wrong)
"""Remembers the last texts: most requests of a target have the same system prompt."""
