"""A pool of the lab's real answers, asked once and stored, for the statistical benchmarks to resample.

A false-alarm rate of 0.1 a year cannot be measured by asking: thousands of simulated years would take months. So the
lab is asked many times for each probe, in health and under each fault, and a simulated evaluation draws from its
answers. Every answer is real (weights, sampling, API, checks and judge are those of the product); only the drawing is
simulated.

Files are in ``benchmarks/.pool/<seed>/``: a case's answers in ``<case>.jsonl.gz``, the judge's scores of them in
``<case>.judge.jsonl.gz``. A file appears when it is complete, and existing files are not collected again, so that an
interrupted collection continues where it stopped. The judge comes last because the fewest benchmarks need it.
"""

import argparse
import asyncio
import dataclasses
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from monitor.ask.openai import OpenAIProvider
from monitor.ask.protocol import Setup
from monitor.config.suites import load_suite
from monitor.core.providers import OpenAISettings
from monitor.core.records import (
    JUDGE_GRADER,
    Answer,
    Arm,
    GradedAnswer,
    Probe,
    Question,
    Run,
    Sampling,
    Suite,
    TokenLogprob,
)
from monitor.core.seeds import question_seed
from monitor.core.settings import Judge
from monitor.judge.checks import score_answer
from monitor.judge.llm import judge_questions, verdict_score
from monitor.lab.process import LabServer

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = Path(__file__).resolve().parent / ".pool"
SUITE: Final = "lab-support"
CONCURRENCY: Final = 16
"""Twice the lab's slots: while 8 answers are drawn, 8 more are read, sent or waiting."""

FIRST_TOP, LATER_TOP = 20, 5
"""Alternatives kept of the first token, which has a detector of its own, and of every later one."""

JUDGED_REPLICATES: Final = 60
WEIGHT_FAULTS: Final = (
    "adapter-dropped", "routed-to-base", "base-next-under-adapter", "half-scale", "weights-8bit", "weights-4bit",
)  # fmt: skip
FAULTS: Final = (
    *WEIGHT_FAULTS, "hidden-system-prompt", "other-temperature", "longer-answers", "truncation", "refusals",
    "other-model-name", "other-fingerprint", "judge-replaced",
)  # fmt: skip
JUDGED: Final = ("healthy", "base", "judge-replaced", "base+judge-replaced")
CASES: Final = (
    "healthy", "base", *FAULTS, *(f"{name}@0" for name in ("healthy", "base", *WEIGHT_FAULTS)), "base+judge-replaced",
)  # fmt: skip
"""Every case, in the order in which it is collected; ``@0`` is temperature 0.

A replaced judge scores both arms, so it has a case for either: without ``base+`` it judges healthy answers.
"""

LOTTERIES: Final = 20
"""Replicates of ``routed-to-base@0``: greedy answers repeat, but which of them reach the base does not."""


Row = dict[str, Any]
"""One line of a file."""


class PoolMissingError(RuntimeError):
    """The pool, or a part of it, has not been collected."""


@dataclass(frozen=True, slots=True)
class PoolAnswer:
    """One answer of the lab. ``scores`` are the checks' and, where the answer was judged, ``judge``.

    ``logprobs`` are of the model at temperature 1, whatever it was sampled at, as llama.cpp tells them: the whole top
    table of token 0, at most five alternatives of later ones; ``None`` where the endpoint told none.
    """

    case: str
    probe: str
    replicate: int
    text: str
    finish_reason: str | None
    refusal: bool
    model: str | None
    fingerprint: str | None
    prompt_tokens: int
    completion_tokens: int
    scores: Mapping[str, float] = field(default_factory=dict)
    logprobs: tuple[TokenLogprob, ...] | None = None

    @property
    def right(self) -> float:
        """1 if all of the probe's checks pass, else 0."""
        return self.scores["checks"]

    @property
    def judge(self) -> float | None:
        """The judge's verdict, 1 pass or 0 fail; ``None`` where the answer was not judged or the judge gave none."""
        return self.scores.get(JUDGE_GRADER)


@dataclass(frozen=True)
class Pool:
    """What was collected with one seed; a case is read from its file when it is first wanted."""

    seed: int
    folder: Path
    prompts: Mapping[str, str]
    """Probe id -> prompt."""

    def __getitem__(self, case: str) -> Mapping[str, tuple[PoolAnswer, ...]]:
        """Probe -> the case's answers to it, by replicate. Raises `PoolMissingError`."""
        return _by_probe(case, self.seed, self.folder)


@cache
def _by_probe(case: str, seed: int, folder: Path) -> Mapping[str, tuple[PoolAnswer, ...]]:
    grouped: dict[str, list[PoolAnswer]] = {}
    for answer in load(case, seed, folder):
        grouped.setdefault(answer.probe, []).append(answer)
    return MappingProxyType({probe: tuple(answers) for probe, answers in grouped.items()})


def pool(seed: int = 1, cases: Iterable[str] = CASES, folder: Path = FOLDER) -> Pool:
    """The pool of one seed. Name the cases that you need: they come one by one, health and base first.

    Raises `PoolMissingError`, with the command that makes it, if one of ``cases`` is not there.
    """
    missing = [case for case in cases if not answers_file(case, seed, folder).is_file()]
    if missing:
        raise _missing(seed, missing)
    return Pool(seed, folder, MappingProxyType({probe.id: probe.prompt for probe in suite().probes}))


def load(case: str, seed: int = 1, folder: Path = FOLDER) -> list[PoolAnswer]:
    """A case's answers, sorted by probe as in the suite and replicate, with the judge's scores as far as there are any.

    Raises `PoolMissingError` when the case has not been collected.
    """
    path = answers_file(case, seed, folder)
    if not path.is_file():
        raise _missing(seed, [case])
    verdicts: dict[tuple[str, int], float] = {}
    if (judged := judge_file(case, seed, folder)).is_file():
        verdicts = {(row["probe"], row["replicate"]): row["judge"] for row in _read(judged) if row["judge"] is not None}
    answers = []
    for row in _read(path):
        if (score := verdicts.get((row["probe"], row["replicate"]))) is not None:
            row["scores"][JUDGE_GRADER] = score
        tokens = row.pop("logprobs")
        answers.append(PoolAnswer(**row, logprobs=None if tokens is None else tuple(TokenLogprob(*t) for t in tokens)))
    return answers


def graded(answer: PoolAnswer, run_id: int, slot: datetime, arm: Arm, replicate: int) -> GradedAnswer:
    """``answer`` as the store would hand it to a detector, as the given run's, arm's and replicate's.

    The log-probabilities go along as soon as `GradedAnswer` has a place for them.
    """
    more: dict[str, Any] = {}
    if any(one.name == "logprobs" for one in dataclasses.fields(GradedAnswer)):
        more["logprobs"] = answer.logprobs
    return GradedAnswer(
        run_id=run_id,
        slot=slot,
        arm=arm,
        probe=answer.probe,
        replicate=replicate,
        text=answer.text,
        finish_reason=answer.finish_reason,
        refusal=answer.refusal,
        model=answer.model,
        fingerprint=answer.fingerprint,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        scores=answer.scores,
        **more,
    )


@cache
def suite() -> Suite:
    """The lab's suite of 24 probes, as it ships."""
    return load_suite(SUITE, ROOT)


def answers_file(case: str, seed: int, folder: Path = FOLDER) -> Path:
    return folder / str(seed) / f"{case}.jsonl.gz"


def judge_file(case: str, seed: int, folder: Path = FOLDER) -> Path:
    return folder / str(seed) / f"{case}.judge.jsonl.gz"


def _missing(seed: int, cases: Sequence[str]) -> PoolMissingError:
    return PoolMissingError(
        f"the pool of seed {seed} lacks {', '.join(cases)}; collect it with: python -m benchmarks.pool --seed {seed}"
    )


def _read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """All rows, or no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with gzip.open(part, "wt", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    part.rename(path)


@dataclass(frozen=True)
class Plan:
    """One case to collect: whom to ask, with which fault on, how."""

    case: str
    replicates: int
    temperature: float | None

    @property
    def name(self) -> str:
        """Of the fault, or ``healthy`` or ``base``."""
        return self.case.removesuffix("@0").removeprefix("base+")

    @property
    def arm(self) -> Arm:
        return Arm.BASE if self.case in ("base", "base@0", "base+judge-replaced") else Arm.SUBJECT

    def fault(self, lab: LabServer, seed: int) -> Any:
        """The context in which the case's fault is on; the routing lottery is tied to the seeds, so that it repeats."""
        if self.name in ("healthy", "base"):
            return nullcontext()
        sticky = {"share": 0.3, "sticky": "seed", "seed": seed} if self.name == "routed-to-base" else {}
        return lab.fault(self.name, **sticky)


def plans(arguments: argparse.Namespace) -> list[Plan]:
    """What to collect, in order."""
    greedy = {"routed-to-base@0": min(LOTTERIES, arguments.fault_replicates)}
    sampled = {"healthy": arguments.healthy, "base": arguments.base}
    return [
        Plan(case, greedy.get(case, 1), 0.0)
        if case.endswith("@0")
        else Plan(case, sampled.get(case, arguments.fault_replicates), suite().sampling.temperature)
        for case in CASES
    ]


class Collector:
    """Asks the lab as the product does: its provider, its questions, its seeds, its checks, its judge."""

    def __init__(self, lab: LabServer, seed: int, folder: Path) -> None:
        settings = OpenAISettings(kind="openai", base_url=lab.openai_url, free=True, concurrency=CONCURRENCY)
        self.provider = OpenAIProvider(Setup("lab", settings, None, {}, lambda: datetime.now(UTC)))
        self.lab, self.seed, self.folder, self.suite = lab, seed, folder, suite()

    async def ask_all(self, questions: Sequence[Question], keep: Callable[[Question, Answer], Row]) -> list[Row]:
        """What to keep of every question's answer, in order; the rest, the raw exchange, is let go at once.

        One that fails ends the collection, since no answer may be made up.
        """
        slots = asyncio.Semaphore(CONCURRENCY)

        async def ask(question: Question) -> Row:
            async with slots:
                return keep(question, await self.provider.ask(question, {}))

        return await asyncio.gather(*map(ask, questions))

    def questions(self, plan: Plan) -> list[Question]:
        """Every probe's every replicate. A seed belongs to one call only: cases must be independent draws."""
        run_seed = _number(f"{self.seed}:{plan.case}")
        sampling = Sampling(plan.temperature, self.suite.sampling.max_tokens, FIRST_TOP)
        model = "lab-base" if plan.arm is Arm.BASE else "lab-support"
        return [
            Question(
                run_id=1,
                target="lab",
                suite=self.suite.name,
                arm=plan.arm,
                probe=probe.id,
                replicate=replicate,
                provider="lab",
                model=model,
                messages=probe.messages,
                sampling=sampling,
                seed=question_seed(run_seed, plan.arm, probe.id, replicate),
            )
            for probe in self.suite.probes
            for replicate in range(plan.replicates)
        ]

    async def answers(self, plan: Plan) -> int:
        """Collect and write the case's answers; returns how many."""
        probes = {probe.id: probe for probe in self.suite.probes}
        with plan.fault(self.lab, self.seed):
            rows = await self.ask_all(self.questions(plan), lambda q, a: _row(plan.case, q, a, probes[q.probe]))
        _write(answers_file(plan.case, self.seed, self.folder), rows)
        return len(rows)

    async def verdicts(self, plan: Plan) -> int:
        """Have the judge score the case's first replicates, as the product asks it; returns how many."""
        now = datetime.now(UTC)
        run = Run(
            1, "lab", self.suite.name, now, "running", None, 1, 1, None, now,
            _number(f"{self.seed}:{plan.case}:judge"), self.suite.digest,
        )  # fmt: skip
        collected = load(plan.case, self.seed, self.folder)
        judged = [graded(a, 1, now, plan.arm, a.replicate) for a in collected if a.replicate < JUDGED_REPLICATES]
        questions = judge_questions(run, self.suite, judged, Judge(provider="lab", model="lab-judge"))
        with plan.fault(self.lab, self.seed):
            rows = await self.ask_all(questions, _verdict)
        _write(judge_file(plan.case, self.seed, self.folder), rows)
        return len(rows)


def _verdict(question: Question, answer: Answer) -> Row:
    score = verdict_score(question.arm, question.probe, question.replicate, answer)
    return {"probe": question.probe, "replicate": question.replicate, "judge": None if score is None else score.value}


def _row(case: str, question: Question, answer: Answer, probe: Probe) -> Row:
    return {
        "case": case,
        "probe": question.probe,
        "replicate": question.replicate,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "refusal": answer.refusal,
        "model": answer.model,
        "fingerprint": answer.fingerprint,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "scores": {grade.grader: grade.value for grade in score_answer(probe, answer.text)},
        "logprobs": None if answer.logprobs is None else [_kept(i, one) for i, one in enumerate(answer.logprobs)],
    }


def _kept(place: int, token: TokenLogprob) -> list[Any]:
    """Token 0 as it was told; of later tokens the likeliest few, to 4 digits: nobody needs more, and files shrink."""
    if place == 0:
        return [token.token, token.logprob, dict(token.top)]
    likeliest = sorted(token.top.items(), key=lambda pair: -pair[1])[:LATER_TOP]
    return [token.token, round(token.logprob, 4), {name: round(value, 4) for name, value in likeliest}]


def _number(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big")


async def collect(lab: LabServer, arguments: argparse.Namespace) -> None:
    """Everything that is not there yet, a progress line a case."""
    collector = Collector(lab, arguments.seed, arguments.folder)
    todo: list[tuple[str, Path, Callable[[Plan], Any], Plan]] = []
    planned = plans(arguments)
    todo += [(p.case, answers_file(p.case, arguments.seed, arguments.folder), collector.answers, p) for p in planned]
    todo += [
        (f"{p.case}, judged", judge_file(p.case, arguments.seed, arguments.folder), collector.verdicts, p)
        for p in planned
        if p.case in JUDGED
    ]
    for label, path, make, plan in todo:
        started = time.monotonic()
        if path.is_file():
            print(f"{label}: already collected", flush=True)
            continue
        count = await make(plan)
        seconds, size = time.monotonic() - started, path.stat().st_size / 2**20
        print(f"{label}: {count} in {seconds:.0f} s, {size:.2f} MiB", flush=True)
    await collector.provider.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of every answer, and the folder's name")
    parser.add_argument("--healthy", type=int, default=240, help="replicates a probe in health")
    parser.add_argument("--base", type=int, default=100, help="replicates a probe of the base")
    parser.add_argument("--fault-replicates", type=int, default=60, help="replicates a probe of each fault")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to keep it")
    arguments = parser.parse_args()
    with LabServer() as lab:
        asyncio.run(collect(lab, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
