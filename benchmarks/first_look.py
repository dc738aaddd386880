"""Is a total adapter loss caught at the first look, and is a healthy round left alone? On the lab's real weights.

A baseline of seven rounds is captured from the healthy lab, each as a day of its own. Then come rounds of at most 60
calls: healthy ones, and ones in which the endpoint serves the bare base under the adapter's name (`--fault`, several
allowed). Each goes through the whole detect stage at the default alarm setting (0.1 false pages a target-year, daily
looks) and is one trial. What is measured: the share of rounds on which each signal alarms, with Wilson's 95 % interval.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import openai
from rich.console import Console
from rich.progress import track
from rich.table import Table

from monitor.detect import SIGNALS, alpha_for, findings_for
from monitor.detect.parts import wilson
from monitor.lab.process import LabServer
from monitor.lab.product import Case, held_out, is_right
from monitor.records import Arm, Comparison, Finding, GradedAnswer
from monitor.settings import Alarms

MODELS = {Arm.SUBJECT: "lab-support", Arm.BASE: "lab-base"}
MOST_CALLS = 60
CONCURRENCY = 8
BASELINE_ROUNDS = 7
START = datetime(2026, 1, 1, tzinfo=UTC)
TEMPERATURE = 0.7
MAX_TOKENS = 96


class Rounds:
    """Asks whole rounds of one suite. ``calls`` counts; every round has its own seeds, derived from ``seed``."""

    def __init__(self, client: openai.AsyncOpenAI, seed: int, probes: int) -> None:
        self.client, self.seed = client, seed
        self.suite = {f"p{index:02}": case for index, case in enumerate(held_out(seed, probes))}
        self.slots = asyncio.Semaphore(CONCURRENCY)
        self.asked = 0

    async def round(self) -> tuple[GradedAnswer, ...]:
        """Every probe once to both arms: 2 x probes calls."""
        self.asked += 1
        questions = [(arm, probe) for probe in self.suite for arm in MODELS]
        return tuple(await asyncio.gather(*(self._answer(self.asked, *question) for question in questions)))

    async def _answer(self, number: int, arm: Arm, probe: str) -> GradedAnswer:
        case = self.suite[probe]
        async with self.slots:
            reply = await self.client.chat.completions.create(
                model=MODELS[arm],
                messages=[{"role": "user", "content": case.prompt}],
                temperature=TEMPERATURE,
                max_tokens=MAX_TOKENS,
                seed=crc32(f"{self.seed}:{number}:{arm}:{probe}".encode()),
            )
        return graded(number, arm, probe, case, reply)


def graded(number: int, arm: Arm, probe: str, case: Case, reply: Any) -> GradedAnswer:
    """The reply as the store would hand it to the detectors, with the one check that needs no model."""
    choice = reply.choices[0]
    text = choice.message.content or ""
    return GradedAnswer(
        run_id=number,
        slot=START + timedelta(days=number),
        arm=arm,
        probe=probe,
        replicate=0,
        text=text,
        finish_reason=choice.finish_reason,
        refusal=bool(choice.message.refusal),
        model=reply.model,
        fingerprint=reply.system_fingerprint,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        scores={"check:right": float(is_right(case, text))},
    )


async def trials(lab: LabServer, arguments: argparse.Namespace) -> dict[str, list[list[Finding]]]:
    """Case -> the findings of each of its rounds."""
    client = openai.AsyncOpenAI(base_url=lab.openai_url, api_key="lab", max_retries=0)
    rounds = Rounds(client, arguments.seed, arguments.probes)
    baseline = [answer for _ in range(BASELINE_ROUNDS) for answer in await rounds.round()]
    alpha = alpha_for(Alarms().false_pages_per_target_year, 365)
    prompts = {probe: case.prompt for probe, case in rounds.suite.items()}
    found: dict[str, list[list[Finding]]] = {}
    for case in ("healthy", *arguments.fault):
        with nullcontext() if case == "healthy" else lab.fault(case):
            for _ in track(range(arguments.trials), case, console=Console(stderr=True), transient=True):
                now = await rounds.round()
                assert len(now) <= MOST_CALLS
                compared = Comparison(rounds.asked, "lab", "support", now, tuple(baseline), prompts, alpha)
                found.setdefault(case, []).append(findings_for(compared))
    await client.close()
    return found


def rows(found: dict[str, list[list[Finding]]]) -> list[dict[str, Any]]:
    """One row per case and signal: the share of rounds with an alarm."""
    result = []
    for case, looks in found.items():
        measured = Counter(finding.signal for look in looks for finding in look)
        alarmed = Counter(finding.signal for look in looks for finding in look if finding.alarming)
        for signal in (name for name in SIGNALS if measured[name]):
            low, high = wilson(alarmed[signal] / len(looks), len(looks))
            result.append(
                {
                    "benchmark": "first_look",
                    "method": signal,
                    "case": case,
                    "measure": "false_alarms" if case == "healthy" else "first_look_detection",
                    "value": alarmed[signal] / len(looks),
                    "low": low,
                    "high": high,
                    "n": len(looks),
                }
            )
    return result


def show(results: list[dict[str, Any]], found: dict[str, list[list[Finding]]]) -> None:
    table = Table("case", "signal", "alarms", "of", "95 % interval", "median effect", "p: least", "p: most")
    for row in results:
        mine = [one for look in found[row["case"]] for one in look if one.signal == row["method"]]
        effects, p_values = sorted(one.effect for one in mine), sorted(one.p_value for one in mine)
        table.add_row(
            row["case"], row["method"], str(round(row["value"] * row["n"])), str(row["n"]),
            f"{row['low']:.3f} to {row['high']:.3f}", f"{effects[len(effects) // 2]:.3f}",
            f"{p_values[0]:.1e}", f"{p_values[-1]:.1e}",
        )  # fmt: skip
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the suite and of every answer")
    parser.add_argument("--trials", type=int, default=50, help="rounds per case")
    parser.add_argument("--probes", type=int, default=24, help=f"probes a round, at most {MOST_CALLS // 2}")
    parser.add_argument("--fault", nargs="+", default=["adapter-dropped"], help="faults of the lab, each a case")
    parser.add_argument("--weights", type=Path, help="folder of the lab's weights (default: those in the package)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    arguments = parser.parse_args()
    if not 1 <= arguments.probes <= MOST_CALLS // 2:
        parser.error(f"--probes must be 1 to {MOST_CALLS // 2}")
    with LabServer(weights=arguments.weights) as lab:
        found = asyncio.run(trials(lab, arguments))
    results = rows(found)
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        show(results, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
