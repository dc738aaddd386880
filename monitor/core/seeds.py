"""Seeds of questions: stable when a run is resumed, different for each question."""

from hashlib import sha256

from monitor.core.records import Arm


def question_seed(run_seed: int, arm: Arm, probe: str, replicate: int) -> int:
    """Seed of one question of a run, 0 to 2**31 - 1."""
    digest = sha256(f"{run_seed}/{arm}/{probe}/{replicate}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
