"""Alerts that carry verdicts: what the answers show."""

from typing import Final, Literal

from monitor.core.limits import FEW_LIKE_BASE
from monitor.core.run_kinds import JUDGE
from monitor.core.signals import CATALOGUE, JUDGE_DRIFT, SPECS
from monitor.report.metrics.alerts import templates as t
from monitor.report.metrics.alerts.spec import TARGET_PAGE, AlertSpec

_DRIFT: Final = tuple(sorted(JUDGE_DRIFT))


def _carried(
    name: str,
    what: str,
    *,
    by_signal: bool,
    judge: Literal["too", "not"],
    title: str,
    summary: str,
    facts: tuple[str, ...] = (),
) -> AlertSpec:
    """An alert that carries the verdicts of the signals that name it in the catalogue.

    ``by_signal``: each signal is an alert of its own. Otherwise one alert covers all of them, and its labels contain no
    signal. This is a parameter, not derived from the number of signals, so that a new signal changes no alert's labels.
    ``facts``: lines from metrics, after those of the daemon.
    """
    signals = _signals(name)
    by = ("target", "signal", "severity") if by_signal else ("target", "severity")
    others = f',target!="{JUDGE.target}"' if judge == "not" else ""
    joined = tuple(one.name for one in CATALOGUE if one.joins == name)
    cause = dict.fromkeys(SPECS[one].joins for one in signals if SPECS[one].joins)
    when = _alarms(signals, others)
    if joined:
        when += f"\nor\n{_alarms(joined, others)}\n  and on (job, instance, target)\n{_alarms(signals, others)}"
    for one in cause:
        when += f"\n  unless on (job, instance, target)\n{_alarms(_signals(one), others)}"
    agreement = t.AGREEMENT if name == "CliffwatchScoreDrop" else ()
    return AlertSpec(
        name=name,
        signals=signals,
        joined=joined,
        judge=judge,
        title=title,
        summary=summary,
        by=by,
        when=when,
        description=(what, *t.lines(name, *by), *facts, *agreement),
        evidence=f"{TARGET_PAGE}/{{{{ $labels.signal }}}}" if by_signal else t.evidence(name, *by),
    )


def _signals(alert: str) -> tuple[str, ...]:
    return tuple(one.name for one in CATALOGUE if one.alert == alert)


def _alarms(signals: tuple[str, ...], others: str) -> str:
    """PromQL: the open alarms of these signals."""
    chosen = f'signal="{signals[0]}"' if len(signals) == 1 else f'signal=~"{"|".join(signals)}"'
    return f"last_over_time(cliffwatch_alarm{{{chosen}{others}}}[1h]) > 0"


CARRIED: Final = (
    _carried(
        "CliffwatchFineTuneLost",
        "{{ $labels.target }} no longer behaves as fine-tuned: some or all of its users get the base model's answers. "
        "Other monitors do not show it: the endpoint answers with HTTP 200 and at its usual speed.",
        by_signal=False,
        judge="not",
        title="{{ $labels.target }} answers like its base model",
        summary="A fine-tuned endpoint answers like its base model.",
    ),
    _carried(
        "CliffwatchFineTuneBroken",
        "{{ $labels.target }} fails checks that only its fine-tune passes, and no alarm says that its answers are its "
        "base model's.",
        by_signal=True,
        judge="not",
        title="{{ $labels.target }} fails what only its fine-tune can do",
        summary="A fine-tuned endpoint fails what only its fine-tune can do, without answering like its base model.",
        facts=(
            *t.own_line(
                f"Its answers are not its base model's: {t.PERCENT} of them are nearer to the base's than to the "
                "approved ones.",
                f"100 * (max({t.last('base_like_ratio', t.TARGET)}) <= {FEW_LIKE_BASE:g})",
                t.OF_TARGET,
            ),
            *t.own_line(
                f"Also changed in its contract:{t.PARTS} as the page of the contract shows.",
                t.last("contract_changed", t.TARGET) + " > 0",
                t.OF_TARGET,
            ),
        ),
    ),
    _carried(
        "CliffwatchScoreDrop",
        "The judge scores the answers of {{ $labels.target }} lower than those of its approved baseline, by more than "
        "the usual difference between days.",
        by_signal=True,
        judge="not",
        title="{{ $labels.target }} scores lower than its approved baseline",
        summary="An endpoint's answers score lower than its approved baseline.",
    ),
    _carried(
        "CliffwatchNegativeFlips",
        "{{ $labels.target }} gets items wrong that it got right in its approved baseline, more of them than chance "
        "explains.",
        by_signal=True,
        judge="not",
        title="{{ $labels.target }} fails what it passed in its approved baseline",
        summary="An endpoint fails items that it passed in its approved baseline.",
    ),
    _carried(
        "CliffwatchDistributionShift",
        "{{ $labels.target }} or its base model answers the same prompts differently than in the approved baseline. "
        "The lines below say which of them. Other alerts show whether that does harm.",
        by_signal=False,
        judge="too",
        title="{{ $labels.target }} or its base model answers the same prompts differently",
        summary="An endpoint or its base model answers the same prompts differently than in its approved baseline.",
    ),
    _carried(
        "CliffwatchLengthShift",
        "{{ $labels.target }} gives longer, shorter or more uneven answers than in its approved baseline. That changes "
        "cost and latency, and answers may be cut off.",
        by_signal=True,
        judge="too",
        title="{{ $labels.target }} gives answers of another length",
        summary="An endpoint's answers have another length than in its approved baseline.",
    ),
    _carried(
        "CliffwatchContractChanged",
        "The metadata of {{ $labels.target }}, or the form of its answers, differs from its approved baseline. This is "
        "often the first sign of an unannounced release.",
        by_signal=True,
        judge="too",
        title="{{ $labels.target }} changed its metadata or the form of its answers",
        summary="The metadata of an endpoint, or the form of its answers, has changed.",
    ),
    AlertSpec(
        name="CliffwatchJudgeDrift",
        severity="ticket",
        signals=_DRIFT,
        judge="only",
        when=f'last_over_time(cliffwatch_alarm{{signal="{"|".join(_DRIFT)}",target="{JUDGE.target}"}}[1h]) > 0',
        title="The judge scores its labelled anchors differently than in its baseline",
        summary="The judge scores its labelled anchors differently than in its baseline.",
        description=(
            "The judge scores labelled answers differently than in its own baseline, so its scores cannot be trusted. "
            "Score alerts of this Cliffwatch are held back until this is resolved.",
            *t.lines("CliffwatchJudgeDrift", "target"),
            *t.AGREEMENT,
        ),
        evidence=t.evidence("CliffwatchJudgeDrift", "target"),
        comment='The judge\'s anchors are asked as the target "judge". This alert never wakes a person, because no '
        "user gets the judge's answers. Only its signals read the judge's verdicts; the other signals fire the same "
        "alerts as for any endpoint.",
    ),
)
"""In the order of the file: causes before consequences."""
