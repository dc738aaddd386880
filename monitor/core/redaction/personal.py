"""Rules for what identifies a person: addresses, numbers of cards, accounts, phones and people."""

import re
from ipaddress import IPv6Address
from typing import Final

from monitor.core import identifiers
from monitor.core.redaction.rule import NOT_AFTER, NOT_BEFORE, Rule, after, holds, says

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


_IBAN_GAP: Final = "[ \u00a0\u202f-]"


def _iban(match: re.Match[str]) -> str:
    """Redacts the IBAN at the start of the match, which may include following words."""
    text = match[0]
    ends = [m.start() for m in re.finditer(_IBAN_GAP, text)][:3:-1]
    for end in (len(text), *ends):
        packed = re.sub(_IBAN_GAP, "", text[:end]).upper()
        if 15 <= len(packed) <= 34 and identifiers.is_iban(packed):
            return "‹iban›" + text[end:]
    return text


_VERSION_CUE: Final = re.compile(r"(?:\b(?:version|release|build|firmware|ver\.?|v\.?)|[=<>~!]=)[ :=]*$", re.IGNORECASE)


def _before(match: re.Match[str], characters: int) -> str:
    return match.string[max(0, match.start() - characters) : match.start()]


_NOBODYS: Final = frozenset({"0.0.0.0", "127.0.0.1"})


def _ipv4(match: re.Match[str]) -> str:
    too_big = any(int(octet) > 255 for octet in match[0].split("."))
    return (
        match[0]
        if too_big or match[0] in ("0.0.0.0", "127.0.0.1") or _VERSION_CUE.search(_before(match, 24))
        else "‹ip›"
    )


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


def _dialled(match: re.Match[str]) -> str:
    """A number with a country's code after the prefix that is dialled for it, such as 0044.

    Without separators it may be any number, so the country must have it. One in three numbers is assigned in North
    America, so that country code is only read with separators.
    """
    number = f"+{match['number']}"
    if not 8 <= sum(c.isdigit() for c in number) <= 15:
        return match[0]
    sure = _PHONE_CUE.search(_before(match, 40))
    apart = any(not c.isdigit() for c in match["number"])
    if apart:
        return "‹phone›" if sure or identifiers.is_international_phone(number) else match[0]
    return "‹phone›" if sure or (number[1] != "1" and identifiers.is_assigned_phone(number)) else match[0]


def _person(match: re.Match[str]) -> str:
    return "‹national-id›" if identifiers.is_person_number(match[0]) else match[0]


def _national(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    return "‹phone›" if 9 <= digits <= 12 else match[0]


_PHONE_CUE: Final = re.compile(
    r"(?:(?<![^\W\d_])(?:phone|telephone|telefone?|tel[eé]fon[oe]?|telefonu|telem[oó]vel|celular|cellulare|tel|mobile|mobil|"
    r"cell|gsm|fax|whatsapp|call|text|sms|handy|portable|llámame|ligue para|chiamami|appele[zr])|手机号?码?|电话)"
    r"(?: number| nr| no)?(?: ?(?:me|us|is|at|on|under|al|é o|to|le|es|è|ist|是)){0,2}[.:#：]{0,2} ?$",
    re.IGNORECASE,
)


_SAYS_PHONE: Final = says(
    "phone", "tel", "mob", "cel", "gsm", "fax", "whatsapp", "call", "text", "sms", "handy", "portable", "llámame",
    "ligue para", "chiamami", "appele", "手机", "电话",
)  # fmt: skip
"""Whether a text may have a cue of ``_PHONE_CUE``."""


def _cued(match: re.Match[str]) -> str:
    digits = sum(c.isdigit() for c in match[0])
    return "‹phone›" if 6 <= digits <= 15 and _PHONE_CUE.search(_before(match, 40)) else match[0]


_DIGIT: Final = re.compile("[0-9]").search
_HEX: Final = "[0-9A-Fa-f:]"
_IN_ADDRESS: Final = r"[\w:.]"

_LOCAL: Final = r"(?:(?<![\w›])\"[^\"\r\n]{1,64}\"|[\w.%+-]++(?:'[\w.%+-]++)*+)"
_EMAIL: Final = _LOCAL + r"@(?:[\w-]++\.)+(?:xn--[\w-]++|[^\W\d_]{2,}+)"

PERSONAL: Final = (
    Rule(holds("@"), re.compile(rf"(?<![\w.%+-])(?<![\w.%+›-]')(?:{_EMAIL})++"), "‹email›"),
    Rule(
        says("[at", "(at", "[ at", "( at"),
        re.compile(
            r"(?<![\w.%+-])[\w%+][\w.%+-]*+[ \t]{0,2}(?:\[ ?at ?\]|\( ?at ?\))[ \t]{0,2}"
            r"(?:[\w-]++(?:\.|[ \t]{0,2}(?:\[ ?dot ?\]|\( ?dot ?\))[ \t]{0,2}))+(?:xn--|[^\W\d_]{2})[\w%+-]*+",
            re.IGNORECASE,
        ),
        "‹email›",
    ),
    Rule(
        re.compile("[0-9](?<=[A-Za-z][A-Za-z][0-9])[0-9]").search,
        re.compile(
            after("[A-Za-z]", "[A-Za-z0-9]")
            + r"[A-Za-z][0-9]{2}(?:[A-Za-z0-9]{11,30}|"
            + rf"(?:{_IBAN_GAP}[A-Za-z0-9]{{4}}){{2,7}}(?:{_IBAN_GAP}[A-Za-z0-9]{{1,3}})?)(?![A-Za-z0-9])"
            + NOT_BEFORE
        ),
        _iban,
    ),
    Rule(
        re.compile("[0-9]{2}(?:-[0-9]{2}|[A-Z+][0-9]{3}| [0-9]{3} [0-9])").search,
        re.compile(
            after("[0-9A-Z]", r"[\w.,/+-]")
            + r"(?:[0-9]{2}(?:-[0-9]{2}-[0-9]{4}|\.[0-9]{3}\.[0-9]{3}-[0-9]{2})"  # United States; Brazil
            r"|[A-Z]{5}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]"  # Italy
            r"| [0-9]{2} [0-9]{2} (?:[0-9]{2}|2[AB]) [0-9]{3} [0-9]{3} [0-9]{2}"  # France
            r"|[0-9]{5}[-+A-FU-Y][0-9]{3}[0-9A-Y])(?![\w-]|[.,][0-9])"  # Finland
             + NOT_BEFORE
        ),
        _person,
    ),
    Rule(
        lambda text: text.count(":") >= 2,
        re.compile(
            f"(?:{after(_HEX, _IN_ADDRESS)}|{_HEX}(?<=[g-zG-Z]:{_HEX})){_HEX}++[0-9A-Fa-f:.]*+(?![g-zG-Z_])"
            + NOT_BEFORE
        ),
        _ipv6,
    ),
    Rule(
        re.compile(r"[0-9]\.[0-9]").search,
        re.compile(
            after("[0-9]", "[A-Za-z0-9_.]")
            + r"[0-9]{0,2}+(?:\.[0-9]{1,3}){3}(?![A-Za-z0-9_]|\.[0-9]|-[A-Za-z])"
            + NOT_BEFORE
        ),
        _ipv4,
    ),
    Rule(
        re.compile(r"[0-9](?:[ -]?[0-9]){12}").search,
        re.compile(after("[0-9]", r"[\w.]") + r"(?<![0-9][ -][0-9])[0-9]*+(?:[ -][0-9]++)*+(?!\w)" + NOT_BEFORE),
        _cards,
    ),
    Rule(
        holds("+"),
        re.compile(after(r"\+", r"[\w+]") + r"[1-9](?:[ .()/\-\u00a0]{0,3}[0-9]){6,14}+(?![0-9])" + NOT_BEFORE),
        _international,
    ),
    Rule(
        holds("00", "011"),
        re.compile(
            after("0", r"[\w.,/+-]")
            + r"(?:0|11)[ -]?(?P<number>[1-9](?:[ .()/\-\u00a0]{0,2}[0-9]){6,14}+)(?!\w)"
            + NOT_BEFORE
        ),
        _dialled,
    ),
    Rule(
        lambda text: _DIGIT(text) and _SAYS_PHONE(text),
        re.compile(
            after("[0-9(]", "[A-Za-z0-9_,/+-]")
            + r"[0-9]?(?:[ .()/-]{0,3}[0-9]){5,14}+(?![A-Za-z0-9_%€$£]|[.,:][0-9])"
            + NOT_BEFORE
        ),
        _cued,
    ),
    Rule(
        re.compile("[0-9]{3}[-. ][0-9]{4}").search,
        re.compile(
            r"(?<![\w.,/+-])"
            + NOT_AFTER
            + r"(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[0-9]{3}[-. ][0-9]{4}(?![\w-]|\.[0-9])"
            + NOT_BEFORE
        ),
        "‹phone›",
    ),
    Rule(
        re.compile("0[1-9]").search,
        re.compile(
            after("[0(]", r"[\w.,:/+-]") + r"(?:(?<=\()0)?[1-9][0-9]{0,4}\)?(?: ?/ ?|[ -])[0-9]{2,8}"
            r"(?:(?P<gap> ?- ?|[ .])[0-9]{2,8}(?:(?:(?P=gap)| |(?<= [0-9]{2}) - )[0-9]{2,8}){0,3})?"
            r"(?![\w%€$£/-]|[.,:][0-9])" + NOT_BEFORE
        ),
        _national,
    ),
    Rule(
        re.compile(r"0[1-9]\.[0-9]").search,
        re.compile(after("0", r"[\w.,:/+-]") + r"[1-9](?:\.[0-9]{2}){4}(?!\w|[.,-][0-9])" + NOT_BEFORE),  # France
        "‹phone›",
    ),
)
