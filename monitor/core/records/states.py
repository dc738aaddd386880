"""States of findings and alarms as values. Sentences are rendered from them and never parsed."""

from enum import StrEnum


class FindingState(StrEnum):
    """State of a finding."""

    QUIET = "quiet"
    """The numbers show no change."""
    LOOK = "look"
    """The numbers moved, but it does not alarm: worth a look."""
    ALARMING = "alarming"
    """The evidence is over its threshold."""
    CLEARED = "cleared"
    """A look or an alarm whose alarm is cleared. Never stored, because it follows from the alarm."""


class Cause(StrEnum):
    """Cause according to a signal's evidence. Other signals, identity checks and the judge may refine it."""

    UNKNOWN = "unknown"
    """The signal cannot tell, or nothing changed."""
    ADAPTER_LOST = "adapter_lost"
    """Answers come from the base model, or lack abilities of the fine-tune."""
    NOT_ADAPTER_LOSS = "not_adapter_loss"
    """Answers moved away from the approved ones, but not closer to the base."""
    SHARED_CHANGE = "shared_change"
    """The base moved too, so the change is in something that both share."""
    JUDGE_DRIFTED = "judge_drifted"
    """The judge no longer agrees with people's verdicts on its anchors."""
    MODEL_RENAMED = "model_renamed"
    """Replies name another model or build."""
    PROMPT_CHANGED = "prompt_changed"
    """The same prompts have a different number of tokens."""


class Advice(StrEnum):
    """What to do first about a finding."""

    NONE = "none"
    """No advice."""
    WAIT = "wait"
    """Wait for further evaluations, which strengthen or weaken the evidence."""
    CHECK_ADAPTER = "check_adapter"
    """Check which adapter the endpoint serves, and whether it is applied."""
    CHECK_EVERY_REPLICA = "check_every_replica"
    """Check which adapter the endpoint serves, on every replica behind it."""
    CHECK_ADAPTER_AND_ANSWERS = "check_adapter_and_answers"
    """Check which adapter the endpoint serves, and read the answers."""
    CHECK_WHAT_BOTH_SHARE = "check_what_both_share"
    """Look for what the subject and its base share: a prompt, a template, the serving stack."""
    READ_ANSWERS = "read_answers"
    """Read the answers: something other than the adapter changed."""
    READ_FAILED_ANSWERS = "read_failed_answers"
    """Read the answers, then look for a changed model, prompt or adapter."""
    READ_FLIPPED_ANSWERS = "read_flipped_answers"
    """Read the flipped answers, then look for a changed model, prompt or adapter."""
    COMPARE_ANSWERS = "compare_answers"
    """Compare the answers, and look for a new model version, prompt, sampling or weights."""
    COMPARE_SIGNALS = "compare_signals"
    """The model or its serving changed; other signals show whether it matters."""
    FIND_NEW_PROMPT_OR_LIMIT = "find_new_prompt_or_limit"
    """Look for a new model version, prompt or token limit."""
    FIND_NEW_WEIGHTS_OR_TEMPLATE = "find_new_weights_or_template"
    """Look for other weights, another prompt template or another serving stack."""
    COMPARE_RELEASES = "compare_releases"
    """Compare the endpoint's release notes and your deployment with the time of the change."""
    DISTRUST_SCORES = "distrust_scores"
    """Do not trust scores since then, and find out which model answers under the judge's name."""


class Confirmation(StrEnum):
    """How an alarm was confirmed, or why it is a ticket and not a page."""

    FRESH_SAMPLE = "fresh_sample"
    """A fresh sample confirms it."""
    LATER_LOOK = "later_look"
    """A later evaluation confirms it."""
    FRESH_SAMPLE_DISAGREES = "fresh_sample_disagrees"
    """A fresh sample did not confirm it: a ticket, until one does."""
    JUDGE_MOVED = "judge_moved"
    """It uses the judge's verdicts, and the judge drifted: a ticket, until the judge recovers."""
    NOT_ASKED = "not_asked"
    """A fresh sample was not possible: it pages unconfirmed."""
