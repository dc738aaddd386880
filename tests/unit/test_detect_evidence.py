"""The machine under the signals: day scores against exact counts, evidence and its honesty, the policy, the alarms."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from math import log10
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.records import Alarm, AlarmState, Comparison, Confirmation, Finding, FindingState, Severity
from monitor.detect import alarms, evidence, policy
from monitor.detect.common import quiet, share_difference, wilson
from monitor.detect.day_scores import FARTHEST, NOW, day_scores, sample_of
from monitor.detect.evidence import Side
from monitor.detect.measurement import Channel, Reading
from tests.summaries import state
from tests.unit.detect_answers import compared, e_value, graded

Rows = list[tuple[str, int, float]]


class TestDayScores:
    def exact(self, groups: list[np.ndarray], now: list[float]) -> float:
        """Mid-p normal quantile of today's sum among all ways to pick one answer from each group."""
        sums = np.array([sum(pick) for pick in product(*(group.tolist() for group in groups))])
        below, same = (sums < sum(now) - 1e-9).mean(), (np.abs(sums - sum(now)) < 1e-9).mean()
        return NormalDist().inv_cdf(float(below + 0.5 * same))

    @pytest.mark.parametrize("seed", range(6))
    def test_follows_the_count_over_all_picks(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        groups = [np.round(rng.exponential(size=6), 2) for _ in range(6)]
        now = [float(np.sort(group)[-1 - (at + seed) % 3]) for at, group in enumerate(groups)]
        rows: Rows = []
        for at, group in enumerate(groups):
            rest = list(group)
            rest.remove(now[at])
            rows += [(f"p{at}", NOW, now[at]), *((f"p{at}", day, one) for day, one in enumerate(rest))]
        sample = sample_of(rows)
        assert sample is not None
        assert day_scores(sample).now == pytest.approx(self.exact(groups, now), abs=0.25)

    def test_rare_odd_answers_are_no_wonder(self) -> None:
        """Three odd answers in 24 where one in 300 is usual: binomial tail 7e-5 or so, not a naive z of 10."""
        rows = [(f"p{i:02}", day, float((day == NOW and i < 3) or (day == 0 and i == 9))) for i in range(24)
                for day in range(-1, 13)]  # fmt: skip
        sample = sample_of(rows)
        assert sample is not None
        assert 2 < day_scores(sample).now < 5

    def test_turned_round_it_is_the_same(self) -> None:
        rng = np.random.default_rng(3)
        rows = [(f"p{i}", day, float(rng.normal(i))) for i in range(12) for day in range(-1, 9)]
        there, back = sample_of(rows), sample_of([(probe, day, -value) for probe, day, value in reversed(rows)])
        assert there is not None
        assert back is not None
        assert day_scores(there).now == pytest.approx(-day_scores(back).now)
        assert day_scores(there).baseline == pytest.approx([-one for one in day_scores(back).baseline])

    def test_healthy_days_are_about_standard_normal(self) -> None:
        rng = np.random.default_rng(4)
        found = []
        for _ in range(60):
            rows = [(f"p{i}", day, float(rng.exponential() ** 2)) for i in range(24) for day in range(-1, 9)]
            sample = sample_of(rows)
            assert sample is not None
            found.append(day_scores(sample).now)
        assert np.mean(found) == pytest.approx(0, abs=0.4)
        assert np.std(found) == pytest.approx(1, abs=0.25)

    def test_tolerance_and_constants(self) -> None:
        rows = [(f"p{i}", day, 0.96 if day == NOW else 1.0) for i in range(20) for day in range(-1, 7)]
        sample, flat = sample_of(rows), sample_of([(probe, day, 0.5) for probe, day, _ in rows])
        assert sample is not None
        assert flat is not None
        assert day_scores(sample).now < -5
        assert day_scores(sample, tolerance=0.05).now == 0
        assert day_scores(flat).now == 0

    def test_thin_days_and_lone_strata_are_left_out(self) -> None:
        assert sample_of([("a", NOW, 1.0), ("b", 0, 1.0)]) is None
        rows = [(f"p{i}", day, float(i * day % 3)) for i in range(8) for day in range(-1, 4)] + [("p0", 4, 1.0)]
        sample = sample_of([*rows, ("z", 0, 7.0)])
        assert sample is not None
        assert len(day_scores(sample).baseline) == 4

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 6), st.floats(-1e6, 1e6)), max_size=30))
    def test_any_sample_has_finite_scores_in_any_order(self, rows: Rows) -> None:
        sample, shuffled = sample_of(rows), sample_of(list(reversed(rows)))
        if sample is None or shuffled is None:
            return
        found = day_scores(sample)
        assert all(abs(one) <= FARTHEST for one in (found.now, *found.baseline))
        assert found == day_scores(shuffled)


def mean_and_error(found: list[float]) -> tuple[float, float]:
    return float(np.mean(found)), float(np.std(found) / np.sqrt(len(found)))


class TestEvidence:
    @pytest.mark.parametrize("spread", [1.0, 1.2, 1.5])
    @pytest.mark.parametrize("side", ["rise", "either"])
    def test_an_e_value_is_at_most_one_on_average(self, spread: float, side: Side) -> None:
        rng = np.random.default_rng(11)
        found = []
        for _ in range(1200):
            days = rng.normal(5.0, spread, 15).tolist()
            found.append(e_value(days[:14], days[14], side))
        mean, error = mean_and_error(found)
        assert mean <= 1 + 3 * error

    @pytest.mark.parametrize("days", [7, 14, 30])
    def test_days_that_never_differed_make_no_wonder_of_one_odd_answer(self, days: int) -> None:
        """Before the first odd answer each day scores 0. One comes with a chance that the baseline leaves open, about
        1 in ``days`` + 1, so evidence of more than that many to one would not be honest."""
        rows = [(f"p{i:02}", day, float(day == NOW and i == 0)) for i in range(24) for day in range(-1, days)]
        sample = sample_of(rows)
        assert sample is not None
        scores = day_scores(sample)
        assert set(scores.baseline) == {0.0}
        assert e_value(scores.baseline, scores.now, "rise") <= days + 1

    def test_runs_to_a_are_as_long_as_promised(self) -> None:
        """Mean looks to A = 50 under the null, cut off at 100 looks, which only makes it shorter: each run has a
        baseline of its own."""
        rng = np.random.default_rng(12)
        lengths = []
        for _ in range(60):
            baseline, evaluations = rng.normal(0, 1.2, 14).tolist(), rng.normal(0, 1.2, 100).tolist()
            # coarse steps: an alarm between two of them counts from the first
            over = (
                k
                for k in range(4, 101, 4)
                if evidence.running(baseline, evaluations[:k], "rise").running_log10 >= log10(50)
            )
            lengths.append(float(next(over, 104)) - 4)
        mean, error = mean_and_error(lengths)
        assert mean + 3 * error >= 50

    def test_looks_add_up_and_tell_when_it_began(self) -> None:
        baseline = [-1.0, 0.5, 1.0, -0.5, 0.2, 0.8, -1.0]
        grown = evidence.running(baseline, [0.0, 0.3, 2.5, 2.2, 2.8, 2.4], "rise")
        assert grown.began == 2
        assert grown.running_log10 > 1.3 > evidence.running(baseline, [0.0, 0.3, 2.5], "rise").running_log10
        assert evidence.running(baseline, [0.0, 0.3, 2.5, 2.2, 2.8, 2.4], "drop").running_log10 < 1
        with pytest.raises(ValueError, match="one day"):
            evidence.running([], [1.0], "rise")

    def test_sides_mirror_and_either_is_their_average(self) -> None:
        baseline, evaluations = [0.1, -0.4, 1.2, 0.3], [2.0, 3.0]
        rise, drop = (evidence.running(baseline, evaluations, side) for side in ("rise", "drop"))
        mirrored = evidence.running([-one for one in baseline], [-one for one in evaluations], "drop")
        assert rise.running_log10 == pytest.approx(mirrored.running_log10)
        either = evidence.running(baseline, evaluations, "either")
        assert 10**either.running_log10 == pytest.approx((10**rise.running_log10 + 10**drop.running_log10) / 2)

    def test_average_counts_the_silent(self) -> None:
        one = evidence.Weight(1.0, 2.0, 3)
        mean = evidence.average([one], 10)
        assert (mean.evaluation_log10, mean.running_log10) == pytest.approx((0, 1))

    def test_recovery_needs_looks_that_are_back(self) -> None:
        baseline = [-1.0, 0.5, 1.0, -0.5, 0.2, 0.8, -1.0]
        back = evidence.recovery_log10(baseline, [6.0, 7.0], [0.1, -0.3], "rise")
        assert back >= policy.RECOVERED_LOG10
        assert evidence.recovery_log10(baseline, [6.0, 7.0], [6.5, 7.0], "rise") < 0
        assert evidence.recovery_log10(baseline, [6.0, 7.0], [], "rise") == 0
        assert evidence.recovery_log10(baseline, [6.0, 7.0], [0.1], "drop") == 0


def e_bh(values: list[float], rate: float) -> set[int]:
    """The streams that e-BH rejects, by its definition: the largest k such that k of K e-values reach K / (k rate)."""
    count = len(values)
    best = max((k for k in range(1, count + 1) if sum(v >= count / (k * rate) for v in values) >= k), default=0)
    return {at for at, value in enumerate(values) if best and value >= count / (best * rate)}


def reading(score: float, baseline: tuple[float, ...], **changed: object) -> Reading:
    made = Reading(
        (Channel("c", score, baseline, "rise", 90.0),),
        (0.0, -1.0, 1.0),
        "u",
        1.0,
        24,
        168,
        lambda verdict: quiet("", ""),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


DAYS = (0.5, -0.5, 1.0, -1.0, 0.2, -0.2, 0.9, -0.9, 0.0, 0.1, -0.1, 1.2, -1.2, 0.4)


class TestPolicy:
    def one(self, **more: object) -> Comparison:
        return compared([graded("p", "x", day=20)], [graded("p", "x")], **more)  # type: ignore[arg-type]

    def test_the_line(self) -> None:
        assert policy.threshold_log10(0.1, 365, 1) == pytest.approx(log10(3650))
        assert policy.threshold_log10(365, 12, 1) == 0
        with pytest.raises(ValueError, match="above 0"):
            policy.threshold_log10(0, 365, 1)

    @settings(max_examples=150)
    @given(st.lists(st.integers(-30, 60).map(lambda n: n / 15 + 0.0077), min_size=1, max_size=6))
    def test_the_fleet_factor_is_e_bh(self, over_line: list[float]) -> None:
        """Evidence over a line 1/rate, told relative to it: a stream is ticketed where e-BH rejects it."""
        rejected = e_bh([10**one for one in over_line], 1.0)
        for at, mine in enumerate(over_line):
            factor = policy.fleet_factor_log10(over_line[:at] + over_line[at + 1 :])
            assert (mine >= factor) == (at in rejected)

    @pytest.mark.parametrize(
        ("baseline", "at_once", "says"),
        [
            (DAYS, False, ""),
            (DAYS, True, "captured at once"),
            (DAYS[:6], False, "spans 6 full days, too few"),
            (tuple(3 * one for one in DAYS), False, "times as much as by chance"),
        ],
    )
    def test_what_cannot_carry_a_page_is_a_ticket_and_says_why(
        self, baseline: tuple[float, ...], at_once: bool, says: str
    ) -> None:
        comparison = self.one(at_once=at_once)
        told = policy.verdicts(comparison, {"s": reading(90.0, baseline)}, {"s": Severity.PAGE})["s"]
        assert told.severity is (Severity.TICKET if says else Severity.PAGE)
        assert says in told.caveat

    @pytest.mark.parametrize(("days", "severity"), [(7, Severity.PAGE), (6, Severity.TICKET), (None, Severity.PAGE)])
    def test_looks_are_no_more_days_than_they_span(self, days: int | None, severity: Severity) -> None:
        """What ``arming`` counts, too: seven looks of six days arm nothing."""
        comparison = replace(self.one(), baseline_days=days)
        told = policy.verdicts(comparison, {"s": reading(90.0, DAYS)}, {"s": Severity.PAGE})["s"]
        assert told.severity is severity
        assert ("spans 6 full days" in told.caveat) == (days == 6)

    def test_the_strongest_alarms_and_quiet_ones_do_not(self) -> None:
        kinds = {"loud": Severity.PAGE, "quiet": Severity.PAGE, "ticket": Severity.TICKET}
        readings = {"loud": reading(30.0, DAYS), "quiet": reading(0.0, DAYS), "ticket": reading(0.0, DAYS)}
        told = policy.verdicts(self.one(), readings, kinds)
        assert [name for name, one in told.items() if one.alarming] == ["loud"]
        assert told["loud"].threshold_log10 == pytest.approx(self.one().page_threshold_log10 + log10(2))
        assert told["ticket"].threshold_log10 == pytest.approx(self.one().ticket_threshold_log10)

    def test_history_adds_and_recovery_clears(self) -> None:
        evaluations = [{"c": 4.0}, {"c": 4.2}, {"c": 3.9}]
        kinds = {"s": Severity.PAGE}
        first = policy.verdicts(self.one(), {"s": reading(4.0, DAYS)}, kinds)["s"]
        fourth = policy.verdicts(self.one(history={"s": evaluations}), {"s": reading(4.0, DAYS)}, kinds)["s"]
        assert not first.alarming
        assert (fourth.alarming, fourth.evaluations) == (True, 4)
        since = [*evaluations, {"c": 4.0}, *[{"c": 0.0}] * 4]
        over = policy.verdicts(self.one(history={"s": since}, raised={"s": 4}), {"s": reading(0.0, DAYS)}, kinds)["s"]
        still = policy.verdicts(
            self.one(history={"s": evaluations}, raised={"s": 3}), {"s": reading(4.0, DAYS)}, kinds
        )["s"]
        assert over.recovered
        assert not still.recovered


AT = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)


def finding(severity: Severity = Severity.PAGE, **changed: object) -> Finding:
    made = Finding(
        run_id=5, target="t", suite="s", signal="x", severity=severity, state=FindingState.ALARMING, effect=0.0,
        effect_low=0.0, effect_high=0.0, unit="u", evidence_log10=4.0, evaluation_log10=1.0, threshold_log10=3.5,
        evaluations=3, answers_now=24, answers_baseline=168, window_start=AT, window_end=AT, what="", structural=True,
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


class TestAlarms:
    def raised(self) -> Alarm:
        found = alarms.next_state(None, finding(), AT, clears=True)
        assert found is not None
        return found

    def step(self, alarm: Alarm | None, found: Finding, *, clears: bool = True) -> Alarm:
        after = alarms.next_state(alarm, found, LATER, clears=clears)
        assert after is not None
        return after

    def test_a_page_is_raised_and_waits_a_ticket_does_not(self) -> None:
        assert (self.raised().state, self.raised().confirmed_at) == (AlarmState.RAISED, None)
        ticket = self.step(None, finding(Severity.TICKET))
        assert (ticket.state, ticket.confirmed_run_id) == (AlarmState.CONFIRMED, 5)
        assert alarms.next_state(None, finding(state=FindingState.QUIET), AT, clears=True) is None

    def test_a_fresh_sample_confirms_a_page_or_makes_it_a_ticket(self) -> None:
        agreed = self.step(self.raised(), finding(confirming=True, run_id=6))
        assert (agreed.state, agreed.severity, agreed.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.FRESH_SAMPLE,
        )
        for against in (
            finding(confirming=True, state=FindingState.QUIET),
            finding(confirming=True, evaluation_log10=-0.1),
        ):
            ticket = self.step(self.raised(), against)
            assert (ticket.severity, ticket.confirmation) == (Severity.TICKET, Confirmation.FRESH_SAMPLE_DISAGREES)
            assert alarms.wants_confirmation(ticket)
            assert self.step(ticket, finding(confirming=True)).severity is Severity.PAGE

    def test_a_judge_that_moved_holds_a_page_back_until_it_is_as_it_was(self) -> None:
        held = finding(Severity.TICKET, judge_moved=True)
        for alarm, found in (
            (None, held),
            (self.raised(), replace(held, confirming=True, run_id=6)),
            (self.raised(), replace(held, window_start=LATER, run_id=7)),
            (self.step(self.raised(), finding(confirming=True)), replace(held, state=FindingState.QUIET)),
        ):
            ticket = self.step(alarm, found)
            assert (ticket.severity, ticket.state) == (Severity.TICKET, AlarmState.CONFIRMED)
            assert ticket.confirmation == Confirmation.JUDGE_MOVED
            assert ticket.confirmed_at is not None
            assert not alarms.to_confirm([ticket], [held]), "nothing is asked while the judge is another"
            assert alarms.to_confirm([ticket], [finding()])
            agreed = self.step(ticket, finding(confirming=True, run_id=8))
            assert (agreed.severity, agreed.confirmation) == (Severity.PAGE, Confirmation.FRESH_SAMPLE)
            assert self.step(ticket, finding(state=FindingState.QUIET, recovered=True)).state is AlarmState.CLEARED

    def test_nothing_new_is_the_very_same_alarm(self) -> None:
        alarm = self.raised()
        assert alarms.next_state(alarm, finding(), LATER, clears=True) is alarm
        confirmed = self.step(alarm, finding(confirming=True))
        assert (
            alarms.next_state(confirmed, finding(confirming=True, state=FindingState.QUIET), LATER, clears=True)
            is confirmed
        )

    def test_a_later_look_that_agrees_is_a_fresh_sample_too(self) -> None:
        after = finding(run_id=7, window_start=LATER)
        agreed = self.step(self.raised(), after)
        assert (agreed.state, agreed.severity) == (AlarmState.CONFIRMED, Severity.PAGE)
        assert (agreed.confirmation, agreed.confirmed_run_id) == (Confirmation.LATER_LOOK, 7)
        assert not alarms.to_confirm([agreed], [after]), "somebody is awake; nothing more to ask"
        against = finding(run_id=7, window_start=LATER, evaluation_log10=-0.1)
        assert self.step(self.raised(), against).state is AlarmState.RAISED
        assert alarms.to_confirm([self.raised()], [against])
        ticket = self.step(self.raised(), finding(confirming=True, state=FindingState.QUIET))
        assert self.step(ticket, after) is ticket, "what a fresh sample denied, only a fresh sample grants"

    def test_a_fresh_sample_raises_nothing_and_is_for_what_was_raised_before_it(self) -> None:
        assert alarms.next_state(None, finding(confirming=True), LATER, clears=True) is None
        alarm = self.raised()
        assert alarms.awaited([alarm], AT)
        assert not alarms.awaited([replace(alarm, raised_at=LATER)], AT)
        assert not alarms.awaited([alarms.unconfirmable(alarm, 6, LATER)], LATER)

    def test_recovery_clears_if_the_run_can_show_it(self) -> None:
        alarm, well = self.raised(), finding(state=FindingState.QUIET, recovered=True, run_id=9)
        assert alarms.next_state(alarm, well, LATER, clears=False) is alarm
        cleared = self.step(alarm, well)
        assert (cleared.state, cleared.cleared_at, cleared.cleared_run_id) == (AlarmState.CLEARED, LATER, 9)

    def test_by_hand_and_where_no_sample_can_be_asked(self) -> None:
        alarm = self.raised()
        by_hand = alarms.cleared_by_hand(alarm, "kim", "rolled back", LATER)
        assert (by_hand.state, by_hand.cleared_by, by_hand.cleared_why) == (AlarmState.CLEARED, "kim", "rolled back")
        paged = alarms.unconfirmable(alarm, 6, LATER)
        assert (paged.state, paged.severity, paged.confirmation) == (
            AlarmState.CONFIRMED,
            Severity.PAGE,
            Confirmation.NOT_ASKED,
        )
        assert alarms.unconfirmable(paged, 7, LATER) is paged

    def test_a_sample_is_asked_only_for_pages_that_nobody_was_woken_for(self) -> None:
        alarm = self.raised()
        paged = alarms.unconfirmable(alarm, 6, LATER)
        ask: Callable[..., bool] = alarms.to_confirm
        assert ask([alarm], [finding()])
        assert not ask([paged], [finding()])
        assert not ask([alarm], [finding(confirming=True)])
        assert not ask([alarm], [finding(state=FindingState.QUIET)])
        assert not ask([alarm], [finding(Severity.TICKET)])

    @given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()), max_size=8))
    def test_replayed_it_is_the_same_and_never_leaves_cleared_open(self, steps: list[tuple[bool, ...]]) -> None:
        def replay() -> list[Alarm | None]:
            alarm: Alarm | None = None
            states = []
            for run, (alarming, confirming, recovered, clears) in enumerate(steps):
                found = finding(state=state(alarming), confirming=confirming, recovered=recovered, run_id=run)
                alarm = alarms.next_state(alarm, found, AT, clears=clears)
                states.append(alarm)
                if alarm is not None and alarm.state is AlarmState.CLEARED:
                    alarm = None
            return states

        assert replay() == replay()
        for one in replay():
            if one is not None:
                assert (one.state is AlarmState.CLEARED) == (one.cleared_at is not None)
                assert one.state is not AlarmState.CONFIRMED or one.confirmed_at is not None


def test_wilson_and_newcombe_against_published_numbers() -> None:
    """Newcombe (1998), table II: 56/70 - 48/80 is 0.0524 to 0.3339 by method 10; Wilson 81/263 is 0.2553 to 0.3662."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_difference(56 / 70, 70, 48 / 80, 80, 1.0) == pytest.approx((0.0524, 0.3339), abs=1e-4)
