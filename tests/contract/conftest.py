"""Fixtures of the contract suites."""

from collections.abc import Iterator

import pytest

from monitor.store import Store, open_store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, empty store, on each backend in turn."""
    opened = open_store(store_url)
    yield opened
    opened.close()
