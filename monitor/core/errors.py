"""Errors that a person can act on: each message has what happened, where, and what to do."""


class CliffwatchError(Exception):
    """Base of all errors that are printed as one message, never as a traceback.

    ``exit_code``: 2 usage or config, 3 could not measure.
    """

    exit_code = 2


class ConfigError(CliffwatchError):
    """The configuration or one of its suites is invalid; the message lists every problem, one per line."""


class MissingExtra(CliffwatchError):
    """An optional part is not installed; the message names its extra."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part that is not installed: pip install 'cliffwatch[{extra}]'")


class StoreError(CliffwatchError):
    """The store cannot be opened, or has another schema version."""

    exit_code = 3


class CouldNotMeasure(CliffwatchError):
    """There are no usable answers, so there is no verdict."""

    exit_code = 3


class UsageError(CliffwatchError):
    """The command was used incorrectly; the message shows the correct use."""


class NotThere(UsageError):
    """The object of an action does not exist; the message names it."""
