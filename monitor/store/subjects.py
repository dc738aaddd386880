"""The inputs of one person: reads all that is stored of them, and deletes it."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from sqlalchemy import Connection, delete, select, update

from monitor.core.records import AuditEntry, DataKind, DeletedWhy, Forgotten
from monitor.store import audit
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.dialect import insert
from monitor.store.tables import answer, deletion, finding, input_subject, production_input, run, score

Stream = tuple[str, str]
"""target, suite"""


def _probes(connection: Connection, subject: str) -> dict[Stream, set[str]]:
    """The person's inputs by stream. The same text has the same probe id in all samples of a stream."""
    query = select(run.c.target, run.c.suite, input_subject.c.probe).join(run, run.c.id == input_subject.c.run_id)
    found: dict[Stream, set[str]] = defaultdict(set)
    for target, suite, probe in connection.execute(query.where(input_subject.c.subject == subject)):
        found[target, suite].add(probe)
    return found


def _asked(connection: Connection, stream: Stream, probes: Collection[str]) -> Iterator[tuple[int, str, set[str]]]:
    """(run, its status, the probes of it) of every run of the stream that asked any of ``probes``."""
    same = (run.c.target == stream[0], run.c.suite == stream[1])
    columns = select(run.c.id, run.c.status, production_input.c.probe)
    joined = columns.join(production_input, production_input.c.run_id == run.c.id).where(*same)
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    for some in chunks(sorted(probes)):
        for run_id, status, probe in connection.execute(joined.where(production_input.c.probe.in_(some))):
            found[run_id, status].add(probe)
    for (run_id, status), mine in sorted(found.items()):
        yield run_id, status, mine


def _exhibits(connection: Connection, stream: Stream, probes: Collection[str]) -> Iterator[tuple[Any, list[Any]]]:
    """Findings of the stream with examples of ``probes``, and these examples."""
    rows = connection.execute(
        select(finding.c.id, finding.c.run_id, finding.c.signal, finding.c.exhibits).where(
            finding.c.target == stream[0], finding.c.suite == stream[1]
        )
    )
    for row in rows.all():
        if mine := [one for one in row.exhibits or () if one["probe"] in probes]:
            yield row, mine


class SubjectReads(Connected):
    """Methods that read what is stored of a person."""

    def has_subjects(self) -> bool:
        """Whether any input is stored with the person who sent it."""
        with self._database.read() as connection:
            return connection.execute(select(input_subject.c.run_id).limit(1)).first() is not None

    def subject_data(self, subject: str) -> list[dict[str, Any]]:
        """Every input of the person, its answers with scores and exchanges, and the examples of it in findings."""
        found: list[dict[str, Any]] = []
        with self._database.read() as connection:
            for stream, probes in sorted(_probes(connection, subject).items()):
                for run_id, _, mine in _asked(connection, stream, probes):
                    head = {"target": stream[0], "suite": stream[1], "run": run_id}
                    found += _inputs(connection, head, mine)
                    found += _answers(connection, head, mine)
                for row, mine_too in _exhibits(connection, stream, probes):
                    head = {"target": stream[0], "suite": stream[1], "run": row.run_id, "signal": row.signal}
                    found += [{"kind": "example", **head, **one} for one in mine_too]
        return found


def _inputs(connection: Connection, head: Mapping[str, Any], probes: Collection[str]) -> Iterator[dict[str, Any]]:
    rows = connection.execute(
        select(production_input.c.probe, production_input.c.stratum, production_input.c.count, production_input.c.body)
        .where(production_input.c.run_id == head["run"], production_input.c.probe.in_(sorted(probes)))
        .order_by(production_input.c.position)
    )
    for probe, stratum, count, body in rows:
        told = {"probe": probe, "stratum": stratum, "count": count, "messages": body["messages"]}
        yield {"kind": "input", **head, **told}


def _answers(connection: Connection, head: Mapping[str, Any], probes: Collection[str]) -> Iterator[dict[str, Any]]:
    where = (answer.c.run_id == head["run"], answer.c.probe.in_(sorted(probes)))
    graded = select(score).where(score.c.run_id == head["run"], score.c.probe.in_(sorted(probes)))
    scores: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for one in connection.execute(graded):
        scores[one.arm, one.probe, one.replicate][one.grader] = one.value
    for row in connection.execute(select(answer).where(*where).order_by(answer.c.probe, answer.c.replicate)):
        told = {name: value for name, value in row._mapping.items() if name != "run_id"}
        yield {"kind": "answer", **head, **told, "scores": scores.get((row.arm, row.probe, row.replicate), {})}


class Subjects(Connected):
    """Methods that delete what is stored of a person."""

    def forget(self, subject: str, entry: AuditEntry) -> Forgotten:
        """Delete the person's inputs in all finished runs, with their answers, exchanges, embeddings, scores and
        examples. ``entry`` goes to the audit log first, with the number of inputs. Then examples are deleted, then one
        run after the other, each in a transaction: after a kill, a second call finds what is left.
        """
        with self._database.write() as connection:
            streams = _probes(connection, subject)
            asked = {stream: list(_asked(connection, stream, probes)) for stream, probes in streams.items()}
            inputs, runs = sum(map(len, streams.values())), sum(map(len, asked.values()))
            audit.add(connection, replace(entry, subject=f"{inputs} inputs of a person in {runs} runs"))
        done = Forgotten(inputs=inputs)
        for stream, probes in streams.items():
            with self._database.write() as connection:
                done = replace(done, examples=done.examples + _forget_examples(connection, stream, probes))
        waiting = []
        for run_id, status, mine in chain.from_iterable(asked.values()):
            if status != "done":
                waiting.append(run_id)
                continue
            with self._database.write() as connection:
                answers = _forget_run(connection, run_id, sorted(mine), entry)
            done = replace(done, runs=done.runs + 1, answers=done.answers + answers)
        return replace(done, waiting=tuple(waiting), log_emptied=self._database.empty_log())


def _forget_run(connection: Connection, run_id: int, probes: Sequence[str], entry: AuditEntry) -> int:
    """Delete the probes of one run. Returns the number of answers. Scores and embeddings go with their answers."""
    for kind in (DataKind.TEXTS, DataKind.SCORES, DataKind.EMBEDDINGS):
        values = {"run_id": run_id, "kind": kind.value, "why": DeletedWhy.FORGOTTEN.value, "days": None}
        new = insert(connection, deletion).values(**values, at=entry.at, complete=True)
        connection.execute(new.on_conflict_do_nothing())
    answers = 0
    for some in chunks(probes):
        gone = delete(answer).where(answer.c.run_id == run_id, answer.c.probe.in_(some))
        answers += connection.execute(gone).rowcount
        for table in (production_input, input_subject):
            connection.execute(delete(table).where(table.c.run_id == run_id, table.c.probe.in_(some)))
    return answers


def _forget_examples(connection: Connection, stream: Stream, probes: Collection[str]) -> int:
    examples = 0
    for row, mine in list(_exhibits(connection, stream, probes)):
        kept = [one for one in row.exhibits if one not in mine]
        connection.execute(update(finding).where(finding.c.id == row.id).values(exhibits=kept))
        examples += len(mine)
    return examples
