"""Exact log-likelihood ratios from recorded log-probabilities of the next token under the base and the fine-tune.

The baseline's answers, with the alternatives that the endpoint returned at each token, form a tree of prefixes: each
has the next token's probabilities under the base and under the fine-tune. A new answer follows the tree while both are
known; the sum of ln p_base - ln p_healthy over those tokens is its log-likelihood ratio, exact for the covered part. It
includes the token at which the two models diverge, which distinguishes them.

A model's probability at a prefix does not depend on who recorded it, so an answer's own record may be used to judge it.
The length of the covered part does: every baseline answer has its own prefixes recorded, a new one has not. So a prefix
counts as known to the fine-tune only if an answer of another day (another block) contains it.

The log-probabilities are the model's own, at any sampling temperature. At another temperature the ratio is not that of
the likelihood, but the same fixed function for every day, which is enough for valid evidence.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.core.records import TokenLogprob

LEAST: Final = 1e-6
"""Least probability of a token. A token that was not returned is bounded by those that were, but never impossible."""
_FLOOR: Final = float(np.log(LEAST))

Tokens = Sequence[TokenLogprob] | None


@dataclass
class _Next:
    """The next token's log-probabilities at one prefix, under one model, and who recorded them."""

    known: dict[str, float] = field(default_factory=dict)
    rest: float = 0.0
    """Bound for a token that was not returned."""
    blocks: set[Hashable] = field(default_factory=set)

    def record(self, token: TokenLogprob, block: Hashable) -> None:
        if not self.blocks:
            told = np.exp(list(token.top.values()))
            self.rest = float(np.log(max(LEAST, min(told.min(), 1.0 - told.sum()))))
        if token.token not in self.known:
            self.known[token.token] = max(token.logprob, _FLOOR)
        if not token.top.keys() <= self.known.keys():  # rare: an endpoint returns the same alternatives again
            for name, found in token.top.items():
                self.known.setdefault(name, max(found, _FLOOR))
        self.blocks.add(block)

    def of(self, token: str) -> float:
        return self.known.get(token, self.rest)

    def other_than(self, block: Hashable) -> bool:
        return bool(self.blocks) and self.blocks != {block}


class TokenTree:
    """One probe's prefixes: ``base`` and ``healthy`` are pairs of (block, tokens) of the baseline's answers."""

    def __init__(self, base: Sequence[tuple[Hashable, Tokens]], healthy: Sequence[tuple[Hashable, Tokens]]) -> None:
        self._base, self._healthy = [_Next()], [_Next()]
        self._child: dict[tuple[int, str], int] = {}
        for block, tokens in base:
            self._record(self._base, block, tokens, grow=True)
        for block, tokens in healthy:
            # prefixes that the base never had are never reached
            self._record(self._healthy, block, tokens, grow=False)

    def _record(self, side: list[_Next], block: Hashable, tokens: Tokens, *, grow: bool) -> None:
        node: int | None = 0
        for token in tokens or ():
            if node is None or not token.top:
                return
            side[node].record(token, block)
            node = self._step(node, token.token, grow=grow)

    def _step(self, node: int, token: str, *, grow: bool) -> int | None:
        child = self._child.get((node, token))
        if child is None and grow:
            child = self._child[node, token] = len(self._base)
            self._base.append(_Next())
            self._healthy.append(_Next())
        return child

    def log_ratio(self, tokens: Tokens, *, healthy: Hashable = None, base: Hashable = None) -> float:
        """ln p_base - ln p_healthy over the covered tokens; NaN if not even the first is covered.

        ``healthy``, ``base``: the block whose records do not count as coverage.
        """
        node: int | None = 0
        total, covered = 0.0, False
        for token in tokens or ():
            if node is None or not (self._base[node].other_than(base) and self._healthy[node].other_than(healthy)):
                break
            total += self._base[node].of(token.token) - self._healthy[node].of(token.token)
            covered = True
            node = self._child.get((node, token.token))
        return total if covered else float("nan")
