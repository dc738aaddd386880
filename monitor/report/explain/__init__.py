"""Findings in words: the claim, its cause, when it began, whether it is over."""
