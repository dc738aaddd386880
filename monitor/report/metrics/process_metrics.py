"""The daemon's own numbers in memory, and the complete ``/metrics`` page.

Only numbers without meaning beyond the process (durations, ticks, reloads) are kept in memory. The names are defined in
``monitor.report.metrics.names``.
"""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from monitor.core.records import Arm
from monitor.core.settings import Settings
from monitor.report.metrics.collector import StoreCollector
from monitor.report.metrics.gzip_members import gzipped, pack
from monitor.report.metrics.names import METRICS, PREFIX

if TYPE_CHECKING:
    from monitor.store import StoreReader

log = structlog.get_logger()

DURATION_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Upper bounds of the buckets, in seconds."""


class Internals:
    """The daemon's own numbers. ``exposition`` serves them with the store's results."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.port: int | None = None
        """The port of the pages, once they are served; for port 0 in the configuration, the system chooses it."""
        specs = {spec.name: spec for spec in METRICS if spec.in_memory}

        def args(name: str) -> dict[str, Any]:
            spec = specs[name]
            return {
                "name": PREFIX + name,
                "documentation": spec.help,
                "labelnames": spec.labels,
                "registry": self.registry,
            }

        self._duration = Histogram(**args("api_request_duration_seconds"), buckets=DURATION_BUCKETS)
        self._reload_ok = Gauge(**args("config_last_reload_success"))
        self._reload_at = Gauge(**args("config_last_reload_success_timestamp_seconds"))
        self._tick_at = Gauge(**args("last_tick_timestamp_seconds"))
        self._tick_errors = Counter(**args("tick_errors_total"))
        self._run_errors = Counter(**args("run_errors_total"))
        self._asks_nothing = Gauge(**args("asks_nothing_seconds"))
        self._scrape_errors = Counter(**args("scrape_errors_total"))
        self._pushed = Counter(**args("pushed_inputs_total"))
        self._push_requests = Counter(**args("push_requests_total"))
        self._collector: StoreCollector | None = None
        self._making = Lock()

    def observe_call(self, target: str, arm: Arm, provider: str, outcome: str, seconds: float) -> None:
        """One attempt of a call took ``seconds``."""
        self._duration.labels(target, arm.value).observe(seconds)

    def reloaded(self, *, ok: bool, at: datetime) -> None:
        """A configuration was read at ``at``, and accepted or refused."""
        self._reload_ok.set(ok)
        if ok:
            self._reload_at.set(at.timestamp())

    def ticked(self, now: datetime) -> None:
        self._tick_at.set(now.timestamp())

    def tick_failed(self) -> None:
        self._tick_errors.inc()

    def watch_asking(self, idle_seconds: Callable[[], float]) -> None:
        """``idle_seconds``: seconds for which runs were due and nothing was asked; called at every scrape."""
        self._asks_nothing.set_function(idle_seconds)

    def pushed(self, target: str, result: str, count: int) -> None:
        """``count`` inputs of a target were pushed, with the same result."""
        self._pushed.labels(target, result).inc(count)

    def push_request(self, kind: str, status: int) -> None:
        """A request with inputs was answered with an HTTP status."""
        self._push_requests.labels(kind, str(status)).inc()

    def run_failed(self) -> None:
        self._run_errors.inc()

    def exposition(
        self, store: "StoreReader", settings: Settings, now: datetime, accept: str = ""
    ) -> tuple[bytes, str]:
        """The complete ``/metrics`` in the format that ``accept`` requests, and its content type.

        Counts and raises errors of the store: an incomplete scrape would resolve alerts; a failed one counts as down.
        """
        body, headers = self.scrape(store, settings, now, accept)
        return body, headers["Content-Type"]

    def scrape(
        self, store: "StoreReader", settings: Settings, now: datetime, accept: str = "", accept_encoding: str = ""
    ) -> tuple[bytes, dict[str, str]]:
        """``exposition`` with its headers, compressed if ``accept_encoding`` allows gzip. Thread-safe."""
        encode, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        results = self._of(store)
        results.asked = True
        with results.lock:
            try:
                results.refresh(settings, now, web_url(settings, self.port))
            except Exception as error:
                self._scrape_errors.inc()
                log.error("scrape_failed", error=str(error))
                raise
            own = encode(self.registry)
            headers = {"Content-Type": content_type, "Vary": "Accept-Encoding"}
            if not takes_gzip(accept_encoding):
                return results.plain(openmetrics=openmetrics) + own, headers
            body = gzipped([*results.pieces(openmetrics=openmetrics), pack(own)])
            return body, {**headers, "Content-Encoding": "gzip"}

    def prepare(self, store: "StoreReader", settings: Settings, now: datetime, stop: Callable[[], bool]) -> bool:
        """Write the store's results before the first ``scrape``; see ``StoreCollector.prepare``."""
        return self._of(store).prepare(settings, now, web_url(settings, self.port), stop)

    def _of(self, store: "StoreReader") -> StoreCollector:
        with self._making:
            if self._collector is None or self._collector.store is not store:
                self._collector = StoreCollector(store)
            return self._collector


def web_url(settings: Settings, port: int | None = None) -> str:
    """Address of the pages, without a trailing slash. ``port``: the port that is actually open."""
    if settings.http.url:
        return settings.http.url.rstrip("/")
    host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
    return f"http://{host}:{port or settings.http.port}"


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a request's Accept-Encoding allows gzip."""
    for one in accept_encoding.lower().split(","):
        coding, _, quality = one.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return quality.rstrip("0") not in ("", "0.") if quality else True
    return False
