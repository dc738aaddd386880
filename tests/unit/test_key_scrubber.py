"""A key is cut out of every text of a reply, in every encoding that can be turned back into it."""

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ask.http import read_reply, receive
from monitor.ask.key_scrubber import CUT, LONGEST, KeyScrubber
from monitor.ask.protocol import AskFailed, Secret
from monitor.ask.usage import counted
from monitor.core.records import Answer, Unmeasured
from tests.asking import NOW
from tests.http_server import Reply, completion, message
from tests.integration.test_asker import ask

KEYS = ("sk-planted-7f3a9cQ2", "9f86d081884c7d65", "AKxy+77/zz==Q1w2e3r4", "tok_AB.cd-12~34ef56")

ENCODERS: dict[str, Callable[[str], str]] = {
    "json": lambda c: f"\\u{ord(c):04x}",
    "json upper": lambda c: f"\\u{ord(c):04X}",
    "es6": lambda c: f"\\u{{{ord(c):x}}}",
    "python": lambda c: f"\\U{ord(c):08x}",
    "c": lambda c: f"\\x{ord(c):02x}",
    "octal": lambda c: f"\\{ord(c):03o}",
    "html": lambda c: f"&#{ord(c)};",
    "html zeros": lambda c: f"&#{ord(c):05};",
    "html hex": lambda c: f"&#x{ord(c):X};",
    "html twice": lambda c: f"&amp;#{ord(c)};",
    "percent": lambda c: f"%{ord(c):02X}",
    "percent twice": lambda c: f"%25{ord(c):02x}",
    "percent u": lambda c: f"%u{ord(c):04x}",
    "quoted-printable": lambda c: f"={ord(c):02X}",
    "full width": lambda c: chr(ord(c) + 0xFEE0),
    "upper": str.upper,
    "lower": str.lower,
    "plain": lambda c: c,
}
BETWEEN = (
    "", " ", "\n", "\t", "\r\n  ", "\u200b", "\u200d", "\u00ad", "\ufeff", "\u2060", "\x1b[0m", "<b>", "</i>",
    '", "', "-", ".",
)  # fmt: skip


def recovered(text: str, key: str) -> bool:
    """An attacker's way back: undo everything, again and again, and keep letters and digits."""
    bare = re.sub("[^a-z0-9]", "", key.lower())
    for _ in range(6):
        shown = re.sub(r"\x1b\[[0-9;]*m|</?[a-z]>", "", unicodedata.normalize("NFKC", text))
        for one in (text, shown):
            if bare in re.sub("[^a-z0-9]", "", one.lower()):
                return True
        text = html.unescape(unquote(text))
        text = re.sub(r"(?i)\\+u\{?([0-9a-f]{1,4})\}?|%u([0-9a-f]{4})", lambda m: chr(int(m[1] or m[2], 16)), text)
        text = re.sub(r"\\+U([0-9a-fA-F]{8})", lambda m: chr(int(m[1], 16)), text)
        text = re.sub(r"\\+x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), text)
        text = re.sub(r"\\+([01][0-7]{2})", lambda m: chr(int(m[1], 8)), text)
        text = re.sub(r"=([2-7][0-9A-F])", lambda m: chr(int(m[1], 16)), text)
        text = re.sub(r"\\+[nrt]", " ", text)
    return False


def encoded(rng: Random, key: str) -> str:
    """The key in one encoding, in a mixture, or whole as Base64 or hexadecimal; with something between its letters."""
    if rng.random() < 0.2:
        before = rng.choice([b"", b"u:", b"me:"])
        whole = [base64.b64encode(before + key.encode()), base64.urlsafe_b64encode(key.encode()),
                 key.encode().hex().encode(), key.encode().hex().upper().encode()]  # fmt: skip
        text = rng.choice(whole).decode()
        return "\n".join(text[n : n + 9] for n in range(0, len(text), 9)) if rng.random() < 0.3 else text
    names = list(ENCODERS)
    one, mixed = rng.choice(names), rng.random() < 0.3
    letters = [ENCODERS[rng.choice(names) if mixed else one](c) for c in key]
    gap = rng.choice(BETWEEN)
    return gap.join(letters) if rng.random() < 0.7 else letters[0] + gap + "".join(letters[1:])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_encoding_with_everything_between(key: str, encoding: str) -> None:
    for gap in BETWEEN:
        hidden = gap.join(ENCODERS[encoding](c) for c in key)
        cleaned = KeyScrubber(key).clean(f"before {hidden} after")
        assert not recovered(cleaned, key), gap
        assert CUT in cleaned, gap
        assert cleaned.startswith("before ") or cleaned == CUT, gap


@pytest.mark.parametrize("seed", range(300))
def test_mixtures_in_every_field_of_a_reply(seed: int) -> None:
    rng = Random(seed)
    key = rng.choice(KEYS)
    forms = [encoded(rng, key) for _ in range(5)]
    body: dict[str, Any] = completion(f"a {forms[0]} b", model=forms[1], choice={"finish_reason": forms[2]})
    body["served"] = {forms[3]: [forms[4], {"deep": forms[0]}]}
    ascii_only = rng.random() < 0.5
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    if rng.random() < 0.2:
        raw = b"<html>" + raw
    reply = read_reply(200, {"x-request-id": json.dumps(forms[0])}, raw, Secret(key))
    shown = [reply.text, *reply.headers.values()]
    try:
        received = receive(reply, {}, (), NOW, counted)
        parsed, exchange = received.body, received.exchange
        shown += [json.dumps(parsed, ensure_ascii=False), json.dumps(exchange.response), *_strings(parsed)]
    except AskFailed as failed:
        shown += [str(failed), repr(failed.exchange)]
    for text in shown:
        assert not recovered(text, key), text
        for before in range(3):
            coded = base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")[before + 2 : -3]
            assert coded not in "".join(text.split())
        assert key.encode().hex() not in re.sub(r"\\n|\s", "", text.lower())


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _strings(one)]
    return [text for one in value for text in _strings(one)] if isinstance(value, list) else [str(value)]


@given(st.text(max_size=300) | st.text(alphabet="\\u0031x%&#;=4</>ab \n\x1b[", max_size=300))
def test_another_text_stays_as_it_is(text: str) -> None:
    assert KeyScrubber(KEYS[0]).clean(text) == text


def test_a_short_key_or_a_word_is_cut_only_as_it_is() -> None:
    weak = KeyScrubber("EMPTY")
    assert weak.clean("an empty box, EMPTY") == f"an empty box, {CUT}"
    assert weak.clean("E\u200bMPTY \\u0045MPTY") == f"{CUT} {CUT}"
    word = KeyScrubber("supportassistant")
    assert word.clean("Your support assistant") == "Your support assistant"


def test_a_part_of_a_sentence_is_kept() -> None:
    hidden = "".join(f"&#{ord(c)};" for c in KEYS[0])
    assert KeyScrubber(KEYS[0]).clean(f"one {hidden} two {KEYS[0]} three") == f"one {CUT} two {CUT} three"


def test_a_long_text_with_an_encoded_key_is_replaced() -> None:
    assert KeyScrubber(KEYS[0]).clean("x" * LONGEST + " ".join(KEYS[0])) == CUT


@pytest.mark.parametrize(
    "part", ["%41", "&amp;", "\\u0041", "\\\\", "=41", "<b>", "\x1b[0m", "\u200b", "&#65;", "%25", "ａ"]
)
def test_a_hostile_text_takes_no_long_time(part: str) -> None:
    KeyScrubber(KEYS[0]).clean(part * (2**20 // len(part)))


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_no_answer_error_or_store_has_it(kind: str, tmp_path: Any) -> None:
    rng, key = Random(kind), KEYS[0]
    (tmp_path / "key").write_text(key)
    make = completion if kind == "openai" else message
    for _ in range(6):
        form = encoded(rng, key)
        replies = [
            Reply(body=make(f"it is {form}", model=form)),
            Reply(401, {"error": {"message": f"wrong key {form}", "code": form, "type": form}}),
            Reply(500, f"proxy: {form}".encode()),
        ]
        for reply in replies:
            outcome, _ = await ask([reply], kind=kind, attempts=1, api_key_file=tmp_path / "key")
            assert isinstance(outcome, Answer | Unmeasured)
            assert not recovered(repr(outcome), key)
            assert not recovered(json.dumps(outcome.exchange.response if outcome.exchange else ""), key)
