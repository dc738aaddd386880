"""What the store says is on disk is on disk, and a file that cannot be written can still be read."""

import multiprocessing
import os
from pathlib import Path

import pytest

from monitor.core.errors import StoreError
from monitor.store import Store, open_store
from monitor.store.engine import connect
from tests.store_records import claimed

NOBODY = 65534


def test_a_committed_transaction_waits_for_the_disk(migrated_url: str) -> None:
    """SQLite: FULL (2) on every connection. PostgreSQL: whatever the role's own setting."""
    database = connect(migrated_url)
    with database.read() as one, database.read() as another:
        for connection in (one, another):
            if database.postgres:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            else:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    database.engine.dispose()


def read_as_nobody(url: str, kept: "multiprocessing.Queue[object]") -> None:
    warm = open_store(url, migrate=False, create=False)  # imports what a user without rights could not
    warm.runs("bot")
    warm.close()
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    try:
        store = open_store(url, migrate=False, create=False)
        runs = [run.target for run in store.runs("bot")]
        with pytest.raises(StoreError, match=r"readonly|read-only|unable to open"):
            store.set_state("x", "y")
        kept.put(runs)
    except StoreError as error:
        kept.put(str(error))


@pytest.mark.parametrize("open_elsewhere", [False, True], ids=["closed", "with its log"])
def test_a_store_that_cannot_be_written_can_be_read(tmp_path: Path, open_elsewhere: bool) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    url = f"sqlite:///{folder / 'cliffwatch.db'}"
    store: Store = open_store(url)
    claimed(store)
    if not open_elsewhere:
        store.close()
    context = multiprocessing.get_context("fork")
    kept: multiprocessing.Queue[object] = context.Queue()
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    for one in folder.iterdir():
        one.chmod(0o444)
    folder.chmod(0o555)
    try:
        child = context.Process(target=read_as_nobody, args=(url, kept))
        child.start()
        assert kept.get(timeout=60) == ["bot"]
        child.join()
    finally:
        folder.chmod(0o755)
        if open_elsewhere:
            store.close()
