"""Who holds the store, on each database."""

import json

import pytest

from monitor.core.clock import HEARTBEAT, STORE_HOLDER, utcnow
from monitor.core.errors import StoreError
from monitor.daemon.sole import SoleDaemon
from monitor.store import Store


def test_who_lost_the_store_asks_nothing_and_leaves_no_sign(store: Store) -> None:
    """A daemon that was suspended for longer than its heartbeat lasts."""
    one, other = SoleDaemon(standby=False), SoleDaemon(standby=False)
    now = utcnow()
    one.start(store, now)
    assert one.holds(store, now)
    with pytest.raises(StoreError, match="last heartbeat 0 s ago"):
        other.start(store, now)
    store.set_state(HEARTBEAT, "2026-01-01T00:00:00+00:00")
    other.start(store, now)
    assert not one.holds(store, now)
    assert not one.active
    assert other.holds(store, now)


def test_a_holder_that_cannot_be_read_is_left_alone(store: Store) -> None:
    store.set_state(HEARTBEAT, utcnow().isoformat())
    store.set_state(STORE_HOLDER, json.dumps({"some": "later version"}))
    with pytest.raises(StoreError, match="a daemon of another version works on this store"):
        SoleDaemon(standby=False).start(store, utcnow())


def test_of_two_that_start_together_one_gets_the_store(store: Store) -> None:
    assert store.replace_state(STORE_HOLDER, None, "a")
    assert not store.replace_state(STORE_HOLDER, None, "b")
    assert not store.replace_state(STORE_HOLDER, "x", "b")
    assert store.replace_state(STORE_HOLDER, "a", "b")
