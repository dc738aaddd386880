"""What differs between the days of a real server: its regime.

steady       nothing: one process, started once, its prompt cache warm
restarted    a restart before every day (vLLM: before every tenth)
loaded       other clients ask during the pass: 2 to 12 (vLLM: 4) on weekdays, up to 2 on the two days of a weekend
flags        on one day in five (vLLM: in twenty) one flag of the server changes, and stays
replicas     two replicas, the second with fewer bits; the share of the calls that it gets changes one day in five
all          all of these
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Any, Final

from benchmarks.rows import seed_of

REGIMES: Final = ("steady", "restarted", "loaded", "flags", "replicas", "all")

Flags = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A server: its flags, each with the values that it may have, the default first; chances of a change a day."""

    name: str
    flags: Mapping[str, tuple[Any, ...]]
    precisions: tuple[str, ...]
    changed: float
    restarted: float
    clients: int
    """Most clients besides."""
    apart: bool = False
    """Ask one arm after the other, other clients included. vLLM for CPU 0.32.0 applies the adapter to requests of the
    base that are in the same batch as requests of the adapter."""
    scale: float = 1.0
    """Of the adapter, for the whole time: a weaker one is a worse fine-tune."""


LLAMA: Final = Kind(
    "llama.cpp",
    {
        "threads": (1, 2),
        "slots": (4, 1, 8),
        "ubatch": (512, 32, 8),
        "flash": ("auto", "off", "on"),
        "kv": ("f16", "f32", "bf16"),
        "cache": (True, False),
    },
    ("f32", "q8_0"),
    0.2,
    1.0,
    12,
)
VLLM: Final = Kind(
    "vllm",
    {
        "prefix_caching": (True, False),
        "max_num_seqs": (16, 2, 64),
        "max_num_batched_tokens": (2048, 512),
        "threads": (1, 2),
    },
    ("float32", "bfloat16"),
    0.05,
    0.1,
    4,
    apart=True,
)
WEAK: Final = replace(LLAMA, name="llama.cpp-weak", scale=0.72)
SMOLLM2: Final = replace(LLAMA, name="llama.cpp-smollm2", precisions=("q4_1",), restarted=0.2, clients=2)
KINDS: Final = MappingProxyType({one.name: one for one in (LLAMA, WEAK, VLLM, SMOLLM2)})


@dataclass(frozen=True)
class Day:
    """How the server runs on one day. ``share``: of the calls that the second replica gets; ``None`` without one."""

    flags: Flags
    restart: bool
    clients: int
    share: float | None


def planned(kind: Kind, regime: str, days: int, seed: int) -> list[Day]:
    """The days of one regime."""
    rng = Random(seed_of("real-days", kind.name, regime, seed))
    every = regime == "all"
    flags = {name: values[0] for name, values in kind.flags.items()}
    share = rng.random() if (every or regime == "replicas") and len(kind.precisions) > 1 else None
    found = []
    for number in range(days):
        changed = (every or regime == "flags") and rng.random() < kind.changed
        if changed:
            name = rng.choice(sorted(flags))
            flags[name] = rng.choice([one for one in kind.flags[name] if one != flags[name]])
        restart = (every or regime == "restarted") and rng.random() < kind.restarted * (0.3 if every else 1.0)
        clients = 0
        if every or regime == "loaded":
            clients = rng.randint(0, 2) if number % 7 >= 5 else rng.randint(2, kind.clients)
        if share is not None and rng.random() < 0.2:
            share = rng.random()
        found.append(Day(dict(flags), number == 0 or changed or restart, clients, share))
    return found
