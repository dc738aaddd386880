"""Counts what a source reads and leaves out, while it is read."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.core.records import (
    EXAMPLES,
    LeftOut,
    LeftOutCount,
    LeftOutReason,
    SampleAccount,
    UnreadFile,
    UnreadReason,
    class_of,
)

MOST_NAMES: Final = 5
"""Names of unread files that an account keeps for one reason."""

MOST_TEXTS: Final = 4096
"""Distinct texts whose repeats are counted. A text that is most of the traffic is among the first."""

MOST_DUMPED: Final = 32
"""Texts whose counts ``Tally.dump`` keeps."""

_ORDER: Final = tuple(LeftOut)


@dataclass(slots=True)
class _Reason:
    detail: str
    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Counts of a source, updated while it is read."""

    read: int = 0
    """Requests inside the window that match ``where`` and are yielded. What is left out of them is added later."""
    filtered: int = 0
    """Requests that do not match ``where``."""
    files: int = 0
    """Files that were opened and read."""
    max_lines: int | None = None
    """Lines to read of the newest file; ``None``: all files."""
    whole: bool = False
    """Whether requests are asked with their parameters."""
    subject_key: str | None = None
    """Dotted path of the field of a request that names the person."""
    path: str = ""
    """File that is being read."""
    line: int = 0
    """Number of the line in ``path``."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """What records are that their format knows to be no requests; part of ``filtered``."""
    paths: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Paths of messages, time and stratum -> requests that were read there; empty where a request has none."""
    _left: dict[LeftOutReason, _Reason] = field(default_factory=dict)
    _unread: dict[tuple[UnreadReason, str], list[str]] = field(default_factory=dict)
    _placeholders: Counter[str] = field(default_factory=Counter)
    _texts: dict[bytes, int] = field(default_factory=dict)

    def leave(self, reason: LeftOutReason, detail: str = "", place: str = "", text: str = "", count: int = 1) -> None:
        """Count ``count`` requests that are left out. ``place``: file and line, if not the present one. ``text``: a
        placeholder of the logger."""
        found = self._left.get(reason)
        if found is None:
            found = self._left[reason] = _Reason(detail)
        found.count += count
        if len(found.places) < EXAMPLES and (where := place or self.place) and where not in found.places:
            found.places.append(where)
        if text and (len(self._placeholders) < MOST_TEXTS or text in self._placeholders):
            self._placeholders[text] += 1

    def mapped(self, messages: str, time: str | None, stratum: str | None) -> None:
        """Count the paths of one request."""
        self.paths[messages, time or "", stratum or ""] += 1

    def pass_over(self, what: str) -> None:
        """Count one record that its format knows to be no request: ``what``."""
        self.filtered += 1
        self.passed_over[what] += 1

    @property
    def place(self) -> str:
        """File and line that are being read; empty for a source without files."""
        return f"{self.path}:{self.line}" if self.path else ""

    def skip(self, reason: UnreadReason, name: str, detail: str = "") -> None:
        """Count one file that is not read, or not to its end."""
        self._unread.setdefault((reason, detail), []).append(name)

    def seen(self, identity: bytes) -> None:
        """Count a text that can be asked."""
        texts = self._texts
        if identity in texts or len(texts) < MOST_TEXTS:
            texts[identity] = texts.get(identity, 0) + 1

    def left(self, left_out: LeftOut) -> int:
        """Number of requests of one class."""
        return sum(one.count for reason, one in self._left.items() if class_of(reason) is left_out)

    @property
    def malformed(self) -> int:
        return self.left(LeftOut.MALFORMED)

    @property
    def first_malformed(self) -> str | None:
        """File and line of the first malformed request."""
        found = (one for reason, one in self._left.items() if class_of(reason) is LeftOut.MALFORMED)
        return next((place for one in found for place in one.places), None)

    def account(self, repeats: Iterable[int]) -> SampleAccount:
        """The finished account. ``repeats``: for each kept input, how many requests have it."""
        counts = list(repeats)
        usable, unsupported, truncated = self.read, self.left(LeftOut.UNSUPPORTED), self.left(LeftOut.TRUNCATED)
        outside, malformed = self.left(LeftOut.OUTSIDE), self.malformed
        read = usable + unsupported + truncated
        return SampleAccount(
            files=self.files,
            lines=self.filtered + outside + malformed + read,
            filtered=self.filtered,
            outside=outside,
            malformed=malformed,
            read=read,
            unsupported=unsupported,
            truncated=truncated,
            duplicates=sum(counts) - len(counts),
            not_drawn=usable - sum(counts),
            kept=len(counts),
            same=max([0, *self._texts.values(), *self._placeholders.values(), *counts]),
            reasons=self._reasons(),
            unread=tuple(
                UnreadFile(reason, len(names), tuple(sorted(names)[:MOST_NAMES]), detail)
                for (reason, detail), names in sorted(self._unread.items())
            ),
        )

    def dump(self) -> dict[str, Any]:
        """The counts as JSON for ``add``. Has no text, and of the counts of texts only the most frequent."""
        texts = sorted(self._texts.items(), key=lambda one: -one[1])[:MOST_DUMPED]
        return {
            "read": self.read,
            "filtered": self.filtered,
            "left": {reason: [one.count, one.detail, one.places] for reason, one in self._left.items()},
            "texts": {identity.hex(): count for identity, count in texts},
            "placeholders": dict(self._placeholders.most_common(MOST_DUMPED)),
        }

    def add(self, dumped: Mapping[str, Any]) -> None:
        """Add the counts of another tally."""
        self.read += dumped["read"]
        self.filtered += dumped["filtered"]
        for reason, (count, detail, places) in dumped["left"].items():
            found = self._left.setdefault(LeftOutReason(reason), _Reason(detail))
            found.count += count
            found.places = list(dict.fromkeys([*found.places, *places]))[:EXAMPLES]
        for identity, count in dumped["texts"].items():
            key = bytes.fromhex(identity)
            self._texts[key] = self._texts.get(key, 0) + count
        self._placeholders.update(dumped["placeholders"])

    def _reasons(self) -> tuple[LeftOutCount, ...]:
        found = (
            LeftOutCount(
                class_of(reason), reason, one.count, "".join(one.places[:1]), one.detail, tuple(one.places[1:])
            )
            for reason, one in self._left.items()
        )
        return tuple(sorted(found, key=lambda one: (_ORDER.index(one.left_out), -one.count, one.reason)))
