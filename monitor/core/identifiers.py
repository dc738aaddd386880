"""Whether a text that looks like somebody's number is one: cards, IBANs, phone numbers, numbers of persons.

``redaction`` finds candidates by their shape and asks here before it takes them out. Privacy comes first: only what is
surely no such number stays. Each function says in which cases that is sure.

The libraries are imported at the first candidate. Most processes never meet one, and the import of phonenumbers alone
takes about as long as the start of the command line.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber


def is_card(digits: str) -> bool:
    """Whether the check digit is right (Luhn). Every card has one, so a wrong one is sure."""
    from stdnum import luhn

    return luhn.is_valid(digits)


def is_iban(packed: str) -> bool:
    """Whether capitals and digits without spaces may be an IBAN.

    Wrong check digits are sure, and so is another length or order of letters and digits than the country's.
    Not sure, so an IBAN: a country that the library's register does not know, which may be older than the country's
    first IBAN. The bank's own check digits inside the number are not looked at: not every bank keeps to them.
    """
    from stdnum import iban
    from stdnum.exceptions import InvalidComponent, ValidationError

    try:
        iban.validate(packed, check_country=False)
    except InvalidComponent:  # after the check digits were found right: no such country in the register
        return True
    except ValidationError:
        return False
    return True


def is_international_phone(text: str) -> bool:
    """Whether ``+`` and digits may be a phone number.

    Sure: no country has the code, or the country's numbers are longer by two digits or more, as in "+10 000 000 users".
    Not sure, so a phone number: one digit too few (mistyped), too many digits (a number that follows was taken along),
    a range that the library does not know as assigned (its tables are older than the newest ranges).

    A number after a word such as "phone" is taken out without asking here. National numbers have no such check: without
    the country, nearly every length and range is possible somewhere.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException as error:
        return error.error_type != phonenumbers.NumberParseException.INVALID_COUNTRY_CODE
    if not _too_short(number):
        return True
    number.national_number = 10 * (number.national_number or 0)
    return not _too_short(number)


def _too_short(number: "PhoneNumber") -> bool:
    from phonenumbers import ValidationResult, is_possible_number_with_reason

    found = is_possible_number_with_reason(number)
    return found in (ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)


def _ssn(text: str) -> bool:
    from stdnum.us import ssn

    return ssn.is_valid(text)


def _cpf(text: str) -> bool:
    from stdnum.br import cpf

    return cpf.is_valid(text)


def _codice_fiscale(text: str) -> bool:
    from stdnum.it import codicefiscale

    return codicefiscale.is_valid(text)


def _nir(text: str) -> bool:
    from stdnum.fr import nir

    return nir.is_valid(text)


def _hetu(text: str) -> bool:
    from stdnum.fi import hetu

    return hetu.is_valid(text)


_PERSON_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]] = (
    (re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}"), _ssn),
    (re.compile(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"), _cpf),
    (re.compile(r"[A-Z]{6}[0-9]{2}[A-Z][0-9]{2}[A-Z][0-9]{3}[A-Z]"), _codice_fiscale),
    (re.compile(r"[12] [0-9]{2} [0-9]{2} (?:[0-9]{2}|2[AB]) [0-9]{3} [0-9]{3} [0-9]{2}"), _nir),
    (re.compile(r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y]"), _hetu),
)
"""United States: social security. Brazil: CPF. Italy: codice fiscale. France: NIR with its key. Finland: henkilötunnus.

Only numbers whose punctuation or letters tell them from an order number. Numbers of digits alone (Germany, Poland) pass
the check of one digit by chance, one in ten.
"""


def is_person_number(text: str) -> bool:
    """Whether a text has the shape of one of these numbers and passes its check.

    Sure both ways where a number has check digits. A social security number has none: areas and groups that are never
    given out (000, 666, 9xx, group 00) and numbers known from advertisements stay, all others are taken out.
    """
    return any(shape.fullmatch(text) and valid(text) for shape, valid in _PERSON_NUMBERS)
