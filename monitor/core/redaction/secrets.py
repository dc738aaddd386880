"""Rules for keys, tokens and passwords."""

import re
from functools import lru_cache
from typing import Final

from monitor.core.redaction.rule import NOT_BEFORE, Rule, after, holds, says

_KEY_SHAPES: Final = "|".join(
    (
        r"sk-[A-Za-z0-9_-]{16,}+",  # OpenAI, Anthropic, OpenRouter, ...
        r"(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{10,}+",  # Stripe
        r"gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_[A-Za-z0-9_]{20,}+|gl(?:pat|rt)-[\w-]{16,}+",
        r"(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])",
        r"hf_[A-Za-z0-9]{16,}+|gsk_[A-Za-z0-9]{20,}+|xai-[A-Za-z0-9]{20,}+|nvapi-[\w-]{20,}+|r8_[A-Za-z0-9]{20,}+",
        r"AIza[\w-]{30,}+|ya29\.[\w-]{20,}+",
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+|whsec_[A-Za-z0-9+/=]{16,}+",
        r"npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{30,}+|dop_v1_[a-f0-9]{32,}+|SG\.[\w-]{16,}+\.[\w-]{16,}+",
    )
)
_KEY_STARTS: Final = (
    *(
        "sk-",
        "sk_",
        "pk_",
        "rk_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "glrt-",
        "xapp-",
        "whsec_",
        "AKIA",
        "ASIA",
    ),
    *(
        "hf_",
        "gsk_",
        "xai-",
        "nvapi-",
        "r8_",
        "AIza",
        "ya29.",
        "xox",
        "npm_",
        "pypi-",
        "dop_v1_",
        "SG.",
        "xapp-",
        "whsec_",
    ),
)


_HOLDS_KEY_START: Final = holds(*_KEY_STARTS)


def _may_hold_key(text: str) -> bool:
    likely = "-" in text or "_" in text or "A" in text or "ya29." in text or "SG." in text
    return likely and bool(_HOLDS_KEY_START(text))


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
        *("true", "false", "none", "null", "nil", "text", "bytes", "char", "varchar", "empty", "same", "here", "your"),
        *("this", "that", "what", "from", "with", "must", "when", "then", "uses", "used"),
    )
)
_NO_SECRET: Final = re.compile(
    r"[$%{]|https?://|[A-Za-z_][\w.]*+[(\[{]|(?:os\.environ|process\.env|self|this|args|config|settings)\."
)
"""Start of a value that is a variable, a call or a URL."""


def _secret(match: re.Match[str]) -> str:
    value = match["value"] if match["quote"] else match["value"].rstrip(",;<>&")
    rest = match["value"][len(value) :]
    return f"{match['name']}‹secret›{rest}" if _is_secret(match, value) else match[0]


def _is_secret(match: re.Match[str], value: str) -> bool:
    """Whether the value is more than a word of prose: "password: please reset it" is prose, "password: swordfish" at
    the end of a line is not."""
    name = match["name"]
    if len(value) < _SHORTEST:
        return False
    if _PLACEHOLDER.fullmatch(value):
        return False
    if any(c.isdigit() for c in value):
        return True
    if _BARE_PASS.search(name) and value.isalpha():
        return False  # the result of a test, more often than a password
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
    return not spoken and not _NEXT_IN_LINE.match(match.string, match.start("value") + len(value))


_SHORTEST: Final = 4
"""Characters of a value that is taken for a secret."""
_PLACEHOLDER: Final = re.compile(r"[*x•#.-]{3,}|<.*|.*\.\.\.|[A-Z]+(?:_[A-Z]+)+|your[-_].*|change-?me", re.IGNORECASE)
_BARE_PASS: Final = re.compile(r"(?<![A-Za-z])pass[\W_]*$", re.IGNORECASE)
_PASSWORD: Final = (
    "(?:pass(?:word|wort|wd|phrase|code)|kennwort|pwd|mot de passe|mdp|contraseña|contrasena|senha|hasło|wachtwoord|"
    "parola|lösenord|пароль|密码|口令|パスワード|비밀번호)"
)
_PASSWORD_WORDS: Final = (
    *("pass", "pw", "kennwort", "mdp", "contrase", "senha", "hasło", "wachtwoord", "parola", "lösenord", "пароль"),
    *("密码", "口令", "パスワード", "비밀번호"),
)
_SAYS_PASSWORD: Final = lru_cache(maxsize=1)(says(*_PASSWORD_WORDS))
"""Remembers the text that the rules are trying now: several of them need the same words."""

_SECRET_NAME: Final = (
    r"(?:(?:api|access|account|signing|encryption|master|private)[ _-]?key|secret[ _-]?(?:access[_-]?)?key|"
    r"(?:client|app|shared)[_-]?secret|secret|(?:auth|access|refresh|session|bot)[_-]?token|token|"
    rf"{_PASSWORD}|(?<=[_-])pass|pass(?=[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"'])|pw)"
)
_NAME_BEGIN: Final = (
    rf"(?:(?<![A-Za-z])|(?-i:(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=(?:PASS|PWD|SECRET|TOKEN|API_?KEY)))|"
    rf"(?<=[A-Za-z])(?={_PASSWORD}))"
)
"""A word of its own, or the last word of dbPassword, PGPASSWORD or userpassword."""
_BLANKS: Final = r"\s{0,3}[^\S\r\n]{0,60}+"
_ASSIGNED: Final = (
    rf"[\"'`*]{{0,2}}\s{{0,3}}(?:(?:[:=]>?|:=|==){_BLANKS}(?:[bru](?=[\"']))?|(?:(?<=password)|(?<=passwd))>)"
)
_VALUE: Final = r"[^\s\"'`,;<>()‹›]"
_LIKE_A_PASSWORD: Final = (
    rf"(?={_VALUE}{{0,60}}[a-z]{_VALUE}{{0,60}}[0-9]|{_VALUE}{{0,60}}[0-9]{_VALUE}{{0,60}}[a-z])"
    rf"(?={_VALUE}{{0,60}}(?:[a-z]{_VALUE}{{0,60}}[0-9]{_VALUE}{{0,60}}[a-z]|[^a-z0-9\s\"'`,;<>().:]|(?-i:[a-z][A-Z])))"
    rf"(?![0-9]{{1,3}}[a-z-]){_VALUE}{{7,64}}[a-z0-9!?$*%&#@+=]"
)
"""Letters and digits, and more than a word with a number at its end: "welcome2berlin", not "server12"."""


SECRETS: Final = (
    Rule(holds("://"), re.compile(r"(?<=://)[^\s/@:<>\"']*+:[^\s/<>\"']+(?=@)"), "‹credentials›"),
    Rule(holds("eyJ"), re.compile(after("eyJ", r"[\w-]") + r"[\w-]{8,}+\.eyJ[\w-]{8,}+(?:\.[\w-]*+)?"), "‹token›"),
    Rule(
        holds(" AAAA", "\tAAAA"),
        re.compile(
            r"(?<![A-Za-z])(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]{3}|sk-[a-z0-9-]{8,30}@openssh\.com)"
            r"[ \t]{1,4}AAAA[A-Za-z0-9+/]{16,}+={0,3}(?:[ \t]{1,4}[\w.+-]++@[\w.-]++)?"
        ),
        "‹ssh-key›",
    ),
    Rule(_may_hold_key, re.compile(rf"(?<![A-Za-z])(?:{_KEY_SHAPES})"), _api_key),
    Rule(
        says("bearer", "basic"),
        re.compile(r"(?P<scheme>\b(?:bearer|basic)\s{1,4}+)(?P<value>[\w.~+/-]{8,}+=*+)", re.IGNORECASE),
        _bearer,
    ),
    Rule(
        _SAYS_PASSWORD,
        re.compile(
            rf"(?P<name>{_NAME_BEGIN}{_PASSWORD}{_ASSIGNED}(?P<quote>[\"']))"
            rf"{NOT_BEFORE}(?P<value>[^\s\"'{{}}‹›]++(?: [^\s\"'{{}}‹›]++){{1,7}})(?=(?P=quote))",
            re.IGNORECASE,
        ),
        r"\g<name>‹secret›",
    ),
    Rule(
        says("passphrase", "seed phrase", "recovery phrase"),
        re.compile(
            rf"(?P<name>(?:passphrase|(?:seed|recovery) phrase){_ASSIGNED})(?:[a-z]{{2,20}}[ -]){{3,23}}[a-z]{{2,20}}"
            rf"(?=[\s\"'.]*(?:\Z|[\r\n]))",
            re.IGNORECASE,
        ),
        r"\g<name>‹secret›",
    ),
    Rule(
        says("key", "token", "secret", *_PASSWORD_WORDS),
        re.compile(
            rf"(?P<name>{_NAME_BEGIN}{_SECRET_NAME}{_ASSIGNED}(?P<quote>[\"'`])?)"
            rf"(?![(\[*_`]{{0,3}}{_SECRET_NAME}[\"']?\s{{0,3}}[:=])"
            rf"{NOT_BEFORE}(?P<value>(?(quote)[^\s\"'`]++|(?:(?<=\s)[^\s\"'`]++|(?:[^\s\"'`,;<>&]|&(?![\w-]{{1,30}}=))++)))",
            re.IGNORECASE,
        ),
        _secret,
    ),
    Rule(
        _SAYS_PASSWORD,
        re.compile(
            rf"(?P<name>{_NAME_BEGIN}{_PASSWORD}(?: for [^\s.,;:]{{1,40}})? ?"
            rf"(?:is|was|ist|lautet|es|è|é|jest|是|为)[: ] ?[\"'`]?)"
            rf"{NOT_BEFORE}(?=[a-z]{_VALUE}{{0,60}}[0-9]){_VALUE}{{5,64}}[a-z0-9!?$*%&#@+=]",
            re.IGNORECASE,
        ),
        r"\g<name>‹secret›",
    ),
    Rule(
        says("identified", *_PASSWORD_WORDS),
        re.compile(
            rf"(?P<name>(?:{_NAME_BEGIN}{_PASSWORD}|(?-i:(?<=[A-Z])PASS\b)|(?<=[_-])pass\b|\b(?:require|ssh)pass\b|"
            rf"\bidentified by\b|\bmasterauth\b)(?:[^\r\n.!?;‹›]{{0,40}}?[^\w\r\n.!?;‹›])??)"
            rf"{NOT_BEFORE}{_LIKE_A_PASSWORD}",
            re.IGNORECASE,
        ),
        r"\g<name>‹secret›",
    ),
)
