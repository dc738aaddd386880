"""``cliffwatch status``: how the fleet stands, and whether a daemon is alive."""
