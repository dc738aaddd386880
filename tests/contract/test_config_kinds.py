"""What the configuration accepts, the stages can do."""

from pydantic import TypeAdapter

from monitor.config.suites import AnyCheck
from monitor.judge.checks import CHECKS


def test_every_kind_of_check_has_its_options_and_its_function() -> None:
    kinds = TypeAdapter(AnyCheck).json_schema()["discriminator"]["mapping"]
    assert set(kinds) == set(CHECKS)
