"""Records as JSON for users' programs: all fields, and for findings the rendered sentences."""

from collections.abc import Mapping
from typing import Any, Final

from monitor.core import jsonable as bare
from monitor.core.records import Finding
from monitor.report.explain import sentences

OF_FINDING: Final[Mapping[str, type]] = {"alarming": bool, "summary": str}
"""Keys that the JSON of a finding has in addition to its fields, with their types."""


def plain(value: object) -> Any:
    """``value`` as JSON, with ``OF_FINDING`` in every finding."""
    return bare.plain(value, _more)


def _more(record: object) -> Mapping[str, Any]:
    if isinstance(record, Finding):
        return {"alarming": record.alarming, "summary": sentences.summary(record)}
    return {}
