"""Jobs of the daemon next to its runs: each is a class with ``begin`` at every tick and ``end`` at the stop."""
