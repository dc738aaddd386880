"""Chooses the columns of a table that a source needs: messages and what stands beside them, time, filters, stratum."""

from collections.abc import Iterable, Sequence
from typing import Final

from monitor.core.sources import FileSource
from monitor.sample.dialects import CONDITIONS, SYSTEM
from monitor.sample.envelopes import WRAPPERS
from monitor.sample.request_log import DIALECT_KEYS

_BESIDE: Final = (
    *SYSTEM, *sorted(CONDITIONS), "tool_choice", "function_call", "max_output_tokens", "system_instructions",
    "tool.definitions",
)  # fmt: skip
_MOST_SHOWN: Final = 8


class NoColumnError(ValueError):
    """No column can hold the messages; the message names the columns that exist."""


def needed(names: Sequence[str], source: FileSource, stratify: str | None) -> list[str]:
    """The columns of ``names`` that the source needs, in their order. Raises NoColumnError."""
    paths, also = _messages(source)
    if source.prompt is not None:
        paths = (*paths, source.prompt)
    of_messages = {name for path in paths for name in _leading(names, path)}
    if source.messages == "messages" and source.format is None and "messages" not in names:
        of_messages.update(name for name in names if name in DIALECT_KEYS or name in WRAPPERS)
    if source.messages == "messages" and "proxy_server_request" in names:
        of_messages.add("proxy_server_request")
    if not of_messages:
        shown = ", ".join(names[:_MOST_SHOWN]) + (", ..." if len(names) > _MOST_SHOWN else "")
        raise NoColumnError(f"no column for `{paths[0]}` (found the columns {shown})")
    times = () if source.time is None else (source.time,)
    others = (*times, *source.where, *also, *(() if stratify is None else (stratify,)))
    wanted = of_messages | {name for path in others for name in _leading(names, path)}
    wanted |= {f"{parent}{key}" for parent in _parents(paths) for key in _BESIDE}
    return [name for name in names if name in wanted]


def _messages(source: FileSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of the messages, and what else the format of the source needs."""
    if source.format is None:
        return (source.messages,), ()
    from monitor.sample.formats import PRESETS

    preset = PRESETS[source.format]
    chosen = "messages" in source.model_fields_set
    return (source.messages,) if chosen else preset.messages, (*preset.time, *preset.also)


def _parents(paths: Iterable[str]) -> set[str]:
    """``""`` for ``messages``, ``request.`` for ``request.messages``, ``gen_ai.`` for ``gen_ai.input.messages``."""
    found = {f"{parent}." if (parent := path.rpartition(".")[0]) else "" for path in paths}
    return found | {path.removesuffix("input.messages") for path in paths if path.endswith("gen_ai.input.messages")}


def _leading(names: Sequence[str], path: str) -> list[str]:
    """The columns that a path may lead through: ``a`` and ``a.b`` for ``a.b.c``, and ``a.b.c.0.d`` below it."""
    return [name for name in names if path == name or path.startswith(f"{name}.") or name.startswith(f"{path}.")]
