"""Reads the content of one message: a text, or blocks of any dialect."""

from collections.abc import Mapping
from typing import Any, Final

from monitor.core.records import LeftOutReason
from monitor.sample import markers
from monitor.sample.left_out import LeftOutError, kind_of

_TEXT: Final = frozenset({"text", "input_text", "output_text", "refusal", "summary_text"})
_SILENT: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "cache_point", "cachePoint"})
_TOOL_CALLS: Final = frozenset({"tool_use", "server_tool_use", "tool_call", "function_call", "mcp_tool_use"})
_TOOL_RESULTS: Final = frozenset(
    {"tool_result", "tool_response", "tool_call_response", "web_search_tool_result", "function_call_output"}
)
_MEDIA: Final = frozenset(
    {
        "image", "image_url", "input_image", "image_file", "audio", "input_audio", "audio_url", "video", "video_url",
        "file", "input_file", "document", "media", "blob", "uri", "container_upload", "file_url", "modality",
    }
)  # fmt: skip
_BARE: Final[Mapping[str, LeftOutReason]] = {
    "functionCall": LeftOutReason.TOOL_CALLS,
    "function_call": LeftOutReason.TOOL_CALLS,
    "toolUse": LeftOutReason.TOOL_CALLS,
    "executableCode": LeftOutReason.TOOL_CALLS,
    "functionResponse": LeftOutReason.TOOL_RESULTS,
    "function_response": LeftOutReason.TOOL_RESULTS,
    "toolResult": LeftOutReason.TOOL_RESULTS,
    "codeExecutionResult": LeftOutReason.TOOL_RESULTS,
    "inlineData": LeftOutReason.MEDIA,
    "inline_data": LeftOutReason.MEDIA,
    "fileData": LeftOutReason.MEDIA,
    "file_data": LeftOutReason.MEDIA,
    "image": LeftOutReason.MEDIA,
    "image_url": LeftOutReason.MEDIA,
    "document": LeftOutReason.MEDIA,
    "video": LeftOutReason.MEDIA,
    "audio": LeftOutReason.MEDIA,
}
"""Key of a block without a type (Gemini, Bedrock Converse) -> why it is not asked."""

_MEDIA_TEXTS: Final = ("@@@langfuseMedia:", "data:image/", "data:audio/", "data:video/")
_DEEPEST: Final = 4


def joined(content: Any, depth: int = 0) -> str:
    """The text of a content: a text, or the texts of its blocks, a line each.

    Raises LeftOutError for tools, media and unknown blocks.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return _of_text(content, depth)
    if isinstance(content, Mapping):
        content = content["parts"] if isinstance(content.get("parts"), list) else [content]
    if not isinstance(content, list):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, f"{kind_of(content)} in place of a text")
    return "\n".join(text for block in content if (text := _block(block, depth)) is not None)


def _of_text(text: str, depth: int) -> str:
    if text[:1] in "[{" and markers.looks_serialised(text) and depth < _DEEPEST:
        blocks = _serialised_blocks(text)
        if blocks is not None:
            return joined(blocks, depth + 1)
    if "data:" in text or "@@@" in text:
        for begin in _MEDIA_TEXTS:
            if begin in text and (begin[0] == "@" or ";base64," in text):
                raise LeftOutError(LeftOutReason.MEDIA, "a file inside a text")
    return text


def _serialised_blocks(text: str) -> list[Any] | None:
    """The content blocks that a text holds as JSON or as a Python literal; ``None`` if it holds something else."""
    if not ("type" in text or "text" in text):
        return None
    try:
        found = markers.structure(text)
    except markers.SerialisedError:
        return None
    if isinstance(found, list) and found and all(_is_block(one) for one in found):
        return found
    return None


def _is_block(value: Any) -> bool:
    if not isinstance(value, Mapping) or "role" in value:
        return False
    kind = value.get("type")
    known = kind in _TEXT or kind in _MEDIA or kind in _TOOL_CALLS or kind in _TOOL_RESULTS
    return known or set(value) == {"text"}


def _block(block: Any, depth: int) -> str | None:
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, f"{kind_of(block)} in place of a content block")
    kind = block.get("type")
    if kind is None:
        return _bare(block)
    if kind in _SILENT or block.get("thought") is True:
        return None
    for kinds, reason in (
        (_TOOL_CALLS, LeftOutReason.TOOL_CALLS), (_TOOL_RESULTS, LeftOutReason.TOOL_RESULTS),
        (_MEDIA, LeftOutReason.MEDIA),
    ):  # fmt: skip
        if kind in kinds:
            raise LeftOutError(reason, f"a content block of type {kind}")
    if kind not in _TEXT:
        shown = f" of type {kind}" if isinstance(kind, str) and kind.isidentifier() and len(kind) <= 40 else ""
        raise LeftOutError(LeftOutReason.OTHER_CONTENT, f"a content block{shown}")
    return _of_block(block.get("text", block.get("content", block.get("refusal"))), depth)


def _of_block(text: Any, depth: int) -> str:
    if isinstance(text, Mapping):
        text = text.get("value", text.get("text"))  # the Assistants API
    if not isinstance(text, str):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, "a text block without a text")
    return _of_text(text, depth)


def _bare(block: Mapping[str, Any]) -> str | None:
    """A block without a type, of Gemini or of Bedrock Converse."""
    for key, reason in _BARE.items():
        if block.get(key):
            raise LeftOutError(reason, f"a part with `{key}`")
    if block.get("thought") is True or "reasoningContent" in block or "cachePoint" in block:
        return None
    guard = block.get("guardContent")
    text = guard.get("text") if isinstance(guard, Mapping) else block.get("text", block.get("content"))
    if isinstance(text, Mapping):
        text = text.get("text")
    if not isinstance(text, str):
        raise LeftOutError(LeftOutReason.BAD_CONTENT, "a text block without a text")
    return text
