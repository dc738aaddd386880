"""How a reply ended: one table of the finish reasons of all dialects, and their classes.

``docs/replies.md`` is generated from it. A word that is not in the table is unknown: its answer is not measured.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Ending(StrEnum):
    """Class of a finish reason."""

    COMPLETE = "complete"
    """The model ended the answer, or it reached a stop sequence."""
    TRUNCATED = "truncated"
    """A limit cut the answer: the one that was sent, or the server's own. See ``cut_by_server``."""
    FILTERED = "filtered"
    """A filter blocked the prompt or the answer. Counts as a refusal."""
    REFUSAL = "refusal"
    """The model refused to answer."""
    TOOL_CALL = "tool_call"
    """The model called a tool, or waits for one."""
    ERROR = "error"
    """The server failed. The text, if any, is not an answer."""
    MISSING = "missing"
    """The reply has no finish reason."""
    UNKNOWN = "unknown"
    """The table does not have the word."""


SOURCES: Final[Mapping[str, str]] = MappingProxyType({
    "OpenAI": "API reference, Chat Completions (`finish_reason`) and Responses (`incomplete_details.reason`)",
    "Azure": "Azure OpenAI, content filtering: `content_filter` as finish reason and as error code",
    "Anthropic": "API reference, Messages (`stop_reason`); Text Completions for `stop_sequence`",
    "Gemini": "Gemini API and Vertex AI reference, `Candidate.FinishReason` and `PromptFeedback.BlockReason`",
    "vLLM": "`vllm/v1/engine/__init__.py`, `FinishReason`",
    "SGLang": "`sglang/srt/managers/schedule_batch.py`, `FINISH_*`",
    "TGI": "text-generation-inference, OpenAPI schema, `FinishReason`",
    "llama.cpp": "`tools/server`: `finish_reason`, and `stop_type` of its own API",
    "Ollama": "`llm/server.go` and `api/types.go`, `done_reason`",
    "Mistral": "API reference, Chat, `finish_reason`",
    "Cohere": "API reference, Chat v1 and v2, `finish_reason`",
    "Bedrock": "API reference, Converse `stopReason`; model parameters of Titan (`completionReason`) and AI21",
    "LiteLLM": "`litellm/litellm_core_utils/core_helpers.py`, `map_finish_reason`",
    "OpenRouter": "API reference, Responses: `finish_reason` is normalised, `native_finish_reason` is the provider's",
    "DeepSeek": "API reference, Create Chat Completion, `finish_reason`",
    "Zhipu": "BigModel API reference, Chat Completions, `finish_reason`",
    "watsonx": "watsonx.ai API reference, text generation, `stop_reason`",
    "Llama Stack": "`llama_stack/apis/inference`, `StopReason`",
    "LM Studio": "SDK reference, `LLMPredictionStopReason`",
    "TensorRT-LLM": "executor API, `FinishReason`",
    "Together": "API reference, Chat Completions, `finish_reason`",
    "Vercel": "AI SDK, `LanguageModelFinishReason`, as its gateway returns it",
})  # fmt: skip
"""Dialect -> where its words were read."""


def _rows(*rows: tuple[Ending, str, str]) -> dict[str, tuple[Ending, tuple[str, ...]]]:
    table: dict[str, tuple[Ending, tuple[str, ...]]] = {}
    for ending, dialects, words in rows:
        for word in words.split():
            known = table.get(word, (ending, ()))
            if known[0] is not ending:
                raise ValueError(f"finish reason {word} has two classes")
            table[word] = (ending, tuple(sorted({*known[1], *dialects.split(", ")})))
    return table


TABLE: Final[Mapping[str, tuple[Ending, tuple[str, ...]]]] = MappingProxyType(
    _rows(
        (Ending.COMPLETE, "OpenAI, Azure, vLLM, SGLang, llama.cpp, Ollama, Mistral, LiteLLM, OpenRouter", "stop"),
        (Ending.COMPLETE, "DeepSeek, Zhipu, Gemini, Together, Vercel, TensorRT-LLM", "stop"),
        (Ending.COMPLETE, "Anthropic, Bedrock", "end_turn stop_sequence"),
        (Ending.COMPLETE, "TGI", "eos_token stop_sequence"),
        (Ending.COMPLETE, "watsonx", "eos_token stop_sequence completed"),
        (Ending.COMPLETE, "OpenAI", "completed"),
        (Ending.COMPLETE, "Cohere", "complete stop_sequence"),
        (Ending.COMPLETE, "llama.cpp", "eos word"),
        (Ending.COMPLETE, "Together", "eos"),
        (Ending.COMPLETE, "Bedrock", "finish finished endoftext end_of_text"),
        (Ending.COMPLETE, "SGLang", "finish_matched_token finish_matched_str matched_token matched_str"),
        (Ending.COMPLETE, "Llama Stack", "end_of_turn end_of_message"),
        (Ending.COMPLETE, "LM Studio", "eos_found stop_string_found"),
        (Ending.COMPLETE, "TensorRT-LLM", "end_id stop_words"),
        (Ending.TRUNCATED, "OpenAI, Azure, vLLM, SGLang, TGI, llama.cpp, Ollama, Mistral, LiteLLM", "length"),
        (Ending.TRUNCATED, "OpenRouter, DeepSeek, Zhipu, Together, Bedrock, TensorRT-LLM, Vercel", "length"),
        (Ending.TRUNCATED, "OpenAI", "max_output_tokens max_completion_tokens"),
        (Ending.TRUNCATED, "Anthropic", "max_tokens model_context_window_exceeded"),
        (Ending.TRUNCATED, "Gemini, Cohere", "max_tokens"),
        (Ending.TRUNCATED, "Bedrock", "max_tokens model_context_window_exceeded"),
        (Ending.TRUNCATED, "vLLM", "repetition"),
        (Ending.TRUNCATED, "SGLang", "finish_length"),
        (Ending.TRUNCATED, "llama.cpp", "limit"),
        (Ending.TRUNCATED, "Mistral", "model_length"),
        (Ending.TRUNCATED, "Cohere", "error_limit"),
        (Ending.TRUNCATED, "watsonx", "max_tokens token_limit time_limit not_finished"),
        (Ending.TRUNCATED, "Llama Stack", "out_of_tokens"),
        (Ending.TRUNCATED, "LM Studio", "max_predicted_tokens_reached context_length_reached"),
        (Ending.FILTERED, "OpenAI, Azure, LiteLLM, OpenRouter, DeepSeek, Vercel", "content_filter"),
        (Ending.FILTERED, "Gemini", "safety recitation language blocklist prohibited_content spii image_safety "
                                    "image_prohibited_content image_recitation model_armor jailbreak"),
        (Ending.FILTERED, "Bedrock", "content_filtered guardrail_intervened"),
        (Ending.FILTERED, "Cohere", "error_toxic"),
        (Ending.FILTERED, "Zhipu", "sensitive"),
        (Ending.REFUSAL, "Anthropic, OpenRouter", "refusal"),
        (Ending.TOOL_CALL, "OpenAI, Azure, vLLM, SGLang, llama.cpp, Mistral, LiteLLM, OpenRouter", "tool_calls"),
        (Ending.TOOL_CALL, "DeepSeek, Zhipu, Together, LM Studio, Vercel", "tool_calls"),
        (Ending.TOOL_CALL, "OpenAI, Azure, SGLang", "function_call"),
        (Ending.TOOL_CALL, "Anthropic", "tool_use pause_turn"),
        (Ending.TOOL_CALL, "Bedrock", "tool_use"),
        (Ending.TOOL_CALL, "Cohere", "tool_call"),
        (Ending.ERROR, "OpenRouter, Cohere, Mistral, vLLM, watsonx, LiteLLM, Vercel", "error"),
        (Ending.ERROR, "vLLM, SGLang", "abort"),
        (Ending.ERROR, "SGLang", "finish_abort aborted"),
        (Ending.ERROR, "OpenAI", "failed cancelled"),
        (Ending.ERROR, "Gemini", "malformed_function_call malformed_response unexpected_tool_call too_many_tool_calls "
                                 "missing_thought_signature no_image image_other"),
        (Ending.ERROR, "Bedrock", "malformed_model_output malformed_tool_use"),
        (Ending.ERROR, "Cohere", "timeout user_cancel"),
        (Ending.ERROR, "DeepSeek", "insufficient_system_resource"),
        (Ending.ERROR, "Zhipu", "network_error"),
        (Ending.ERROR, "Ollama", "load unload"),
        (Ending.ERROR, "watsonx", "cancelled"),
        (Ending.ERROR, "LM Studio", "user_stopped model_unloaded failed"),
        (Ending.ERROR, "TensorRT-LLM", "cancelled timed_out"),
    )
)  # fmt: skip
"""Normalised word -> its class and the dialects that have it."""

_NO_WORD: Final = frozenset(("", "null", "none", "nil"))
_BY_SERVER: Final = frozenset((
    "model_length", "model_context_window_exceeded", "context_length_reached", "error_limit", "repetition",
    "time_limit",
))  # fmt: skip
"""Cuts that are never the limit that was sent."""
_SEVERITY: Final = (Ending.ERROR, Ending.FILTERED, Ending.REFUSAL, Ending.TRUNCATED, Ending.TOOL_CALL, Ending.COMPLETE)


class Finish(NamedTuple):
    """How one reply ended."""

    ending: Ending
    word: str | None
    """The reply's own word, as stored; ``None`` if it has none."""


def finish_of(raw: object, native: object = None) -> Finish:
    """The class of a reply's finish reason.

    Args:
        raw: its ``finish_reason`` or ``stop_reason``: a word in any case, or an object with the word as ``type`` or
            ``reason``.
        native: the provider's own word, where a gateway passes it on. The worse class of the two counts, because a
            gateway may report a filter or an error as ``stop``.
    """
    first, second = _word(raw), _word(native)
    one, two = _ending(first), _ending(second)
    if two in (Ending.MISSING, Ending.UNKNOWN):
        return Finish(one, first)
    if one in (Ending.MISSING, Ending.UNKNOWN):
        return Finish(two, second)
    return Finish(one, first) if _SEVERITY.index(one) <= _SEVERITY.index(two) else Finish(two, second)


def cut_by_server(word: str | None, completion_tokens: int, limit: int | None) -> bool:
    """Whether a truncated answer was cut by the server's own limit, not by the limit that was sent.

    Without a token count or a limit the word decides. Some servers do not count the last token.
    """
    if word is not None and normalised(word) in _BY_SERVER:
        return True
    return limit is not None and 0 < completion_tokens < limit - 1


def normalised(word: str) -> str:
    """``word`` as the table writes it: lower case with underscores.

    >>> normalised("MAX_TOKENS"), normalised("endTurn"), normalised("FinishReason.STOP"), normalised("content-filter")
    ('max_tokens', 'end_turn', 'stop', 'content_filter')
    """
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word.strip())
    plain = re.sub(r"[\s\-]+", "_", snake).lower()
    return re.sub(r"^(finish|stop|done)_?reason[._:]+(?!unspecified)", "", plain)


def _word(raw: object) -> str | None:
    if isinstance(raw, Mapping):
        raw = raw.get("type") or raw.get("reason") or raw.get("finish_reason")
    if isinstance(raw, list) and len(raw) == 1:
        raw = raw[0]
    if raw is None or (isinstance(raw, str) and normalised(raw) in _NO_WORD):
        return None
    return (raw if isinstance(raw, str) else repr(raw))[:200]


def _ending(word: str | None) -> Ending:
    if word is None:
        return Ending.MISSING
    plain = normalised(word)
    if plain not in TABLE:
        # Gemini's OpenAI-compatible API adds details: "content_filter: PROHIBITED_CONTENT".
        plain = re.split(r"[:;,(/]", plain, maxsplit=1)[0].strip("_")
    return TABLE[plain][0] if plain in TABLE else Ending.UNKNOWN
