"""Records as JSON for people's programs: as they are, and findings with the sentences that follow from them."""

from collections.abc import Mapping
from typing import Any, Final

from monitor.core import jsonable as bare
from monitor.core.records import Finding
from monitor.report.explain import sentences

OF_FINDING: Final[Mapping[str, type]] = {"alarming": bool, "summary": str}
"""What the JSON of a finding has besides its fields, with its type."""


def plain(value: object) -> Any:
    """``value`` as JSON has it, every finding in it with ``OF_FINDING``."""
    return bare.plain(value, _more)


def _more(record: object) -> Mapping[str, Any]:
    if isinstance(record, Finding):
        return {"alarming": record.alarming, "summary": sentences.summary(record)}
    return {}
