"""What the configuration accepts, the stages can do."""

from pydantic import TypeAdapter

from monitor.ask import PROVIDERS
from monitor.config.suites import AnyCheck
from monitor.core.settings import Provider
from monitor.judge.checks import CHECKS


def test_every_kind_of_check_has_its_options_and_its_function() -> None:
    kinds = TypeAdapter(AnyCheck).json_schema()["discriminator"]["mapping"]
    assert set(kinds) == set(CHECKS)


def test_every_kind_of_provider_is_in_the_schema() -> None:
    assert set(Provider.model_json_schema()["properties"]["kind"]["enum"]) == set(PROVIDERS)
