"""Recall and precision of the redaction by kind, on 520 labelled lines: as ``docs/privacy.md`` says."""

import re
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


def measured() -> dict[str, tuple[int, int, int]]:
    """Kind -> values found, values in all, and other texts that were taken for one."""
    found, total, false = Counter[str](), Counter[str](), Counter[str]()
    for line in lines():
        marks = MARK.findall(line)
        redacted = redact(MARK.sub(lambda mark: mark[2], line))
        for kind, value in marks:
            total[kind] += 1
            found[kind] += is_gone(value, line, redacted)
        if not marks:
            false.update(PLACEHOLDER.findall(redacted))
    return {kind: (found[kind], total[kind], false[kind]) for kind in total}


def test_the_documented_figures_are_those_of_the_corpus() -> None:
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `‹([a-z-]+)›` \| (\d+) of (\d+) \| (\d+) \|", text, re.MULTILINE)
    assert {kind: (int(a), int(b), int(c)) for kind, a, b, c in documented} == measured()


def test_the_corpus_has_what_the_document_says() -> None:
    texts = lines()
    assert len(set(texts)) == len(texts) == 520
    assert sum(not MARK.search(line) for line in texts) == 110


def test_a_missed_value_counts() -> None:
    assert not is_gone("swordfish", "the word ⟦secret:swordfish⟧", "the word swordfish")
    assert not is_gone("swordfish", "x ⟦secret:swordfish⟧ y", "x ‹secret›rdfish y")
    assert is_gone("swordfish", "x ⟦secret:swordfish⟧ y", "x ‹secret› y")
