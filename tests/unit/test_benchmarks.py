"""The benchmarks' own arithmetic: rows, resampled days, the fast way to scores and pages, power. Tiny and without a
lab."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks import channels, fast, null, pool, power, rows, word_diff
from benchmarks.resample import Mixed, Source, comparison
from monitor.core.records import Arm
from monitor.detect import SIGNALS, day_scores, evidence, findings_for, flips
from monitor.detect.evidence import Side

PROBES = 12


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> pool.Pool:
    """A made-up pool: the subject says one of six things to each probe, one of them wrong; the base one of three."""
    folder, rng = tmp_path_factory.mktemp("pool"), np.random.default_rng(1)
    said = {
        "healthy": [f"It takes {n} days, we hope{'!' * n}" for n in range(5)] + ["No idea"],
        "base": ["I do not know.", "Please ask the shop.", "Sorry, no."],
    }
    for case, wordings in said.items():
        answers = []
        for probe in range(PROBES):
            for replicate in range(60):
                place = int(rng.choice(len(wordings), p=_shares(len(wordings))))
                text = f"{wordings[place]} ({probe})"
                right = float(case == "healthy" and place < 5)
                answers.append(pool_row(case, f"p{probe:02}", replicate, text, right))
        pool._write(pool.answers_file(case, 1, folder), answers)
    return pool.Pool(1, folder, {})


def _shares(count: int) -> Sequence[float]:
    return [0.3, 0.25, 0.2, 0.12, 0.09, 0.04] if count == 6 else [0.5, 0.3, 0.2]


def pool_row(case: str, probe: str, replicate: int, text: str, right: float) -> pool.Row:
    return {
        "case": case, "probe": probe, "replicate": replicate, "text": text, "finish_reason": "stop", "refusal": False,
        "model": "m", "fingerprint": "f", "prompt_tokens": 5, "completion_tokens": 5, "scores": {"checks": right},
        "logprobs": None,
    }  # fmt: skip


# --- rows


def test_a_row_is_what_the_issue_says(capsys: pytest.CaptureFixture[str]) -> None:
    row = rows.Row("null", "met", "case", "seconds", 1.0, 0.5, 2.0, 3)
    rows.report([row], as_json=True)
    assert json.loads(capsys.readouterr().out) == [asdict(row)]
    assert list(asdict(row)) == ["benchmark", "method", "case", "measure", "value", "low", "high", "n"]
    rows.report([row], as_json=False)
    assert "0.5 to 2" in capsys.readouterr().out


def test_rows_become_a_table_for_the_documents() -> None:
    found = rows.markdown([rows.Row("b", "met", "a fault", name, 0.5, 0.25, 1.0, 3) for name in ("auc", "power_60")])
    assert found.splitlines() == [
        "| method | case | auc | power_60 |", "|---|---|---|---|",
        "| met | a fault | 0.5 (0.25 to 1) | 0.5 (0.25 to 1) |",
    ]  # fmt: skip


def test_bounds_of_rates_are_exact() -> None:
    assert asdict(rows.poisson_rate(0, 10.0)) == pytest.approx({"value": 0.0, "low": 0.0, "high": 0.36889}, abs=1e-5)
    assert rows.poisson_rate(10, 100.0).low == pytest.approx(0.04795, abs=1e-5)  # Garwood's table
    assert rows.poisson_rate(10, 100.0).high == pytest.approx(0.18390, abs=1e-5)


def test_clusters_widen_the_bounds_and_single_events_do_not() -> None:
    spread_thin = rows.clustered_rate([1.0] * 10 + [0.0] * 90, 1.0)
    plain = rows.poisson_rate(10, 100.0)
    assert (spread_thin.low, spread_thin.high) == pytest.approx((plain.low, plain.high))
    together = rows.clustered_rate([10.0] + [0.0] * 99, 1.0)
    assert together.value == spread_thin.value
    assert together.low < spread_thin.low < spread_thin.high < together.high
    assert rows.clustered_rate([0.0] * 100, 1.0) == rows.poisson_rate(0, 100.0)


def test_the_bootstraps_bounds_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = rows.bootstrap([rng.normal(size=40)], lambda one: float(one.mean()), rng, draws=200)
        covered += found.low <= 0.0 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_work_comes_back_in_order() -> None:
    assert rows.spread_out(abs, [-3, 2, -1], "numbers", processes=1) == [3, 2, 1]


# --- days drawn anew


@pytest.mark.parametrize("spread", [1.2, 1.5])
def test_days_differ_by_as_much_as_was_asked_for(small: pool.Pool, spread: float) -> None:
    source, rng = Source(small, "healthy", spread), np.random.default_rng(3)
    drawn = source.draw(6000, 1, rng)[:, :, 0]
    places = np.arange(PROBES)
    for feature in range(source.kinds.features.shape[2]):
        values = source.kinds.features[places, drawn, feature]
        independent = np.sqrt(values.var(axis=0).sum())
        assert values.sum(axis=1).std() / independent == pytest.approx(spread, rel=0.05)


def test_without_a_spread_answers_come_as_often_as_in_the_pool(small: pool.Pool) -> None:
    source = Source(small, "healthy")
    drawn = source.draw(4000, 2, np.random.default_rng(4))
    shares = np.stack([(drawn == kind).mean(axis=(0, 2)) for kind in range(source.kinds.share.shape[1])], axis=1)
    assert np.abs(shares - source.kinds.share).max() < 0.03
    values = source.kinds.features[np.arange(PROBES), drawn[:, :, 0], 1]
    assert values.sum(axis=1).std() == pytest.approx(np.sqrt(values.var(axis=0).sum()), rel=0.04)


def test_a_day_holds_each_probes_answers_and_repeats_by_seed(small: pool.Pool) -> None:
    source = Source(small, "healthy", 1.2)
    first, again = (source.days(3, 2, np.random.default_rng(5)) for _ in range(2))
    assert first == again
    assert [one.probe for one in first[0]] == [f"p{probe:02}" for probe in range(PROBES) for _ in range(2)]
    assert all(one.text.endswith(f"({int(one.probe[1:])})") for day in first for one in day)


def test_a_mixture_has_its_share(small: pool.Pool) -> None:
    mixed = Mixed(Source(small, "healthy"), Source(small, "base"), 0.3)
    answers = [one for day in mixed.days(300, 1, np.random.default_rng(6)) for one in day]
    assert np.mean([one.case == "base" for one in answers]) == pytest.approx(0.3, abs=0.03)


def test_a_comparison_has_a_slot_a_day_and_both_arms(small: pool.Pool) -> None:
    rng = np.random.default_rng(7)
    subject, base = Source(small, "healthy"), Source(small, "base")
    made = comparison(
        subject.days(1, 2, rng)[0], base.days(1, 1, rng)[0], subject.days(5, 1, rng), base.days(5, 1, rng)
    )
    assert len({one.slot for one in made.baseline}) == 5
    assert {one.slot for one in made.now}.isdisjoint({one.slot for one in made.baseline})
    assert [sum(one.arm is arm for one in made.now) for arm in (Arm.SUBJECT, Arm.BASE)] == [2 * PROBES, PROBES]
    assert {one.replicate for one in made.now if one.arm is Arm.SUBJECT} == {0, 1}
    assert made.page_threshold_log10 == pytest.approx(np.log10(3650))


def test_only_texts_that_the_judge_read_have_its_score(small: pool.Pool) -> None:
    assert all(one.judge is None for kinds in Source(small, "healthy").kinds.members for kind in kinds for one in kind)


# --- the fast way, held against the product's


@pytest.mark.parametrize(("each", "tolerance"), [(1, 0.0), (3, 0.05)])
def test_the_scores_of_many_looks_are_those_of_one_after_another(each: int, tolerance: float) -> None:
    rng = np.random.default_rng(8)
    for rare in (False, True):
        before, now = rng.normal(size=(6, 9)), rng.normal(size=(12, 6, each))
        if rare:
            before, now = (before > 1.75).astype(float), (now > 1.75).astype(float)
        now[3] += 1.0
        before[0, 0] = now[1, 2] = np.nan
        found = fast.now_scores(before, now, tolerance)
        for evaluation, score in enumerate(found):
            told = [(f"p{p}", d, before[p, d]) for p in range(6) for d in range(9)]
            told += [(f"p{p}", day_scores.NOW, value) for p in range(6) for value in now[evaluation, p]]
            sample = day_scores.sample_of(one for one in told if not np.isnan(one[2]))
            assert sample is not None
            assert score == pytest.approx(day_scores.day_scores(sample, tolerance=tolerance).now, abs=1e-6)


def test_pages_are_where_the_products_evidence_reaches_the_line() -> None:
    rng, line, crossed = np.random.default_rng(9), 2.0, 0
    for _ in range(8):
        sides: tuple[Side, ...] = ("rise", "drop", "either")
        tracks = [
            fast.Track(rng.normal(size=7), rng.normal(0.4, 1.3, 60), side, weight, side)
            for side, weight in zip(sides, (0.5, 0.25, 0.25), strict=True)
        ]
        found = [one.evaluation for one in fast.crossings(tracks, line)]
        expected, start = [], 0
        for evaluation in range(60):
            weighed = [
                one.weight
                * 10
                ** evidence.running(
                    list(one.baseline), list(one.evaluations[start : evaluation + 1]), one.side
                ).running_log10
                for one in tracks
            ]
            if np.log10(sum(weighed)) >= line:
                expected.append(evaluation)
                start = evaluation + 1
        assert found == expected
        crossed += len(found)
    assert crossed > 3


def test_page_signals_score_many_looks_as_the_product_scores_each(small: pool.Pool) -> None:
    rng = np.random.default_rng(10)
    alike = channels.Alike(Source(small, "healthy", 1.2), Source(small, "base", 1.2))
    subject, base = (one.draw(9, 1, rng)[:, :, 0] for one in (alike.subject, alike.base))
    watched = channels.Watched(alike, subject, base)
    evaluations, base_looks = (one.draw(5, 1, rng)[:, :, 0] for one in (alike.subject, alike.base))
    found = watched.scores(evaluations, base_looks)
    assert {one.signal for one in found} >= {"adapter_loss", "negative_flips"}
    for evaluation in range(5):
        made = watched.comparison(evaluations[evaluation], base_looks[evaluation])
        for one in found:
            reading = SIGNALS[one.signal](made)
            assert reading is not None
            told = {channel.name: channel for channel in reading.channels}[one.channel]
            assert one.evaluations[evaluation] == pytest.approx(told.score, abs=1e-6)
            assert one.baseline == pytest.approx(told.baseline)


# --- null and power


def test_what_was_captured_at_once_never_pages() -> None:
    at_once = null.counted(null.Cell("cliffwatch", "synthetic", 1.5, 1, 6, 1))
    assert sum(at_once.paged) == 0
    assert sum(at_once.refused) > 0


def test_a_null_without_alarms_has_the_bound_of_none() -> None:
    cell = null.Cell("cliffwatch", "synthetic", 1.0, 14, 3, 1)
    (row,) = null.rows([(cell, null.Counted([0, 0, 0], [0, 0, 0]))])
    assert (row.measure, row.value, row.n) == ("false_pages_per_target_year", 0.0, 3)
    assert row.high == pytest.approx(3.6889 / 3, abs=1e-3)


def test_every_cell_of_the_null_is_counted_and_the_bars_whole() -> None:
    cells = null.cells(1000, 1)
    years = {(origin, spread, days): 0 for origin in null.ORIGINS for spread in null.SPREADS for days in null.DAYS}
    for one in cells:
        if one.method == "cliffwatch":
            years[one.origin, one.spread, one.days] += one.years
    assert min(years.values()) >= 80
    assert years["lab", 1.2, 14] == years["synthetic", 1.2, 14] == 1000
    assert len({one.seed for one in cells}) == len(cells)


def test_power_stands_at_the_level_whatever_the_ties() -> None:
    healthy = np.array([0.0] * 90 + [1.0] * 10)
    assert power.power(healthy, healthy) == pytest.approx(power.LEVEL)
    assert power.power(healthy, np.full(10, 2.0)) == 1.0
    assert power.power(healthy, np.full(10, 1.0)) == pytest.approx(0.5)  # half of the ties at 1 are over
    assert power.power(np.arange(100.0), np.array([93.5, 94.5])) == pytest.approx(0.5)


def test_the_area_is_the_chance_to_score_higher() -> None:
    assert power.area(np.array([1.0, 2.0, 3.0]), np.array([4.0, np.inf])) == 1.0
    assert power.area(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert power.area(np.array([1.0, 3.0]), np.array([2.0])) == 0.5


def test_days_to_detection() -> None:
    rng = np.random.default_rng(0)
    never, always = (power.peer_days(np.array([1.0]), np.array([value]), 0.5) for value in (0.5, 2.0))
    assert (never, always) == (power.DAYS + 1.0, 1.0)
    half = power.peer_days(np.array([1.0]), np.array([0.0, 2.0]), 0.9)
    assert half == 4.0  # 1 - 0.5^4 is the first over 0.9
    found = power.day_rows("case", [np.array([1.0, 2.0, np.inf])], power.own_days, "m", 10.0, rng)
    assert [(one.measure, one.value, one.n) for one in found] == [
        ("median_days", 2.0, 3), ("p90_days", power.DAYS + 1.0, 3), ("tokens", 20.0, 3),
    ]  # fmt: skip


def test_rows_of_power_name_the_measures_of_the_issue() -> None:
    trials = {"healthy": [{"met": float(n)} for n in range(40)], "fault": [{"met": n + 30.0} for n in range(20)]}
    found = power.rows_of(trials, 250, np.random.default_rng(0))
    assert {one.measure for one in found} == {"power_250", "auc"}
    assert all(one.low <= one.value <= one.high for one in found)
    assert {one.case for one in found if one.measure == "power_250"} == {"fault", "mean of all faults"}


def test_muscles_rates_on_the_documents_hand_checked_table() -> None:
    lines = (
        (pool.ROOT / "docs" / "benchmarks.md").read_text("utf-8").split("### MUSCLE")[1].split("\n## ")[0].splitlines()
    )
    items = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")][2:]
    assert len(items) == 8
    old_right, new_right = ([item[place] == "yes" for item in items] for place in (2, 4))
    old, new = ([item[place] for item in items] for place in (1, 3))
    assert flips.negative_flip_rate(old_right, new_right) == 2 / 8
    assert flips.positive_flip_rate(old_right, new_right) == 1 / 8
    assert flips.inconsistent_wrong_rate(old, new, new_right) == 3 / 8
    scores = ([float(item[place]) for item in items] for place in (5, 6))
    assert flips.generative_negative_flip_rate(*scores) == 3 / 8


def test_an_alarms_score_is_its_larger_streams_average_over_the_line(small: pool.Pool) -> None:
    rng = np.random.default_rng(11)
    subject, base = Source(small, "healthy"), Source(small, "base")
    made = comparison(base.days(1, 1, rng)[0], base.days(1, 1, rng)[0], subject.days(8, 1, rng), base.days(8, 1, rng))
    findings = findings_for(made)
    found = power.own_scores(findings)
    assert set(found) == {*SIGNALS, power.ALARM, power.TEXTS}
    assert found["adapter_loss"] == next(one.evidence_log10 for one in findings if one.signal == "adapter_loss")
    assert found["logprobs"] == 0.0  # the made-up pool tells none
    assert found[power.ALARM] == found[power.TEXTS]
    healthy = replace(made, now=comparison(subject.days(1, 1, rng)[0], base.days(1, 1, rng)[0], (), ()).now)
    assert found[power.ALARM] > power.own_scores(findings_for(healthy))[power.ALARM] + 1


# --- word_diff


def test_word_differences_are_timed_beside_difflib() -> None:
    found = list(word_diff.measured(3, 1, {"prose": [400], "repeating": [200]}))
    assert [row.case for row in found] == ["prose, 400 words"] * 4 + ["repeating, 200 words"] * 4
    assert all(row.value > 0 and row.low <= row.value <= row.high for row in found)
    assert all(row.value > 1 for row in found if row.measure == "ratio")
