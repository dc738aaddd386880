"""Stores that version 0.1.0 wrote say the same after their migration as that version said of them: on both databases.

Intended differences are declared in ``RENAMED`` and ``REWORDED`` below, and nowhere else. Fields and metrics that the
golden file does not have are new and are not compared; one that is gone fails.
"""

import gzip
import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.runs.recompute import MISSING, recompute
from monitor.store import Store, open_store
from tests.kept import answers
from tests.postgres import Postgres

RENAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "metrics": {
        "cliffwatch_base_match_ratio": "cliffwatch_base_like_ratio",
        "cliffwatch_evidence_line_log10": "cliffwatch_evidence_threshold_log10",
    },  # a metric's old name -> its new one, as "cliffwatch_old": "cliffwatch_new"
    "keys": {
        "line_log10": "threshold_log10",
        "look_log10": "evaluation_log10",
        "looks": "evaluations",
        "deeds": "audit_entries",
        "base_match_ratio": "base_like_ratio",
    },  # a key of JSON, at any depth
    "words": {
        "ALARM": "alarming",
        "what is served": "the served model",
    },  # a value that is a word, such as a state; under the keys of STATES only
}
REWORDED: Final[frozenset[str]] = frozenset({"headline", "bad", "since", "sure", "why", "now", "summary", "note"})
"""Keys of JSON (by their old names) whose text is worded anew: they have to be there, and say something where they did.
"""
STATES: Final = frozenset({"state", "alone", "listed", "suspect"})
"""Keys whose values are words of a fixed list."""
NEW_SIGNALS: Final = frozenset({"base_drift"})
"""Signals that the version which wrote the store did not have: recomputed, they have findings that it has not."""
DECIDED_ELSEWHERE: Final = frozenset({("canaries", "cause"), ("canaries", "advice")})
"""Signal and field: failed canaries no longer name a cause of their own. All signals of the run decide it."""
WEIGHED_ANEW: Final = frozenset({"evidence_log10", "evaluation_log10", "scores", "ways", "state", "structural", "alarm",
                                 "recovered", "disagrees", "advice"})  # fmt: skip
"""Fields that follow from how days are weighed: a day's score has a bound, and days may differ and last. What was
measured is the same."""
OTHERWISE: Final[Mapping[str, object]] = {
    "86/canaries > claim > runbook": "CliffwatchFineTuneBroken",
    "86/canaries > claim > suspect": "the model",
    **dict.fromkeys((f"{run}/negative_flips > claim > began" for run in (297, 298)), "2026-11-21T07:00:33+00:00"),
    **dict.fromkeys(
        (f"{run}/{signal} > claim > began" for run in (71, 72) for signal in ("adapter_loss", "negative_flips")),
        "2026-11-21T07:00:01+00:00",
    ),
    'cliffwatch_alarm_began_timestamp_seconds{target="flips",signal="negative_flips"}': 1795244433.0,
    'cliffwatch_alarm_began_timestamp_seconds{target="lost",signal="negative_flips"}': 1795244401.0,
    'cliffwatch_alarm_last_healthy_timestamp_seconds{target="flips",signal="negative_flips"}': 1795158033.0,
    'cliffwatch_alarm_last_healthy_timestamp_seconds{target="lost",signal="negative_flips"}': 1795158001.0,
    "/api/v1/targets/flips > lead > claim > began": "2026-11-21T07:00:33+00:00",
}
"""Place -> what is said now: of canaries that failed while the answers were no nearer to the base's, and of changes
that began after an evaluation without an alarm, not in the incident before it."""
MOST_SHOWN: Final = 20
JUDGE_IS_BACK: Final = (
    "UPDATE alarm SET state = 'cleared', cleared_at = '2026-11-22 11:00:00.000000', cleared_by = 'kim', "
    "cleared_why = 'the judge is back' WHERE target = 'judge' AND cleared_at IS NULL"
)
"""Run on the store as it was kept, before any migration."""


def unpacked(name: str) -> bytes:
    return gzip.decompress((answers.FOLDER / name).read_bytes())


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads(unpacked("golden.json.gz"))


def restored(request: pytest.FixtureRequest, backend: str, folder: Path, *statements: str) -> Store:
    """A copy of the kept store, changed by ``statements``, then opened and so migrated by this version."""
    if backend == "sqlite":
        path = folder / "kept.db"
        path.write_bytes(unpacked("store.sqlite.gz"))
        with sqlite3.connect(path) as database:
            for statement in statements:
                database.execute(statement)
        database.close()
        return open_store(f"sqlite:///{path}")
    import psycopg

    server: Postgres = request.getfixturevalue("postgres_server")
    url = server.fresh()
    for one in (unpacked("store.postgresql.sql.gz"), *map(str.encode, statements)):
        # a connection each: what pg_dump writes leaves the session without a search path
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
            connection.execute(one)
    return open_store(url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = restored(request, request.param, tmp_path_factory.mktemp("kept"))
    yield store
    store.close()


def test_every_finding_has_its_state_its_cause_and_its_words(kept: Store, golden: Any) -> None:
    same(golden["findings"], answers.findings(kept))


def test_metrics_are_the_same(kept: Store, golden: Any) -> None:
    compared = {series: value for series, value in golden["metrics"].items() if not never_compared(series, golden)}
    before = {renamed_series(series): value for series, value in compared.items()}
    assert len(before) == len(compared), "two metrics are renamed to one"
    same(before, answers.metrics(kept, answers.settings()))


def test_the_json_of_every_page_is_the_same(kept: Store, golden: Any) -> None:
    same(golden["api"], answers.api(kept, answers.settings()))


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_scores_are_suspected_otherwise_once_the_judge_is_back(
    request: pytest.FixtureRequest, tmp_path: Path, golden: Any, backend: str
) -> None:
    store = restored(request, backend, tmp_path, JUDGE_IS_BACK)
    found = answers.scores_of_the_judge(store)
    store.close()
    same(golden["judge_is_back"], found)
    assert any(found[key] != golden["findings"][key]["claim"] for key in found), "or the judge never mattered"


@pytest.mark.parametrize(("target", "findings", "alarms"), [("assistant", 63, (14, 11)), ("judge", 36, (4, 0))])
def test_recomputed_verdicts_differ_nowhere(kept: Store, target: str, findings: int, alarms: tuple[int, int]) -> None:
    """The targets that the detectors judged; the verdicts of the others were written by a fixture."""
    again = recompute(kept, target)
    new = [one for one in again.differences if one.signal in NEW_SIGNALS]
    assert {one.stored for one in new} <= {MISSING}
    known = [one for one in again.differences if one.signal not in NEW_SIGNALS]
    assert {one.field for one in known if (one.signal, one.field) not in DECIDED_ELSEWHERE} <= WEIGHED_ANEW
    assert again.findings - len(new) == findings
    assert again.findings - again.equal == len({(one.run_id, one.signal) for one in again.differences})
    assert (again.alarms, again.alarms_equal) == alarms


def test_the_store_has_all_that_is_to_be_kept(golden: Any) -> None:
    """States, causes and ways of an alarm: each is among what is compared."""
    found = golden["findings"].values()
    assert {one["claim"]["state"] for one in found} == {"quiet", "look", "ALARM", "cleared"}
    assert {one["claim"]["suspect"] for one in found} == {
        "", "the judge", "what is served", "your own configuration", "the model", "the inputs or the model",
    }  # fmt: skip
    back = golden["judge_is_back"].values()
    assert "the judge or the model" in {one["suspect"] for one in back}
    assert any("Signals that ask no judge moved too" in one["why"] for one in back)
    assert {one["judge_moved"] for one in found} == {one["recovered"] for one in found} == {False, True}
    text = "\n".join(one["claim"]["headline"] + one["summary"] + one["claim"]["why"] for one in found)
    for part in (
        "Not an adapter loss", "looks so far say that", "looks so far suggest that", "has recovered",
        "about 50% of the answers come from the base", "on all sampled traffic", "on part of the sampled traffic",
        "on at least ", "there is an outage too", "A ticket, not a page: ", "(A ticket at most, ",
    ):  # fmt: skip
        assert part in text, part
    alarms = golden["api"]["/api/v1/alarms?limit=1000"]["alarms"]
    assert {one["state"] for one in alarms} == {"raised", "confirmed", "cleared"}
    assert len({one["note"] for one in alarms}) == 6
    assert any(one["cleared_by"] for one in alarms)
    assert any(one["cleared_run_id"] for one in alarms)
    assert any(one["acknowledged_by"] and not one["cleared_at"] for one in alarms)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 1, "new": 2}, ""),
        ({"a": 1}, {}, "a: is gone, was 1"),
        ({"a": {"state": "look"}}, {"a": {"state": "quiet"}}, "a > state: was 'look', is 'quiet'"),
        ([1, 2], [1], ": had 2 items, has 1"),
        ([1.0], [1.0 + 1e-12], ""),
        ([1.0], [1.001], "0: was 1.0, is 1.001"),
        ({"a": True}, {"a": 1}, "a: was True, is 1"),
    ],
)
def test_a_difference_is_named(before: Any, after: Any, told: str) -> None:
    assert "; ".join(differences(before, after)) == told


def same(before: Any, after: Any) -> None:
    """Fail with the first differences by their place."""
    found = list(differences(before, json.loads(json.dumps(after))))
    shown = "\n  ".join(found[:MOST_SHOWN])
    assert not found, f"{len(found)} differences between the kept version and this one:\n  {shown}"


def differences(before: Any, after: Any, place: tuple[str, ...] = ()) -> Iterator[str]:
    """Where ``after`` lacks something of ``before`` or has it otherwise."""
    where = " > ".join(place)
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            key = RENAMED["keys"].get(name, name)
            if key not in after:
                yield f"{where} > {key}: is gone, was {value!r}".removeprefix(" > ")
            elif name in REWORDED:
                if bool(value) != bool(after[key]):
                    yield f"{where} > {key}: was {value!r}, is {after[key]!r}".removeprefix(" > ")
            else:
                word = RENAMED["words"].get(value, value) if name in STATES and isinstance(value, str) else value
                yield from differences(word, after[key], (*place, key))
    elif isinstance(before, list) and isinstance(after, list):
        if place and place[-1] == "targets":  # their order is by who needs attention, which may be ranked anew
            before, after = (sorted(found, key=lambda one: one["target"]) for found in (before, after))
        if len(before) != len(after):
            yield f"{where}: had {len(before)} items, has {len(after)}"
        for index, (old, new) in enumerate(zip(before, after, strict=False)):
            yield from differences(old, new, (*place, str(index))) if len(before) == len(after) else ()
    elif not equal(before, after) and OTHERWISE.get(where) != after:
        yield f"{where}: was {before!r}, is {after!r}"


def equal(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(before) and math.isnan(after))
    return type(before) is type(after) and bool(before == after)


def never_compared(series: str, golden: Any) -> bool:
    """Whether the series is a 0 of ``alarm`` for a signal without a finding: nothing was compared, so it has none."""
    found = re.match(r'cliffwatch_alarm\{target="(?P<target>[^"]+)",signal="(?P<signal>[^"]+)"', series)
    if found is None or golden["metrics"][series] != 0:
        return False
    effect = re.compile(
        rf'cliffwatch_effect\{{target="{re.escape(found["target"])}",suite="[^"]+",signal="{found["signal"]}"'
    )
    return not any(map(effect.match, golden["metrics"]))


def renamed_series(series: str) -> str:
    name, brace, labels = series.partition("{")
    return RENAMED["metrics"].get(name, name) + brace + labels
