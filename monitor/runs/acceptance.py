"""New values of the contract in a suite's newest run, for a person who knows that they are harmless."""

from dataclasses import dataclass, replace
from typing import Final

from monitor.core.errors import UsageError
from monitor.core.records import Alarm, Comparison, RunOutcome, VerdictContext
from monitor.core.signals import ACCEPTABLE
from monitor.detect import contract_values
from monitor.runs.verdict import compare
from monitor.store import StoreReader

ROOT: Final = "root"
"""The place from which a server loads the model: a part of the whole target, not of one suite."""
PARTS: Final = (*ACCEPTABLE, ROOT)
"""Everything that ``accept`` takes."""
LAST_RUNS: Final = 50
USABLE: Final = (RunOutcome.MEASURED, RunOutcome.PARTIAL)


@dataclass(frozen=True, slots=True)
class News:
    """New values of one part in the newest run of one suite."""

    run_id: int
    part: str
    values: tuple[str, ...]
    before: tuple[str | None, ...]
    """The baseline's usual value in place of each."""
    comparison: Comparison

    def told(self) -> str:
        """The values with those before them, in words."""
        shown = [_told(self.part, *pair) for pair in zip(self.values, self.before, strict=True)]
        return "; ".join(shown[:3]) + (f"; and {len(shown) - 3} more" if len(shown) > 3 else "")

    def leaves_quiet(self) -> bool:
        """Whether the contract shows no other change once these values are accepted."""
        from monitor.detect import SIGNALS

        known = {**self.comparison.accepted, self.part: frozenset(self.values) | self._known}
        reading = SIGNALS["contract"](replace(self.comparison, accepted=known))
        if reading is None:
            return False
        return not any(value for name, value in reading.measures.items() if name.startswith("contract_changed_"))

    @property
    def _known(self) -> frozenset[str]:
        return self.comparison.accepted.get(self.part, frozenset())


def _told(part: str, value: str, before: str | None) -> str:
    was = "" if before is None else f" instead of {before!r}"
    why = contract_values.explained(value, before or "") if part == "fingerprint" else ""
    return f"{value!r}{was}{f': {why}' if why else ''}"


def known_part(part: str) -> str:
    """The part that a person named, with hyphens or underscores. Raises UsageError."""
    from monitor.core.lookup import known

    name = part.strip().lower().replace("-", "_")
    known("part of the contract", name, PARTS)
    return name


def news(store: StoreReader, target: str, suite: str, part: str) -> News | None:
    """The new values of a part in the newest run of a suite that has answers; ``None`` if it has no new ones.

    Raises UsageError without an approved baseline, or without such a run of the baseline's version of the suite.
    """
    baseline = store.approved(target, suite)
    if baseline is None:
        raise UsageError(f"{target}/{suite}: no approved baseline, so there is no contract to change")
    runs = (
        run
        for run in store.runs(target, suite, limit=LAST_RUNS)
        if run.outcome in USABLE and run.suite_digest == baseline.suite_digest and run.id not in baseline.run_ids
    )
    newest = next(runs, None)
    if newest is None:
        raise UsageError(f"{target}/{suite}: no run since the baseline has answers; run: cliffwatch probe {target}")
    context = VerdictContext(newest.id, baseline.id, 0.0, 0.0, "")
    comparison = replace(
        compare(store, context), accepted=store.accepted_values(target, suite, baseline.approved_at, None)
    )
    values = contract_values.fresh(comparison, part)
    if not values:
        return None
    before = tuple(contract_values.usual(comparison, part, value) for value in values)
    return News(newest.id, part, values, before, comparison)


def contract_alarm(store: StoreReader, target: str, suite: str) -> Alarm | None:
    """The open alarm of the contract."""
    return next((one for one in store.open_alarms(target, suite) if one.signal == "contract"), None)
