"""``/api/v1``: the content of the pages as JSON, with unmodified answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse

from monitor import __version__
from monitor.core.records import Answer, Arm, BaselineStatus, Finding, Unmeasured
from monitor.core.settings import Settings
from monitor.report import daemon_notices
from monitor.report.explain import claim
from monitor.report.explain.context import finding_context
from monitor.report.explain.jsonable import plain
from monitor.report.web import baselines, fleet_headline, fleet_overview, models, pages, runbooks, runs, target_view
from monitor.report.web.models import Id, Limit, Name, Some
from monitor.runs.conditions import conditions_of

if TYPE_CHECKING:
    from monitor.store import StoreReader

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": models.Problem, "description": "Not found."},
    422: {"model": models.Problem, "description": "A parameter is invalid."},
    503: {"model": models.Problem, "description": "The store cannot be read."},
}

Offset = Annotated[int, Query(ge=0, le=10_000_000, description="number of items to skip")]
Before = Annotated[str, Query(max_length=100, description="part of a target's name or model")]


def add_api(
    app: FastAPI,
    store: "StoreReader",
    settings: Callable[[], Settings],
    clock: Callable[[], datetime],
    kept: fleet_overview.FleetCache,
) -> None:
    """Add every read-only route."""
    router = APIRouter(prefix="/api/v1", responses=ERRORS)
    _targets(router, store, settings, clock, kept)
    _findings(router, store)
    _runs(router, store)
    _baselines(router, store, settings)
    app.include_router(router)


def _targets(
    router: APIRouter, store: "StoreReader", settings: Callable[[], Settings], clock: Callable[[], datetime],
    kept: fleet_overview.FleetCache,
) -> None:  # fmt: skip
    def known(target: str | None) -> None:
        if target is not None and target not in settings().targets:
            raise HTTPException(404, f"unknown target {target}")

    @router.get("/status", response_model=models.Status)
    def status(target: Some = None) -> JSONResponse:
        """Every target and suite: whether it is armed, its progress, newest findings and open alarms."""
        known(target)
        watches = fleet_overview.watches(store, settings(), clock(), kept, target)
        findings = store.latest_findings(target, exhibits=False)
        return JSONResponse({"version": __version__, "watches": _watched(watches, findings)})

    @router.get("/targets", response_model=models.Fleet)
    def targets(
        q: Before = "", state: Annotated[str | None, Query(pattern=f"^({'|'.join(fleet_overview.STATES)})$")] = None,
        limit: Limit = 100, offset: Offset = 0,
    ) -> JSONResponse:  # fmt: skip
        """The fleet as on the overview page: targets that need attention first."""
        now = clock()
        found = fleet_overview.overview(store, settings(), now, kept)
        watches, rows = found.watches, found.rows
        chosen = fleet_overview.chosen(rows, q, state)
        shown = chosen[offset : offset + limit]
        worst = fleet_overview.worst(store, shown, now, kept)
        notices = daemon_notices.read(store, now)
        tone, headline = fleet_headline.headline(watches, found.mismatched, len(found.missed), notices)
        return JSONResponse(plain({
            "headline": headline, "tone": tone, "states": fleet_overview.counts(rows), "total": len(chosen),
            "targets": [{**plain(row), "loudest": _loudest(worst.get(row.target))} for row in shown],
        }))  # fmt: skip

    @router.get("/targets/{target}", response_model=models.TargetDetail)
    def target_detail(target: Name) -> JSONResponse:
        """One target with the last 30 days of every signal."""
        known(target)
        found = target_view.detail(store, settings(), clock(), kept, target)
        return JSONResponse(plain(_detail(found, target, settings())))


def _watched(watches: Sequence[fleet_overview.Watch], findings: Sequence[Finding]) -> list[dict[str, Any]]:
    newest: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        newest.setdefault((one.target, one.suite), []).append(one)
    return [
        {**plain(watch), "findings": plain(fleet_overview.by_rank(newest.get((watch.target, watch.suite), [])))}
        for watch in watches
    ]


def _loudest(worst: fleet_overview.Worst | None) -> dict[str, Any] | None:
    return None if worst is None else {"suite": worst.suite, "signal": worst.signal, "history": worst.history}


def _detail(found: target_view.Detail, target: str, settings: Settings) -> Mapping[str, Any]:
    signals = [(suite.watch.suite, one) for suite in found.suites for one in suite.signals]
    return {
        "target": target,
        "watches": _watched([one.watch for one in found.suites], [one.finding for _, one in signals]),
        "series": [{"suite": suite, "signal": one.finding.signal, "points": one.points} for suite, one in signals],
        "borrowed": [{"suite": suite.watch.suite, **plain(one)} for suite in found.suites for one in suite.borrowed],
        "next_runs": [{"suite": one.watch.suite, "at": one.next_at} for one in found.suites],
        "budget": settings.targets[target].budget.model_dump(),
        "spent_today": found.spent,
        "self_tests": [{**plain(one), "missed": one in suite.missed} for suite in found.suites for one in suite.tests],
        **{
            name: getattr(found, name)
            for name in ("lead", "baselines", "runs", "alarms", "identity", "listed", "served", "retirements",
                         "rollback", "audit_entries")
        },
    }  # fmt: skip


def _findings(router: APIRouter, store: "StoreReader") -> None:
    @router.get("/findings", response_model=models.Findings)
    def findings(
        target: Some = None, suite: Some = None, signal: Some = None,
        run_id: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None, alarming: bool | None = None,
        limit: Limit = 100,
    ) -> JSONResponse:  # fmt: skip
        """Findings with their exhibits, newest first."""
        return JSONResponse({"findings": plain(store.findings(target, suite, run_id, signal, alarming, limit))})

    @router.get("/findings/{run_id}/{signal}", response_model=models.FindingDetail)
    def finding(run_id: Id, signal: Name) -> JSONResponse:
        """One finding: its numbers, its answers side by side, its claim in words, and the signal's history."""
        found = pages.finding_of(store, run_id, signal)
        beside = finding_context(store, found)
        told = {
            "claim": claim.claim(found, beside), "alarm": beside.alarm, "raised_before": beside.before,
            "raised_again": beside.again, "history": beside.history,
        }  # fmt: skip
        return JSONResponse({**plain(found), **plain(told)})

    @router.get("/alarms", response_model=models.Alarms)
    def alarms(target: Some = None, suite: Some = None, open: bool | None = None, limit: Limit = 1000) -> JSONResponse:
        """Alarms with their state, newest first. ``open=true``: only alarms that are not cleared."""
        return JSONResponse({"alarms": plain(store.alarms(target, suite, open, limit))})


def _runs(router: APIRouter, store: "StoreReader") -> None:
    @router.get("/runs", response_model=models.Runs)
    def all_runs(target: Some = None, suite: Some = None, limit: Limit = 100) -> JSONResponse:
        """Runs, the newest slot first."""
        return JSONResponse({"runs": plain(store.runs(target, suite, limit))})

    @router.get("/runs/{run_id}", response_model=models.RunDetail)
    def run(run_id: Id, show: runs.Show = "all", limit: Limit = 100, offset: Offset = 0) -> JSONResponse:
        """One run with its questions, by probe, replicate and arm."""
        found = pages.run_of(store, run_id)
        total, some = store.questions(run_id, runs.arms_of(show), lost=show == "lost", offset=offset, limit=limit)
        lines = [_question(one) for one in runs.graded(store, run_id, some)]
        counts = runs.counts(store.tally(run_id))
        sample = store.samples([run_id]).get(run_id)
        more = {"arms": counts, "total": total, "questions": lines, "sample": sample}
        return JSONResponse({**plain(found), **plain(more)})

    @router.get("/runs/{run_id}/exchange", response_model=models.Exchanged)
    def exchange(run_id: Id, arm: Arm, probe: pages.ProbeId, replicate: pages.Replicate = 0) -> JSONResponse:
        """One question with its raw exchange. Credentials are neither stored nor shown."""
        asked = pages.asked_of(store, run_id, arm, probe, replicate)
        raw = asked.line.outcome.exchange
        return JSONResponse(plain({
            **_question(asked.line), "provider": asked.provider, "asked_model": asked.model,
            "request": runs.redacted(raw.request) if raw else None,
            "response": runs.redacted(raw.response) if raw else None,
            "status": raw.status if raw else None, "headers": asked.headers,
        }))  # fmt: skip


def _question(line: runs.QuestionRow) -> dict[str, Any]:
    """One question in the shape of ``models.Question``. Without an answer, the fields of an answer are null."""
    outcome = line.outcome
    answer = ("text", "finish_reason", "model", "prompt_tokens", "completion_tokens", "latency_seconds")
    return {
        "arm": line.arm, "probe": line.probe, "replicate": line.replicate,
        **{name: getattr(outcome, name) if isinstance(outcome, Answer) else None for name in answer},
        "reason": outcome.reason if isinstance(outcome, Unmeasured) else None,
        "detail": outcome.detail if isinstance(outcome, Unmeasured) else None,
        "asked_at": outcome.asked_at, "attempts": outcome.attempts, "usd": outcome.usd,
        "scores": line.scores, "unscored": line.unscored,
    }  # fmt: skip


def _baselines(router: APIRouter, store: "StoreReader", settings: Callable[[], Settings]) -> None:
    @router.get("/baselines", response_model=models.Baselines)
    def all_baselines(
        target: Some = None, suite: Some = None, status: BaselineStatus | None = None, limit: Limit = 100
    ) -> JSONResponse:
        """Baselines, newest first, with the people who approved and retired them and their reasons."""
        return JSONResponse({"baselines": plain(store.baselines(target, suite, status)[:limit])})

    @router.get("/baselines/{baseline_id}", response_model=models.BaselineDetail)
    def baseline(baseline_id: Id, limit: Limit = 50, offset: Offset = 0) -> JSONResponse:
        """One baseline, probe by probe, with its distinct answers and their scores."""
        found = pages.baseline_of(store, baseline_id)
        found = replace(found, conditions=conditions_of(settings(), store, found))
        sheets = baselines.sheets(store, found)
        return JSONResponse(plain({**plain(found), "total": len(sheets), "sheets": sheets[offset : offset + limit]}))

    @router.get("/runbooks", response_model=models.Runbooks)
    def all_runbooks() -> JSONResponse:
        """Names of the runbooks, one per alert."""
        return JSONResponse({"runbooks": runbooks.names()})

    @router.get("/runbooks/{name}", response_model=models.Runbook)
    def runbook(name: Name) -> JSONResponse:
        """One runbook in Markdown."""
        text = runbooks.text(name)
        if text is None:
            raise HTTPException(404, f"no runbook {name}")
        return JSONResponse({"name": name, "text": text})
