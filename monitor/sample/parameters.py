"""Reads the parameters of a logged request, to ask it again as production asked it.

They get the names of Chat Completions. What cannot be repeated raises ``LeftOutError``: no request is asked with other
parameters than those that it had.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from monitor.core.records import LeftOutReason
from monitor.sample.left_out import LeftOutError, kind_of


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _object(value: Any) -> bool:
    return isinstance(value, Mapping)


_FORMS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": _number,
    "top_p": _number,
    "frequency_penalty": _number,
    "presence_penalty": _number,
    "seed": lambda value: isinstance(value, int),
    "stop": _stop,
    "max_tokens": _count,
    "max_completion_tokens": _count,
    "response_format": _object,
    "parallel_tool_calls": lambda value: isinstance(value, bool),
    "reasoning_effort": lambda value: isinstance(value, str),
}
"""Parameter -> whether a value has its form."""

_SAME: Final[Mapping[str, str]] = {"stop_sequences": "stop", "max_output_tokens": "max_completion_tokens"}
"""Name in Anthropic Messages or OpenAI Responses -> name here."""

_OTHERS: Final = (
    "generationConfig", "generation_config", "inferenceConfig", "logit_bias", "web_search_options", "modalities",
    "audio", "prediction", "thinking", "reasoning", "functions", "toolConfig", "tool_config", "output_config",
    "extra_body", "mcp_servers",
)  # fmt: skip
"""Objects and lists among the parameters that change an answer and are not repeated."""

_OTHER_NUMBERS: Final = ("top_k", "min_p", "repetition_penalty")

_CUT: Final = ("litellm_truncated", "redacted-by-litellm")
_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "any": "required", "none": "none"}
"""Anthropic's ``tool_choice`` -> that of Chat Completions."""


def parameters(holder: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the body of a request, by their name in Chat Completions.

    Raises LeftOutError if one cannot be repeated.
    """
    objects = (name for name in _OTHERS if isinstance(holder.get(name), Mapping | list) and holder[name])
    numbers = (name for name in _OTHER_NUMBERS if _number(holder.get(name)))
    other = next(objects, None) or next(numbers, None)
    if other is not None:
        raise LeftOutError(LeftOutReason.PARAMETERS, f"`{other}` beside the messages")
    found = {}
    for name, value in holder.items():
        known = _SAME.get(name, name)
        if known in _FORMS and value is not None:
            if not _FORMS[known](value):
                raise LeftOutError(LeftOutReason.PARAMETERS, f"{kind_of(value)} as `{name}`")
            found[known] = value
    if isinstance(holder.get("text"), Mapping) and (form := _responses_format(holder["text"])) is not None:
        found["response_format"] = form
    if holder.get("tools"):
        found["tools"] = _tools(holder["tools"])
        if holder.get("tool_choice") is not None:
            found["tool_choice"] = _choice(holder["tool_choice"])
    text = json.dumps(found)
    if any(mark in text for mark in _CUT):
        raise LeftOutError(LeftOutReason.MARKER, "a mark in the parameters")
    return found


def _responses_format(text: Mapping[str, Any]) -> dict[str, Any] | None:
    """``response_format`` from the ``text`` of OpenAI Responses; ``None`` for plain text."""
    form = text.get("format")
    if text.keys() - {"format"} or not isinstance(form, Mapping | None):
        raise LeftOutError(LeftOutReason.PARAMETERS, "`text` of an unknown form")
    if form is None or form.get("type") == "text":
        return None
    if form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {key: one for key, one in form.items() if key != "type"}}
    return dict(form)


def _tools(value: Any) -> list[dict[str, Any]]:
    """Definitions of functions. A tool that the provider runs itself has effects, and is not repeated."""
    if not isinstance(value, list):
        raise LeftOutError(LeftOutReason.PARAMETERS, f"{kind_of(value)} as `tools`")
    return [_tool(one) for one in value]


def _tool(one: Any) -> dict[str, Any]:
    function = None
    if isinstance(one, Mapping) and one.get("type") == "function":
        # in OpenAI Responses, the function is the tool itself
        function = one.get("function", {key: value for key, value in one.items() if key != "type"})
    elif isinstance(one, Mapping) and one.get("type", "custom") == "custom" and "input_schema" in one:
        described = {"description": one["description"]} if one.get("description") else {}
        function = {"name": one.get("name"), **described, "parameters": one["input_schema"]}
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        return {"type": "function", "function": dict(function)}
    raise LeftOutError(LeftOutReason.TOOLS_OFFERED, "a tool that the provider runs, or of an unknown form")


def _choice(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        kind, function = str(value.get("type")), value.get("function")
        name = function.get("name") if isinstance(function, Mapping) else value.get("name")
        if kind in ("tool", "function") and isinstance(name, str):
            return {"type": "function", "function": {"name": name}}
        if kind in _CHOICES and value.keys() <= {"type", "disable_parallel_tool_use"}:
            return _CHOICES[kind]
    raise LeftOutError(LeftOutReason.PARAMETERS, "`tool_choice` of an unknown form")
