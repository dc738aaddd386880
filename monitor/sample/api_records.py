"""From the records of a server's API to requests: counts what is left out, and reads parameters of any form."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from monitor.core.records import LeftOutReason
from monitor.core.sources import Source
from monitor.sample.left_out import LeftOutError, kind_of
from monitor.sample.request_log import Logged, Tally, Window, logged

_UNSET: Final = (None, "", "inf", "Infinity", "NOT_GIVEN")
_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_ID: Final = re.compile(r"[\w.:=-]{1,80}")


def parameters(value: Any) -> dict[str, Any]:
    """The parameters of a request, as an object or as JSON in a text; numbers in texts become numbers.

    Leaves out what SDKs write for a parameter without a value: nothing, and infinity.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    found = value.items() if isinstance(value, Mapping) else ()
    return {name: _number(one) for name, one in found if isinstance(name, str) and one not in _UNSET}


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return value


def requests(
    records: Iterable[Any], source: Source, stratify: str | None, window: Window, tally: Tally
) -> Iterator[Logged]:
    """The requests in records with an ``id``. Counts what is left out, with the id as the place."""
    tally.files += 1
    for number, record in enumerate(records, 1):
        if tally.max_lines is not None and number > tally.max_lines:
            return
        if not isinstance(record, Mapping):
            tally.leave(LeftOutReason.NOT_OBJECT, f"{kind_of(record)} in place of a record", f"record {number}")
            continue
        place = _place(record.get("id"), number)
        try:
            request = logged(record, source, stratify, window, tally)
        except LeftOutError as error:
            tally.leave(error.reason, error.detail, place, error.text)
        except (ValueError, RecursionError):
            tally.leave(LeftOutReason.BAD_CONTENT, "a structure that cannot be read", place)
        else:
            if request is not None:
                tally.read += 1
                yield request


def _place(name: Any, number: int) -> str:
    return name if isinstance(name, str) and _ID.fullmatch(name) else f"record {number}"
