"""The word differences of a page beside the same comparison with difflib.

Prose: words drawn with the frequencies of a natural text, one word in ten replaced. Repeating: one line over and over,
as a broken fine-tune answers, against the same with one line in ten replaced. Both sides find what the same two lists
of words have in common. ``whole`` is all of it: split two texts, compare them, build the marked pieces.
Each trial times all three, one after the other; the ratio is taken within a trial.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final, TypeVar

from benchmarks.ask import median_interval
from benchmarks.rows import Row, parser, report
from monitor.report.web.word_diff import _common, _split, marked

T = TypeVar("T")

VOCABULARY: Final = 2_000
REPLACED: Final = 0.1
LINE: Final = ["-", "the", "item", "is", "on", "its", "way"]
CASES: Final[Mapping[str, Sequence[int]]] = {"prose": (200, 1_000, 5_000), "repeating": (200, 500)}
"""Words of an answer. difflib's time on repeating answers grows with the third power: minutes for 5,000 words."""


def texts(kind: str, words: int, rng: random.Random) -> tuple[str, str]:
    """An answer of so many words, and the same with some replaced."""
    if kind == "prose":
        before = [f"word{int(VOCABULARY * rng.random() ** 3)}" for _ in range(words)]
        return " ".join(before), " ".join(f"new{one}" if rng.random() < REPLACED else one for one in before)
    lines = [" ".join(LINE)] * (words // len(LINE))
    return "\n".join(lines), "\n".join("- nothing to do" if rng.random() < REPLACED else one for one in lines)


def peer(left: Sequence[str], right: Sequence[str]) -> object:
    return SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()


def seconds(way: Callable[[T, T], object], before: T, after: T) -> float:
    began = time.process_time()
    way(before, after)
    return time.process_time() - began


def trial(kind: str, words: int, rng: random.Random) -> tuple[float, float, float]:
    """Processor seconds: ours, difflib's, and those of the whole."""
    before, after = texts(kind, words, rng)
    left, right = _split(before)[1::2], _split(after)[1::2]
    return seconds(_common, left, right), seconds(peer, left, right), seconds(marked, before, after)


def measured(trials: int, seed: int, cases: Mapping[str, Sequence[int]] = CASES) -> Iterator[Row]:
    marked("first call", "second call")  # imports the library
    for kind, words in ((kind, words) for kind, sizes in cases.items() for words in sizes):
        rng = random.Random(seed)
        ours, theirs, whole = zip(*(trial(kind, words, rng) for _ in range(trials)), strict=True)
        for method, measure, values in (
            ("rapidfuzz", "processor seconds", ours),
            ("difflib", "processor seconds", theirs),
            ("difflib over rapidfuzz", "ratio", [other / own for own, other in zip(ours, theirs, strict=True)]),
            ("whole", "processor seconds", whole),
        ):
            found = median_interval(list(values), rng)
            case = f"{kind}, {words:,} words"
            yield Row("word_diff", method, case, measure, found.value, found.low, found.high, trials)


def main() -> None:
    args = parser(__doc__, trials=20, what="pairs of texts of each case").parse_args()
    report(list(measured(args.trials, args.seed)), as_json=args.json)


if __name__ == "__main__":
    main()
