"""Errors that a person can act on: each says what happened, where, and what to do."""


class CliffwatchError(Exception):
    """Base of all errors that are printed as one message, never as a traceback.

    ``exit_code``: 2 usage or config, 3 could not measure.
    """

    exit_code = 2


class ConfigError(CliffwatchError):
    """The configuration (or a suite it names) cannot be used; the message lists every problem, one a line."""


class MissingExtra(CliffwatchError):
    """An optional part is not installed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part that is not installed: pip install 'cliffwatch[{extra}]'")


class StoreError(CliffwatchError):
    """The store cannot be opened or is not at the version this program expects."""

    exit_code = 3


class CouldNotMeasure(CliffwatchError):
    """Nothing usable came back, so there is no verdict."""

    exit_code = 3


class UsageError(CliffwatchError):
    """The command was used in a way that cannot mean anything; the message says what to type instead."""


class NotThere(UsageError):
    """What was to be acted on is not there; the message says what is."""
