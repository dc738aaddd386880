"""A small run of ``benchmarks.contact``: no mutated reply crashes the reader or is taken for what it is not."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.contact import BAD, DIALECTS, asked, dump, replies, rows_of, verdict

BECOMES = {"answer": "read", "empty": "empty", "refusal": "refusal", "error": "unmeasured", "cut": "unmeasured"}


@pytest.mark.parametrize("seed", [11, 12])
def test_no_mutated_reply_is_taken_for_what_it_is_not(tmp_path: Path, seed: int) -> None:
    made = replies(360, seed)
    outcomes = asyncio.run(asked(made, tmp_path))
    told = [verdict(reply, outcome) for (_, reply), outcome in zip(made, outcomes, strict=True)]
    wrong = [(told, reply.raw) for told, (_, reply) in zip(told, made, strict=True) if told in BAD]
    assert wrong == []
    whole = [(one, reply) for one, (how, reply) in zip(told, made, strict=True) if how in ("none", "framed")]
    assert Counter(reply.dialect for _, reply in whole).keys() == set(DIALECTS)
    for one, reply in whole:
        # A frame around a body of an error is not one that any server sends.
        assert one == BECOMES[reply.kind], dump(reply.body)
    assert sum(row.value for row in rows_of(made, outcomes) if row.case == "all") == pytest.approx(1.0)
