"""Finds border inputs: prompts on which a target's first token, at temperature 0, is almost a coin toss.

B3IT (T. Chauvin et al., ICML 2026, arXiv 2602.11083) asks thousands of candidates three times each and keeps those that
did not always get the same token. Candidates here are a few words of the target's own probes, so that they
match the target's purpose. The kept inputs become a suite, which the signal ``border`` reads.
"""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import yaml

from monitor.core.errors import CouldNotMeasure, UsageError
from monitor.core.records import (
    Answer,
    Arm,
    ConditionReason,
    GradedAnswer,
    Message,
    Probe,
    Question,
    Run,
    RunOutcome,
    Sampling,
    Suite,
)
from monitor.core.seeds import question_seed
from monitor.core.wording import many
from monitor.runs.conditions import lacking

if TYPE_CHECKING:
    from monitor.runs.context import RunContext

TIMES: Final = 3
"""Answers requested for each candidate."""
REPLICATES: Final = 10
"""Answers per input in a run of the suite."""
MOST_INPUTS: Final = 20
"""Inputs kept, those that varied first: 200 calls of one token a run."""
LONGEST_WORDS: Final = 5
"""Maximum number of words of a candidate."""
MOST_VARYING: Final = 0.5
"""Share of the candidates that may vary. At temperature 0 a few percent do; more show that it has no effect."""
_ALTERNATIVES: Final = 5
_LEASE_SECONDS: Final = 3_600.0
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_SAMPLING: Final = Sampling(temperature=0.0, max_tokens=1, logprobs=_ALTERNATIVES)


async def find_near_ties(context: "RunContext", target: str, candidates: int, path: Path) -> list[str]:
    """Ask ``candidates`` prompts and write the border inputs among them to ``path``. Returns lines for the user.

    The calls are a separate run in the ledger: recorded, within the target's budget, and not compared. Writes nothing
    if it finds fewer inputs than the signal needs.
    Raises UsageError before any question is asked, CouldNotMeasure if no candidate got two answers.
    """
    from monitor.detect.border import FEWEST_INPUTS

    if path.suffix != ".yaml" or path.exists():
        why = "is there already" if path.exists() else "must end in .yaml"
        raise UsageError(f"{path}: {why}; nothing was asked")
    _needs_temperature(context, target)
    suite = candidate_suite(_probes(context, target), target, candidates)
    try:
        answers = await _asked(context, target, suite)
    finally:
        await context.asker.aclose()
    if not answers:
        raise CouldNotMeasure(
            f"{target}: no candidate got two answers with text; `cliffwatch ask {target} PROBE --debug` helps"
        )
    if (vary := varying(answers)) > MOST_VARYING * len(answers):
        return [
            f"{target}: {vary} of {len(answers)} candidates got different tokens, more than near ties would: "
            "temperature 0 has no effect there; nothing was written"
        ]
    found = nearest(answers)
    said = f"{target}: {many(len(found), 'border input')} among {len(answers)} candidates"
    if len(found) < FEWEST_INPUTS:
        return [f"{said}, too few for a suite; nothing was written. A server that computes alike every time has none."]
    prompts = {probe.id: probe for probe in suite.probes}
    _write(path, suite_yaml(path.stem, [prompts[name] for name in found]))
    calls = len(found) * REPLICATES
    return [
        f"{said}; wrote {path}: {calls} calls of one token a run",
        f"then: name it in targets.{target}.suites and capture a baseline",
    ]


def candidate_suite(probes: Sequence[Probe], target: str, count: int) -> Suite:
    """``count`` different prompts of one to ``LONGEST_WORDS`` words of ``probes``, the same for the same probes.

    They keep the system prompt of the first probe that has one. Returns fewer if there are not enough words.
    """
    from monitor.config.suites import with_digest

    words = sorted({word for probe in probes for word in _WORD.findall(probe.prompt)})
    if not words:
        raise UsageError(f"{target}: its probes have no words to make candidates of")
    rng = Random(f"{target}/{' '.join(words)}")
    drawn = (" ".join(rng.choices(words, k=rng.randint(1, LONGEST_WORDS))) for _ in range(20 * count))
    prompts = list(dict.fromkeys(drawn))[:count]
    system = next((m for probe in probes for m in probe.messages if m.role == "system"), None)
    before = (system,) if system else ()
    made = tuple(
        Probe(f"border-{number:04}", (*before, Message("user", prompt))) for number, prompt in enumerate(prompts, 1)
    )
    suite = Suite(f"border-candidates-{target}", "", made, TIMES, _SAMPLING)
    return with_digest(suite)


def _needs_temperature(context: "RunContext", target: str) -> None:
    """Raise UsageError if the subject cannot be asked at temperature 0, where alone near ties exist."""
    why = lacking(context.settings, context.store, target).get((Arm.SUBJECT, "temperature"))
    if why is not None:
        kind = context.settings.providers[context.settings.targets[target].subject.provider].kind
        told = f"kind {kind} never sends it" if why is ConditionReason.NEVER_SENT else "the endpoint rejects it"
        raise UsageError(f"{target}: near ties exist only at temperature 0, and {told}; nothing was asked")


def varying(answers: dict[str, list[GradedAnswer]]) -> int:
    """Number of candidates whose answers began differently."""
    from monitor.detect.border import first_token

    return sum(len({first_token(one) for one in found}) > 1 for found in answers.values())


def nearest(answers: dict[str, list[GradedAnswer]]) -> list[str]:
    """The candidates that are near ties, by id: those whose token varied first, then the smallest margins."""
    from monitor.detect.border import first_token, near_tie
    from monitor.detect.logprobs import first_table

    def doubt(name: str) -> tuple[bool, float, str]:
        found = answers[name]
        tops = [sorted(table.values(), reverse=True) for one in found if len(table := first_table(one)) > 1]
        margin = min((top[0] - top[1] for top in tops), default=0.0)
        return len({first_token(one) for one in found}) == 1, margin, name

    return sorted((name for name, found in answers.items() if near_tie(found)), key=doubt)[:MOST_INPUTS]


def suite_yaml(name: str, probes: Sequence[Probe]) -> str:
    """The suite file's text."""
    system = next((m.content for m in probes[0].messages if m.role == "system"), None)
    content = {
        "name": name,
        "description": "Border inputs: near ties at temperature 0, found by cliffwatch near-ties.",
        **({"system": system} if system else {}),
        "replicates": REPLICATES,
        "sampling": {"temperature": 0, "max_tokens": 1, "logprobs": _ALTERNATIVES},
        "probes": [{"id": probe.id, "prompt": probe.prompt} for probe in sorted(probes, key=lambda one: one.id)],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _probes(context: "RunContext", target: str) -> list[Probe]:
    suites = [context.suites.get(name) for name in context.settings.targets[target].run_suites]
    return [probe for suite in suites if suite is not None for probe in suite.probes]


async def _asked(context: "RunContext", target: str, suite: Suite) -> dict[str, list[GradedAnswer]]:
    """Candidate -> its answers with text, those with two or more. All at once, within the provider's limits and the
    budget."""
    from monitor.config.suites import suite_body

    store, subject = context.store, context.settings.targets[target].subject
    store.save_suite(suite.digest, suite.name, suite_body(suite))
    slot = context.clock()
    made = store.ensure_run(target, suite.name, slot, Random(f"{target}/{slot}").getrandbits(31), suite.digest,
                            next_at=slot, scheduled=False)  # fmt: skip
    run = await asyncio.to_thread(store.claim, made.id, slot, _LEASE_SECONDS)
    if run is None:
        raise CouldNotMeasure(f"{target}: another process asks its candidates at this very moment")
    questions = [
        Question(
            run.id, target, suite.name, Arm.SUBJECT, probe.id, replicate, subject.provider, subject.model,
            probe.messages, suite.sampling, question_seed(run.seed, Arm.SUBJECT, probe.id, replicate),
        )
        for probe in suite.probes
        for replicate in range(TIMES)
    ]  # fmt: skip
    try:
        await context.asker.ask(questions, run.fence)
    finally:
        await asyncio.to_thread(_finish, context, run, len(questions))
    found: dict[str, list[GradedAnswer]] = {}
    for one in filter(lambda answer: answer.has_text, await asyncio.to_thread(store.answers, [run.id])):
        found.setdefault(one.probe, []).append(one)
    return {name: answers for name, answers in found.items() if len(answers) > 1}


def _finish(context: "RunContext", run: Run, asked: int) -> None:
    usable = sum(isinstance(outcome, Answer) for _, outcome in context.store.outcomes(run.id))
    partly = RunOutcome.PARTIAL if usable else RunOutcome.UNMEASURED
    outcome = RunOutcome.MEASURED if usable == asked else partly
    context.store.finish(run.id, run.fence, outcome, (), context.clock())


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; give another path") from error
