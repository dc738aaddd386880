"""What a store of schema 0003 said in sentences comes up as states, causes and advice, and says the same."""

from dataclasses import dataclass, replace
from typing import Final

import pytest
from sqlalchemy import text

from monitor.core.records import Advice, Cause, Confirmation, Finding, FindingState, RunOutcome
from monitor.report.explain import sentences
from monitor.store import open_store, schema
from monitor.store.engine import Database, connect
from tests.store_records import NOW, SLOT, alarm, claimed, context, finding

WAIT: Final = (
    "The evidence so far is 10 to 1, short of the 3,162 to 1 that keep the promised rate of false alarms; each further "
    "scheduled look adds to it."
)
UNARMED: Final = "the baseline spans 5 full days, too few. 7 days arm pages."
LOOK, NO_LOSS = "Below the alarm line, but worth a look:", "Not an adapter loss, but worth a look:"


@dataclass(frozen=True)
class Old:
    """A finding as 0003 has it, and what it comes to."""

    signal: str
    summary: str
    state: FindingState
    cause: Cause = Cause.UNKNOWN
    advice: Advice = Advice.NONE
    traffic_share: float | None = None
    disagrees: bool = False
    effect: float = 0.04
    recovered: bool = False
    scores: str = "{}"


A, L, Q = FindingState.ALARMING, FindingState.LOOK, FindingState.QUIET
OLD: Final = (
    Old("adapter_loss", "bot answers like its base model: nothing is left (95% interval 0% to 4%). "
        "Check which adapter the endpoint serves, and whether it is applied.",
        A, Cause.ADAPTER_LOST, Advice.CHECK_ADAPTER, 1.0),
    Old("adapter_loss", "bot answers like its base model on part of the traffic: 51% is left, about 34% of the answers "
        "come from the base (95% interval 20% to 48%). Check which adapter the endpoint serves, on every replica "
        f"behind it. A ticket, not a page: {UNARMED}",
        A, Cause.ADAPTER_LOST, Advice.CHECK_EVERY_REPLICA, 0.34),
    Old("adapter_loss", "The looks so far say that bot lost its fine-tune or part of it; this look alone does not: all "
        "is left. The looks since the alarm are evidence enough of recovery to clear it.",
        A, Cause.ADAPTER_LOST, disagrees=True, effect=0.98, recovered=True),
    Old("adapter_loss", f"{LOOK} answers of bot moved towards its base model: 70% is left, about 12% of the answers "
        f"come from the base. {WAIT} (A ticket at most, not a page: {UNARMED})",
        L, Cause.ADAPTER_LOST, Advice.WAIT, 0.12, effect=0.7),
    Old("adapter_loss", f"{NO_LOSS} answers of bot moved away from the approved ones and came no nearer to the base: "
        "60%. Read the answers: something else changed.", L, Cause.NOT_ADAPTER_LOSS, Advice.READ_ANSWERS),
    Old("adapter_loss", f"{NO_LOSS} answers of bot and of its base, asked beside them, both moved, and not to each "
        "other: 60%. Look for what both share: a prompt, a template, the serving stack.",
        L, Cause.SHARED_CHANGE, Advice.CHECK_WHAT_BOTH_SHARE),
    Old("adapter_loss", "The fine-tune holds: 98% is left.", Q, effect=0.98),
    Old("base_match", "bot gives its base model's very answers at temperature 0: 10 of 24. Check which adapter the "
        "endpoint serves and whether it is applied.", A, Cause.ADAPTER_LOST, Advice.CHECK_ADAPTER, 0.4, effect=0.4),
    Old("canaries", "bot fails at what only its fine-tune can do: 24 of 24 answers. Check which adapter the endpoint "
        "serves, and read the answers.", A, Cause.ADAPTER_LOST, Advice.CHECK_ADAPTER_AND_ANSWERS, 1.0, effect=1.0),
    Old("judge_score", f"{LOOK} the judge's score of bot dropped by 0.10: mean score 0.80. The base lost most of it "
        f"too: the judge, or what both arms share, may have changed. {WAIT}", L, Cause.SHARED_CHANGE, Advice.WAIT),
    Old("length", f"{LOOK} the looks so far suggest that answers of bot changed in length; this look alone does not: "
        "40 characters on average.", L, disagrees=True),
    Old("contract", "The endpoint of bot changed: model id 'a: B. C' instead of 'b' (2 of 2 answers). Compare its "
        "release notes and your deployment with the time of the first such run.",
        A, Cause.MODEL_RENAMED, Advice.COMPARE_RELEASES, scores='{"model id": 9.0, "prompt tokens": 0.0}'),
    Old("contract", "The endpoint of bot changed: prompt tokens of 2 of 2 unchanged prompts, e.g. 41 instead of 36 for "
        "A. Compare its release notes and your deployment with the time of the first such run.",
        A, Cause.PROMPT_CHANGED, Advice.COMPARE_RELEASES, scores='{"model id": 9.0, "prompt tokens": 9.0}'),
    Old("contract", "New, but values like it were new in the baseline too: fingerprint 'x'. Within chance: all.",
        Q),
    Old("contract", "No new model id, fingerprint or prompt-token count. Within chance of the baseline: all.", Q),
    Old("negative_flips", f"{LOOK} for bot, 3 of 20 answers that used to be right are wrong (net +10%). {WAIT}", L,
        advice=Advice.WAIT),
    Old("length", "Something that no version ever said. Do this: that.", A),
    Old("length", "", Q),
    Old("length", "x: y: z", A),
)  # fmt: skip
NOTES: Final = (
    ("A fresh sample, asked at once, agrees.", Confirmation.FRESH_SAMPLE),
    ("A later look agrees.", Confirmation.LATER_LOOK),
    ("A fresh sample, asked at once, does not agree: a ticket, not a page, until one does.",
     Confirmation.FRESH_SAMPLE_DISAGREES),
    ("It rests on the judge's verdicts, and the judge itself moved: a ticket, not a page, until it is back.",
     Confirmation.JUDGE_MOVED),
    ("Not confirmed: no fresh sample could be asked (budget spent, or no answer).", Confirmation.NOT_ASKED),
    ("Something else.", None),
    ("", None),
    (None, None),
)  # fmt: skip
FINDING: Final = """
INSERT INTO finding (id, run_id, target, suite, signal, severity, alarming, effect, effect_low, effect_high, unit,
  answers_now, answers_baseline, window_start, window_end, summary, measures, exhibits, found_at, evidence_log10,
  look_log10, line_log10, looks, scores, recovered, confirming, baseline_id, judge_moved)
VALUES (:id, :run_id, 'bot', 'support', :signal, 'page', :alarming, :effect, 0.0, 1.0, 'share', 40, 120,
  '2026-11-22 00:00:00', '2026-11-22 00:00:00', :summary, '{}', '[]', '2026-11-22 00:00:00', 1.0, 0.5, 3.5, 2, :scores,
  :recovered, false, 1, false)
"""
RUN: Final = """
INSERT INTO run (id, target, suite, slot, status, attempt, fence, next_at, seed, suite_digest, scheduled, starts_at)
VALUES (:id, 'bot', 'support', :slot, 'done', 1, 1, '2026-11-22 00:00:00', 7, 'digest', true, :slot)
"""
ALARM: Final = """
INSERT INTO alarm (id, target, suite, signal, severity, raised_at, raised_run_id, state, note, cleared_at)
VALUES (:id, 'bot', 'support', 'length', 'page', '2026-11-22 00:00:00', 1, 'cleared', :note, '2026-11-23 00:00:00')
"""


def old_store(url: str) -> Database:
    """A store of 0003 with a run for each finding."""
    database = connect(url)
    schema.move(database, "0003")
    with database.write() as connection:
        for number, one in enumerate(OLD, 1):
            connection.execute(text(RUN), {"id": number, "slot": f"2026-10-{number:02} 00:00:00"})
            values = {"id": number, "run_id": number, "alarming": one.state is A}
            values |= {name: getattr(one, name) for name in ("signal", "effect", "summary", "scores", "recovered")}
            connection.execute(text(FINDING), values)
        for number, (note, _) in enumerate(NOTES, 1):
            connection.execute(text(ALARM), {"id": number, "note": note})
    return database


def test_what_was_said_in_sentences_comes_up_as_data_and_says_the_same(store_url: str) -> None:
    old_store(store_url).engine.dispose()
    store = open_store(store_url)
    found = list(reversed(store.findings("bot")))
    alarms = list(reversed(store.alarms("bot")))
    store.close()
    assert len(found) == len(OLD)
    for one, old in zip(found, OLD, strict=True):
        told = (one.state, one.cause, one.advice, one.traffic_share, one.disagrees)
        assert told == (old.state, old.cause, old.advice, old.traffic_share, old.disagrees), old.summary
        for words in (one.what, one.numbers, one.caveat):
            assert words in old.summary, "its own words are kept"
            assert words in sentences.summary(one), "what is said around them may be worded anew"
        assert bool(one.what) == bool(old.summary)
    assert [(one.note, one.confirmation) for one in alarms] == [(note, how) for note, how in NOTES]


def test_down_and_up_again_nothing_is_lost(store_url: str) -> None:
    database = old_store(store_url)
    schema.move(database, "head")
    schema.move(database, "0003", down=True)
    with database.read() as connection:
        said = connection.execute(text("SELECT summary FROM finding ORDER BY id")).scalars().all()
    assert list(said) == [one.summary if one.summary != "x: y: z" else "x: y: z." for one in OLD]
    schema.move(database, "head")
    database.engine.dispose()
    store = open_store(store_url)
    assert [one.state for one in reversed(store.findings("bot"))] == [one.state for one in OLD]
    store.close()


@pytest.mark.parametrize("state", [A, L, Q])
def test_all_that_a_finding_is_comes_back(store_url: str, state: FindingState) -> None:
    store = open_store(store_url)
    run = claimed(store)
    written: Finding = replace(
        finding(run, alarming=True), state=state, cause=Cause.ADAPTER_LOST, advice=Advice.CHECK_ADAPTER,
        traffic_share=0.34, disagrees=True, numbers="4%", caveat="A ticket, not a page.",
    )  # fmt: skip
    raised = replace(alarm(run), confirmation=Confirmation.LATER_LOOK)
    assert store.finish(run.id, run.fence, RunOutcome.MEASURED, [written], NOW, context=context(run), moves=[raised])
    (back,) = store.findings("bot")
    assert back == replace(written, window_start=SLOT)
    assert store.alarms("bot")[0].confirmation is Confirmation.LATER_LOOK
    assert store.findings("bot", alarming=state is A) == [back]
    store.close()
