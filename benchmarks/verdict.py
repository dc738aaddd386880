"""Seconds for one full verdict, beside Model Equality Testing's package on the same answers, on one thread.

A verdict is the whole detect stage: every signal on 100 probes with 10 answers each now and 10 in the baseline (a round
a day), the subject's and the base's, with 10,000 permutations where a signal permutes. The package
(``model-equality-testing``, Hamming kernel, its own permutation p-value) gets the subject's texts alone. It computes
its kernel anew for every permutation, a second each, so 10,000 take hours: it is timed at ``--permutations`` of them.
``ratio`` is theirs over ours, pair by pair: as timed, with so few permutations against our 10,000, and with their
seconds a permutation (the same for each) times 10,000. Then ours alone at ten times the probes and at ten times the
permutations. Answers are the lab's; with 100 probes each of its 24 stands for several.
"""

import contextlib
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks import peers
from benchmarks.resample import comparison, source
from benchmarks.rows import FloatArray, Row, bootstrap, parser, report
from monitor.core.records import Arm, Comparison, GradedAnswer
from monitor.detect import findings_for, mmd

PROBES: Final = 100
DAYS: Final = 10
EACH: Final = 10
MORE: Final = 10
GROWN: Final = 3
"""Verdicts of each larger size."""
TIMED: Final = ("ours", "few", "one")
BENCHMARK: Final = "verdict"


def drawn(seed: int, probes: int) -> Comparison:
    """A healthy evaluation of ``probes`` probes: 10 answers each now, 10 days of one in the baseline, and the
    base's."""
    rng = np.random.default_rng(seed)
    subject, base = source("healthy"), source("base")
    copies = -(-probes // subject.kinds.probes)
    made = [
        comparison(
            subject.days(1, EACH, rng)[0], base.days(1, 1, rng)[0], subject.days(DAYS, 1, rng), base.days(DAYS, 1, rng)
        )
        for _ in range(copies)
    ]
    names = sorted((one.probe, copy) for copy in range(copies) for one in made[copy].now if one.arm is Arm.BASE)
    kept = {name: f"{name[0]}-{name[1]}" for name in names[:probes]}
    return replace(
        made[0],
        now=_renamed(kept, [one.now for one in made]),
        baseline=_renamed(kept, [one.baseline for one in made]),
    )


def _renamed(kept: Mapping[tuple[str, int], str], copies: Sequence[Sequence[GradedAnswer]]) -> tuple[GradedAnswer, ...]:
    return tuple(
        replace(one, probe=kept[one.probe, copy])
        for copy, answers in enumerate(copies)
        for one in answers
        if (one.probe, copy) in kept
    )


def ours(made: Comparison) -> float:
    started = time.perf_counter()
    findings_for(made)
    return time.perf_counter() - started


def theirs(made: Comparison, permutations: int) -> float:
    """Seconds of the package's own test, from texts to p-value."""
    from model_equality_testing.algorithm import run_two_sample_test
    from model_equality_testing.distribution import CompletionSample
    from model_equality_testing.utils import pad_to_length, tokenize_unicode

    sides = [peers.texts(one for one in side if one.arm == Arm.SUBJECT) for side in (made.now, made.baseline)]
    started = time.perf_counter()
    samples = []
    for side in sides:
        prompts = np.array([place for place, probe in enumerate(sorted(side)) for _ in side[probe]])
        rows = [text for probe in sorted(side) for text in side[probe]]
        codes = pad_to_length(tokenize_unicode(rows), L=peers.MET_LENGTH)
        samples.append(CompletionSample(prompts, codes, m=len(side)))
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        run_two_sample_test(*samples, pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=permutations)
    return time.perf_counter() - started


def main() -> int:
    made = parser(__doc__, trials=7, what="pairs of verdicts")
    made.add_argument("--permutations", type=int, default=20, help="how many the package is given")
    args = made.parse_args()
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    ours(drawn(args.seed, PROBES)), theirs(drawn(args.seed, PROBES), 1)  # warm: imports, byte code
    found: dict[str, list[float]] = {name: [] for name in TIMED}
    for trial in track(range(args.trials), "pairs", console=Console(file=sys.stderr), transient=True):
        one = drawn(args.seed * 1000 + trial, PROBES)
        for name in rng.permutation(TIMED).tolist():
            found[name].append(ours(one) if name == "ours" else theirs(one, args.permutations if name == "few" else 1))
    report([*_pairs(found, args.permutations, rng), *_growth(args.seed, rng)], as_json=args.json)
    return 0


def _pairs(found: Mapping[str, list[float]], permutations: int, rng: np.random.Generator) -> list[Row]:
    mine, few, one = (np.array(found[name]) for name in TIMED)
    whole = one + (few - one) / (permutations - 1) * (mmd.PERMUTATIONS - 1)
    case = f"{PROBES} probes x {EACH} answers now, {DAYS} before"
    given, asked = f"{case}; {permutations} permutations for MET", f"{case}; 10,000 permutations, MET's reckoned"
    return [
        _median("cliffwatch", case, "seconds", mine, rng),
        _median("met", given, "seconds", few, rng),
        _median("met", asked, "seconds", whole, rng),
        _median("cliffwatch", given, "ratio", few / mine, rng),
        _median("cliffwatch", asked, "ratio", whole / mine, rng),
    ]


def _growth(seed: int, rng: np.random.Generator) -> list[Row]:
    """Seconds with ten times the probes and with ten times the permutations; ``ratio`` is over the usual."""
    usual = np.array([ours(drawn(seed + trial, PROBES)) for trial in range(GROWN)])
    probes = np.array([ours(drawn(seed + trial, MORE * PROBES)) for trial in range(GROWN)])
    kept = mmd.PERMUTATIONS
    vars(mmd)["PERMUTATIONS"] = MORE * kept  # a constant of the product: only this benchmark wants another
    try:
        permutations = np.array([ours(drawn(seed + trial, PROBES)) for trial in range(GROWN)])
    finally:
        vars(mmd)["PERMUTATIONS"] = kept
    rows = []
    for case, seconds in ((f"{MORE * PROBES} probes", probes), (f"{MORE * kept:,} permutations", permutations)):
        rows += [
            _median("cliffwatch", case, "seconds", seconds, rng),
            _median("cliffwatch", f"{case}, over the usual", "ratio", seconds / usual, rng),
        ]
    return rows


def _median(method: str, case: str, measure: str, values: FloatArray, rng: np.random.Generator) -> Row:
    found = bootstrap([values], lambda one: float(np.median(one)), rng)
    return Row(BENCHMARK, method, case, measure, found.value, found.low, found.high, values.size)


if __name__ == "__main__":
    sys.exit(main())
