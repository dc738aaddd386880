"""Removes personal data and secrets from production inputs before they leave the sampling stage.

Uses patterns, not a model; ``docs/privacy.md`` lists what is found and what is not, such as names of people. Matches
that are certainly not such a number (``core.identifiers``) are kept. A match becomes a placeholder (``‹email›``), so
that the rest is still readable as a question; two inputs that differ only in it become one.

The text is hostile. Every pattern is linear in its length: runs are possessive (``++``), and a run is only entered
at its start. ``redact`` is idempotent: nothing matches a placeholder or text next to one.
"""

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from monitor.core import identifiers

_PLACEHOLDERS: Final = (
    "private-key", "ssh-key", "credentials", "api-key", "token", "secret", "email", "iban", "card", "ip", "phone",
    "national-id",
)  # fmt: skip
_NOT_AFTER: Final = "".join(f"(?<!‹{name}›)" for name in _PLACEHOLDERS)
_NOT_BEFORE: Final = f"(?!‹(?:{'|'.join(_PLACEHOLDERS)})›)"

Replace = Callable[[re.Match[str]], str]
Needs = Callable[[str], object]


class _Rule(NamedTuple):
    needs: Needs
    """Cheap test whether the rule can apply at all, because most texts have nothing to redact."""
    pattern: re.Pattern[str]
    replace: Replace | str


def _holds(*words: str) -> Needs:
    return lambda text: any(word in text for word in words)


def _says(*words: str) -> Needs:
    def needs(text: str) -> bool:
        folded = text.lower()
        return any(word in folded for word in words)

    return needs


# --- keys and secrets ---------------------------------------------------------------------------------------------
_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY: Final = re.compile(r"(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)*+")


def _redact_private_keys(text: str) -> str:
    """Redacts from BEGIN to END; if the block was cut off, BEGIN and the base64 lines after it."""
    parts: list[str] = []
    at = 0
    ends = True
    while begin := _KEY_BEGIN.search(text, at):
        end = _KEY_END.search(text, begin.end()) if ends else None
        ends = end is not None
        body = _KEY_BODY.match(text, begin.end())
        stop = end.end() if end else body.end() if body else begin.end()
        kept = begin[0] if stop == begin.end() else "‹private-key›"  # only a mention of the marker
        parts += [text[at : begin.start()], kept]
        at = stop
    return "".join([*parts, text[at:]])


_KEY_SHAPES: Final = "|".join(
    (
        r"sk-[A-Za-z0-9_-]{16,}+",  # OpenAI, Anthropic, OpenRouter, ...
        r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}+",  # Stripe
        r"gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_[A-Za-z0-9_]{20,}+|glpat-[\w-]{16,}+",
        r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
        r"hf_[A-Za-z0-9]{16,}+|gsk_[A-Za-z0-9]{20,}+|xai-[A-Za-z0-9]{20,}+|nvapi-[\w-]{20,}+|r8_[A-Za-z0-9]{20,}+",
        r"AIza[\w-]{30,}+|ya29\.[\w-]{20,}+",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}+",
        r"npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{30,}+|dop_v1_[a-f0-9]{32,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+",
    )
)
_KEY_STARTS: Final = (
    *("sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA"),
    *("hf_", "gsk_", "xai-", "nvapi-", "r8_", "AIza", "ya29.", "xox", "npm_", "pypi-", "dop_v1_", "SG."),
)


_VENDOR_KEY: Final = re.compile(
    r"sk-(?:ant|proj|or|svcacct|admin)-[\w-]{16,}|sk-[A-Za-z0-9]{20,}|(?:sk|pk|rk)_(?:live|test)_[A-Za-z]{16,}|"
    r"gh[pousr]_[A-Za-z]{20,}|github_pat_[A-Za-z_]{20,}|glpat-[\w-]{16,}|AKIA|AIza|xox[abeoprs]-[A-Za-z-]{16,}|"
    r"(?:hf_|gsk_|xai-|r8_)[A-Za-z]{20,}|npm_|pypi-[A-Za-z_]{30,}|nvapi-[A-Za-z_]{20,}"
)
"""Vendor-specific shapes that need no digit. Words joined by dashes are more often a name than a key."""


def _api_key(match: re.Match[str]) -> str:
    # sk-circle-fade-dot-spinner is a CSS class, not a key
    return "‹api-key›" if any(c.isdigit() for c in match[0]) or _VENDOR_KEY.match(match[0]) else match[0]


def _bearer(match: re.Match[str]) -> str:
    value = match["value"]
    # "bearer certificates" and "basic understanding" are words
    like_a_token = len(value) >= 30 or any(c.isdigit() for c in value) or value.endswith("=")
    return f"{match['scheme']}‹token›" if like_a_token else match[0]


_WORD: Final = re.compile(r"[(\[*_`]*(?P<word>[^\W\d_]{1,19}(?:['’-][^\W\d_]{1,19})?)(?P<end>[.!?)\]*_`]*)")
_NEXT_IN_LINE: Final = re.compile(r"[^\S\r\n]+\S")
_SAID_OF_A_SECRET: Final = frozenset(
    (
        *("string", "boolean", "integer", "number", "object", "optional", "required", "undefined", "hidden", "changed"),
        *("expired", "invalid", "incorrect", "missing", "unknown", "forgotten", "please", "reset", "policy"),
    )
)
_NO_SECRET: Final = re.compile(
    r"[$%{]|https?://|[A-Za-z_][\w.]*+[(\[{]|(?:os\.environ|process\.env|self|this|args|config|settings)\."
)
"""Start of a value that is a variable, a call or a URL."""


def _secret(match: re.Match[str]) -> str:
    return f"{match['name']}‹secret›" if _is_secret(match) else match[0]


def _is_secret(match: re.Match[str]) -> bool:
    """Whether the value is more than a word of prose: "password: please reset it" is prose, "password: swordfish" at
    the end of a line is not."""
    name, value = match["name"], match["value"]
    if any(c.isdigit() for c in value):
        return True
    named = (value.partition("://")[2] or value).removesuffix("):")
    if ":" in named or "=" in named:  # kept text must not contain another name and value
        return True
    if _NO_SECRET.match(value) or value[0] >= "\u2e80":  # Chinese and Japanese: a whole sentence without a blank
        return False
    word = _WORD.fullmatch(value)
    if word is None or len(re.findall("[a-z][A-Z]", value)) > 1:
        return True
    if word["word"].lower() in _SAID_OF_A_SECRET or "?" in word["end"]:
        return False
    if name[-1] in "=\"'":
        return True
    spoken = name.lower().startswith(("secret", "token")) and word["end"]  # "The secret: practice."
    return not spoken and not _NEXT_IN_LINE.match(match.string, match.end())


_SECRET_NAME: Final = (
    r"(?:api[ _-]?key|access[_-]?key|secret[_-]?(?:access[_-]?)?key|client[_-]?secret|secret|"
    r"(?:auth|access|refresh|session)[_-]?token|token|password|passwort|passwd|passphrase|pwd)"
)

# --- numbers that identify a person -------------------------------------------------------------------------------
_CARD_SHAPE: Final = re.compile(
    r"4(?:[0-9]{15}|[0-9]{18})|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}|"
    r"(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}|81[0-9]{2}|35[2-8][0-9])[0-9]{12}(?:[0-9]{3})?"
)


def _cards(match: re.Match[str]) -> str:
    """In one run of digit groups, redacts each sequence of whole groups that is a card number."""
    run = match[0]
    groups = [(m.start(), m.end()) for m in re.finditer(r"[0-9]+", run)]
    parts: list[str] = []
    at = first = 0
    while first < len(groups):
        last = _card_end(run, groups, first)
        if last is None:
            first += 1
            continue
        parts += [run[at : groups[first][0]], "‹card›"]
        at, first = groups[last][1], last + 1
    return "".join([*parts, run[at:]])


def _card_end(run: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Index of the last group of a card number that starts with group ``first``; reads at most 19 digits."""
    digits = ""
    for index in range(first, len(groups)):
        start, end = groups[index]
        length = end - start
        if len(digits) + length > 19 or (digits and length < 3):
            return None
        digits += run[start:end]
        if length == len(digits) or (index > first and groups[first][1] - groups[first][0] == 4):
            if _CARD_SHAPE.fullmatch(digits) and identifiers.is_card(digits):
                return index
        else:
            return None
    return None


def _iban(match: re.Match[str]) -> str:
    """Redacts the IBAN at the start of the match, which may include a following word of capitals."""
    text = match[0]
    ends = [m.start() for m in re.finditer(" ", text)][:3:-1]
    for end in (len(text), *ends):
        packed = text[:end].replace(" ", "")
        if 15 <= len(packed) <= 34 and identifiers.is_iban(packed):
            return "‹iban›" + text[end:]
    return text


_VERSION_CUE: Final = re.compile(r"(?:\b(?:version|release|build|firmware|ver\.?|v\.?)|[=<>~!]=)[ :=]*$", re.IGNORECASE)


def _before(match: re.Match[str], characters: int) -> str:
    return match.string[max(0, match.start() - characters) : match.start()]


def _ipv4(match: re.Match[str]) -> str:
    too_big = any(int(octet) > 255 for octet in match[0].split("."))
    return match[0] if too_big or _VERSION_CUE.search(_before(match, 24)) else "‹ip›"


def _ipv6(match: re.Match[str]) -> str:
    run = match[0]
    kept = run.rstrip(".:") if not run.endswith("::") else run
    # "x :: Int" and "a::b" are code: an address that identifies a person has a digit and at least three groups
    if len(kept) > 45 or kept.count(":") < 2 or not any(c.isdigit() for c in kept):
        return run
    try:
        IPv6Address(kept)
    except ValueError:
        return run
    return "‹ip›" + run[len(kept) :]


def _international(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    if not 8 <= digits <= 15:
        return match[0]
    called_phone = _PHONE_CUE.search(_before(match, 40))
    return "‹phone›" if called_phone or identifiers.is_international_phone(match[0]) else match[0]


def _person(match: re.Match[str]) -> str:
    return "‹national-id›" if identifiers.is_person_number(match[0]) else match[0]


def _national(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    return "‹phone›" if 9 <= digits <= 12 else match[0]


_PHONE_CUE: Final = re.compile(
    r"(?<![^\W\d_])(?:phone|telephone|tel|mobile|cell|fax|whatsapp|call|text|sms|telefon|handy|mobil)"
    r"(?: number| nr| no)?(?: (?:me|us|is|at|on|under)){0,2}[.:#]{0,2} ?$",
    re.IGNORECASE,
)


def _cued(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    return "‹phone›" if 6 <= digits <= 15 and _PHONE_CUE.search(_before(match, 40)) else match[0]


def _after(first: str, forbidden: str) -> str:
    """Pattern for a first character that does not follow ``forbidden`` or a placeholder.

    The character comes before its lookbehinds, so that the search can skip to it.
    """
    return first + f"(?<!{forbidden}{first})" + "".join(f"(?<!‹{name}›{first})" for name in _PLACEHOLDERS)


_DIGIT: Final = re.compile("[0-9]").search
_HEX: Final = "[0-9A-Fa-f:]"
_IN_ADDRESS: Final = r"[\w:.]"

_EMAIL: Final = r"[\w.%+-]++@(?:[\w-]++\.)+(?:xn--[\w-]++|[^\W\d_]{2,}+)"

_SECRETS: Final = (
    _Rule(_holds("://"), re.compile(r"(?<=://)[^\s/@:<>]++:[^\s/@<>]++(?=@)"), "‹credentials›"),
    _Rule(_holds("eyJ"), re.compile(_after("eyJ", r"[\w-]") + r"[\w-]{8,}+\.eyJ[\w-]{8,}+(?:\.[\w-]*+)?"), "‹token›"),
    _Rule(
        _holds(" AAAA", "\tAAAA"),
        re.compile(
            r"(?<![A-Za-z])(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]{3}|sk-[a-z0-9-]{8,30}@openssh\.com)"
            r"[ \t]{1,4}AAAA[A-Za-z0-9+/]{16,}+={0,3}(?:[ \t]{1,4}[\w.+-]++@[\w.-]++)?"
        ),
        "‹ssh-key›",
    ),
    _Rule(_holds(*_KEY_STARTS), re.compile(rf"(?<![A-Za-z])(?:{_KEY_SHAPES})"), _api_key),
    _Rule(
        _says("bearer", "basic"),
        re.compile(r"(?P<scheme>\b(?:bearer|basic)\s{1,4}+)(?P<value>[\w.~+/-]{8,}+=*+)", re.IGNORECASE),
        _bearer,
    ),
    _Rule(
        _says("key", "token", "secret", "pass", "pwd"),
        re.compile(
            rf"(?P<name>(?<![A-Za-z]){_SECRET_NAME}[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?)"
            rf"(?![(\[*_`]{{0,3}}{_SECRET_NAME}[\"']?\s{{0,3}}[:=])"
            rf"{_NOT_BEFORE}(?P<value>[^\s\"',;<>&]{{6,}}+)",
            re.IGNORECASE,
        ),
        _secret,
    ),
)
_RULES: Final = (
    *_SECRETS,
    _Rule(_holds("@"), re.compile(rf"(?<![\w.%+-])(?:{_EMAIL})++"), "‹email›"),
    _Rule(
        _says("[at", "(at", "[ at", "( at"),
        re.compile(
            r"(?<![\w.%+-])[\w%+][\w.%+-]*+[ \t]{0,2}(?:\[ ?at ?\]|\( ?at ?\))[ \t]{0,2}"
            r"(?:[\w-]++(?:\.|[ \t]{0,2}(?:\[ ?dot ?\]|\( ?dot ?\))[ \t]{0,2}))+(?:xn--|[^\W\d_]{2})[\w%+-]*+",
            re.IGNORECASE,
        ),
        "‹email›",
    ),
    _Rule(
        _DIGIT,
        re.compile(
            _after("[A-Z]", "[A-Za-z0-9]")
            + r"[A-Z][0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
            + _NOT_BEFORE
        ),
        _iban,
    ),
    _Rule(
        re.compile("[0-9]{2}(?:-[0-9]{2}|[A-Z+][0-9]{3}| [0-9]{3} [0-9])").search,
        re.compile(
            _after("[0-9A-Z]", r"[\w.,/+-]")
            + r"(?:[0-9]{2}(?:-[0-9]{2}-[0-9]{4}|\.[0-9]{3}\.[0-9]{3}-[0-9]{2})"  # United States; Brazil
            r"|[A-Z]{5}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]"  # Italy
            r"| [0-9]{2} [0-9]{2} (?:[0-9]{2}|2[AB]) [0-9]{3} [0-9]{3} [0-9]{2}"  # France
            r"|[0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y])(?![\w-]|[.,][0-9])"  # Finland
             + _NOT_BEFORE
        ),
        _person,
    ),
    _Rule(
        lambda text: text.count(":") >= 2,
        re.compile(
            f"(?:{_after(_HEX, _IN_ADDRESS)}|{_HEX}(?<=[g-zG-Z]:{_HEX})){_HEX}++[0-9A-Fa-f:.]*+(?![g-zG-Z_])"
            + _NOT_BEFORE
        ),
        _ipv6,
    ),
    _Rule(
        re.compile(r"[0-9]\.[0-9]").search,
        re.compile(_after("[0-9]", r"[\w.]") + r"[0-9]{0,2}+(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9]|-[A-Za-z])" + _NOT_BEFORE),
        _ipv4,
    ),
    _Rule(
        re.compile(r"[0-9](?:[ -]?[0-9]){12}").search,
        re.compile(_after("[0-9]", r"[\w.]") + r"(?<![0-9][ -][0-9])[0-9]*+(?:[ -][0-9]++)*+(?!\w)" + _NOT_BEFORE),
        _cards,
    ),
    _Rule(
        _holds("+"),
        re.compile(_after(r"\+", r"[\w+]") + r"[1-9](?:[ .()/\-\u00a0]{0,2}[0-9]){6,14}+(?![0-9])" + _NOT_BEFORE),
        _international,
    ),
    _Rule(
        _DIGIT,
        re.compile(
            _after("[0-9(]", r"[\w,/+-]") + r"[0-9]?(?:[ .()/-]{0,2}[0-9]){5,14}+(?![\w%€$£]|[.,:][0-9])" + _NOT_BEFORE
        ),
        _cued,
    ),
    _Rule(
        re.compile("[0-9]{3}[-. ][0-9]{4}").search,
        re.compile(
            r"(?<![\w.,/+-])"
            + _NOT_AFTER
            + r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[0-9]{3}[-. ][0-9]{4}(?![\w-]|\.[0-9])"
            + _NOT_BEFORE
        ),
        "‹phone›",
    ),
    _Rule(
        re.compile("0[1-9]").search,
        re.compile(
            _after("[0(]", r"[\w.,:/+-]") + r"(?:(?<=\()0)?[1-9][0-9]{0,4}\)?[ /-][0-9]{2,8}"
            r"(?:(?P<gap>[ -])[0-9]{2,8}(?:(?P=gap)[0-9]{2,8}){0,3})?(?![\w%€$£/-]|[.,:][0-9])" + _NOT_BEFORE
        ),
        _national,
    ),
)


def redact(text: str) -> str:
    """``text`` with personal data and secrets replaced by placeholders, in time linear in its length."""
    return _replaced(_redact_private_keys(text), _RULES)


def redact_secrets(text: str) -> str:
    """``redact`` for secrets only: keys, tokens, passwords, credentials in URLs. For logs."""
    return _replaced(_redact_private_keys(text), _SECRETS)


def _replaced(text: str, rules: Sequence[_Rule]) -> str:
    for rule in rules:
        if rule.needs(text):
            text = rule.pattern.sub(rule.replace, text)
    return text
