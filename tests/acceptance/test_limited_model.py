"""A model whose provider asks for an hour's pause, next to a healthy one on the same provider."""

import time
from pathlib import Path

from tests.acceptance.bad_days import PROBES, provider, rows, write
from tests.acceptance.processes import Daemon, wait_for
from tests.http_server import Reply, Request, completion

RUNS = "SELECT target, status, outcome FROM run ORDER BY target"


def limited(request: Request) -> Reply:
    if request.path.endswith("/models"):
        return Reply(404, {})
    if request.body["model"].startswith("limited"):
        return Reply(429, {"error": {"message": "slow down"}}, {"retry-after": "3600"})
    return Reply(body=completion())


def test_who_waits_holds_nothing(tmp_path: Path) -> None:
    """Seventy limited targets, more than there are places for runs, and one neighbour that comes last."""
    names = [f"limited-{n:02}" for n in range(70)]
    with provider(limited) as server:
        settings = {"concurrency": 4, "deadline_seconds": 130}
        config = write(tmp_path, server.url, [*names, "neighbour"], provider_settings=settings)
        with Daemon(config) as daemon:
            daemon.wait_ready()
            started = time.monotonic()
            wait_for(
                "the neighbour's run",
                lambda: ("neighbour", "done", "measured") in rows(config, RUNS) or None,
                60,
            )
            assert time.monotonic() - started < 60
            asked = [one for one in server.requests if one.body and one.body["model"] == "neighbour"]
            assert len(asked) == PROBES


def test_the_run_of_a_limited_model_ends_unmeasured_in_time(tmp_path: Path) -> None:
    with provider(limited) as server:
        settings = {"concurrency": 4, "deadline_seconds": 5}
        config = write(tmp_path, server.url, ["limited", "neighbour"], provider_settings=settings)
        with Daemon(config) as daemon:
            daemon.wait_ready()
            both = [("limited", "done", "unmeasured"), ("neighbour", "done", "measured")]
            wait_for("both runs", lambda: rows(config, RUNS) == both or None, 15)
    reasons = dict(rows(config, "SELECT reason, count(*) FROM answer WHERE reason IS NOT NULL GROUP BY reason"))
    assert reasons == {"rate_limited": PROBES}
