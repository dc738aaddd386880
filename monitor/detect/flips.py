"""Flips between an old and a new version's answers to the same items: the rates as MUSCLE defines them, in one place.

J. Echterhoff et al., MUSCLE: A Model Update Strategy for Compatible LLM Evolution (EMNLP 2024 Findings, arXiv
2407.09435), its metrics of backward compatibility. All are shares of N items, 0 to 1. Higher is worse, except for
positive flips. Sequences have the items in the same order. The paper's old model answers each item once; callers define
"old right" for items that were answered many times.
"""

from collections.abc import Sequence


def negative_flip_rate(old_right: Sequence[bool], new_right: Sequence[bool]) -> float:
    """NFR: the old version was right and the new one is wrong.

    >>> negative_flip_rate([True, True, False, False], [True, False, True, False])
    0.25
    """
    return _share([old and not new for old, new in zip(old_right, new_right, strict=True)])


def positive_flip_rate(old_right: Sequence[bool], new_right: Sequence[bool]) -> float:
    """PFR: the old version was wrong and the new one is right."""
    return negative_flip_rate(new_right, old_right)


def inconsistent_wrong_rate(old: Sequence[str], new: Sequence[str], new_right: Sequence[bool]) -> float:
    """NFR_mc: the new version is wrong, and differently from the old one. In addition to the negative flips, it counts
    a wrong answer that became another wrong answer, which users notice too.

    >>> inconsistent_wrong_rate(["A", "B", "C"], ["B", "B", "C"], [False, False, True])
    0.3333333333333333
    """
    return _share([not right and one != other for one, other, right in zip(old, new, new_right, strict=True)])


def generative_negative_flip_rate(old_score: Sequence[float], new_score: Sequence[float]) -> float:
    """The generative form: S(new, y) < S(old, y), for a score S of an answer against its reference y.

    >>> generative_negative_flip_rate([0.5, 0.5, 0.5, 0.0], [0.4, 0.5, 0.9, 0.0])
    0.25
    """
    return _share([new < old for old, new in zip(old_score, new_score, strict=True)])


def _share(found: Sequence[bool]) -> float:
    if not found:
        raise ValueError("a rate needs at least one item")
    return sum(found) / len(found)
