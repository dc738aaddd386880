"""The catalogue of signals: everything that other modules need to know about a signal, in one record each.

A signal is the file ``detect/NAME.py``, whose function ``measure`` measures it, and its record in ``CATALOGUE``. Mail,
pages, terminal, metrics, dashboards and docs are built from the record. Nothing heavy is imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.core.records import Arm, Severity


class Scale(StrEnum):
    """The kind of number that an effect is. Charts and tables show the effect accordingly."""

    REMAINS = "remains"
    """Share of the approved effect that is left: 1 is as approved, 0 is gone."""
    RATIO = "ratio"
    """Now over baseline: 1 is unchanged."""
    POINTS = "points"
    """Share of the answers, now minus baseline: 0 is unchanged."""
    DISTANCE = "distance"
    """Distance from the baseline, 0 to 1: 0 is unchanged."""
    OTHER = "other"
    """In its own unit, not a share: 0 is unchanged."""


class Grade(StrEnum):
    """What grades an answer."""

    CHECKS = "checks"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True)
class Effect:
    """How a signal's effect is read and written."""

    scale: Scale
    format: str
    """Format specification of the number."""
    unit: str
    """The text after the number."""
    change: str = ""
    """What a change in percent is a change of; empty for ``Scale.OTHER``."""
    word: str = ""
    """What a ``Scale.RATIO`` is a ratio of, in a word."""
    at_least_none: bool = False
    """Values below 0 occur by chance alone, so they are shown as 0."""
    bounds: tuple[float, float] = (-1.0, 1.0)
    """The least and the most that is shown as a number. Beyond them it is shown as ``under`` or ``over`` the bound:
    where answers hardly varied, a ratio of spreads has no meaningful size."""

    beside: tuple[str, str, str] | None = None
    """What is told next to the effect, so that a ratio has its absolute numbers: what it is, and the keys of
    ``Finding.measures`` for now and for the baseline."""

    @property
    def reference(self) -> float:
        """The effect that means no change."""
        return 1.0 if self.scale in (Scale.REMAINS, Scale.RATIO) else 0.0

    @property
    def reference_name(self) -> str:
        return "as approved" if self.scale is Scale.REMAINS else "unchanged"


UNKNOWN: Final = Effect(Scale.OTHER, ".3g", "", bounds=(-1e6, 1e6))
"""How to show the effect of a signal that another version of Cliffwatch stored and this one does not know."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number of ``Finding.measures`` that is exported as its own gauge, by target and suite."""

    metric: str
    """Without prefix."""
    help: str
    label: str = ""
    """A further label, if there is one."""
    values: Mapping[str, str] | None = None
    """Key of ``Finding.measures`` -> value of ``label``; without a label the key is ``metric``."""

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label,) if self.label else ()

    @property
    def keys(self) -> dict[str, tuple[str, ...]]:
        """Key of ``Finding.measures`` -> the values of ``labels``."""
        return {self.metric: ()} if self.values is None else {key: (value,) for key, value in self.values.items()}


@dataclass(frozen=True, slots=True)
class SignalSpec:
    """One signal. ``name`` is also the name of its file in ``monitor/detect``."""

    name: str
    title: str
    """Its name for people."""
    severity: Severity
    about: str
    """What it finds, in one sentence."""
    clause: str
    """What the target does when the signal alarms; continues the target's name."""
    needs: str
    """What it needs to be measured."""
    effect: Effect
    alert: str
    """The alert that it raises; also the name of the runbook."""
    joins: str = ""
    """The alert that carries it instead, while that alert has an alarm of its own signals for the target: the cause of
    both."""
    fine_tune: bool = False
    """It compares with the base, so it shows whether the answers are the base's: a lost fine-tune."""
    arm: Arm = Arm.SUBJECT
    """Whose answers it compares with their own baseline. An alarm about the base says nothing about the target, so its
    evidence is accumulated apart."""
    reads_answers: bool = True
    """Reads the answers themselves, not a judge's score or metadata of the answer."""
    texts: bool = True
    """Compares the texts of answers or what was generated with them, so answers without a text are left out. Otherwise
    such answers count."""
    by_equality: bool = False
    """Reads of a text at most its length and whether it equals another, so it can be measured with ``keep: hashes``."""
    graded_by: frozenset[Grade] = frozenset()
    """What grades the answers that it reads; any one is enough. Empty: it needs no grades."""
    judge_drift: bool = False
    """On the judge's anchors it reads the judge's verdicts, so its alarm means that the judge changed."""
    facts: bool = False
    """Whether it has channels that watch facts, such as a name in the replies, that few answers of a run may show."""
    measures: tuple[Measure, ...] = ()


ALL_RUBRICS: Final = "all"
"""Label ``rubric`` of a mean over every rubric of the suite."""
CONTRACT_PARTS: Final = (
    "model_id", "fingerprint", "prompt_tokens", "finish_reason", "refusals", "empty", "checks_passed", "served",
    "prefix_cache",
)  # fmt: skip
"""Everything that ``contract`` compares."""
ACCEPTABLE: Final = ("fingerprint", "model_id", "prompt_tokens", "served")
"""Parts of the contract whose new values may be harmless, so that a person may accept them."""

CATALOGUE: Final[tuple[SignalSpec, ...]] = (
    SignalSpec(
        name="adapter_loss",
        title="Fine-tune's effect",
        severity=Severity.PAGE,
        about="Answers are nearer to the base model's than the approved ones were.",
        clause="answers like its base",
        needs="a base whose answers differ from the subject's",
        effect=Effect(
            Scale.REMAINS, ".0%", "of the approved fine-tune's effect", "effect of the fine-tune", at_least_none=True,
            bounds=(0.0, 2.0),
        ),
        alert="CliffwatchFineTuneLost",
        fine_tune=True,
        measures=(
            Measure("base_like_ratio", "Share of answers that look more like the base's than the baseline's."),
            Measure(
                "adapter_effect_ratio",
                "The fine-tune's present effect over its approved effect: 1 is healthy, 0 is gone.",
            ),
        ),
    ),
    SignalSpec(
        name="base_match",
        by_equality=True,
        title="Same as base",
        severity=Severity.PAGE,
        about="At temperature 0, answers are identical to the base model's.",
        clause="gives exactly its base's answers",
        needs="temperature 0, and a base that answers differently",
        effect=Effect(
            Scale.POINTS,
            "+z.0%",
            "answers identical to the base's, compared with the baseline",
            "answers equal to the base's",
        ),
        alert="CliffwatchFineTuneLost",
        fine_tune=True,
    ),
    SignalSpec(
        name="canaries",
        by_equality=True,
        title="Canaries",
        severity=Severity.PAGE,
        about="Checks fail that only the fine-tune passes.",
        clause="fails its canaries",
        needs="3 probes or more with checks that the subject nearly always passes and the base nearly always fails",
        effect=Effect(
            Scale.POINTS, "+z.0%", "failing canary answers, compared with the baseline", "canary answers that fail"
        ),
        alert="CliffwatchFineTuneBroken",
        joins="CliffwatchFineTuneLost",
        texts=False,
        graded_by=frozenset({Grade.CHECKS}),
    ),
    SignalSpec(
        name="negative_flips",
        by_equality=True,
        title="Negative flips",
        severity=Severity.PAGE,
        about="Items that were answered right are now wrong, and fewer that were wrong are now right.",
        clause="fails what it used to pass",
        needs="probes with checks that nearly always pass, or nearly always fail, over enough answers",
        effect=Effect(Scale.POINTS, "+z.1%", "answers newly wrong minus newly right", "answers now wrong"),
        alert="CliffwatchNegativeFlips",
        texts=False,
        graded_by=frozenset({Grade.CHECKS, Grade.JUDGE}),
        judge_drift=True,
        measures=(
            Measure(
                "negative_flip_ratio", "Share of the frozen items that were answered right and are now wrong."
            ),
            Measure(
                "positive_flip_ratio", "Share of the frozen items that were answered wrong and are now right."
            ),
        ),
    ),
    SignalSpec(
        name="judge_score",
        by_equality=True,
        title="Judge's score",
        severity=Severity.PAGE,
        about="The judge scores the answers lower than the baseline's.",
        clause="is judged worse",
        needs="a judge and a rubric",
        effect=Effect(
            Scale.POINTS, "+z.2f", "points on a scale of 0 to 1, compared with the baseline", "judge's score"
        ),
        alert="CliffwatchScoreDrop",
        reads_answers=False,
        graded_by=frozenset({Grade.JUDGE}),
        measures=(
            Measure(
                "judge_score_baseline", "Mean score in the approved baseline, 0 to 1.", "rubric",
                {"judge_score_baseline": ALL_RUBRICS},
            ),
        ),
    ),
    SignalSpec(
        name="distribution",
        title="Distribution of answers",
        severity=Severity.TICKET,
        about="The distribution of the answers changed, in any way.",
        clause="answers differently",
        needs="a suite, with 10 answers in the baseline and 5 a run",
        effect=Effect(
            Scale.DISTANCE, ".1%", "of the maximum distance", "different wording", at_least_none=True
        ),
        alert="CliffwatchDistributionShift",
    ),
    SignalSpec(
        name="logprobs",
        title="First token",
        severity=Severity.TICKET,
        about="The log-probabilities of the first token moved.",
        clause="begins its answers differently",
        needs="an endpoint that returns log-probabilities, and sampling.logprobs in the suite",
        effect=Effect(
            Scale.OTHER, "z.2f", "nats of mean first-token log-probability", at_least_none=True, bounds=(0.0, 100.0)
        ),
        alert="CliffwatchDistributionShift",
    ),
    SignalSpec(
        name="border",
        title="Near ties",
        severity=Severity.TICKET,
        about="Inputs whose first word is a near tie are decided differently.",
        clause="decides near ties differently",
        needs="temperature 0, and 3 probes or more whose first word is a near tie",
        effect=Effect(
            Scale.DISTANCE, "z.2f", "total variation distance above chance, 0 to 1", "decisions, above chance",
            at_least_none=True,
        ),
        alert="CliffwatchDistributionShift",
    ),
    SignalSpec(
        name="base_drift",
        title="Base model's answers",
        severity=Severity.TICKET,
        about="The base model answers differently than in the baseline.",
        clause="has a base model that answers differently",
        needs="a base, with 10 answers in the baseline and 3 a run",
        effect=Effect(
            Scale.DISTANCE,
            ".0%",
            "less similar to its approved answers",
            "different wording of the base",
            at_least_none=True,
        ),
        alert="CliffwatchDistributionShift",
        arm=Arm.BASE,
    ),
    SignalSpec(
        name="alias_moved",
        title="Distance from the snapshot",
        severity=Severity.TICKET,
        about="What the model's name serves has left the snapshot that is asked next to it.",
        clause="no longer answers like its snapshot",
        needs="snapshot.compare, and a baseline that was captured with it",
        effect=Effect(
            Scale.DISTANCE, ".0%", "less like its snapshot's answers", "distance to snapshot", at_least_none=True
        ),
        alert="CliffwatchDistributionShift",
    ),
    SignalSpec(
        name="length",
        by_equality=True,
        title="Length of answers",
        severity=Severity.TICKET,
        about="Answers are longer, shorter or less even in length.",
        clause="gives answers of another length",
        needs="10 answers in the baseline and 5 a run",
        effect=Effect(
            Scale.RATIO, ".2f", "times the baseline's variance of log length", "spread of length", word="spread",
            bounds=(0.01, 100.0),
            beside=("characters on average", "answer_length_chars", "answer_length_baseline_chars"),
        ),
        alert="CliffwatchLengthShift",
        measures=(
            Measure("answer_length_baseline_chars", "Mean length in the approved baseline, in characters."),
            Measure("answer_length_variance_ratio", "Variance of the answers' length over the baseline's."),
        ),
    ),
    SignalSpec(
        name="contract",
        by_equality=True,
        title="Contract",
        severity=Severity.TICKET,
        about="Model id, fingerprint, prompt tokens, finish reasons, refusals, empty answers or passed checks changed, "
        "or a prefix cache changes answers.",
        clause="answers with a changed contract",
        needs="10 answers in the baseline and 5 a run",
        effect=Effect(
            Scale.POINTS,
            "+z.0%",
            "answers that break the contract, compared with the baseline",
            "answers that fail a check",
        ),
        alert="CliffwatchContractChanged",
        reads_answers=False,
        texts=False,
        facts=True,
        measures=(
            Measure(
                "pass_ratio_baseline", "Share of the approved baseline's answers that pass every deterministic check."
            ),
            Measure(
                "contract_changed",
                "1 if the last finding counts this part of the contract as changed, else 0: "
                f"{', '.join(CONTRACT_PARTS)}. The evidence page shows the old and new values.",
                "part",
                {f"contract_changed_{part}": part for part in CONTRACT_PARTS},
            ),
        ),
    ),
)  # fmt: skip
"""Every signal, in the order of lists: causes before their consequences."""

SPECS: Final[Mapping[str, SignalSpec]] = {one.name: one for one in CATALOGUE}
FACTS: Final = frozenset(one.name for one in CATALOGUE if one.facts)
"""Signals with channels that watch facts."""
TITLES: Final[Mapping[str, str]] = {one.name: one.title for one in CATALOGUE}
SEVERITIES: Final[Mapping[str, Severity]] = {one.name: one.severity for one in CATALOGUE}
ALERTS: Final[Mapping[str, str]] = {one.name: one.alert for one in CATALOGUE}
"""Signal -> the alert that it raises."""
FINE_TUNE: Final = frozenset(one.name for one in CATALOGUE if one.fine_tune)
"""Signals that show whether answers are the base's."""
OF_BASE: Final = frozenset(one.name for one in CATALOGUE if one.arm is Arm.BASE)
"""Signals about the base alone."""
ANSWERS: Final = frozenset(one.name for one in CATALOGUE if one.reads_answers) - OF_BASE
"""Signals that read the target's answers themselves, without a judge."""
JUDGE_DRIFT: Final = frozenset(one.name for one in CATALOGUE if one.judge_drift)
"""Signals that show, on ``JUDGE_TARGET``, that the judge's verdicts changed (CliffwatchJudgeDrift)."""


def of_severity(severity: Severity) -> tuple[SignalSpec, ...]:
    """The signals that raise alarms of this severity, in the order of the catalogue."""
    return tuple(one for one in CATALOGUE if one.severity is severity)


def title(name: str) -> str:
    """A signal's title; its name if this version does not know it."""
    return TITLES.get(name, name)


def effect(name: str) -> Effect:
    """How a signal's effect is shown, also for signals that this version does not know."""
    return SPECS[name].effect if name in SPECS else UNKNOWN


def rank(name: str) -> int:
    """A signal's place in a list: causes before their consequences, unknown signals last."""
    return [*SPECS, name].index(name)
