"""Verifies candidates for personal numbers: cards, IBANs, phone numbers, national ids.

``redaction`` finds candidates by their shape and calls these functions before it removes them. Privacy comes first:
only what is certainly not such a number is kept. Each docstring lists the certain cases.

The libraries are imported at the first candidate. Most processes have none, and the import of phonenumbers alone takes
about as long as the start of the command line.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber


def is_card(digits: str) -> bool:
    """Whether the check digit is right (Luhn). Every card has one, so a wrong one is certain."""
    from stdnum import luhn

    return luhn.is_valid(digits)


def is_iban(packed: str) -> bool:
    """Whether capitals and digits without spaces may be an IBAN.

    Certainly not: wrong check digits, or another length or structure than the country's.
    Uncertain, so treated as an IBAN: a country that is not in the library's register, which may be out of date. The
    bank's own check digits inside the number are not verified, because not every bank uses them.
    """
    from stdnum import iban
    from stdnum.exceptions import InvalidComponent, ValidationError

    try:
        iban.validate(packed, check_country=False)
    except InvalidComponent:  # the check digits are right, but the register does not have the country
        return True
    except ValidationError:
        return False
    return True


def is_international_phone(text: str) -> bool:
    """Whether ``+`` and digits may be a phone number.

    Certainly not: no country has the code, or at least two digits are missing, as in "+10 000 000 users".
    Uncertain, so treated as a phone number: one missing digit (a typing error), too many digits (followed by another
    number), or a range that is unassigned in the library's tables, which may be out of date.

    A number after a word such as "phone" is removed without this check. National numbers are not checked: without the
    country, nearly every length and range is possible.
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


def is_assigned_phone(text: str) -> bool:
    """Whether ``+`` and digits are in a range that its country assigns to phones, by the library's tables."""
    import phonenumbers

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False


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

Only numbers whose punctuation or letters distinguish them from order numbers. Of arbitrary numbers without punctuation
(Germany, Poland), one in ten passes the check of one digit by chance.
"""


def is_person_number(text: str) -> bool:
    """Whether a text has the shape of one of these numbers and passes its check.

    Certain in both directions for numbers with check digits. US social security numbers have none: never assigned areas
    and groups (000, 666, 9xx, group 00) and numbers known from advertisements are kept, all others are removed.
    """
    return any(shape.fullmatch(text) and valid(text) for shape, valid in _PERSON_NUMBERS)
