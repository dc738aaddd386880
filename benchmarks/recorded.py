"""Days recorded on real servers, as they are kept beside the benchmarks.

``recorded_days`` gives every answer by server, regime and temperature, without log-probabilities; ``first_tokens``
gives the same with those of the first token, which were kept at temperature 0. A recording is two months at most;
``blocks`` draws a longer time from it in stretches of consecutive days, so that what joins a day to the next stays.
"""

import asyncio
import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.pool import FOLDER, Collector, PoolAnswer, suite
from monitor.core.records import JUDGE_GRADER, Arm, GradedAnswer, Run, TokenLogprob
from monitor.core.settings import Judge
from monitor.judge.llm import judge_questions, verdict_score
from monitor.lab.process import LabServer

FILE: Final = Path(__file__).resolve().parent / "real_days.json.gz"
BLOCK: Final = 14
"""Consecutive days of a drawn block."""

Day = tuple[PoolAnswer, ...]
"""One arm's answers of one day, probe by probe in the suite's order; a probe may lack one."""
Raw = Mapping[str, Any]
"""One line of the raw answers, see ``real_servers``."""

_FIELDS: Final = (
    "finish_reason",
    "refusal",
    "model",
    "fingerprint",
    "prompt_tokens",
    "completion_tokens",
    "scores",
    "logprobs",
)


@dataclass(frozen=True)
class Recording:
    """The days of one server under one regime at one temperature, in their order."""

    server: str
    regime: str
    temperature: float
    subject: tuple[Day, ...]
    base: tuple[Day, ...]

    @property
    def case(self) -> str:
        """Its name in tables."""
        return f"{self.regime}, temperature {self.temperature:g}"

    def on(self, days: Iterable[int]) -> "Recording":
        """The same with these days only, in this order; a day may come twice."""
        places = list(days)
        return replace(self, subject=tuple(self.subject[d] for d in places), base=tuple(self.base[d] for d in places))


def blocks(recorded: int, wanted: int, rng: np.random.Generator, length: int = BLOCK) -> NDArray[np.int64]:
    """Places of ``wanted`` days among ``recorded`` ones: blocks of ``length`` consecutive days from random starts.

    A moving-block bootstrap (H. R. Künsch, Annals of Statistics 17, 1989). The last block is cut.
    """
    length = min(length, recorded)
    starts = rng.integers(0, recorded - length + 1, size=-(-wanted // length))
    return np.asarray((starts[:, None] + np.arange(length)).ravel()[:wanted], dtype=np.int64)


def recorded_days(server: str | None = None, file: Path = FILE) -> list[Recording]:
    """Every recording, or those of one server. Raises FileNotFoundError without the file."""
    return [_bare(one) for one in _recordings(file) if server in (None, one.server)]


def first_tokens(recording: Recording, file: Path = FILE) -> Recording | None:
    """The recording with the log-probabilities of each answer's first token; ``None`` where there are none."""
    whole = next(one for one in _recordings(file) if _name(one) == _name(recording))
    return whole if whole.subject[0][0].logprobs else None


def _name(recording: Recording) -> tuple[str, str, float]:
    return recording.server, recording.regime, recording.temperature


def _bare(recording: Recording) -> Recording:
    subject, base = (
        tuple(tuple(replace(one, logprobs=None) for one in day) for day in arm)
        for arm in (recording.subject, recording.base)
    )
    return replace(recording, subject=subject, base=base)


@cache
def _recordings(file: Path) -> tuple[Recording, ...]:
    with gzip.open(file, "rt", encoding="utf-8") as source:
        kept = json.load(source)
    kinds = [
        PoolAnswer(
            "real-days", kept["probes"][probe], 0, kept["texts"][text], **dict(zip(_FIELDS[:-1], told, strict=True)),
            logprobs=None if first is None else (TokenLogprob(*first),),
        )
        for probe, text, *told, first in kept["kinds"]
    ]  # fmt: skip
    return tuple(
        Recording(
            one["server"],
            one["regime"],
            one["temperature"],
            *(tuple(tuple(kinds[place] for place in day) for day in one[arm]) for arm in (Arm.SUBJECT, Arm.BASE)),
        )
        for one in kept["recordings"]
    )


def keep_raw(folder: Path, file: Path = FILE) -> int:
    """`keep` every raw file of ``folder``, with the lab judge's scores of its texts; returns the file's size in bytes.

    Recordings in ``file`` that ``folder`` lacks are lost.
    """
    rows: list[Raw] = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                row["logprobs"] = _first(row) if row["temperature"] == 0 else None
                rows.append(row)
    verdicts = _known(file) if file.is_file() else {}
    texts = sorted({(row["probe"], row["text"]) for row in rows} - set(verdicts))
    return keep(rows, verdicts | asyncio.run(_judged(texts)), [probe.id for probe in suite().probes], file)


def _known(file: Path) -> dict[tuple[str, str], float]:
    """The verdicts that a file already holds: the judge says the same of the same text."""
    days = [day for one in _recordings(file) for arm in (one.subject, one.base) for day in arm]
    return {(one.probe, one.text): one.judge for day in days for one in day if one.judge is not None}


def _first(row: Raw) -> list[Any] | None:
    """The first token with its alternatives, to four digits: the others are most of a file, and no signal of equal
    texts needs them."""
    if not row["logprobs"]:
        return None
    token, logprob, top = row["logprobs"][0]
    return [token, round(logprob, 4), {name: round(value, 4) for name, value in top.items()}]


async def _judged(texts: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """(probe, text) -> the verdict of the lab's judge, asked as the product asks it."""
    now = datetime.now(UTC)
    run = Run(1, "lab", suite().name, now, "running", None, 1, 1, None, now, 1, suite().digest)
    answers = [
        GradedAnswer(1, now, Arm.SUBJECT, probe, place, text, "stop", False, None, None, 0, 0)
        for place, (probe, text) in enumerate(texts)
    ]
    questions = judge_questions(run, suite(), answers, Judge(provider="lab", model="lab-judge"))
    with LabServer() as lab:
        collector = Collector(lab, 1, FOLDER)
        told = await collector.ask_all(questions, lambda question, answer: {"place": question.replicate, "score": (
            verdict_score(question.arm, question.probe, question.replicate, answer)
        )})  # fmt: skip
        await collector.provider.aclose()
    return {texts[one["place"]]: one["score"].value for one in told if one["score"] is not None}


def keep(rows: Iterable[Raw], verdicts: Mapping[tuple[str, str], float], probes: Sequence[str], file: Path) -> int:
    """Write what ``recorded_days`` reads; returns the file's size in bytes.

    ``verdicts``: (probe, text) -> the judge's score. ``probes``: ids in the suite's order.
    """
    texts: dict[str, int] = {}
    kinds: dict[str, int] = {}
    found: dict[tuple[str, str, float], dict[str, dict[int, list[tuple[int, int]]]]] = {}
    for row in rows:
        place, text = probes.index(row["probe"]), texts.setdefault(row["text"], len(texts))
        judged = verdicts.get((row["probe"], row["text"]))
        scores = dict(row["scores"]) | ({} if judged is None else {JUDGE_GRADER: judged})
        told = [{**row, "scores": scores}[name] for name in _FIELDS]
        kind = kinds.setdefault(json.dumps([place, text, *told]), len(kinds))
        arms = found.setdefault((row["server"], row["regime"], row["temperature"]), {})
        arms.setdefault(row["arm"], {}).setdefault(row["day"], []).append((place, kind))
    recordings = [
        {"server": server, "regime": regime, "temperature": temperature}
        | {arm: [[kind for _, kind in sorted(days[day])] for day in sorted(days)] for arm, days in arms.items()}
        for (server, regime, temperature), arms in sorted(found.items())
    ]
    kept = {"probes": probes, "texts": list(texts), "kinds": list(map(json.loads, kinds)), "recordings": recordings}
    # without a time or a name in its header, the same days are the same file
    data = json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()
    file.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))
    return file.stat().st_size
