"""The deeds for programs: ``POST`` under ``/api/v1`` with a person's token."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from monitor.core.errors import CliffwatchError, StoreError
from monitor.core.records import AuditEntry
from monitor.report.web import models
from monitor.report.web.authorization import LONGEST_WHY, Doing, Gate, address_of, known, status_of

if TYPE_CHECKING:
    from monitor.store import StoreReader

T = TypeVar("T")

_BEARER: Final = HTTPBearer(auto_error=False, description="a person's token, as http.actions names it")


class Why(BaseModel):
    """What is said with a deed. Who does it is known by the token, and by nothing else."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(min_length=1, max_length=LONGEST_WHY, pattern=r"\S", description="why; kept with the deed")


class RunNow(Why):
    """A run of one suite, made by hand."""

    suite: str = Field(min_length=1, max_length=200, description="a suite of the target")


class Done(BaseModel):
    """What went on record."""

    entry: AuditEntry


class AllDone(BaseModel):
    """What went on record, one deed for each alarm; nothing where nothing was left to do."""

    acknowledged: int
    """How many alarms."""
    audit_entries: list[AuditEntry]


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.Problem, "description": meaning}
    for status, meaning in {
        400: "the body is no text",
        401: "no token, or nobody's",
        403: "the configuration has no http.actions: the pages and the API only read",
        404: "there is no such thing",
        409: "it cannot be done as things stand",
        413: "the body is too large",
        422: "the request is not understood",
        429: "nobody's token, after too many of those from this address; see Retry-After. The right one is let in",
        503: "the store is away",
    }.items()
}


class Audit(BaseModel):
    """What people did, newest first."""

    audit_entries: list[AuditEntry]


def add_audit(app: FastAPI, store: "StoreReader") -> None:
    """Add the audit log to the API; reading it needs no token, as reading the pages needs none."""

    @app.get("/api/v1/audit", responses={status: REFUSALS[status] for status in (422, 503)})
    def audit(target: models.Some = None, limit: models.Limit = 100) -> Audit:
        """Who did what, when, why and from where, newest first; ``target``: to this target only."""
        return Audit(audit_entries=store.audit_entries(target, limit))


def add_api(app: FastAPI, gate: Gate | None, doing: Doing | None) -> None:
    """Add the deeds to the API. Without ``gate`` they are described, and refused."""

    def person(request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> str:
        if gate is None:
            raise HTTPException(403, "the configuration names nobody who may act: see http.actions")
        if sent is None:
            raise HTTPException(401, "send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        return gate.person_of(request, sent.credentials, "bearer")

    who = Annotated[str, Depends(person)]

    def do(entry: Callable[[Doing], T]) -> T:
        assert doing is not None
        try:
            return entry(doing)
        except StoreError:
            raise
        except CliffwatchError as error:
            raise HTTPException(status_of(error), str(error)) from None

    @app.post("/api/v1/baselines/{number}/approve", responses=REFUSALS)
    def approve(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Make a captured baseline the one to compare with; the one before it is retired."""
        return Done(entry=do(lambda doing: doing.approve(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/baselines/{number}/retire", responses=REFUSALS)
    def retire(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Take a baseline out of use, or give up its capture; alarms that were raised against it are cleared."""
        return Done(entry=do(lambda doing: doing.retire(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/alarms/{number}/acknowledge", responses=REFUSALS)
    def acknowledge(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Say that this person looks into an open alarm; it stays raised."""
        return Done(entry=do(lambda doing: doing.acknowledge(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/targets/{target}/acknowledge", responses=REFUSALS)
    def acknowledge_all(request: Request, target: str, said: Why, by: who) -> AllDone:
        """Say that this person looks into every open alarm of a target that nobody looks into yet; they stay raised."""
        audit_entries = do(lambda doing: doing.acknowledge_all(target, by, said.why, address_of(request)))
        return AllDone(acknowledged=len(audit_entries), audit_entries=audit_entries)

    @app.post("/api/v1/alarms/{number}/clear", responses=REFUSALS)
    def clear(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """End an open alarm; the signal's evidence counts anew from then on."""
        return Done(entry=do(lambda doing: doing.clear(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/targets/{target}/runs", responses=REFUSALS)
    def run(request: Request, target: str, said: RunNow, by: who) -> Done:
        """Make a run of one suite due now, off the schedule; the daemon asks it at its next tick, within the budget."""
        return Done(entry=do(lambda doing: doing.run(target, said.suite, by, said.why, address_of(request))))
