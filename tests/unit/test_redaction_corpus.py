"""Recall and precision of the redaction by kind, on 520 labelled lines: as ``docs/privacy.md`` says.

``python -m tests.unit.test_redaction_corpus`` prints the rows of its table.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from monitor.core.redaction import redact

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "redaction_corpus.txt"
"""A text a line, with ``\\n`` and ``\\t`` written as such. What must go stands in ``⟦kind:value⟧``."""
MARK = re.compile("⟦([a-z-]+):(.*?)⟧", re.DOTALL)
PLACEHOLDER = re.compile("‹([a-z-]+)›")
LEFT = 5
"""Characters of a value in a row that may be left over, such as a bracket or the domain of an address."""


def lines() -> list[str]:
    found = CORPUS.read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n").replace("\\t", "\t") for line in found]


def is_gone(value: str, line: str, redacted: str) -> bool:
    """Whether nothing of the value is left that the rest of the line does not contain anyway."""
    rest = MARK.sub("", line)
    pieces = {value[at : at + LEFT + 1] for at in range(max(1, len(value) - LEFT))}
    return "‹" in redacted and not any(piece in redacted and piece not in rest for piece in pieces)


def measured() -> dict[str, tuple[int, int, int, str]]:
    """Kind -> values found, values in all, texts of lines without any that were taken for one, and precision.

    Precision is of all lines: the share of the placeholders of a kind that stand for a value of this kind. In a line
    with values of the kind, as many of them are right as the line has values.
    """
    found, total, false, excess = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for line in lines():
        marks = MARK.findall(line)
        redacted = redact(MARK.sub(lambda mark: mark[2], line))
        for kind, value in marks:
            total[kind] += 1
            found[kind] += is_gone(value, line, redacted)
        replaced = Counter(PLACEHOLDER.findall(redacted))
        excess += replaced - Counter(kind for kind, _ in marks)
        if not marks:
            false += replaced
    return {kind: (found[kind], total[kind], false[kind], precision(found[kind], excess[kind])) for kind in total}


def precision(right: int, wrong: int) -> str:
    return f"{right / (right + wrong):.1%}"


def test_the_documented_figures_are_those_of_the_corpus() -> None:
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    row = r"^\| `‹([a-z-]+)›` \| (\d+) of (\d+) \| ([\d.]+%) \| (\d+) \| ([\d.]+%) \|"
    documented = {kind: rest for kind, *rest in re.findall(row, text, re.MULTILINE)}
    assert documented == {
        kind: [str(found), str(total), f"{found / total:.1%}", str(false), share]
        for kind, (found, total, false, share) in measured().items()
    }


def test_the_corpus_has_what_the_document_says() -> None:
    texts = lines()
    assert len(set(texts)) == len(texts) == 520
    assert sum(not MARK.search(line) for line in texts) == 110


def test_a_missed_value_counts() -> None:
    assert not is_gone("swordfish", "the word ⟦secret:swordfish⟧", "the word swordfish")
    assert not is_gone("swordfish", "x ⟦secret:swordfish⟧ y", "x ‹secret›rdfish y")
    assert is_gone("swordfish", "x ⟦secret:swordfish⟧ y", "x ‹secret› y")


if __name__ == "__main__":
    for kind, (found, total, false, share) in measured().items():
        sys.stdout.write(f"| `‹{kind}›` | {found} of {total} | {found / total:.1%} | {false} | {share} |\n")
