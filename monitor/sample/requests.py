"""The requests in the records of a file: applies the format of the source, and counts what is left out."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitor.core.records import LeftOutReason
from monitor.core.sources import FileSource, Source
from monitor.sample.left_out import LeftOutError
from monitor.sample.request_log import Logged, Tally, Window, logged


class Requests:
    """Turns each record of a source into its requests."""

    def __init__(self, source: FileSource, stratify: str | None, window: Window, tally: Tally) -> None:
        self._source, self._stratify, self._window, self._tally = source, stratify, window, tally
        self._resolver = None
        if source.format is not None:
            from monitor.sample.formats import Resolver

            self._resolver = Resolver(source)

    def of(self, record: Mapping[str, Any]) -> Iterator[Logged]:
        """The requests of a record: one without a format, any number in a document of spans."""
        if self._resolver is None:
            if (request := self._logged(record, self._source)) is not None:
                yield request
            return
        for one, settings in self._resolver.each(record):
            if isinstance(settings, str):
                self._tally.pass_over(settings)
            elif (request := self._logged(one, settings)) is not None:
                yield request

    def _logged(self, record: Mapping[str, Any], source: Source) -> Logged | None:
        tally = self._tally
        try:
            request = logged(record, source, self._stratify, self._window, tally)
        except LeftOutError as error:
            tally.leave(error.reason, error.detail, text=error.text)
            return None
        except (ValueError, RecursionError):
            tally.leave(LeftOutReason.BAD_CONTENT, "a structure that cannot be read")
            return None
        if request is not None:
            tally.read += 1
        return request
