"""A uniform, stratified sample of a stream in bounded memory, independent of the order of the stream.

Algorithm R depends on the order of arrival, so a rotated or renamed file would change the sample. Here each distinct
input gets a key, a keyed hash of its content and the seed, and the inputs with the ``k`` smallest keys are kept
(bottom-k, or min-wise, sampling: Broder 1997; Cohen and Kaplan 2007). The keys are like independent uniform numbers, so
each set of ``k`` distinct inputs is equally likely. A repetition has the same key and changes only its count. A key
among the ``k`` smallest of all is among the ``k`` smallest of every part, so the counts of kept inputs are exact, and
reservoirs can be merged.

The frequency of an input does not raise its probability: asking one prompt twice in a sample would measure nothing new.
Traffic determines the shares of the strata, which are proportional to requests.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Final, Generic, Protocol, TypeVar


class Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


T = TypeVar("T", bound=Ordered)

MAX_STRATA: Final = 256
OTHER: Final = "(other)"
MAX_SUBJECTS: Final = 1_000


@dataclass(slots=True)
class Kept(Generic[T]):
    key: int
    item: T
    count: int
    """Requests in its stratum with this input."""
    subjects: set[str] = field(default_factory=set)
    """Hashes of the people who sent it, at most ``MAX_SUBJECTS``."""


def sample_key(seed: int, identity: bytes) -> int:
    """A 64-bit key of the content ``identity`` under ``seed``."""
    return int.from_bytes(blake2b(identity, digest_size=8, key=str(seed).encode()[-64:]).digest(), "big")


@dataclass(slots=True)
class Reservoir(Generic[T]):
    """The ``size`` distinct inputs with the smallest keys, and the number of all requests."""

    size: int
    requests: int = 0
    kept: dict[int, Kept[T]] = field(default_factory=dict)
    _largest: list[int] = field(default_factory=list)
    """Heap of the negated keys of ``kept``."""

    def add(self, key: int, item: T, count: int = 1, subjects: Collection[str] = ()) -> None:
        self.requests += count
        self._offer(key, item, count, subjects)

    def _offer(self, key: int, item: T, count: int, subjects: Collection[str]) -> None:
        known = self.kept.get(key)
        if known is not None:
            known.count += count
            known.item = min(known.item, item)
            known.subjects.update(subjects if len(known.subjects) < MAX_SUBJECTS else ())
        elif len(self.kept) < self.size:
            heappush(self._largest, -key)
            self.kept[key] = Kept(key, item, count, set(subjects))
        elif key < -self._largest[0]:
            del self.kept[-heapreplace(self._largest, -key)]
            self.kept[key] = Kept(key, item, count, set(subjects))

    def merge(self, other: "Reservoir[T]") -> None:
        """Merge another reservoir of the same size and seed, as if its stream had been added here."""
        self.requests += other.requests
        for kept in other.kept.values():
            self._offer(kept.key, kept.item, kept.count, kept.subjects)

    def shed(self) -> None:
        """Drop the kept input with the largest key, and keep at most what is left from now on; at least one."""
        if len(self.kept) > 1:
            del self.kept[-heappop(self._largest)]
            self.size = len(self.kept)


class Strata(Generic[T]):
    """A reservoir for each stratum.

    It keeps at most ``limit`` strata, because a field like a user id would fill the memory. The seed selects them,
    independent of the order of the stream; the rest share the stratum ``(other)``.
    """

    def __init__(self, size: int, seed: int, limit: int | None = None) -> None:
        self._size = size
        self._seed = seed
        # all reservoirs together keep at most about 100,000 inputs
        self._limit = limit if limit is not None else max(8, min(MAX_STRATA, 100_000 // size))
        self._reservoirs: dict[str, Reservoir[T]] = {}
        self._ranks: list[tuple[int, str]] = []
        self._other: Reservoir[T] = Reservoir(size)

    def add(self, stratum: str, identity: bytes, item: T, subjects: Collection[str] = ()) -> None:
        """Add one request. Inputs with the same ``identity`` are the same; ``item`` is what is kept.

        Of items with the same identity, the smallest is kept. ``subjects``: the hash of the person who sent it, if
        known.
        """
        self._reservoir(stratum).add(sample_key(self._seed, identity), item, subjects=subjects)

    def _reservoir(self, stratum: str) -> Reservoir[T]:
        if stratum == OTHER:
            return self._other
        if (found := self._reservoirs.get(stratum)) is not None:
            return found
        rank = -sample_key(self._seed, b"stratum " + stratum.encode("utf-8", "surrogatepass"))
        if len(self._reservoirs) >= self._limit:
            if self._ranks[0][0] >= rank:
                return self._other
            _, displaced = heappop(self._ranks)
            self._other.merge(self._reservoirs.pop(displaced))
        heappush(self._ranks, (rank, stratum))
        return self._reservoirs.setdefault(stratum, Reservoir(self._size))

    def draw(self) -> list[tuple[str, Kept[T]]]:
        """The sample: at most ``size`` distinct inputs with their strata, by stratum and key."""
        reservoirs = self._all()
        wanted = allocate(
            {name: r.requests for name, r in reservoirs.items()},
            {name: len(r.kept) for name, r in reservoirs.items()},
            self._size,
        )
        taken: dict[int, tuple[str, Kept[T]]] = {}
        left: list[tuple[int, str, Kept[T]]] = []
        for name in sorted(reservoirs):
            # the same input may be in two strata; it is asked once
            candidates = [kept for key, kept in sorted(reservoirs[name].kept.items()) if key not in taken]
            taken |= {kept.key: (name, kept) for kept in candidates[: wanted[name]]}
            left += [(kept.key, name, kept) for kept in candidates[wanted[name] :]]
        for key, name, kept in sorted(left, key=lambda one: one[:2]):
            if len(taken) >= self._size:
                break
            taken.setdefault(key, (name, kept))
        return sorted(taken.values(), key=lambda one: (one[0], one[1].key))

    def requests(self) -> dict[str, int]:
        """Requests seen by stratum, sorted by name."""
        return {name: reservoir.requests for name, reservoir in sorted(self._all().items())}

    def restore(self, stratum: str, requests: int, kept: Iterable[Kept[T]]) -> None:
        """Add a stratum as it was kept with the same seed: its requests, and its inputs with their counts."""
        stored: Reservoir[T] = Reservoir(self._size, requests)
        for one in kept:
            stored.kept[one.key] = one
        self._reservoir(stratum).merge(stored)

    def kept(self) -> Iterator[tuple[str, Kept[T]]]:
        """Every kept input with its stratum."""
        return ((name, kept) for name, reservoir in self._all().items() for kept in reservoir.kept.values())

    def shed(self) -> None:
        """Drop the input with the largest key of the stratum that keeps most inputs."""
        max(self._all().values(), key=lambda reservoir: len(reservoir.kept)).shed()

    def _all(self) -> dict[str, Reservoir[T]]:
        return self._reservoirs | ({OTHER: self._other} if self._other.requests else {})


def allocate(sizes: Mapping[str, int], available: Mapping[str, int], total: int) -> dict[str, int]:
    """Share of ``total`` for each stratum, in proportion to ``sizes`` by largest remainder (Hamilton).

    No stratum gets more than ``available``; the rest goes to the others in proportion. Each gets at least one, if
    ``total`` is large enough; otherwise the largest get one each. Ties are broken by name.
    """
    names = sorted((name for name in sizes if available[name] > 0), key=lambda name: (-sizes[name], name))
    given = dict.fromkeys(sizes, 0)
    if len(names) >= total:
        return given | dict.fromkeys(names[:total], 1)
    quotas = _quotas({name: sizes[name] for name in names}, available, total)
    given |= dict.fromkeys(names, 1)
    # one at a time to the stratum that lacks most of its quota; without the two bounds this is largest remainder
    lack = [(given[name] - quotas[name], place, name) for place, name in enumerate(names)]
    heapify(lack)
    remaining = min(total, sum(available.values())) - len(names)
    while remaining > 0:
        deficit, place, name = heappop(lack)
        if given[name] < available[name]:
            given[name] += 1
            remaining -= 1
            heappush(lack, (deficit + 1, place, name))
    return given


def _quotas(sizes: Mapping[str, int], available: Mapping[str, int], total: int) -> dict[str, float]:
    """Proportional shares of ``total``, limited to what is available; the rest is shared again."""
    quotas: dict[str, float] = {}
    open_names, left = set(sizes), float(total)
    while open_names:
        weight = sum(sizes[name] for name in open_names)
        full = {name for name in open_names if left * sizes[name] / weight >= available[name]}
        if not full:
            return quotas | {name: left * sizes[name] / weight for name in open_names}
        quotas |= {name: float(available[name]) for name in full}
        left -= sum(available[name] for name in full)
        open_names -= full
    return quotas
