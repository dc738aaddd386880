"""Checks names that a person typed against the configuration."""

from collections.abc import Iterable
from difflib import get_close_matches

from monitor.core.errors import UsageError
from monitor.core.settings import Settings
from monitor.core.signals import SPECS


def known_names(settings: Settings, target: str | None, signal: str | None = None) -> None:
    """Raises UsageError with the nearest known name for an unknown target or signal: a typo must not look healthy."""
    if target is not None:
        known("target", target, settings.targets)
    if signal is not None:
        known("signal", signal, SPECS)


def chosen_suites(settings: Settings, target: str, suite: str | None) -> list[str]:
    """Suites of ``target`` that a command applies to. Raises UsageError with the nearest known name."""
    known_names(settings, target)
    names = settings.targets[target].run_suites
    if suite is None:
        return names
    known("suite", suite, names, f" of target {target!r}")
    return [suite]


def known(what: str, name: str, names: Iterable[str], where: str = "") -> None:
    """Raises UsageError with the nearest known name if ``name`` is not in ``names``."""
    every = list(names)
    if name not in every:
        near = get_close_matches(name, every, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(every)}"
        raise UsageError(f"Unknown {what} {name!r}{where}; {hint}")
