"""A process that runs checks under limits of CPU time and memory: ``python -m monitor.judge.check_process BYTES``.

Reads requests from standard input and writes replies to standard output, one JSON value a line. The system ends the
process when a check uses more than its CPU time; then the process that asked starts another one.
"""

import json
import signal
import sys
from contextlib import suppress
from typing import Any

from monitor.judge.unfinished import CPU_SECONDS, CheckUnfinishedError, Unfinished


def main() -> None:
    """Answer requests until standard input ends."""
    from monitor.judge.checks import EVALUATORS

    _limit_memory(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        kind, text, options = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # without a handler, its signal ends the process
        reply: list[Any]
        try:
            reply = ["ok", *EVALUATORS[kind](text, options)]
        except CheckUnfinishedError as error:
            reply = [error.reason, str(error)]
        except MemoryError:
            reply = [Unfinished.MEMORY, ""]
        except Exception as error:
            reply = [Unfinished.CRASHED, f"the check failed: {type(error).__name__}"]
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _limit_memory(more: int) -> None:
    """Limit the address space to what the process has now and ``more`` bytes."""
    import resource

    with suppress(OSError, ValueError):  # macOS has no such limit
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
