"""Reading faster changes no sample: pinned inputs, and lines that are judged unparsed as the parser judges them."""

import json
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor.core.settings import Production
from monitor.core.sources import JsonlSource
from monitor.sample import Sampled, jsonl, sample_production
from monitor.sample.early import early
from monitor.sample.request_log import Tally, Window

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
WINDOW = Window(NOON, NOON + timedelta(hours=2), NOON + timedelta(days=2))
TEXTS = (
    "Where is order {n}?",
    "Wo ist Bestellung {n}? Straße 5, Köln",
    "Write to ann{n}@example.com",
    "a\u0301 {m} é  \n x",
    "Call me on +49 30 {n:08}",
    "My phone is 030 1234{m}",
    "password: swordfish{n}",
    "IBAN DE89 3704 0044 0532 0130 00 {m}",
    "card 4111 1111 1111 1111 {m}",
    "sk-abcdefghijklmnopqrst{n}",
    "x" * 300 + " {m}",
    "10.0.{m}.7 and fe80::1",
    "text {n:012}",
    "[REDACTED]",
    "cut ... [truncated]",
    "ya29.abcdefghijklmnopqrstuvwxyz{m}",
    "123-45-67{m}9",
    "lone \ud800 {m}",
)


def record(n: int, rng: random.Random) -> dict[str, Any]:
    at = NOON + timedelta(seconds=rng.randrange(-7200, 14400))
    time: Any = rng.choice(
        [at.isoformat(), at.timestamp(), int(at.timestamp() * 1000), f"{at:%Y-%m-%d %H:%M:%S}", None]
    )
    text = rng.choice(TEXTS).format(n=n, m=n % 7)
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    if n % 3:
        messages.insert(0, {"role": "system", "content": f"You answer {n % 5}. Write to help@example.com"})
    shape = rng.randrange(6)
    found: dict[str, Any] = {"lang": rng.choice(["de", "en", None]), "messages": messages, "at": time}
    if shape == 1:
        found = {"at": time, "messages": messages, "tools": [{"type": "function"}] if n % 2 else []}
    elif shape == 2:
        found = {"log": json.dumps(found) + "\n", "stream": "stdout", "time": NOON.isoformat()}
    elif shape == 3:
        found = {"lang": "de", "body": {"at": time, "messages": messages}}
    return found


def sampled(folder: Path, seed: int) -> Sampled:
    rng = random.Random(5)
    lines = [json.dumps(record(n, rng)) for n in range(3000)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    source = JsonlSource(kind="jsonl", path=str(folder / "a.jsonl"), time="at")
    production = Production(source=source, sample=60, rubric=None, stratify="lang")
    return sample_production(production, seed, WINDOW.since, WINDOW.until, WINDOW.now)


@pytest.mark.parametrize(("seed", "digest"), [(1, "da9eb73e06fe0377"), (2, "a761ebdfd96fd125")])
def test_the_sample_of_a_seed_is_pinned(tmp_path: Path, seed: int, digest: str) -> None:
    found = sampled(tmp_path, seed)
    shown = repr([(one.probe.id, one.probe.messages, one.stratum, one.count) for one in found.inputs])
    account = [(one.reason.value, one.count, Path(one.place).name) for one in found.account.reasons]
    assert len(found.inputs) == 60
    assert sha256(f"{shown}{account}{found.strata}".encode()).hexdigest()[:16] == digest


BEFORE = "2026-11-01T00:00:00Z"
INSIDE = NOON.isoformat()


@pytest.mark.parametrize(
    "line",
    [
        f'{{"at": "{BEFORE}", "messages": "a"}}',
        f'{{"messages": [{{"role": "user", "content": "a"}}], "at":"{BEFORE}"}}',
        f'{{"meta": {{"at": "{BEFORE}"}}, "messages": "a"}}',
        f'{{"meta": {{"at": "{BEFORE}"}}, "at": "{INSIDE}", "messages": "a"}}',
        f'{{"at": "{INSIDE}", "at": "{BEFORE}", "messages": "a"}}',
        f'{{"x": "at", "messages": "a", "y": "{BEFORE}"}}',
        f'{{"x": "\\"at\\": \\"{BEFORE}\\"", "at": "{INSIDE}", "messages": "a"}}',
        f'{{"messages": [{{"role": "user", "content": "a", "at": "{BEFORE}"}}], "z": {{}}}}',
        f'{{"log": "{{\\"at\\": \\"{BEFORE}\\"}}\\n", "stream": "stdout", "time": "{INSIDE}"}}',
        '{"at": 1764000000, "messages": "a"}',
        '{"at": 1764000000.25, "messages": "a"}',
        '{"at": 176400000000000000000000, "messages": "a"}',
        f'{{"\\u0061t": "{BEFORE}", "messages": "a"}}',
        '{"at": "yesterday at noon", "messages": "a"}',
        f'[{{"at": "{BEFORE}", "messages": "a"}}]',
        f'{{"at": ["{BEFORE}"], "messages": "a"}}',
        f'{{"at": "{INSIDE}", "messages": "a"}}',
    ],
)
def test_a_line_that_is_judged_unparsed_is_judged_as_if_parsed(tmp_path: Path, line: str) -> None:
    source = JsonlSource(kind="jsonl", path=str(tmp_path / "a.jsonl"), time="at")
    outside = early(source, WINDOW)
    assert outside is not None
    found = outside(line.encode() + b"\n")
    # a filter that every line passes keeps lines from being judged unparsed
    parsed = source.model_copy(update={"where": {"nowhere": ""}})
    assert early(parsed, WINDOW) is None
    (tmp_path / "a.jsonl").write_text(line + "\n")
    accounts = []
    for one in (source, parsed):
        tally = Tally()
        read = list(jsonl.read(one, None, WINDOW, tally))
        accounts.append((read, tally.account([])))
    assert accounts[0] == accounts[1]
    assert found is None or [one.reason for one in accounts[0][1].reasons] == [found]
