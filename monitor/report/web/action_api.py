"""Actions for programs: ``POST`` under ``/api/v1`` with a person's token."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol, TypeVar

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


class Do(Protocol):
    """Performs an action, and answers with its error."""

    def __call__(self, entry: Callable[[Doing], T]) -> T: ...


_BEARER: Final = HTTPBearer(auto_error=False, description="a person's token, as configured in http.actions")


class Why(BaseModel):
    """The reason for an action. The token alone identifies the person."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(
        min_length=1, max_length=LONGEST_WHY, pattern=r"\S", description="the reason; stored in the audit log"
    )


class RunNow(Why):
    """A manual run of one suite."""

    suite: str = Field(min_length=1, max_length=200, description="a suite of the target")


class Accept(Why):
    """A known harmless change of the contract."""

    part: str = Field(min_length=1, max_length=40, description="fingerprint, model_id, prompt_tokens, served or root")
    suite: str | None = Field(
        default=None, min_length=1, max_length=200, description="a suite of the target; default: each with a new value"
    )


class AllAccepted(BaseModel):
    """The audit log entries of the action, one per suite."""

    audit_entries: list[AuditEntry]


class Done(BaseModel):
    """The audit log entry of the action."""

    entry: AuditEntry


class AllDone(BaseModel):
    """The audit log entries of the action, one per alarm. Empty if every open alarm was acknowledged already."""

    acknowledged: int
    """Number of alarms that were acknowledged."""
    audit_entries: list[AuditEntry]


REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": models.Problem, "description": meaning}
    for status, meaning in {
        400: "The body is not valid text.",
        401: "The token is missing or unknown.",
        403: "The configuration has no http.actions, so the pages and the API are read-only.",
        404: "Not found.",
        409: "The current state does not allow this action.",
        413: "The body is too large.",
        422: "The request is invalid.",
        429: "Unknown token, after too many of them from this address. See Retry-After. A valid token still works.",
        503: "The store is not available.",
    }.items()
}


class Audit(BaseModel):
    """The audit log, newest first."""

    audit_entries: list[AuditEntry]


def add_audit(app: FastAPI, store: "StoreReader") -> None:
    """Add the audit log to the API. As with the pages, reading it needs no token."""

    @app.get("/api/v1/audit", responses={status: REFUSALS[status] for status in (422, 503)})
    def audit(target: models.Some = None, limit: models.Limit = 100) -> Audit:
        """The audit log: who did what, when, why and from where, newest first. ``target``: only its entries."""
        return Audit(audit_entries=store.audit_entries(target, limit))


def add_api(app: FastAPI, gate: Gate | None, doing: Doing | None) -> None:
    """Add the actions to the API. Without ``gate``, OpenAPI describes them and every request is refused."""

    def person(request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> str:
        if gate is None:
            raise HTTPException(403, "actions are not enabled: the configuration has no http.actions")
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
        """Approve a captured baseline. Later runs are compared with it; the previous baseline is retired."""
        return Done(entry=do(lambda doing: doing.approve(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/baselines/{number}/retire", responses=REFUSALS)
    def retire(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Retire a baseline, or cancel its capture. Alarms that were raised against it are cleared."""
        return Done(entry=do(lambda doing: doing.retire(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/alarms/{number}/acknowledge", responses=REFUSALS)
    def acknowledge(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Acknowledge an open alarm. It stays raised."""
        return Done(entry=do(lambda doing: doing.acknowledge(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/targets/{target}/acknowledge", responses=REFUSALS)
    def acknowledge_all(request: Request, target: str, said: Why, by: who) -> AllDone:
        """Acknowledge all unacknowledged open alarms of a target. They stay raised."""
        audit_entries = do(lambda doing: doing.acknowledge_all(target, by, said.why, address_of(request)))
        return AllDone(acknowledged=len(audit_entries), audit_entries=audit_entries)

    @app.post("/api/v1/alarms/{number}/clear", responses=REFUSALS)
    def clear(request: Request, number: models.Id, said: Why, by: who) -> Done:
        """Clear an open alarm. The signal's evidence restarts at zero."""
        return Done(entry=do(lambda doing: doing.clear(known(number), by, said.why, address_of(request))))

    @app.post("/api/v1/targets/{target}/runs", responses=REFUSALS)
    def run(request: Request, target: str, said: RunNow, by: who) -> Done:
        """Make an unscheduled run of one suite due now. The daemon asks it at its next tick, within the budget."""
        return Done(entry=do(lambda doing: doing.run(target, said.suite, by, said.why, address_of(request))))

    _add_accept(app, person, do)


def _add_accept(app: FastAPI, person: Callable[..., str], do: Do) -> None:
    who = Annotated[str, Depends(person)]

    @app.post("/api/v1/targets/{target}/accept", responses=REFUSALS)
    def accept(request: Request, target: str, said: Accept, by: who) -> AllAccepted:
        """Accept the new values of a part of the contract. They count as the baseline's from then on."""
        return AllAccepted(
            audit_entries=do(
                lambda doing: doing.accept(target, said.part, by, said.why, address_of(request), suite=said.suite)
            )
        )
