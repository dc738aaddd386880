"""Judges kept replies anew whose finish reason this version knows, and an earlier one did not."""

from collections import defaultdict

import structlog

from monitor.ask.reread import reread
from monitor.core.records import AuditEntry, Outcome
from monitor.core.wording import many
from monitor.runs.context import RunContext
from monitor.store.answers import AnswerKey

log = structlog.get_logger()

WHO = "cliffwatch"
"""Who the audit log names."""


def judge_anew(context: RunContext) -> int:
    """Replace the outcomes of kept replies with a finish reason that was unknown and no longer is. Returns how many.

    Their runs become due again and reach a verdict with them. Runs with a verdict stay as they are, because results are
    written once; so do closed baselines, and targets that are no longer configured.
    """
    changed: dict[int, dict[AnswerKey, Outcome]] = defaultdict(dict)
    for run_id, key, kept in context.store.unknown_finishes():
        outcome = reread(kept)
        if outcome is not None:
            changed[run_id][key] = outcome
    count = 0
    for run_id, outcomes in changed.items():
        run = context.store.get_run(run_id)
        target = context.settings.targets.get(run.target)
        if target is None or run.suite not in target.run_suites:
            continue
        why = f"{many(len(outcomes), 'answer')} with a finish reason that was unknown"
        entry = AuditEntry(context.clock(), WHO, "judge anew", run.target, run.suite, f"run {run.id}", why, None)
        context.store.judge_anew(run_id, outcomes, entry, context.clock())
        log.info("judged_anew", target=run.target, suite=run.suite, run=run.id, answers=len(outcomes))
        count += len(outcomes)
    return count
