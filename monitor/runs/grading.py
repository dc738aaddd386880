"""A run's answers after they were asked: judged, scored and embedded.

The answers are read from the store once, after the last question. Later additions are written to the store and to
the value that is passed on, so the verdict sees exactly what ``findings --recompute`` reads later.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from monitor.core.errors import CliffwatchError
from monitor.core.records import Arm, GradedAnswer, Run, Score, Suite, Unscored
from monitor.judge.checks import Missing, grade_answer
from monitor.judge.empty_answers import empty_grades
from monitor.judge.llm import judge_questions, verdict_score
from monitor.runs.context import RunContext
from monitor.runs.hashed import keeps_texts, without_details
from monitor.store import half_floats

log = structlog.get_logger()

AnswerKey = tuple[Arm, str, int]

COMPARED_ARMS: Final = (Arm.SUBJECT, Arm.BASE)
CHECKED_ARMS: Final = (*COMPARED_ARMS, Arm.SNAPSHOT)


async def graded_answers(
    context: RunContext, run: Run, suite: Suite, recorded: Collection[AnswerKey]
) -> tuple[GradedAnswer, ...]:
    """The usable answers of subject and base, with their scores and embeddings as now stored.

    ``recorded``: the questions with an outcome from an earlier pass; the judge is not asked about them again.
    """
    answers = await asyncio.to_thread(context.store.answers, [run.id], CHECKED_ARMS)
    compared = [answer for answer in answers if answer.arm in COMPARED_ARMS]
    if not keeps_texts(context.settings, run.target, run.suite):
        return await _grade_unstored(context, run, suite, answers, recorded)
    await _ask_judge(context, run, suite, compared, recorded)
    scores, missing = await _scores(context, run, suite, answers)
    await asyncio.to_thread(context.store.add_scores, run.id, run.fence, scores, missing)
    return _as_stored(compared, scores, await _embed(context, run, compared))


async def _grade_unstored(
    context: RunContext, run: Run, suite: Suite, answers: Sequence[GradedAnswer], recorded: Collection[AnswerKey]
) -> tuple[GradedAnswer, ...]:
    """The same for a run whose texts are not stored: grades the texts in memory, and returns the answers as stored.

    Answers from before a restart keep the scores that they had, and get no more.
    """
    readable = context.vault.opened(run.id, answers)
    await _ask_judge(context, run, suite, [one for one in readable if one.arm in COMPARED_ARMS], recorded)
    scores, missing = without_details(*await _scores(context, run, suite, readable))
    await asyncio.to_thread(context.store.add_scores, run.id, run.fence, scores, missing)
    return _as_stored([one for one in answers if one.arm in COMPARED_ARMS], scores, {})


async def _ask_judge(
    context: RunContext, run: Run, suite: Suite, answers: Sequence[GradedAnswer], recorded: Collection[AnswerKey]
) -> None:
    """Ask the judge about every answer with a text that it has not judged yet."""
    if context.settings.judge is not None:
        questions = judge_questions(run, suite, [one for one in answers if one.has_text], context.settings.judge)
        await context.asker.ask([q for q in questions if q.key not in recorded], run.fence)


async def _scores(
    context: RunContext, run: Run, suite: Suite, answers: Sequence[GradedAnswer]
) -> tuple[list[Score], list[Unscored]]:
    """Every grader's score, and the checks without one. The graders are deterministic, so a second pass gives the same,
    but for a check at the limit of its time."""
    probes = {probe.id: probe for probe in suite.probes}
    scores: list[Score] = []
    missing: list[Unscored] = []
    pairs: list[tuple[AnswerKey, tuple[str, str]]] = []
    for answer in answers:
        probe = probes.get(answer.probe)
        if probe is None:
            continue
        key = (answer.arm, answer.probe, answer.replicate)
        unfinished: tuple[Missing, ...] = ()
        if answer.has_text:
            found, unfinished = await asyncio.to_thread(grade_answer, probe, answer.text)
        else:
            found = empty_grades(probe)
        scores += [Score(*key, grader, value, detail) for grader, value, detail in found]
        missing += [Unscored(*key, grader, reason, detail) for grader, reason, detail in unfinished]
        if probe.reference and answer.arm in COMPARED_ARMS and answer.has_text:
            pairs.append((key, (answer.text, probe.reference)))
    replies = await asyncio.to_thread(context.store.judge_replies, run.id)
    if not keeps_texts(context.settings, run.target, run.suite):
        replies = context.vault.replies(run.id, replies)
    for reply in replies:
        verdict = verdict_score(reply.arm, reply.probe, reply.replicate, reply)
        if reply.probe in probes and verdict is not None:
            scores.append(verdict)
    return scores + await _similarities(context, run, pairs), missing


async def _similarities(
    context: RunContext, run: Run, pairs: Sequence[tuple[AnswerKey, tuple[str, str]]]
) -> list[Score]:
    """Similarity of each answer's meaning to its reference. After a failure, the run lacks only this grader."""
    if context.embedder is None or not pairs:
        return []
    try:
        values = await context.embedder.similarity_scores([texts for _, texts in pairs])
    except CliffwatchError as error:
        log.error("similarity_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        return []
    return [Score(*key, "similarity", value) for (key, _), value in zip(pairs, values, strict=True)]


async def _embed(context: RunContext, run: Run, answers: Sequence[GradedAnswer]) -> Mapping[AnswerKey, Sequence[float]]:
    """Embed every answer that has no vector yet, and save the vectors. After a failure, the run lacks only one signal's
    kernel."""
    if context.embedder is None:
        return {}
    missing = [answer for answer in answers if answer.embedding is None and answer.has_text]
    try:
        vectors = await context.embedder.embed([answer.text for answer in missing])
    except CliffwatchError as error:
        log.error("embedding_failed", target=run.target, suite=run.suite, run=run.id, error=str(error))
        return {}
    keyed = {(one.arm, one.probe, one.replicate): vector for one, vector in zip(missing, vectors, strict=True)}
    await asyncio.to_thread(context.store.save_embeddings, run.id, run.fence, keyed)
    return keyed


def _as_stored(
    answers: Sequence[GradedAnswer], scores: Sequence[Score], vectors: Mapping[AnswerKey, Sequence[float]]
) -> tuple[GradedAnswer, ...]:
    """The answers as the store would return them now, without reading them again."""
    graded: dict[AnswerKey, dict[str, float]] = {}
    for score in scores:
        graded.setdefault((score.arm, score.probe, score.replicate), {})[score.grader] = float(score.value)
    found = []
    for answer in answers:
        key = (answer.arm, answer.probe, answer.replicate)
        vector = half_floats(vectors[key]) if key in vectors else answer.embedding
        found.append(replace(answer, scores={**answer.scores, **graded.get(key, {})}, embedding=vector))
    return tuple(found)
