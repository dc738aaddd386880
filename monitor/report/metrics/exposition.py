"""Writes the exposition formats line by line: a fleet's results are a million lines, too many for objects.

A sample's line is the same in the Prometheus text format and in OpenMetrics; only the header lines differ.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from monitor.report.metrics.names import METRICS, PREFIX, MetricSpec

SPECS: Final[dict[str, MetricSpec]] = {spec.name: spec for spec in METRICS if not spec.in_memory}
"""Metrics served from the store, by name without prefix, in the order of the page."""


def _template(spec: MetricSpec) -> str:
    labels = ",".join(f'{label}="%s"' for label in spec.labels)
    return f"{PREFIX}{spec.name}{{{labels}}} %s\n" if labels else f"{PREFIX}{spec.name} %s\n"


_TEMPLATES: Final = {name: _template(spec) for name, spec in SPECS.items()}


@lru_cache(maxsize=1 << 17)
def escape(value: str) -> str:
    """A label's value in the form of both formats."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_ODD: Final = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def number(value: float) -> str:
    """A sample's value in the form of both formats."""
    text = repr(float(value))
    return _ODD.get(text, text)


def head(spec: MetricSpec, *, openmetrics: bool) -> bytes:
    """The header lines of a family. In OpenMetrics, the name of a counter's family has no ``_total``."""
    name = PREFIX + (spec.name.removesuffix("_total") if openmetrics else spec.name)
    told = spec.help.replace("\\", r"\\").replace("\n", r"\n")
    told = told.replace('"', r"\"") if openmetrics else told
    return f"# HELP {name} {told}\n# TYPE {name} {spec.kind}\n".encode()


class Lines:
    """Lines of samples by family, for the given families only."""

    def __init__(self, families: Sequence[str]) -> None:
        self._lines: dict[str, list[str]] = {name: [] for name in families}

    def add(self, name: str, value: float, *labels: str) -> None:
        """``labels``: the values, in the order of the family's spec."""
        self._lines[name].append(_TEMPLATES[name] % (*map(escape, labels), number(value)))

    def text(self) -> dict[str, bytes]:
        """Family -> its lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}
