"""What another process does to a store, for ``test_store_processes``: ``python store_worker.py JOB URL ...``."""

import sys
from datetime import timedelta

from monitor.store import Store, open_store
from tests.store_records import LEASE, NOW, answer, recorded, reservation


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def claim(store: Store, run_id: int) -> None:
    """Try to take the run; the fence, or nothing."""
    run = store.claim(run_id, NOW, LEASE)
    say("-" if run is None else run.fence)


def spend(store: Store, run_id: int) -> None:
    """Reserve as long as there is budget, settling every other list at the full price; how many were granted."""
    run, granted = store.get_run(run_id), 0
    while True:
        held = store.reserve([reservation(run, usd=0.01, usd_limit=2.0, requests_limit=10**6)] * 3)
        granted += sum(key is not None for key in held)
        if None in held:
            break
        items = [recorded(run, answer(usd=0.01), f"{granted}", i, reservation=key) for i, key in enumerate(held)]
        if granted % 2:
            store.record(items)
    say(granted)


def write(store: Store, run_id: int) -> None:
    """Record lists without end; the number of each list once it is committed."""
    run = store.get_run(run_id)
    for number in range(10**6):
        held = store.reserve([reservation(run)] * 8)
        store.record([recorded(run, answer(), f"{number}", i, reservation=key) for i, key in enumerate(held)])
        store.extend_lease(run.id, run.fence, NOW + timedelta(seconds=number))
        say(number)


if __name__ == "__main__":
    job = {"claim": claim, "spend": spend, "write": write}[sys.argv[1]]
    opened = open_store(sys.argv[2])
    say("ready")
    sys.stdin.readline()
    job(opened, int(sys.argv[3]))
    opened.close()
