"""What a finding and an alarm are, as values: sentences are rendered from these and nowhere read back."""

from enum import StrEnum


class FindingState(StrEnum):
    """How much a finding says."""

    QUIET = "quiet"
    """Nothing changed, as far as the numbers tell."""
    LOOK = "look"
    """The numbers moved and nothing alarms: worth a look."""
    ALARMING = "alarming"
    """The evidence is over its line."""
    CLEARED = "cleared"
    """It was one of the two before, and its alarm is over. Never stored: it follows from the alarm."""


class Cause(StrEnum):
    """What a signal's own evidence says of the cause; other signals, identity checks and the judge may add to it."""

    UNKNOWN = "unknown"
    """The signal cannot tell, or nothing changed."""
    ADAPTER_LOST = "adapter_lost"
    """Answers come from the base model, or lack what only the fine-tune can do."""
    NOT_ADAPTER_LOSS = "not_adapter_loss"
    """Answers moved away from the approved ones and came no nearer to the base."""
    SHARED_CHANGE = "shared_change"
    """The base, asked beside the subject, moved too: the change lies in what both share."""
    JUDGE_DRIFTED = "judge_drifted"
    """The judge no longer agrees with people's verdicts on its anchors."""
    MODEL_RENAMED = "model_renamed"
    """Replies name another model or build."""
    PROMPT_CHANGED = "prompt_changed"
    """The same prompts count another number of tokens."""


class Advice(StrEnum):
    """What to do first about a finding."""

    NONE = "none"
    """Nothing, or nothing that the signal knows of."""
    WAIT = "wait"
    """Further looks add to the evidence or take from it."""
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
    """The model or its serving changed; other signals tell whether it matters."""
    FIND_NEW_PROMPT_OR_LIMIT = "find_new_prompt_or_limit"
    """Look for a new model version, prompt or token limit."""
    FIND_NEW_WEIGHTS_OR_TEMPLATE = "find_new_weights_or_template"
    """Look for other weights, another prompt template or another serving stack."""
    COMPARE_RELEASES = "compare_releases"
    """Compare the endpoint's release notes and your deployment with the time of the change."""
    DISTRUST_SCORES = "distrust_scores"
    """Trust no score since then, and find out which model answers under the judge's name."""


class Confirmation(StrEnum):
    """What confirmed an alarm, or why it is a ticket and not a page."""

    FRESH_SAMPLE = "fresh_sample"
    """A fresh sample, asked at once, agrees."""
    LATER_LOOK = "later_look"
    """A later look agrees."""
    FRESH_SAMPLE_DISAGREES = "fresh_sample_disagrees"
    """A fresh sample does not agree: a ticket, until one does."""
    JUDGE_MOVED = "judge_moved"
    """It rests on the judge's verdicts, and the judge itself moved: a ticket, until it is back."""
    NOT_ASKED = "not_asked"
    """No fresh sample could be asked: it pages unconfirmed."""
