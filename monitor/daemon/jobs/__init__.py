"""What the daemon does beside its runs: each a class with ``begin`` at every tick and ``end`` at the stop."""
