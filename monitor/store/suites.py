"""Suite versions, a run's production inputs, and the capabilities of endpoints."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, delete, select

from monitor.core.records import (
    Check,
    DataKind,
    DeletedWhy,
    LeftOut,
    LeftOutCount,
    LeftOutReason,
    Message,
    Probe,
    SampleAccount,
    UnreadFile,
    UnreadReason,
)
from monitor.core.texts import not_kept_text
from monitor.store.base import Connected
from monitor.store.change_markers import chunks
from monitor.store.dialect import insert
from monitor.store.tables import capability, deletion, input_subject, production_input, production_sample, suite_version


class ProductionInput(Protocol):
    """One sampled input, as passed by the sample stage."""

    @property
    def probe(self) -> Probe: ...
    @property
    def stratum(self) -> str | None: ...
    @property
    def count(self) -> int: ...
    @property
    def subjects(self) -> Sequence[str]: ...


def _probe_body(probe: Probe, *, texts: bool = True) -> dict[str, Any]:
    said = [(one.role, one.content if texts else not_kept_text(len(one.content))) for one in probe.messages]
    return {
        "messages": [{"role": role, "content": content} for role, content in said],
        "reference": probe.reference,
        "checks": [{"kind": check.kind, "options": check.options} for check in probe.checks],
        "rubric": probe.rubric,
        **({"parameters": probe.parameters} if probe.parameters else {}),
    }


def _to_probe(probe: str, body: dict[str, Any]) -> Probe:
    return Probe(
        probe,
        tuple(Message(**message) for message in body["messages"]),
        body["reference"],
        tuple(Check(**check) for check in body["checks"]),
        body["rubric"],
        body.get("parameters", {}),
    )


def _to_account(body: dict[str, Any]) -> SampleAccount:
    reasons = (
        LeftOutCount(
            **{
                **one,
                "left_out": LeftOut(one["left_out"]),
                "reason": LeftOutReason(one["reason"]),
                "also": tuple(one.get("also", ())),
            }
        )
        for one in body.pop("reasons")
    )
    unread = (
        UnreadFile(**{**one, "reason": UnreadReason(one["reason"]), "names": tuple(one["names"])})
        for one in body.pop("unread")
    )
    return SampleAccount(**body, reasons=tuple(reasons), unread=tuple(unread))


class SuiteReads(Connected):
    """Methods that read suites, production inputs and capabilities."""

    def capability(self, provider: str, base_url: str, model: str) -> dict[str, bool]:
        """Parameters that an endpoint accepts (``True``) or refuses (``False``), by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(capability.c.name, capability.c.accepted).where(
                    capability.c.provider == provider, capability.c.base_url == base_url, capability.c.model == model
                )
            )
            return {row.name: row.accepted for row in rows}

    def suite_body(self, suite_digest: str) -> str | None:
        query = select(suite_version.c.body).where(suite_version.c.digest == suite_digest)
        with self._database.read() as connection:
            found: str | None = connection.execute(query).scalar()
            return found

    def production_inputs(self, run_id: int) -> list[Probe]:
        """A run's sampled inputs in order; empty if none were saved."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(production_input.c.probe, production_input.c.body)
                .where(production_input.c.run_id == run_id)
                .order_by(production_input.c.position)
            )
            return [_to_probe(probe, body) for probe, body in rows]

    def samples(self, run_ids: Sequence[int]) -> dict[int, SampleAccount]:
        """Run id -> the account of its sample, for the runs that have one."""
        found: dict[int, SampleAccount] = {}
        with self._database.read() as connection:
            for some in chunks(list(run_ids)):
                rows = connection.execute(
                    select(production_sample.c.run_id, production_sample.c.account).where(
                        production_sample.c.run_id.in_(some)
                    )
                )
                found |= {run_id: _to_account(dict(account)) for run_id, account in rows}
        return found


class Suites(SuiteReads):
    """Methods that store suites, production inputs and capabilities."""

    def set_capability(
        self, provider: str, base_url: str, model: str, name: str, accepted: bool, now: datetime
    ) -> None:
        key = {"provider": provider, "base_url": base_url, "model": model, "name": name}
        learnt = {"accepted": accepted, "learnt_at": now}

        def learn(connection: Connection) -> None:
            new = insert(connection, capability).values(**key, **learnt)
            connection.execute(new.on_conflict_do_update(index_elements=list(key), set_=learnt))

        self._statement(learn)

    def save_suite(self, suite_digest: str, name: str, body: str) -> None:
        """Store a suite's content under its digest."""
        if self.suite_body(suite_digest) is None:
            with self._database.write() as connection:
                new = insert(connection, suite_version).values(digest=suite_digest, name=name, body=body)
                connection.execute(new.on_conflict_do_nothing())

    def save_production_inputs(
        self, run_id: int, inputs: Sequence[ProductionInput], account: SampleAccount | None = None,
        *, texts: bool = True, now: datetime | None = None,
    ) -> None:  # fmt: skip
        """Store a run's sample with its account. Existing inputs and their account are kept.

        Without ``texts``, placeholders are stored in their place, and at ``now`` the run is marked as one whose texts
        are not kept.
        """
        with self._database.write() as connection:
            rows = [
                {
                    "run_id": run_id, "position": position, "probe": item.probe.id, "stratum": item.stratum,
                    "count": item.count, "body": _probe_body(item.probe, texts=texts),
                }
                for position, item in enumerate(inputs)
            ]  # fmt: skip
            taken = connection.execute(
                select(production_input.c.run_id).where(production_input.c.run_id == run_id).limit(1)
            )
            if taken.first() is not None:
                return
            if rows:
                connection.execute(production_input.insert(), rows)
            if rows and not texts:
                mark = {"kind": DataKind.TEXTS.value, "why": DeletedWhy.NOT_KEPT.value, "at": now, "complete": True}
                connection.execute(deletion.insert().values(run_id=run_id, **mark))
            people = [{"run_id": run_id, "probe": item.probe.id, "subject": one} for item in inputs
                      for one in item.subjects]  # fmt: skip
            if people:
                connection.execute(input_subject.insert(), people)
            if account is not None:
                connection.execute(delete(production_sample).where(production_sample.c.run_id == run_id))
                connection.execute(production_sample.insert().values(run_id=run_id, account=asdict(account)))
