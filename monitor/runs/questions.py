"""What a run asks: its probes, and every question in a fixed order."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Final

import structlog

from monitor.config.suites import suite_from_body
from monitor.core import sampling, schedule
from monitor.core.errors import CouldNotMeasure
from monitor.core.records import Arm, Probe, Question, Run, SampleAccount, Sampling, Suite
from monitor.core.run_kinds import FROZEN, run_kind
from monitor.core.seeds import question_seed
from monitor.core.settings import Endpoint, Production, Target
from monitor.runs import frozen, rollback_probe
from monitor.runs.base_share import share_size
from monitor.runs.context import RunContext
from monitor.runs.draw import draw_sample
from monitor.sample import Sampled
from monitor.store import StoreReader

log = structlog.get_logger()

ACCOUNT_COUNTS: Final = (
    "files", "lines", "filtered", "outside", "read", "malformed", "unsupported", "truncated", "duplicates",
    "not_drawn", "same",
)  # fmt: skip
"""Fields of ``SampleAccount`` that the log line ``production_sampled`` has, beside ``inputs`` for ``kept``."""


async def suite_of(context: RunContext, run: Run) -> Suite:
    """The run's probes: its suite, or the production inputs sampled for this run.

    A run keeps the version of the suite with which it began, so that answers to two versions never mix.
    Raises CouldNotMeasure if the configuration no longer has the suite, or the production logs cannot be read.
    """
    target = context.settings.targets.get(run.target)
    if target is None or run.suite not in target.run_suites:
        raise CouldNotMeasure(f"{run.target}/{run.suite} is no longer in the configuration")
    kind = run_kind(run.target, run.suite)
    if kind is FROZEN and run.suite_digest == frozen.NOT_TAKEN:
        raise CouldNotMeasure(
            f"{run.target}/{run.suite}: no frozen sample was taken yet; "
            f"`cliffwatch sample {run.target} --dry-run` shows what the source yields"
        )
    if kind.frozen_items:
        configured = context.suites.get(run.suite)
        if configured is not None and configured.digest == run.suite_digest:
            return configured
        return await asyncio.to_thread(stored_suite, context.store, run)
    assert target.production is not None
    probes: Sequence[Probe] = await asyncio.to_thread(context.store.production_inputs, run.id)
    if not probes:
        probes = await asyncio.to_thread(_sample, context, target.production, run)
    elif not target.production.keeps_texts:
        probes = await asyncio.to_thread(_with_texts, context, target.production, run, probes)
    return Suite(run.suite, run.suite_digest, tuple(probes), rubric=target.production.rubric)


def _sample(context: RunContext, production: Production, run: Run) -> list[Probe]:
    """Draw the run's sample and store it with its account. Raises CouldNotMeasure if the source cannot be read."""
    try:
        sampled = _drawn(context, production, run)
    except CouldNotMeasure as error:
        context.store.save_production_inputs(run.id, (), SampleAccount(problem=str(error)))
        raise
    _log_account(run, sampled.account)
    probes = [item.probe for item in sampled.inputs]
    if not production.keeps_texts:
        context.vault.keep_probes(run.id, probes)
    context.store.save_production_inputs(
        run.id, sampled.inputs, sampled.account, texts=production.keeps_texts, now=context.clock()
    )
    return probes


def _drawn(context: RunContext, production: Production, run: Run) -> Sampled:
    since = run.slot - timedelta(seconds=_covered(context, run))
    key = context.vault.key if production.needs_key else None
    return draw_sample(context.store, run.target, production, run.seed, since, run.slot, context.clock(), key)


def _with_texts(context: RunContext, production: Production, run: Run, stored: Sequence[Probe]) -> Sequence[Probe]:
    """The stored inputs of a run whose texts are not kept, with their texts.

    After a restart, the logs are read again: the same seed draws the same sample. An input that is no longer in them is
    not asked. Raises CouldNotMeasure if the source cannot be read.
    """
    kept = context.vault.probes(run.id)
    if kept is None:
        kept = tuple(item.probe for item in _drawn(context, production, run).inputs)
        context.vault.keep_probes(run.id, kept)
        known = {one.id for one in kept}
        lost = sum(one.id not in known for one in stored)
        log.warning("inputs_read_again", target=run.target, run=run.id, inputs=len(stored), no_longer_logged=lost)
    ids = {one.id for one in stored}
    return [one for one in kept if one.id in ids]


def _covered(context: RunContext, run: Run) -> float:
    """Seconds that a run's sample covers: a day in a capture window, in which a sample is drawn each day."""
    plan = context.settings.schedule
    capturing = context.store.before_run(run.target, run.suite, run.slot).capturing
    return plan.day_seconds if capturing else schedule.interval_seconds(plan, run.suite)


def _log_account(run: Run, account: SampleAccount) -> None:
    fields: dict[str, object] = {name: getattr(account, name) for name in ACCOUNT_COUNTS}
    fields |= {"target": run.target, "run": run.id, "inputs": account.kept, "why": list(sampling.notes(account))}
    fields["reasons"] = {one.reason.value: one.count for one in account.reasons}
    fields["where_first"] = {one.reason.value: one.place for one in sampling.lacks(account)}
    if sampling.needs_attention(account):
        log.warning("production_sampled", **fields)
    else:
        log.info("production_sampled", **fields)


def stored_suite(store: StoreReader, run: Run) -> Suite:
    """The probes of a run as stored, independent of the present configuration. Raises CouldNotMeasure."""
    if not run_kind(run.target, run.suite).frozen_items:
        return Suite(run.suite, run.suite_digest, tuple(store.production_inputs(run.id)))
    body = store.suite_body(run.suite_digest)
    if body is None:
        raise CouldNotMeasure(f"the version of suite {run.suite} that the run began with is not in the store")
    return suite_from_body(run.suite_digest, body)


def questions_of(target: Target, run: Run, suite: Suite, of_base: Collection[str] | None = None) -> list[Question]:
    """Every question of a run, in a fixed order; subject and base of one probe and replicate are adjacent.

    The questions to the snapshot come last. ``of_base``: the probes that the base is asked; ``None`` for all.
    """
    arms = run_kind(run.target, run.suite).arms
    endpoints = [(Arm.SUBJECT, target.subject, suite.replicates)]
    if target.base is not None and Arm.BASE in arms:
        endpoints.append((Arm.BASE, target.base, suite.base_replicates))
    questions = [
        _question(run, suite, probe, replicate, arm, endpoint)
        for replicate in range(suite.replicates)
        for probe in suite.probes
        for arm, endpoint, replicates in endpoints
        if replicate < replicates and (arm is not Arm.BASE or of_base is None or probe.id in of_base)
    ]
    if target.base is not None and Arm.BASE in arms:
        questions += [_question(run, suite, probe, 1, Arm.BASE, target.base) for probe in asked_twice(run, suite)]
    if (spare := target.snapshot) is not None:
        chosen = rollback_probe.probes_for_snapshot(run, suite, compare=spare.compare)
        questions += [_question(run, suite, probe, 0, Arm.SNAPSHOT, spare) for probe in chosen]
        again = asked_twice(run, suite) if chosen else []
        questions += [_question(run, suite, probe, 1, Arm.SNAPSHOT, spare) for probe in again]
    return questions


def _limited(given: Sampling, parameters: Mapping[str, Any]) -> Sampling:
    """The sampling with the limit of the answer's length that a logged request has."""
    limit = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
    return given if limit is None else replace(given, max_tokens=limit)


def asked_twice(run: Run, suite: Suite) -> list[Probe]:
    """The production inputs that the base, and a snapshot that is compared, are asked a second time, selected with the
    run's seed: they show how alike its own answers are (``detect.adapter_loss_fresh``, ``detect.alias_moved``). Fixed
    probes show it from day to day."""
    if run_kind(run.target, run.suite).frozen_items:
        return []
    return Random(f"{run.seed}/twice").sample(suite.probes, share_size(len(suite.probes)))


def _question(run: Run, suite: Suite, probe: Probe, replicate: int, arm: Arm, endpoint: Endpoint) -> Question:
    return Question(
        run_id=run.id,
        target=run.target,
        suite=suite.name,
        arm=arm,
        probe=probe.id,
        replicate=replicate,
        provider=endpoint.provider,
        model=endpoint.model,
        messages=probe.messages,
        sampling=_limited(suite.sampling, probe.parameters),
        seed=question_seed(run.seed, arm, probe.id, replicate),
        response_schema=suite.response_schema,
        parameters=probe.parameters,
    )
