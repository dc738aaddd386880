"""The catalogue of sources of production inputs: for each kind its settings and the function that reads it.

A new kind is one module ``monitor/sample/NAME.py`` and one entry here. An entry names its reader as ``module:name``,
and the module is imported on first use. The JSON Schema, ``docs/config.md`` and the messages of ``check`` are made from
the entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field

from monitor.core.kinds import kinds_of
from monitor.core.section import FilePattern, Section


class Source(Section):
    """Source of the production inputs."""

    kind: str
    messages: str = Field("messages", description="dotted path to the chat messages of a request")
    prompt: str | None = Field(None, description="dotted path to a plain prompt, if a request has no messages")
    time: str | None = Field(None, description="dotted path to the time of the request, in any common form")
    where: dict[str, str] = Field(
        default_factory=dict, description="dotted path -> value; only matching requests are read"
    )


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Properties of one kind of source."""

    read: str
    """``module:function`` of the ``sample.request_log.ReadSource``."""
    settings: type[Source]


SOURCES: Final[dict[str, SourceKind]] = {}
"""Kind -> its entry, in the order of this file."""

Model = TypeVar("Model", bound=type[Source])


def catalogued(read: str) -> Callable[[Model], Model]:
    """Class decorator: add the settings to the catalogue; ``read`` is the ``module:function`` of their reader."""

    def add(settings: Model) -> Model:
        for kind in kinds_of(settings):
            SOURCES[kind] = SourceKind(read, settings)
        return settings

    return add


@catalogued(read="monitor.sample.jsonl:read")
class JsonlSource(Source):
    """Request logs, one JSON object per line."""

    kind: Literal["jsonl"] = Field(description="request logs, one JSON object per line; also compressed")
    path: Annotated[str, FilePattern()] = Field(
        min_length=1, description="file or glob; rotated and compressed files are also read"
    )
