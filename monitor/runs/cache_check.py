"""A check of the server's prefix cache: a tenth of the probes is asked once more, past the cache.

Fixed daily probes are what a prefix cache serves. If it keeps blocks of other weights, or of another adapter, probes
get answers that users with other prompts do not get. vLLM takes ``cache_salt`` in a request and then reuses only blocks
with the same salt, so a new salt for each question has it computed anew:
https://docs.vllm.ai/en/latest/design/prefix_caching/

Only at temperature 0, and only for probes whose baseline answers are all alike: others differ by chance. The salt is
sent only to a server that lists the model as vLLM's own (``owned_by``), so no other server has to know the field. A
server that rejects it is not asked with it again.

Each run takes its turn of the probes; ten runs in a row take all of them. A probe whose answers differ is asked again,
see ``detect.cache_check``, and the next run checks it too. The questions cost budget as all do, are recorded once, and
are compared by nothing else.
"""

import asyncio
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from monitor.core import schedule
from monitor.core.providers import PROVIDERS
from monitor.core.records import Arm, Probe, Question, Run, Suite
from monitor.core.run_kinds import run_kind
from monitor.core.seeds import question_seed
from monitor.core.settings import Target
from monitor.core.texts import is_empty
from monitor.detect.cache_check import CONFIRMING, PLAIN, SALTED

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

TURNS: Final = 10
"""Runs in which every probe has its turn."""
OWNER: Final = "vllm"
"""``owned_by`` in the model list of a server that takes a cache salt."""


async def ask(context: "RunContext", run: Run, suite: Suite) -> None:
    """Ask the run's turn of probes past the cache, and again those whose answers differ. Repeatable: questions with an
    outcome are not asked again. Raises LostFence and StoreError."""
    probes = await asyncio.to_thread(_chosen, context, run, suite)
    if not probes:
        return
    await _ask(context, run, suite, probes, (SALTED,))
    doubted = await asyncio.to_thread(_doubted, context, run, {probe.id for probe in probes})
    await _ask(context, run, suite, [probe for probe in probes if probe.id in doubted], (*CONFIRMING, PLAIN))


async def _ask(
    context: "RunContext", run: Run, suite: Suite, probes: Sequence[Probe], replicates: Sequence[int]
) -> None:
    if not probes:
        return
    recorded = await asyncio.to_thread(context.store.answered, run.id)
    target = context.settings.targets[run.target]
    asked = [question(target, run, suite, probe, replicate) for replicate in replicates for probe in probes]
    await context.asker.ask([one for one in asked if one.key not in recorded], run.fence)


def question(target: Target, run: Run, suite: Suite, probe: Probe, replicate: int) -> Question:
    """The subject's first question to the probe, with a salt that no other question has; without for ``PLAIN``."""
    salt = sha256(f"{run.seed}/{probe.id}/{replicate}/cache salt".encode()).hexdigest()
    return Question(
        run_id=run.id, target=run.target, suite=suite.name, arm=Arm.CACHE_CHECK, probe=probe.id, replicate=replicate,
        provider=target.subject.provider, model=target.subject.model, messages=probe.messages, sampling=suite.sampling,
        seed=question_seed(run.seed, Arm.SUBJECT, probe.id, 0), response_schema=suite.response_schema,
        cache_salt=None if replicate == PLAIN else salt,
    )  # fmt: skip


def _chosen(context: "RunContext", run: Run, suite: Suite) -> list[Probe]:
    """The run's turn of the probes with a steady answer, and those that the last run doubted; if they have an answer.

    Empty if it checks none: a fresh sample, another kind of run, another temperature, no baseline, or a server that
    takes no salt.
    """
    asks = run.confirms is None and Arm.CACHE_CHECK in run_kind(run.target, run.suite).arms
    if not asks or suite.sampling.temperature != 0 or not _takes_salt(context, run.target):
        return []
    baseline = context.store.approved(run.target, run.suite)
    if baseline is None or baseline.suite_digest != run.suite_digest:
        return []
    steady = context.store.steady_probes(baseline.run_ids)
    doubted = context.store.doubted_probes(run.target, run.suite, run.id)
    interval = schedule.interval_seconds(context.settings.schedule, run.suite)
    chosen = turn([one for one in suite.probes if one.id in steady], int(run.slot.timestamp() // interval), doubted)
    answered = context.store.first_texts(run.id, [one.id for one in chosen])
    return [one for one in chosen if not is_empty(answered.get(one.id, ""))]


def turn(probes: Sequence[Probe], number: int, doubted: Collection[str] = ()) -> list[Probe]:
    """The probes of turn ``number``, and the doubted ones.

    >>> names = [Probe(str(n), ()) for n in range(25)]
    >>> [[one.id for one in turn(names, number)] for number in (0, 4, 9, 10)]
    [['0', '10', '20'], ['4', '14', '24'], ['9', '19'], ['0', '10', '20']]
    """
    return [one for place, one in enumerate(probes) if place % TURNS == number % TURNS or one.id in doubted]


def _takes_salt(context: "RunContext", name: str) -> bool:
    subject = context.settings.targets[name].subject
    provider = context.settings.providers[subject.provider]
    if not PROVIDERS[provider.kind].cache_salt or not provider.server:
        return False
    accepts = context.store.capability(subject.provider, provider.server, subject.model)
    if not accepts.get("cache_salt", True) or not accepts.get("temperature", True):
        return False
    served = context.store.served_metadata(name)
    return any(
        one.arm is Arm.SUBJECT and one.model == subject.model and one.facts.get("owned_by") == OWNER for one in served
    )


def _doubted(context: "RunContext", run: Run, probes: Collection[str]) -> set[str]:
    """The probes whose answer past the cache differs from the run's first answer."""
    plain = context.store.first_texts(run.id, probes)
    salted = {one.probe: one.text for one in context.store.cache_checks(run.id) if one.replicate == SALTED}
    both = plain.keys() & salted.keys() & set(probes)
    return {one for one in both if plain[one] != salted[one] and not is_empty(plain[one]) and not is_empty(salted[one])}
