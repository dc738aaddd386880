"""The pages for people. They work without JavaScript, and each links to its JSON."""

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitor import __version__
from monitor.core import limits, selftest_results, signals, wording
from monitor.core.condition_words import render
from monitor.core.errors import CliffwatchError, StoreError
from monitor.core.measured import Standing
from monitor.core.records import Arm, Baseline, Finding, Run
from monitor.core.sanitize import visible
from monitor.core.settings import Settings
from monitor.core.texts import shown
from monitor.report import daemon_notices
from monitor.report.explain import cause, claim, recovery
from monitor.report.web import (
    answers,
    baselines,
    deleted,
    evidence,
    fleet_headline,
    fleet_overview,
    formatting,
    models,
    runbooks,
    runs,
    target_view,
)
from monitor.runs.conditions import conditions_of

if TYPE_CHECKING:
    from monitor.store import StoreReader

T = TypeVar("T")

HERE: Final = Path(__file__).parent

LISTED: Final = 100
"""Findings on one page."""

Place = Annotated[int, Query(ge=1, le=1_000_000)]
"""Number of a page of a list, from 1."""
State = Annotated[str | None, Query(pattern=f"^({'|'.join(fleet_overview.STATES)})?$")]
Text = Annotated[str, Query(max_length=100)]


class Pages:
    """The templates with their shared filters and globals."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "lacking": render,
            "shown": shown,
            "visible": visible,
            "number": formatting.number,
            "usd": formatting.usd,
            "counted": wording.many,
            "measure": formatting.measure,
            "when": lambda then: then.strftime("%Y-%m-%d %H:%M UTC") if then else "–",
        }
        self._environment.globals |= {
            "version": __version__,
            "titles": signals.TITLES,
            "acceptable": signals.ACCEPTABLE,
            "states": fleet_overview.STATES,
            "Standing": Standing,
            "partly": limits.PARTLY,
            "alarm_state": lambda alarm: wording.alarm_state(alarm, clock()),
            "evidence": wording.evidence,
            "power": wording.power,
            "told_odds": wording.told_odds,
            "aged": claim.aged,
            "amount": wording.amount,
            "unit": wording.unit,
            "state_of": wording.state_of,
            "summary_of": recovery.summary,
            "served": wording.served,
            "capture_days": limits.CAPTURE_DAYS,
            "mismatch_of": cause.mismatch,
            "planted": selftest_results.planted,
        }

    def add_global(self, name: str, value: object) -> None:
        """Make ``value`` available to every template."""
        self._environment.globals[name] = value

    def show(self, template: str, status: int = 200, json: str | None = None, **values: Any) -> HTMLResponse:
        """Render a page. ``json``: address of the same content as JSON."""
        now = self._clock()
        page = self._environment.get_template(template)
        return HTMLResponse(
            page.render(now=now, json=json, ago=lambda then: formatting.ago(then, now), **values), status
        )


def add_pages(
    app: FastAPI,
    pages: Pages,
    store: "StoreReader",
    settings: Callable[[], Settings],
    clock: Callable[[], datetime],
    kept: fleet_overview.FleetCache,
) -> None:
    """Add every read-only page."""
    _overview(app, pages, store, settings, clock, kept)
    _target(app, pages, store, settings, clock, kept)
    _findings(app, pages, store, clock)
    _runs(app, pages, store)
    _baselines(app, pages, store, settings)
    _runbooks(app, pages)
    _files(app)


def _overview(
    app: FastAPI, pages: Pages, store: "StoreReader", settings: Callable[[], Settings], clock: Callable[[], datetime],
    kept: fleet_overview.FleetCache,
) -> None:  # fmt: skip
    @app.get("/", include_in_schema=False)
    def overview(q: Text = "", state: State = None, page: Place = 1) -> Response:
        now, state = clock(), state or None
        found = fleet_overview.overview(store, settings(), now, kept)
        watches, rows = found.watches, found.rows
        chosen = fleet_overview.chosen(rows, q, state)
        where = formatting.turn(page, len(chosen), fleet_overview.PER_PAGE)
        shown = formatting.cut(chosen, where)
        alarms = sorted((one for row in rows for one in row.alarms), key=wording.urgency)
        notices = daemon_notices.read(store, now)
        tone, headline = fleet_headline.headline(watches, found.mismatched, len(found.missed), notices)
        return pages.show(
            "overview.html", json=f"/api/v1/targets?limit={fleet_overview.PER_PAGE}", rows=shown, where=where, q=q,
            state=state,
            counts=fleet_overview.counts(rows), targets=len(rows), alarms=alarms,
            alarms_shown=fleet_overview.ALARMS_SHOWN,
            worst=fleet_overview.worst(store, shown, now, kept), tone=tone, headline=headline, unlisted=found.unlisted,
        )  # fmt: skip


def _target(
    app: FastAPI, pages: Pages, store: "StoreReader", settings: Callable[[], Settings], clock: Callable[[], datetime],
    kept: fleet_overview.FleetCache,
) -> None:  # fmt: skip
    def configured(target: str) -> None:
        if target not in settings().targets:
            raise HTTPException(404, f"unknown target {visible(target, 80)}")

    @app.get("/targets/{target}", include_in_schema=False)
    def target_page(target: str) -> Response:
        configured(target)
        found = target_view.detail(store, settings(), clock(), kept, target)
        watches = [one.watch for one in found.suites]
        mismatched = target_view.mismatched(found.identity)
        tone, headline = fleet_headline.headline(watches, mismatched, sum(bool(one.missed) for one in found.suites))
        return pages.show(
            "target.html", json=f"/api/v1/targets/{target}", target=target, configured=settings().targets[target],
            detail=found, tone=tone, headline=headline, mismatched=mismatched, runbooks=runbooks.names(),
            alarms=sorted((one for watch in watches for one in watch.alarms), key=wording.urgency),
        )  # fmt: skip

    @app.get("/targets/{target}/{signal}", include_in_schema=False)
    def latest_evidence(target: str, signal: str) -> Response:
        configured(target)
        found = evidence.evidence_of(store, target, signal, clock())
        if found is None:
            raise HTTPException(404, f"target {visible(target, 80)} has no finding of {visible(signal, 80)} yet")
        return RedirectResponse(f"/findings/{found[0]}/{found[1]}", 303)


def _findings(app: FastAPI, pages: Pages, store: "StoreReader", clock: Callable[[], datetime]) -> None:
    @app.get("/findings", include_in_schema=False)
    def findings(
        alarming: bool | None = None, target: Annotated[str | None, Query(pattern=models.NAME)] = None,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    ) -> Response:  # fmt: skip
        found = store.finding_heads(target, alarming=alarming or None, before=before, limit=LISTED + 1)
        asked = "".join(f"&{name}={value}" for name, value in (("target", target), ("alarming", alarming)) if value)
        return pages.show(
            "findings.html", json=f"/api/v1/findings?limit={LISTED}{asked.replace('True', 'true')}",
            findings=[one for _, one in found[:LISTED]], alarming=alarming, target=target, before=before,
            ended=partial(recovery.ending, store.alarms(target)),
            next=found[LISTED - 1][0] if len(found) > LISTED else None,
        )  # fmt: skip

    @app.get("/findings/{run_id}/{signal}", include_in_schema=False)
    def finding_page(
        run_id: int, signal: str, sort: evidence.Sort = "weight", show: evidence.Show = "telling", page: Place = 1
    ) -> Response:
        found = finding_of(store, run_id, signal)
        first = evidence.most_telling(found)
        if show == "all" and deleted.texts_of(store, run_id) is None:
            where, exhibits = answers.every_answer(store, found, sort, page)
        else:
            telling = [one for one in evidence.ordered(found.exhibits, sort) if one is not first or sort == "probe"]
            where = formatting.turn(page, len(telling), evidence.PER_PAGE)
            exhibits = list(formatting.cut(telling, where))
        told = evidence.finding_view(store, found, clock())
        return pages.show(
            "finding.html", json=f"/api/v1/findings/{run_id}/{found.signal}", finding=found,
            told=told, newest=evidence.newest_of(store, found), sort=sort, show=show,
            deleted=deleted.notes(store, run_id),
            where=where, pairs=evidence.side_by_side(exhibits), folded=evidence.FOLDED,
            runbooks=runbooks.names(), first=evidence.side_by_side([first] if first else []),
            ended=partial(recovery.ending, told.alarms),
        )  # fmt: skip


def _runs(app: FastAPI, pages: Pages, store: "StoreReader") -> None:
    @app.get("/runs/{run_id}", include_in_schema=False)
    def run_page(run_id: int, show: runs.Show = "answers", page: Place = 1) -> Response:
        found = run_of(store, run_id)
        where, lines = runs.lines(store, run_id, show, page)
        heads = [one for _, one in store.finding_heads(run_id=run_id)]
        return pages.show(
            "run.html", json=f"/api/v1/runs/{run_id}", run=found, show=show, where=where, lines=lines,
            counts=runs.counts(store.tally(run_id)), unfinished=runs.unfinished(store, run_id),
            findings=fleet_overview.by_rank(heads), text_limit=runs.SHOWN,
            ended=partial(recovery.ending, store.alarms(found.target)),
            deleted=deleted.notes(store, run_id), sample=runs.sample_view(store.samples([run_id]).get(run_id)),
        )  # fmt: skip

    @app.get("/runs/{run_id}/exchange", include_in_schema=False)
    def exchange_page(run_id: int, arm: Arm, probe: ProbeId, replicate: Replicate = 0) -> Response:
        found = run_of(store, run_id)
        asked = asked_of(store, run_id, arm, probe, replicate)
        return pages.show("exchange.html", json=exchange_json(run_id, arm, probe, replicate), run=found, asked=asked,
                          deleted=deleted.notes(store, run_id))  # fmt: skip


ProbeId = Annotated[str, Query(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Replicate = Annotated[int, Query(ge=0, le=2**31 - 1)]


def exchange_json(run_id: int, arm: Arm, probe: str, replicate: int) -> str:
    return f"/api/v1/runs/{run_id}/exchange?" + urlencode({"arm": arm.value, "probe": probe, "replicate": replicate})


def _baselines(app: FastAPI, pages: Pages, store: "StoreReader", settings: Callable[[], Settings]) -> None:
    @app.get("/baselines/{baseline_id}", include_in_schema=False)
    def baseline(baseline_id: int, page: Place = 1) -> Response:
        found = baseline_of(store, baseline_id)
        sheets = baselines.sheets(store, found)
        where = formatting.turn(page, len(sheets), baselines.PER_PAGE)
        return pages.show(
            "baseline.html", json=f"/api/v1/baselines/{baseline_id}", baseline=found,
            sheets=formatting.cut(sheets, where), lacks=render(conditions_of(settings(), store, found)),
            where=where, text_limit=baselines.TEXT,
        )  # fmt: skip


def _runbooks(app: FastAPI, pages: Pages) -> None:
    @app.get("/runbooks/", include_in_schema=False)
    def all_runbooks() -> Response:
        return pages.show("runbooks.html", json="/api/v1/runbooks", names=runbooks.names())

    @app.get("/runbooks/{name}", include_in_schema=False)
    def runbook(name: str) -> Response:
        page = runbooks.page(name)
        if page is None:
            raise HTTPException(404, f"no runbook {visible(name, 80)}")
        return pages.show("runbook.html", json=f"/api/v1/runbooks/{name}", title=page[0], body=page[1])


def _files(app: FastAPI) -> None:
    style = (HERE / "static" / "style.css").read_bytes()

    @app.get("/style.css", include_in_schema=False)
    def stylesheet() -> Response:
        return Response(style, media_type="text/css", headers={"Cache-Control": "max-age=300"})

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> Response:
        return Response(status_code=204)


def finding_of(store: "StoreReader", run_id: int, signal: str) -> Finding:
    if not _number(run_id) or not re.fullmatch(models.NAME, signal):
        raise HTTPException(404, "no such finding")
    found = store.findings(run_id=run_id, signal=signal, limit=1)
    if not found:
        raise HTTPException(404, f"run {run_id} has no finding of {visible(signal, 80)}")
    return found[0]


def run_of(store: "StoreReader", run_id: int) -> Run:
    found = store.find_run(run_id) if _number(run_id) else None
    if found is None:
        raise HTTPException(404, f"run {run_id} not found")
    return found


def asked_of(store: "StoreReader", run_id: int, arm: Arm, probe: str, replicate: int) -> runs.Asked:
    return _or_404(lambda: runs.asked(store, run_id, arm, probe, replicate))


def baseline_of(store: "StoreReader", baseline_id: int) -> Baseline:
    if not _number(baseline_id):
        raise HTTPException(404, "no such baseline")
    return _or_404(lambda: store.baseline(baseline_id))


def _number(given: int) -> bool:
    return 0 < given < 2**63


def _or_404(read: Callable[[], T]) -> T:
    """The result of ``read``. Raises HTTPException 404 if the item does not exist, StoreError if the store fails."""
    try:
        return read()
    except StoreError:
        raise
    except CliffwatchError as error:
        raise HTTPException(404, str(error)) from None
