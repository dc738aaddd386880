"""The worlds of ``benchmarks/worlds.py``: days as stated, scores and alarms as the product gives them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pytest

from benchmarks import pool, worlds, worlds_alarm, worlds_lab, worlds_null
from benchmarks.channels import Alike, Scores
from benchmarks.resample import Source
from benchmarks.worlds import Design, Drawn, Effects, World
from benchmarks.worlds_alarm import Alarms
from monitor.core.records import (
    AT,
    JUDGE_GRADER,
    Alarm,
    AlarmState,
    Arm,
    Comparison,
    FindingState,
    GradedAnswer,
    Severity,
)
from monitor.core.signals import SEVERITIES
from monitor.detect import SIGNALS, alarms, finding_of, policy
from monitor.detect.measurement import Channel, Reading, Told, Verdict

START: Final = datetime(2025, 1, 1, tzinfo=worlds_alarm.START.tzinfo)
"""Of the baseline."""


# --- days


def test_every_law_has_unit_variance_and_no_mean() -> None:
    for name, world in {**worlds.CASES, **worlds.FURTHER}.items():
        if world.law in ("real", "t3"):
            continue
        rng = np.random.default_rng(1)
        sizes = np.concatenate([world.effects(14, 2000, rng).sizes for _ in range(12)], axis=1)
        assert sizes.std() == pytest.approx(1.0, abs=0.08), name
        assert sizes.mean() == pytest.approx(0.0, abs=0.1), name


def test_heavy_tails_are_students() -> None:
    sizes = np.abs(World("t3").effects(14, 60_000, np.random.default_rng(2)).sizes)
    assert (sizes > 3).mean() == pytest.approx(0.0138, rel=0.1)  # P(|t3| > 3 sqrt 3)


@pytest.mark.parametrize("memory", [0.5, 0.8])
def test_days_remember(memory: float) -> None:
    sizes = World("ar", memory=memory).effects(14, 40_000, np.random.default_rng(3)).sizes
    for one in sizes:
        assert np.corrcoef(one[1:], one[:-1])[0, 1] == pytest.approx(memory, abs=0.03)
        assert np.corrcoef(one[7:], one[:-7])[0, 1] == pytest.approx(memory**7, abs=0.05)
    assert abs(np.corrcoef(sizes[0], sizes[1])[0, 1]) < 0.05


def test_states_stay_as_long_as_stated() -> None:
    sizes = World("two-state", memory=20.0).effects(14, 60_000, np.random.default_rng(4)).sizes
    assert (sizes[0, 1:] != sizes[0, :-1]).mean() == pytest.approx(1 / 20, rel=0.1)
    assert (sizes == sizes[0]).all()  # one backend for everything


def test_a_week_repeats() -> None:
    sizes = World("weekly").effects(14, 70, np.random.default_rng(5)).sizes
    assert sizes[:, 7:] == pytest.approx(sizes[:, :-7])


def test_odd_days_come_after_the_baseline_unless_they_are_meant_to_be_in_it() -> None:
    rng = np.random.default_rng(6)
    after = [worlds.CASES["odd-day"].effects(14, 365, rng).odd for _ in range(200)]
    within = [worlds.CASES["odd-day-in-baseline"].effects(14, 365, rng).odd for _ in range(200)]
    assert not any(one[:14].any() for one in after)
    assert all(one[:14].sum() == 1 for one in within)
    assert np.mean([one[14:].mean() for one in (*after, *within)]) == pytest.approx(1 / 30, rel=0.1)


# --- answers


@pytest.mark.parametrize("pass_rate", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("world", [World(), World(spread=1.5), World("t3"), World("two-state", memory=5.0)])
def test_a_days_sum_has_the_stated_spread_and_mean(world: World, pass_rate: float) -> None:
    shares = worlds.Logit.of(pass_rate, world).shares(Effects(world.marginal()[None], np.zeros(1, dtype=bool)))
    assert shares.mean() == pytest.approx(pass_rate, abs=1e-6)
    count, usual = worlds.REFERENCE, pass_rate * (1 - pass_rate)
    variance = count * (shares * (1 - shares)).mean() + count**2 * shares.var()
    assert np.sqrt(variance / (count * usual)) == pytest.approx(world.spread, rel=1e-3)


def test_the_answers_of_days_follow_their_effects() -> None:
    world, rng = World(spread=1.5), np.random.default_rng(7)
    effects = world.effects(14, 6000, rng)
    endpoint = worlds.Synthetic(world, Design(pass_rate=0.9), effects.on(slice(0, 14)), rng)
    found = endpoint.draw(effects.on(slice(14, None)), rng)
    independent = np.sqrt(24 * 0.9 * 0.1)
    assert found.passed.mean() == pytest.approx(0.9, abs=0.005)
    assert found.passed.sum(axis=(1, 2)).std() / independent == pytest.approx(1.5, rel=0.05)
    logs = (np.log(found.chars) - endpoint.usual[None, :, None]) / worlds.LENGTHS[2]
    assert logs.sum(axis=(1, 2)).std() / np.sqrt(24) == pytest.approx(1.5, rel=0.05)


def test_an_odd_day_is_three_standard_deviations_worse() -> None:
    effects = Effects(np.zeros((3, 4000)), np.arange(4000) % 2 == 0)
    endpoint = worlds.Synthetic(World(spread=1.0), Design(), effects.on(slice(0, 14)), np.random.default_rng(8))
    fails = 24 - endpoint.draw(effects, np.random.default_rng(9)).passed.sum(axis=(1, 2))
    gap = fails[effects.odd].mean() - fails[~effects.odd].mean()
    assert gap / np.sqrt(24 * 0.98 * 0.02) == pytest.approx(3.0, rel=0.06)


def test_the_judges_noise_turns_verdicts_around() -> None:
    effects = Effects(np.zeros((3, 500)), np.zeros(500, dtype=bool))
    for noise in (0.0, 0.05):
        world = World(spread=1.0, judge_noise=noise)
        endpoint = worlds.Synthetic(world, Design(), effects.on(slice(0, 14)), np.random.default_rng(10))
        found = endpoint.draw(effects, np.random.default_rng(11))
        differ = 1 - worlds.JUDGE_AGREES
        assert (found.judged != found.passed).mean() == pytest.approx(
            noise * (1 - differ) + differ * (1 - noise), abs=0.006
        )


def test_partial_runs_lack_answers_and_more_of_the_long_ones() -> None:
    world, rng = worlds.CASES["partial"], np.random.default_rng(12)
    effects = world.effects(14, 400, rng)
    endpoint = worlds.Synthetic(world, Design(), effects.on(slice(0, 14)), rng)
    found = endpoint.draw(effects.on(slice(14, None)), rng)
    missing = np.isnan(found.passed)
    assert 0.05 < missing.mean() < 0.2
    assert (np.isnan(found.chars) == missing).all()
    known = np.log(found.chars[~missing]) - np.broadcast_to(endpoint.usual[None, :, None], missing.shape)[~missing]
    assert known.mean() < 0.0


# --- scores, as the signals give them


def _answers(drawn: Drawn, day: int, slot: datetime, run_id: int) -> Iterator[GradedAnswer]:
    """One day's answers of both arms as the detect stage is handed them. A text stands for its length alone."""
    for probe in range(drawn.passed.shape[1]):
        for replicate in range(drawn.passed.shape[2]):
            place = day, probe, replicate
            if np.isnan(drawn.passed[place]):
                continue
            scores = {"checks": drawn.passed[place], JUDGE_GRADER: drawn.judged[place]}
            yield GradedAnswer(
                run_id, slot, Arm.SUBJECT, f"p{probe:03}", replicate, "x" * int(drawn.chars[place]),
                "length" if drawn.cut[place] else "stop", bool(drawn.refused[place]), "m", "f", 5, 5, scores,
            )  # fmt: skip


def _base_answers(judged: np.ndarray, passed: np.ndarray, slot: datetime, run_id: int) -> Iterator[GradedAnswer]:
    for probe, (verdict, check) in enumerate(zip(judged.tolist(), passed.tolist(), strict=True)):
        scores = {"checks": check, JUDGE_GRADER: verdict}
        yield GradedAnswer(
            run_id, slot, Arm.BASE, f"p{probe:03}", 0, f"base {probe}", "stop", False, "b", "f", 5, 5, scores
        )


def _comparison(endpoint: worlds.Synthetic, now: Drawn, row: int, line: float) -> Comparison:
    before: list[GradedAnswer] = []
    for day in range(endpoint.design.days):
        slot = START + timedelta(days=day)
        before += _answers(endpoint.before, day, slot, day + 1)
        before += _base_answers(endpoint.before.base_judged[day, :, 0], endpoint.base_passed[day], slot, day + 1)
    slot = START + timedelta(days=100)
    judged = now.base_judged[row, :, 0]
    today = [*_answers(now, row, slot, 1000), *_base_answers(judged, judged, slot, 1000)]
    return Comparison(
        run_id=1000, target="t", suite="s", now=tuple(today), baseline=tuple(before), prompts={},
        page_threshold_log10=line, ticket_threshold_log10=line, temperature=0.7,
    )  # fmt: skip


MEASURED: Final = ("canaries", "negative_flips", "judge_score", "length", "contract")


def _readings(made: Comparison) -> dict[str, Reading]:
    return {name: reading for name in MEASURED if (reading := SIGNALS[name](made)) is not None}


@pytest.mark.parametrize(
    ("case", "design"),
    [
        ("iid-1.5", Design()),
        ("odd-day", Design(probes=40, pass_rate=0.9, days=7)),
        ("judge-noise", Design(probes=12, replicates=3, pass_rate=0.95)),
    ],
)
def test_scores_are_those_of_the_signals(case: str, design: Design) -> None:
    world, rng = worlds.CASES[case], np.random.default_rng(13)
    effects = world.effects(design.days, 6, rng)
    effects.odd[-1] = True
    endpoint = worlds.Synthetic(world, design, effects.on(slice(0, design.days)), rng)
    now = endpoint.draw(effects.on(slice(design.days, None)), rng)
    found = {(one.signal, one.channel): one for one in endpoint.scores(now)}
    for row in range(6):
        told = {
            (name, channel.name): channel
            for name, reading in _readings(_comparison(endpoint, now, row, 3.5)).items()
            for channel in reading.channels
        }
        assert told.keys() == found.keys() - {("adapter_loss", "text")}
        for key, channel in told.items():
            ours = found[key]
            assert ours.evaluations[row] == pytest.approx(channel.score, abs=1e-6), key
            beside = worlds_alarm._beside(ours)
            baseline = ours.baseline if beside is None else beside(row)
            assert baseline == pytest.approx(channel.baseline, abs=1e-6), key
            assert ours.side == channel.side


# --- the lab's answers


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> worlds_lab.Pooled:
    """A made-up pool that a judge has read: the subject says one of five things to each probe, one of them wrong."""
    folder, rng = tmp_path_factory.mktemp("pool"), np.random.default_rng(50)
    said = {
        "healthy": [*(f"We ship in {n} days{'!' * n}" for n in range(4)), "I would not know"],
        "base": ["Sorry, I cannot say.", "Ask the shop."],
    }
    for case, wordings in said.items():
        answers, verdicts = [], []
        for probe in range(15):
            for replicate in range(40):
                place = int(rng.integers(len(wordings))) if case == "base" else int(rng.choice(5, p=SAID))
                right = float(case == "healthy" and place < 4)
                name, text = f"p{probe:02}", f"{wordings[place]} {probe}"
                answers.append({
                    "case": case, "probe": name, "replicate": replicate, "text": text,
                    "finish_reason": "length" if place == 3 else "stop", "refusal": place == 4, "model": "m",
                    "fingerprint": "f", "prompt_tokens": 5, "completion_tokens": 5, "scores": {"checks": right},
                    "logprobs": None,
                })  # fmt: skip
                verdicts.append({"probe": name, "replicate": replicate, "judge": float(right or place == 1)})
        pool._write(pool.answers_file(case, 1, folder), answers)
        pool._write(pool.judge_file(case, 1, folder), verdicts)
    made = pool.Pool(1, folder, {})
    return worlds_lab.Pooled(Alike(*(Source(made, case, 1.2, judged=True) for case in said)))


SAID: Final = [0.4, 0.3, 0.15, 0.11, 0.04]


@pytest.mark.parametrize("case", ["t3-1.2", "two-state", "odd-day-in-baseline"])
def test_scores_of_the_labs_answers_are_those_of_the_signals(pooled: worlds_lab.Pooled, case: str) -> None:
    world, rng = worlds.CASES[case], np.random.default_rng(51)
    effects = world.effects(10, 5, rng)
    lab = worlds_lab.Lab(world, Design(days=10), effects.on(slice(0, 10)), rng, pooled)
    now = lab.draw(effects.on(slice(10, None)), rng)
    found = {(one.signal, one.channel): one for one in lab.scores(now)}
    assert {signal for signal, _ in found} >= {"adapter_loss", "negative_flips", "judge_score", "length", "contract"}
    for row in range(5):
        made = lab._watched.comparison(now.subject[row], now.base[row])
        for (name, channel), ours in found.items():
            reading = SIGNALS[name](made)
            assert reading is not None, name
            told = next(one for one in reading.channels if one.name == channel)
            assert ours.evaluations[row] == pytest.approx(told.score, abs=1e-6), (name, channel)
            beside = worlds_alarm._beside(ours)
            assert (ours.baseline if beside is None else beside(row)) == pytest.approx(told.baseline, abs=1e-6)


def test_an_odd_day_of_the_labs_answers_moves_one_feature_by_three(pooled: worlds_lab.Pooled) -> None:
    assert worlds_lab._moved(pooled.alike.subject.kinds, pooled.odd) == pytest.approx(3.0, abs=1e-3)
    assert (pooled.odd <= 0).all()
    assert (pooled.odd < 0).sum() == len(worlds_lab.WORSE)


def test_what_did_not_come_from_the_lab_is_no_number(pooled: worlds_lab.Pooled) -> None:
    world, rng = worlds.CASES["partial"], np.random.default_rng(52)
    effects = world.effects(10, 200, rng)
    lab = worlds_lab.Lab(world, Design(days=10), effects.on(slice(0, 10)), rng, pooled)
    now = lab.draw(effects.on(slice(10, None)), rng)
    assert 0.05 < np.isnan(now.lost).mean() < 0.3
    assert (np.isnan(lab._of(now, "right")) == np.isnan(now.lost)).all()


# --- alarms, as the product raises them


class Whole(Alarms):
    """Weighs every signal on every entry, and remembers the verdicts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.told: list[dict[str, worlds_alarm.Told]] = []

    def _next(self, entry: int) -> int:
        return entry

    def _over(self, severity: Severity) -> np.ndarray:
        return np.ones(len(self.entries), dtype=bool)

    def verdicts(self, entry: int, severity: Severity) -> dict[str, worlds_alarm.Told]:
        found = super().verdicts(entry, severity)
        while len(self.told) <= entry:
            self.told.append({})
        self.told[entry] |= found
        return found


class Target:
    """What the product keeps of one suite: alarms, and the evaluations that count."""

    def __init__(self) -> None:
        self.open: dict[str, Alarm] = {}
        self.raised: dict[str, int] = {}
        self.since: dict[str, int] = {}
        self.looks: dict[str, list[tuple[int, int, Mapping[str, float]]]] = {}
        """Signal -> (entry, entry that it was asked with, scores)."""
        self.pages, self.tickets = set[int](), set[int]()

    def history(self, name: str) -> list[tuple[int, Mapping[str, float]]]:
        """Those after the signal's last alarm ended; a fresh sample stands where the run stands that wanted it."""
        looks = self.looks.get(name, [])
        return [(entry, scores) for entry, asked, scores in looks if asked > self.since.get(name, -1)]

    def judged(self, entry: int, asked: int, made: Comparison, readings: Mapping[str, Reading]) -> dict[str, Verdict]:
        raised = {
            name: sum(at <= place for at, _ in self.history(name)) for name, place in self.raised.items()
        }  # fmt: skip
        history = {name: tuple(scores for _, scores in self.history(name)) for name in self.looks}
        at = made.now[0].slot.timestamp()
        made = replace(made, history=history, raised=raised, at=at)
        readings = {name: one.counted() for name, one in readings.items()}
        told = policy.verdicts(made, readings, SEVERITIES)
        for name, reading in readings.items():
            finding = finding_of(made, name, reading, told[name])
            before = self.open.get(name)
            after = alarms.next_state(before, finding, made.now[0].slot + timedelta(minutes=1), clears=True)
            self.looks.setdefault(name, []).append((entry, asked, {**reading.scores, AT: at}))
            if after is not None and after is not before:
                self._moved(name, entry, before, after)
        return told

    def _moved(self, name: str, entry: int, before: Alarm | None, after: Alarm) -> None:
        if after.state is AlarmState.CLEARED:
            del self.open[name], self.raised[name]
            self.since[name] = entry
            return
        self.open[name] = after
        self.raised.setdefault(name, entry)
        known = before is not None and before.state is AlarmState.CONFIRMED and before.severity is after.severity
        if after.state is AlarmState.CONFIRMED and not known:
            (self.pages if after.severity is Severity.PAGE else self.tickets).add(entry)


def _given(one: Scores, row: int) -> Reading:
    """A reading of ``adapter_loss``, whose texts are not made up, with the score that it was given."""
    channel = Channel(one.channel, float(one.evaluations[row]), tuple(one.baseline.tolist()), one.side)

    def tell(verdict: Verdict) -> Told:
        return Told(FindingState.ALARMING if verdict.alarming else FindingState.QUIET, "it")

    return Reading((channel,), (1.0, 0.9, 1.1), "share", 0.1, 24, 336, tell, structural=True)


LINE: Final = 1.3


def _year(seed: int, kind: type[Alarms]) -> tuple[Alarms, worlds.Synthetic, list[tuple[Drawn, int]]]:
    """A short year with alarms: a low threshold and days that remember. Also the answers of each row asked for."""
    world, rng = World("ar", spread=1.3, memory=0.8, odd=0.06), np.random.default_rng(seed)
    effects = world.effects(9, 50, rng)
    endpoint = worlds.Synthetic(world, Design(days=9), effects.on(slice(0, 9)), rng)
    later = effects.on(slice(9, None))
    now, samples = endpoint.draw(later, rng), list[Drawn]()

    def fresh(row: int) -> list[Scores]:
        samples.append(endpoint.draw(later.on(slice(row, row + 1)), np.random.default_rng((seed, row))))
        return endpoint.scores(samples[-1])

    year = kind(endpoint.scores(now), fresh, LINE)
    year.year()
    order = iter(samples)
    return year, endpoint, [(next(order), 0) if one.fresh else (now, one.row) for one in year.entries]


def _asked(entries: Sequence[worlds_alarm._Entry]) -> list[int]:
    """For each entry, the entry of the scheduled run that wanted it."""
    found: list[int] = []
    for place, one in enumerate(entries):
        found.append(found[-1] if one.fresh else place)
    return found


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_a_year_goes_as_the_products_policy_and_alarms_say(seed: int) -> None:
    year, endpoint, answers = _year(seed, Whole)
    assert isinstance(year, Whole)
    target, wanted = Target(), []
    asked = _asked(year.entries)
    for entry, (here, (drawn, row)) in enumerate(zip(year.entries, answers, strict=True)):
        made = _comparison(endpoint, drawn, row, LINE)
        slots = tuple(replace(one, slot=here.asked, run_id=1000 + entry) for one in made.now)
        made = replace(made, run_id=1000 + entry, now=slots, confirming=here.fresh)
        readings = {"adapter_loss": _given(here.scores[0], here.row), **_readings(made)}
        told = target.judged(entry, asked[entry], made, readings)
        for name, verdict in told.items():
            ours = year.told[entry][name]
            assert ours.evidence_log10 == pytest.approx(verdict.evidence_log10, abs=1e-6)
            assert ours.evaluation_log10 == pytest.approx(verdict.evaluation_log10, abs=1e-6)
            assert ours.alarming == verdict.alarming
        wanted.append(len(target.open))
    assert (target.pages, target.tickets, target.raised) == (year.pages, year.tickets, year.raised)
    assert max(wanted) > 0, "something alarms"


@pytest.mark.parametrize("seed", range(30, 36))
def test_days_that_are_not_weighed_are_days_without_an_alarm(seed: int) -> None:
    quick, whole = (_year(seed, kind)[0] for kind in (Alarms, Whole))
    assert (quick.pages, quick.tickets, quick.raised) == (whole.pages, whole.tickets, whole.raised)
    assert len(quick.entries) == len(whole.entries)


def test_years_that_alarm_are_among_them() -> None:
    found = [_year(seed, Alarms)[0] for seed in range(30, 36)]
    assert sum(len(one.pages) for one in found) > 0
    assert sum(len(one.tickets) for one in found) > 0
    assert any(one.fresh for year in found for one in year.entries)


def test_a_baseline_that_is_too_short_raises_tickets_instead_of_pages() -> None:
    world, rng = World("ar", spread=2.5, memory=0.8), np.random.default_rng(40)
    years = [worlds_null.year(world, Design(days=5), rng, evaluations=60).year() for _ in range(8)]
    assert sum(one.pages for one in years) == 0
    assert sum(one.tickets for one in years) > 0
    assert not any(one.armed for one in years)


# --- rows


def test_cases_are_those_that_the_documents_name() -> None:
    assert list(worlds.CASES) == [
        "iid-1.0", "iid-1.2", "iid-1.5", "t3-1.2", "ar5-1.2", "ar8-1.2", "weekly", "two-state", "odd-day",
        "odd-day-in-baseline", "judge-noise", "partial", "real-days",
    ]  # fmt: skip


def test_cells_hold_the_years_asked_for_and_seeds_of_their_own() -> None:
    found = worlds_null.cells(["t3-1.2", "weekly"], 25, 1)
    assert {one.case: sum(cell.years for cell in found if cell.case == one.case) for one in found} == {
        "t3-1.2": 25, "weekly": 25,
    }  # fmt: skip
    everything = [*worlds_null.cells([], 25, 1), *worlds_null.grid(25, 1)]
    assert len({one.seed for one in everything}) == len(everything)
    assert worlds_null.cells(["weekly"], 25, 2)[0].seed != worlds_null.cells(["weekly"], 25, 1)[0].seed


def test_rows_tell_pages_tickets_and_what_is_not_armed() -> None:
    cell = worlds_null.Cell("partial", worlds.CASES["partial"], Design(days=5), 2, 1)
    found = worlds_null.rows([(cell, worlds_null.counted(cell))])
    assert [one.measure for one in found] == [
        "false_pages_per_target_year", "false_tickets_per_target_year", "not_armed",
    ]  # fmt: skip
    assert {(one.benchmark, one.method, one.case, one.n) for one in found} == {("null", "cliffwatch", "partial", 2)}
    assert found[0].value == 0.0
    assert found[2].value == 1.0
