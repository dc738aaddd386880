"""The exporter over a real store: what it says, what it leaves out, how little it reads."""

import gzip
import random
import shutil
import subprocess
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf, nan
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event

from benchmarks import fleets
from monitor.core.errors import StoreError
from monitor.core.records import (
    JUDGE_TARGET,
    PRODUCTION_SUITE,
    Alarm,
    AlarmState,
    Arm,
    DataKind,
    FindingNumbers,
    IdentityCheck,
    KeptFor,
    KeptRuns,
    Mail,
    MailStatus,
    Match,
    Retirement,
    RunOutcome,
    SelfTest,
    Severity,
)
from monitor.core.schedule import interval_seconds
from monitor.core.settings import Http, Judge, Production, Schedule, Settings
from monitor.report import retention
from monitor.report.explain.context import finding_context
from monitor.report.explain.onset import beginning
from monitor.report.metrics import Internals, nearest_to_threshold, web_url
from monitor.report.metrics.exposition import SPECS, Lines, head
from monitor.report.metrics.gzip_members import gzipped, pack
from monitor.report.metrics.names import METRICS, PREFIX
from monitor.report.metrics.process_metrics import takes_gzip
from monitor.store import Store, open_store
from tests import fleet

NOW = fleet.NOW

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/cliffwatch.db")
    yield opened
    opened.close()


@pytest.fixture
def populated(fleet_file: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{fleet_file}")
    yield opened
    opened.close()


WHOLE = fleets.settings(3)


@pytest.fixture
def whole(store: Store) -> Store:
    """Every kind of result of three targets and the judge."""
    fleets.fill(store, WHOLE, NOW)
    retention.say(store, NOW, [KeptRuns(DataKind.TEXTS, KeptFor.OPEN_ALARM, 2)])
    return store


def text(store: Store, internals: Internals | None = None, now: datetime = NOW) -> str:
    body, content_type = (internals or busy()).exposition(store, fleet.settings(), now)
    assert content_type.startswith("text/plain")
    return body.decode()


def busy() -> Internals:
    internals = Internals()
    internals.reloaded(ok=True, at=NOW)
    internals.ticked(NOW)
    internals.observe_call("support-bot", Arm.SUBJECT, "vllm", "answer", 0.3)
    internals.pushed("support-bot", "accepted", 3)
    internals.push_request("http", 200)
    return internals


def samples(exposition: str) -> Samples:
    return {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def lint(exposition: str) -> tuple[int, str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "metrics"], input=exposition, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_promtool_finds_nothing_on_a_populated_store(populated: Store) -> None:
    assert lint(text(populated)) == (0, "")


def test_promtool_finds_nothing_on_an_empty_store(store: Store) -> None:
    assert lint(text(store, Internals())) == (0, "")


def test_promtool_finds_nothing_where_every_metric_is_there(whole: Store) -> None:
    body, _ = busy().exposition(whole, WHOLE, NOW)
    assert lint(body.decode()) == (0, "")


OF_PRODUCTION = frozenset({"sample_requests", "sample_left_out_ratio", "sample_unread_files"})
"""The fleet has no production inputs; ``tests/integration/test_samples.py`` fills these."""


def test_every_metric_of_the_contract_is_there_with_its_labels(whole: Store) -> None:
    body, _ = busy().exposition(whole, WHOLE, NOW)
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    for spec in METRICS:
        family = families[PREFIX + spec.name.removesuffix("_total")]
        assert family.type == spec.kind
        assert family.documentation == spec.help
        filled = bool(family.samples) or spec.name in OF_PRODUCTION
        assert filled, f"{spec.name}: the populated store should fill it"
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels)
    assert set(families) == {PREFIX + spec.name.removesuffix("_total") for spec in METRICS}


OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
HOSTILE = ('a"b', "a\\b", "a\nb", 'end\\"', "\\n", "ä‹›\u2028", "", "{},=", "a" * 300, "\t\r", '\\\\"\n')
NUMBERS = (0, 1, True, -1, 0.1 + 0.2, 1e22, 1e-300, 1_764_000_000.25, 2**53, nan, inf, -inf)


def by_the_library(rows: Sequence[tuple[str, float, tuple[str, ...]]]) -> list[Metric]:
    """The same samples as families of prometheus_client."""
    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}
    found: dict[str, Metric] = {
        name: kinds[spec.kind](PREFIX + name.removesuffix("_total"), spec.help, labels=spec.labels)
        for name, spec in SPECS.items()
    }
    for name, value, labels in rows:
        found[name].add_metric(labels, value)  # type: ignore[attr-defined]
    return list(found.values())


class Ready:
    def __init__(self, metrics: list[Metric]) -> None:
        self.metrics = metrics

    def collect(self) -> list[Metric]:
        return self.metrics


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_is_written_here_reads_as_what_the_library_writes(openmetrics: bool) -> None:
    """Names, help, labels with everything in them that must be escaped, and numbers."""
    chosen = random.Random(1)
    rows = [
        (name, chosen.choice(NUMBERS[:-1] if spec.kind == "gauge" else NUMBERS[:2]),
         tuple(chosen.choice(HOSTILE) + str(n) for _ in spec.labels))
        for name, spec in SPECS.items() for n in range(20 if spec.labels else 1)
    ]  # fmt: skip
    lines = Lines(tuple(SPECS))
    for name, value, labels in rows:
        lines.add(name, value, *labels)
    ours = b"".join(head(SPECS[name], openmetrics=openmetrics) + text for name, text in lines.text().items()).decode()
    ready = Ready(by_the_library(rows))
    theirs = (generate_openmetrics if openmetrics else generate_latest)(ready).decode()
    parse = parse_openmetrics if openmetrics else text_string_to_metric_families
    read = [list(parse(one)) for one in (ours + "# EOF\n" * openmetrics, theirs)]
    assert len(read[0]) == len(SPECS)
    mine, libraries = (
        [(one.name, one.type, one.documentation, sorted((sample.name, sorted(sample.labels.items()), str(sample.value))
          for sample in one.samples)) for one in families]
        for families in read
    )  # fmt: skip
    assert mine == libraries


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_compressed_page_is_the_plain_one(whole: Store, accept: str) -> None:
    """Also after a change, when some of its pieces are older than others."""
    internals = busy()
    for later in range(3):
        moved_on = IdentityCheck("assistant-00001", Arm.SUBJECT, "listed", Match.of(later != 1), "a", "b", NOW, NOW)
        whole.save_identity_checks([replace(moved_on, checked_at=NOW + timedelta(minutes=later))])
        plain, _ = internals.scrape(whole, WHOLE, NOW, accept)
        body, headers = internals.scrape(whole, WHOLE, NOW, accept, "deflate, gzip")
        assert headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(body) == plain
        assert f'check="listed"}} {float(later != 1)}'.encode() in plain
    assert b'\ncliffwatch_identity_match{target="assistant-00001",check="root"} 1.0' in plain


def test_pieces_of_any_size_make_one_gzip_member() -> None:
    """The checksum is put together from theirs; a second member, which some clients drop, would be unread here."""
    chosen = random.Random(2)
    pieces = [chosen.randbytes(size) for size in (0, 1, 2, 255, 256, 65_537, 0, 3)] + [b"a" * 100_000]
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert unzip.decompress(gzipped(map(pack, pieces))) == b"".join(pieces)
    assert unzip.eof
    assert unzip.unused_data == b""


@pytest.mark.parametrize(
    ("header", "taken"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("gzip;q=0.0", False), ("", False),
     ("x-gzip", False), ("GZIP", True), ("identity", False), ("deflate, gzip; q=1.0", True)],
)  # fmt: skip
def test_who_takes_gzip(header: str, taken: bool) -> None:
    assert takes_gzip(header) is taken


def test_kept_lines_are_what_a_new_process_writes(whole: Store) -> None:
    """After anything that can happen to a target between two scrapes, a page that was kept equals one made anew."""
    internals, here = Internals(), ("assistant-00002", "tone")
    internals.exposition(whole, WHOLE, NOW)

    def same() -> str:
        kept, new = (one.exposition(whole, WHOLE, NOW)[0].decode() for one in (internals, Internals()))
        assert samples(kept) == samples(new)
        return kept

    before = same()
    made = whole.ensure_run(*here, NOW, seed=1, suite_digest="1" * 64, next_at=NOW)
    assert value(samples(same()), "baselines", target=here[0], suite=here[1], status="outdated") == 1
    run = whole.claim(made.id, NOW, 60)
    assert run is not None
    assert before != (before := same())
    alarm = Alarm(*here, "length", Severity.TICKET, AlarmState.CONFIRMED, NOW, run.id)
    found = replace(whole.latest_findings(*here)[0], run_id=run.id, signal="length", effect=-7.5)
    assert whole.finish(run.id, run.fence, RunOutcome.UNMEASURED, [found], NOW, moves=[alarm])
    now = samples(same())
    assert value(now, "effect", target=here[0], suite=here[1], signal="length") == -7.5
    assert value(now, "alarm_raised_timestamp_seconds", target=here[0], signal="length") == NOW.timestamp()
    assert value(now, "run_unmeasured_ratio", target=here[0], suite=here[1]) == 1
    (open_one,) = whole.open_alarms(*here)
    cleared = replace(open_one, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="jo", cleared_why="planned")
    assert whole.clear_alarm(cleared)
    assert value(samples(same()), "alarm_raised_timestamp_seconds", target=here[0], signal="length") is None
    approved = whole.approved(*here)
    assert approved is not None
    whole.retire(approved.id, "jo", "a new suite", NOW)
    assert value(samples(same()), "baseline_approved_timestamp_seconds", target=here[0], suite=here[1]) is None


def test_an_alarm_says_when_it_began_as_its_page_does(populated: Store) -> None:
    """Not when it was raised, which may be looks after the first evidence; and the healthy look is before both."""
    found = samples(text(populated))
    alarms = [one for one in populated.open_alarms() if one.state is AlarmState.CONFIRMED]
    assert alarms
    for alarm in alarms:
        (told,) = [one for one in populated.latest_findings(alarm.target) if one.signal == alarm.signal]
        beside = finding_context(populated, told)
        began, healthy = beginning(told, beside.history, beside.alarm, beside.asked)
        assert healthy is not None
        labels = {"target": alarm.target, "signal": alarm.signal}
        assert value(found, "alarm_began_timestamp_seconds", **labels) == began.timestamp()
        assert value(found, "alarm_last_healthy_timestamp_seconds", **labels) == healthy.timestamp()


def test_a_mismatch_says_since_when(whole: Store) -> None:
    check = IdentityCheck(
        "assistant-00001", Arm.SUBJECT, "parent", Match.DIFFERS, "a", "b", NOW, NOW - timedelta(hours=3)
    )
    other = replace(check, arm=Arm.BASE, since=NOW - timedelta(hours=5))
    whole.save_identity_checks([check, other])

    def since() -> float | None:
        found = samples(Internals().exposition(whole, WHOLE, NOW)[0].decode())
        return value(found, "identity_mismatch_since_timestamp_seconds", target=check.target, check="parent")

    assert since() == other.since.timestamp(), "the first of its arms"
    whole.save_identity_checks([replace(other, result=Match.MATCHES)])
    assert since() == check.since.timestamp()
    whole.save_identity_checks([replace(check, result=Match.MATCHES)])
    assert since() is None


def test_a_judge_without_anchors_tells_what_it_serves_and_when_it_retires(whole: Store) -> None:
    """It is no target then, and a judge that is shut down would be missed only when it is gone."""
    targets = {name: one for name, one in WHOLE.targets.items() if name != JUDGE_TARGET}
    judge = Judge(provider="vllm", model="judge-model")
    alone = WHOLE.model_copy(update={"targets": targets, "judge": judge})
    check = IdentityCheck(JUDGE_TARGET, Arm.SUBJECT, "listed", Match.DIFFERS, "judge-model", "", NOW, NOW)
    whole.save_identity_checks([check])
    gone = NOW + timedelta(days=30)
    whole.save_retirements([Retirement(JUDGE_TARGET, Arm.SUBJECT, "judge-model", gone, "config", NOW)])
    internals = Internals()

    def told(settings: Settings) -> tuple[float | None, float | None]:
        found = samples(internals.exposition(whole, settings, NOW)[0].decode())
        return (
            value(found, "identity_match", target=JUDGE_TARGET, check="listed"),
            value(found, "model_retirement_timestamp_seconds", target=JUDGE_TARGET, arm="subject"),
        )

    assert told(alone) == (0.0, gone.timestamp())
    whole.save_identity_checks([replace(check, result=Match.MATCHES, found="judge-model")])
    assert told(alone) == (1.0, gone.timestamp())
    assert told(alone.model_copy(update={"judge": None})) == (None, None)


def test_a_check_that_can_no_longer_be_made_does_not_hide_behind_one_that_can(whole: Store) -> None:
    internals, here = Internals(), "assistant-00001"
    (older,) = {one.checked_at for one in whole.identity_checks(here)}

    def checked() -> float | None:
        found = samples(internals.exposition(whole, WHOLE, NOW)[0].decode())
        return value(found, "identity_checked_timestamp_seconds", target=here)

    first, *others = whole.identity_checks(here)
    later = older + timedelta(hours=1)
    whole.save_identity_checks([replace(first, checked_at=later)])
    assert checked() == older.timestamp()
    whole.save_identity_checks([replace(one, checked_at=later) for one in others])
    assert checked() == later.timestamp()


def test_mail_is_told_of_by_its_schedule_until_one_was_delivered(whole: Store) -> None:
    def told(**changed: object) -> dict[str, float | None]:
        found = samples(Internals().exposition(whole, WHOLE.model_copy(update=changed), NOW)[0].decode())
        return {name: value(found, f"email_{name}") for name in ("queued", "refused", "interval_seconds")}

    before = told()
    assert before["refused"] == 0
    assert before["interval_seconds"] == 7 * 86_400
    daily = WHOLE.email.model_copy(update={"every": "daily"}) if WHOLE.email else None
    assert told(email=daily)["interval_seconds"] == 86_400
    composed = Mail("manual", NOW, "<1@here>", "s", ("a@b.example",), b"", NOW, MailStatus.QUEUED, 0, NOW)
    mail = whole.enqueue(composed)
    assert mail is not None
    assert mail.id is not None
    taken = whole.take_mail(NOW, 60, mail.id)
    assert taken is not None
    assert whole.mail_failed(mail.id, taken.attempts, NOW + timedelta(hours=1), "550 no such user", None)
    assert told() == {**before, "refused": 1}
    assert told(email=None)["refused"] is told(email=None)["interval_seconds"] is None
    assert whole.mail_sent(mail.id, NOW + timedelta(hours=2))
    assert told() == before


def test_the_judge_is_named_by_its_model(whole: Store) -> None:
    found = samples(busy().exposition(whole, WHOLE, NOW)[0].decode())
    assert value(found, "judge_agreement_ratio", judge="judge-2026") == 1
    assert value(found, "judge_anchor_timestamp_seconds", judge="judge-2026") == NOW.timestamp()
    assert value(found, "pass_ratio", target=JUDGE_TARGET, suite="support") == 1


def test_where_people_reach_the_pages() -> None:
    def url(opened: int | None = None, **http: object) -> str:
        return web_url(fleet.settings().model_copy(update={"http": Http.model_validate(http)}), opened)

    assert url() == "http://127.0.0.1:9464"
    assert url(8123, port=0) == "http://127.0.0.1:8123"
    assert url(8123, url="https://cliffwatch.example.com/x/") == "https://cliffwatch.example.com/x"
    assert url(host="::1") == "http://[::1]:9464"


def test_openmetrics_when_asked_for(populated: Store) -> None:
    body, content_type = busy().exposition(populated, fleet.settings(), NOW, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert body.count(b"# EOF\n") == 1
    assert b"_created" not in body


def test_the_numbers_of_a_lost_fine_tune(populated: Store) -> None:
    found = samples(text(populated))
    here = {"target": "support-bot", "suite": "support"}
    assert value(found, "alarm", target="support-bot", signal="adapter_loss", severity="page") == 1
    assert value(found, "alarm", target="support-bot", signal="judge_score", severity="page") == 0
    assert value(found, "adapter_effect_ratio", **here) == 0.04
    assert value(found, "base_like_ratio", **here) == 0.975
    assert value(found, "effect", **here, signal="length") == 2.4
    is_so = {"signal": "adapter_loss", "state": "alarming", "cause": "adapter_lost", "advice": "check_adapter"}
    assert value(found, "finding_info", **here, **is_so) == 1
    told = {dict(labels)["signal"] for name, labels in found if name == "finding_info"}
    assert told == {"adapter_loss", "length"}, "what is quiet has none"
    assert value(found, "evidence_log10", target="support-bot", signal="adapter_loss") == 7.4
    assert value(found, "evidence_threshold_log10", target="support-bot", signal="adapter_loss") == 4.04
    assert value(found, "negative_flip_ratio", **here) == 0.25
    assert value(found, "positive_flip_ratio", **here) == 0
    assert value(found, "judge_score", **here, rubric="all") == pytest.approx(0.4)
    assert value(found, "judge_score_baseline", **here, rubric="all") == 0.9
    assert value(found, "judge_score_base", **here, rubric="all") == pytest.approx(0.4)
    assert value(found, "pass_ratio", **here) == 0
    assert value(found, "pass_ratio_baseline", **here) == 1
    assert value(found, "pass_ratio_base", **here) == 0
    assert value(found, "answer_length_chars", **here, stat="mean") == 51
    assert value(found, "answer_length_baseline_chars", **here) == 37
    assert value(found, "answer_length_base_chars", **here) == 51
    assert value(found, "runs_total", **here, outcome="measured") == 5
    assert value(found, "run_interval_seconds", **here) == 86_400
    assert value(found, "run_last_success_timestamp_seconds", **here) == (NOW - timedelta(minutes=20)).timestamp()
    # Today's 8 answers at 0.004 USD each, of 2 USD.
    assert value(found, "budget_remaining_usd", target="support-bot") == pytest.approx(2 - 8 * 0.004)


def test_an_alarm_has_no_series_before_anything_was_compared(store: Store) -> None:
    assert [name for name, _ in samples(text(store)) if name == "alarm"] == []


def test_an_alarm_is_0_before_it_was_ever_raised_and_absent_before_its_signal_was_compared(populated: Store) -> None:
    alarms = {frozenset(labels): number for (name, labels), number in samples(text(populated)).items()
              if name == "alarm"}  # fmt: skip
    told: dict[str, set[tuple[str, float]]] = {}
    for labels, number in alarms.items():
        told.setdefault(dict(labels)["target"], set()).add((dict(labels)["signal"], number))
    signals = ("adapter_loss", "judge_score", "negative_flips", "length", "contract")
    assert told["summariser"] == {(signal, 0.0) for signal in signals}
    assert "extractor" not in told, "it has no baseline"


def severities(store: Store, signal: str) -> dict[str, float | None]:
    found = samples(text(store))
    return {one: value(found, "alarm", target="support-bot", signal=signal, severity=one) for one in Severity}


def moved(store: Store, alarm: Alarm) -> None:
    """One more run of the alarm's suite, whose verdict moves it."""
    at = alarm.cleared_at or alarm.confirmed_at or alarm.raised_at
    made = store.ensure_run(alarm.target, alarm.suite, at, seed=1, suite_digest=fleet.DIGEST, next_at=at)
    run = store.claim(made.id, at, 60)
    assert run is not None
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, (), at, moves=[alarm])


def test_an_alarm_is_1_only_while_it_is_confirmed_and_under_what_it_wakes(populated: Store) -> None:
    """A page waits for its fresh sample; where that disagrees it is a ticket, and each goes back to 0, not away."""
    assert severities(populated, "judge_score") == {"page": 0, "ticket": 0}

    def now() -> Alarm:
        return next(one for one in populated.alarms("support-bot", raised=True) if one.signal == "judge_score")

    raised = Alarm("support-bot", fleet.SUITE, "judge_score", Severity.PAGE, AlarmState.RAISED, NOW, 1)
    moved(populated, raised)
    assert severities(populated, "judge_score") == {"page": 0, "ticket": 0}
    later = NOW + timedelta(minutes=5)
    doubted = replace(now(), state=AlarmState.CONFIRMED, severity=Severity.TICKET, confirmed_at=later)
    moved(populated, doubted)
    assert severities(populated, "judge_score") == {"page": 0, "ticket": 1}
    moved(populated, replace(now(), severity=Severity.PAGE, confirmed_at=later + timedelta(minutes=5)))
    assert severities(populated, "judge_score") == {"page": 1, "ticket": 0}
    moved(populated, replace(now(), state=AlarmState.CLEARED, cleared_at=later + timedelta(minutes=10)))
    assert severities(populated, "judge_score") == {"page": 0, "ticket": 0}


def test_a_targets_evidence_is_of_the_suite_that_is_nearest_to_its_line() -> None:
    """Its line with it: 3 of 5 are nearer than 4 of 8."""

    def numbers(evidence: float, line: float) -> FindingNumbers:
        return FindingNumbers(0.0, 0.0, 0.0, {}, evidence, line)

    of_suites = {"often": numbers(4.0, 8.0), "seldom": numbers(3.0, 5.0), "ancient": numbers(nan, nan)}
    found = nearest_to_threshold({(suite, "length"): one for suite, one in of_suites.items()})
    assert found == {"length": of_suites["seldom"]}


def test_the_self_test_shows_its_worst_suite(populated: Store) -> None:
    tests = {"base-answers": (20, 7), "healthy": (0, 3)}
    populated.save_self_tests(
        [SelfTest("summariser", suite, fault, tests[fault][place], 20, NOW) for fault in tests
         for place, suite in enumerate((fleet.SUITE, PRODUCTION_SUITE))]
    )  # fmt: skip
    one = fleet.settings()
    source = {"source": {"kind": "jsonl", "path": "/var/log/*.jsonl"}}
    sampled = one.targets["summariser"].model_copy(update={"production": Production.model_validate(source)})
    both = one.model_copy(update={"targets": {"summariser": sampled}})
    found = samples(Internals().exposition(populated, both, NOW)[0].decode())
    assert value(found, "selftest_detection_ratio", target="summariser", fault="base-answers") == 7 / 20
    assert value(found, "selftest_detection_ratio", target="summariser", fault="healthy") == 3 / 20
    assert value(samples(text(populated)), "selftest_detection_ratio", target="summariser", fault="base-answers") == 1


def test_what_was_not_measured_has_no_series(store: Store) -> None:
    names = {name for name, _ in samples(text(store))}
    assert not names & {"judge_score", "pass_ratio", "effect", "run_last_success_timestamp_seconds", "runs_total"}


def test_a_target_that_is_not_armed_says_so(populated: Store) -> None:
    found = samples(text(populated))
    here = {"target": "extractor", "suite": "support"}
    assert value(found, "baselines", **here, status="approved") == 0
    assert value(found, "baselines", **here, status="capturing") == 1
    assert value(found, "run_unmeasured_ratio", **here) == 0.5
    infos = [dict(labels) for name, labels in found if name == "target_info"]
    assert {info["target"]: info["baseline"] for info in infos} == {
        "summariser": "1",
        "support-bot": "2",
        "extractor": "unarmed",
    }


def test_a_target_that_left_the_configuration_is_gone_at_once(populated: Store) -> None:
    one = fleet.settings()
    fewer = one.model_copy(update={"targets": {"summariser": one.targets["summariser"]}})
    body, _ = Internals().exposition(populated, fewer, NOW)
    assert b'target="support-bot"' not in body


def test_a_new_process_serves_the_results_at_its_first_scrape(populated: Store, fleet_file: Path) -> None:
    again = open_store(f"sqlite:///{fleet_file}")
    before, after = (samples(text(one, Internals())) for one in (populated, again))
    again.close()
    assert before == after


def test_the_lag_is_the_longest_waiting_runs(populated: Store) -> None:
    assert value(samples(text(populated)), "schedule_lag_seconds") == 0
    late = NOW - timedelta(minutes=3)
    populated.ensure_run("summariser", "support", late, seed=1, suite_digest=fleet.DIGEST, next_at=late)
    assert value(samples(text(populated)), "schedule_lag_seconds") == 180


def test_a_second_scrape_reads_no_answers_and_no_findings(populated: Store) -> None:
    internals, statements = busy(), Statements(populated)
    text(populated, internals)
    assert statements.touching("answer", "score")
    statements.clear()
    text(populated, internals)
    assert not statements.touching("answer", "score", "exhibits", "FROM finding")
    assert len(statements) <= 14, "a scrape costs a fixed number of queries, however many targets there are"


class Statements(list[str]):
    """Every statement that a store sends."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        event.listen(store._database.engine, "before_cursor_execute", self._note)

    def _note(self, *args: object) -> None:
        if str(args[2]).startswith("SELECT"):
            self.append(str(args[2]))

    def touching(self, *words: str) -> Sequence[str]:
        return [one for one in self if any(f"{word}." in one or word in one.split("FROM")[-1] for word in words)]


def test_a_store_that_cannot_be_read_fails_the_scrape_and_is_counted(tmp_path: Path) -> None:
    broken = open_store(f"sqlite:///{tmp_path}/broken.db")
    with broken._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE alarm RENAME TO alarm_gone")
    internals = Internals()
    with pytest.raises(StoreError):
        internals.exposition(broken, fleet.settings(), NOW)
    with broken._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE alarm_gone RENAME TO alarm")
    assert value(samples(text(broken, internals)), "scrape_errors_total") == 1
    broken.close()


@pytest.mark.parametrize(
    ("schedule", "suite", "seconds"),
    [
        (Schedule(), "support", 86_400),
        (Schedule(probes="every 3 days"), "support", 3 * 86_400),
        (Schedule(probes="every 3 days", day_seconds=60), "support", 180),
        (Schedule(day_seconds=60), PRODUCTION_SUITE, 420),
        (Schedule(probes="weekly mon 06:00"), "support", 7 * 86_400),
        (Schedule(production="daily"), PRODUCTION_SUITE, 86_400),
    ],
)
def test_how_far_runs_lie_apart(schedule: Schedule, suite: str, seconds: float) -> None:
    assert interval_seconds(schedule, suite) == seconds
