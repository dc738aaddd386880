"""Names that a person typed, checked against the configuration."""

from collections.abc import Iterable
from difflib import get_close_matches

from monitor.core.errors import UsageError
from monitor.core.settings import Settings
from monitor.core.signals import SPECS


def known_names(settings: Settings, target: str | None, signal: str | None = None) -> None:
    """An error that names the nearest target or signal when there is no such one: a typo must not look like health."""
    if target is not None:
        known("target", target, settings.targets)
    if signal is not None:
        known("signal", signal, SPECS)


def chosen_suites(settings: Settings, target: str, suite: str | None) -> list[str]:
    """The suites of ``target`` that a command is about; errors name the nearest known name."""
    known_names(settings, target)
    names = settings.targets[target].run_suites
    if suite is None:
        return names
    known(f"suite of target {target}", suite, names)
    return [suite]


def known(what: str, name: str, names: Iterable[str]) -> None:
    """Raises UsageError with the nearest known name where ``name`` is none of ``names``."""
    every = list(names)
    if name not in every:
        near = get_close_matches(name, every, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(every)}"
        raise UsageError(f"{name!r} is no {what} of the configuration; {hint}")
