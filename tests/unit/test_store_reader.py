"""``StoreReader`` only reads, and every method of the store has one implementation."""

import inspect

import pytest

from monitor.store import Store, StoreReader

METHODS = sorted(name for name in dir(Store) if not name.startswith("_"))
READS = sorted(name for name in dir(StoreReader) if not name.startswith("_") and name != "close")


@pytest.mark.parametrize("name", READS)
def test_a_reader_opens_no_transaction_that_writes(name: str) -> None:
    source = inspect.getsource(getattr(StoreReader, name))
    assert any(word in source for word in (".read()", "self.baselines(", "self.accepted("))
    assert not [word for word in (".write()", ".statement(", "._statement(") if word in source]


def test_every_method_is_implemented_once() -> None:
    defined = {name: [one.__name__ for one in Store.__mro__ if name in vars(one)] for name in METHODS}
    assert {name: where for name, where in defined.items() if len(where) != 1} == {}
    assert not [name for name in vars(Store) if name in METHODS], "a method stands where its tables are"
