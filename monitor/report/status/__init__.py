"""``cliffwatch status``: the state of the fleet, and whether a daemon is alive."""
