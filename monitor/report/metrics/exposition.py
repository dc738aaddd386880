"""The exposition formats, written line by line: a fleet's results are a million lines, too many to be objects first.

A sample's line is the same in the Prometheus text format and in OpenMetrics; only the lines before it differ.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from monitor.report.metrics.names import METRICS, PREFIX, MetricSpec

SPECS: Final[dict[str, MetricSpec]] = {spec.name: spec for spec in METRICS if not spec.in_memory}
"""What is served from the store, by name without prefix, in the order of the page."""


def _template(spec: MetricSpec) -> str:
    labels = ",".join(f'{label}="%s"' for label in spec.labels)
    return f"{PREFIX}{spec.name}{{{labels}}} %s\n" if labels else f"{PREFIX}{spec.name} %s\n"


_TEMPLATES: Final = {name: _template(spec) for name, spec in SPECS.items()}


@lru_cache(maxsize=1 << 17)
def escape(value: str) -> str:
    """A label's value as both formats write it."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


_ODD: Final = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


def number(value: float) -> str:
    """A sample's value as both formats write it."""
    text = repr(float(value))
    return _ODD.get(text, text)


def head(spec: MetricSpec, *, openmetrics: bool) -> bytes:
    """The lines before a family's samples. OpenMetrics calls a counter's family by its name without ``_total``."""
    name = PREFIX + (spec.name.removesuffix("_total") if openmetrics else spec.name)
    told = spec.help.replace("\\", r"\\").replace("\n", r"\n")
    told = told.replace('"', r"\"") if openmetrics else told
    return f"# HELP {name} {told}\n# TYPE {name} {spec.kind}\n".encode()


class Lines:
    """Samples as they are written, by family; only of the families that were named before."""

    def __init__(self, families: Sequence[str]) -> None:
        self._lines: dict[str, list[str]] = {name: [] for name in families}

    def add(self, name: str, value: float, *labels: str) -> None:
        """``labels``: the values, in the order of the family's spec."""
        self._lines[name].append(_TEMPLATES[name] % (*map(escape, labels), number(value)))

    def text(self) -> dict[str, bytes]:
        """Family -> its lines."""
        return {name: "".join(lines).encode() for name, lines in self._lines.items()}
