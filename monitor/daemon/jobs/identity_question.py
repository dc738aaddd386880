"""One question of one token to each model that no list names and no run has asked: does it answer?

Only ``cliffwatch identify`` asks it. The daemon's runs ask every model anyway.
"""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from random import Random
from typing import Final

from monitor.config.suites import suite_body, with_digest
from monitor.core.records import Answer, Message, Probe, Question, Run, RunOutcome, Sampling, Suite
from monitor.core.seeds import question_seed
from monitor.daemon.jobs.identity_evidence import CheckedTarget
from monitor.runs.context import RunContext

SUITE: Final = "identity-question"
_LEASE_SECONDS: Final = 600.0
_PROBE: Final = Probe("greeting", (Message("user", "Hello"),))
_SAMPLING: Final = Sampling(max_tokens=1)


async def ask(context: RunContext, looked: Iterable[CheckedTarget]) -> bool:
    """Ask the models of those that are ``unasked``, within their targets' budgets. Returns whether any was asked.

    The questions of a target are a run in the ledger: recorded, and not compared. Raises StoreError.
    """
    open_ones = sorted((one for one in looked if one.unasked and one.target in context.settings.targets),
                       key=lambda one: (one.target, one.arm))  # fmt: skip
    for target, arms in groupby(open_ones, key=lambda one: one.target):
        await _ask_target(context, target, list(arms))
    return bool(open_ones)


async def _ask_target(context: RunContext, target: str, arms: list[CheckedTarget]) -> None:
    store, slot = context.store, context.clock()
    suite = with_digest(Suite(SUITE, "", (_PROBE,), 1, _SAMPLING))
    store.save_suite(suite.digest, suite.name, suite_body(suite))
    seed = Random(f"{target}/{slot}").getrandbits(31)
    made = store.ensure_run(target, suite.name, slot, seed, suite.digest, next_at=slot, scheduled=False)
    run = await asyncio.to_thread(store.claim, made.id, slot, _LEASE_SECONDS)
    if run is None:  # another process asks at this very moment
        return
    try:
        await context.asker.ask([_question(context, run, one) for one in arms], run.fence)
    finally:
        await asyncio.to_thread(_finish, context, run, len(arms))


def _question(context: RunContext, run: Run, one: CheckedTarget) -> Question:
    target = context.settings.targets[one.target]
    endpoint = {"base": target.base, "snapshot": target.snapshot}.get(one.arm, target.subject) or target.subject
    return Question(
        run.id, one.target, SUITE, one.arm, _PROBE.id, 0, endpoint.provider, endpoint.model, _PROBE.messages, _SAMPLING,
        question_seed(run.seed, one.arm, _PROBE.id, 0),
    )  # fmt: skip


def _finish(context: RunContext, run: Run, asked: int) -> None:
    usable = sum(isinstance(outcome, Answer) for _, outcome in context.store.outcomes(run.id))
    partly = RunOutcome.PARTIAL if usable else RunOutcome.UNMEASURED
    outcome = RunOutcome.MEASURED if usable == asked else partly
    context.store.finish(run.id, run.fence, outcome, (), context.clock())
