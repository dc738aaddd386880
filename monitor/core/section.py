"""Base class and types of the configuration's sections."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""A name that becomes a metric label and part of a URL."""

Text = Annotated[str, Field(min_length=1, max_length=100_000)]


class Section(BaseModel):
    """A mapping of the configuration. Rejects unknown keys; immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FilePattern:
    """Marks a text that names a file or a glob. Relative paths are relative to the configuration's folder."""


def file_patterns(section: type[BaseModel]) -> list[str]:
    """Keys of ``section`` that are marked with ``FilePattern``."""
    return [
        name
        for name, info in section.model_fields.items()
        if any(isinstance(mark, FilePattern) for mark in info.metadata)
    ]


def is_url(pattern: str) -> bool:
    """Whether a ``FilePattern`` names objects of a store, such as ``s3://bucket/logs/*.jsonl``, not local files."""
    return "://" in pattern
