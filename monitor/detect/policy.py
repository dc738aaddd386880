"""The alarm policy: which p-value is small enough, so that the promised rate of false pages is kept."""


def alpha_per_look(false_pages_per_target_year: float, looks_per_year: float, signals: int) -> float:
    """The p-value at or under which one signal alarms at one look.

    ``alpha = rate / looks / signals``, at most 1. ``looks_per_year`` counts every verdict on the target in a year:
    365 for one daily suite, 730 for two, 52 more for a weekly production sample.

    Why it is honest: the expected number of false pages is the sum of the chances of each look, so the shares
    add up to the promised rate however looks and signals depend on one another (Bonferroni). It assumes that each
    look's p-value is honest by itself, which ``evidence`` argues for, and that a look is fixed before it is seen: a
    run is judged once, when it is finished.

    What it costs: each look starts anew, nothing accumulates. At 0.1 a year, daily, two page signals,
    alpha = 0.1 / 365 / 2 = 1.4e-4: what a one-sided normal test sees at 3.6 standard errors and catches with 80 %
    at 4.5. A total loss is ten and more; a slow slide of one standard error a day is never seen by this rule.
    Evidence that accumulates (e-processes) is what buys that back.
    """
    if false_pages_per_target_year <= 0 or looks_per_year <= 0 or signals < 1:
        raise ValueError("rate and looks must be above 0, and there must be a signal")
    return min(1.0, false_pages_per_target_year / looks_per_year / signals)
