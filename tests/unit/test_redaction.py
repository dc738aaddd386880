"""What is taken out of production inputs, what is left alone, and that no text makes it slow."""

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from monitor.core.redaction import redact

FOUND = [
    ("write to john.doe+x@example.co.uk.", "write to ‹email›."),
    ("John <john@x.com>, <b>jane@firma.de</b>", "John <‹email›>, <b>‹email›</b>"),
    ("müller@firma.de", "‹email›"),
    ("postgres://admin:hunter2@db.example.com:5432/x", "postgres://‹credentials›@db.example.com:5432/x"),
    ("card 4111 1111 1111 1111, ok", "card ‹card›, ok"),
    ("qty 1 4111 1111 1111 1111 x", "qty 1 ‹card› x"),
    ("5500-0000-0000-0004", "‹card›"),
    ("378282246310005 and 3782 822463 10005", "‹card› and ‹card›"),
    ("6011111111111117", "‹card›"),
    ("key sk-proj-abc123DEF456ghi789jkl", "key ‹api-key›"),
    ("sk-ant-api03-AAAAbbbbCCCC1111", "‹api-key›"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "‹api-key›"),
    ("AKIAIOSFODNN7EXAMPLE", "‹api-key›"),
    ("hf_abcdefghijklmnopqrstuvwxyz012345", "‹api-key›"),
    ("Authorization: Bearer abcdef123456.xyz", "Authorization: Bearer ‹token›"),
    ("-H 'Authorization: Basic dXNlcjpwYXNz='", "-H 'Authorization: Basic ‹token›'"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0", "‹token›"),
    ("password: hunter22", "password: ‹secret›"),
    ('{"api_key": "a1b2c3d4e5f6"}', '{"api_key": "‹secret›"}'),
    ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key=‹secret›"),
    ("https://x.de/cb?token=abc123def&page=2", "https://x.de/cb?token=‹secret›&page=2"),
    ("from 192.168.1.254, http://10.0.0.1:8080/x", "from ‹ip›, http://‹ip›:8080/x"),
    ("host=10.0.0.1 ip:10.0.0.2 srv 10.0.0.3", "host=‹ip› ip:‹ip› srv ‹ip›"),
    ("2001:db8::8a2e:370:7334", "‹ip›"),
    ("[fe80::1]:80 and ::1 and ip:fe80::1", "[‹ip›]:80 and ‹ip› and ip:‹ip›"),
    ("::ffff:192.168.0.1.", "‹ip›."),
    ("DE89 3704 0044 0532 0130 00 THANKS", "‹iban› THANKS"),
    ("DE89370400440532013000", "‹iban›"),
    ("ES91 2100 0418 4502 0005 1332 BANK", "‹iban› BANK"),
    ("+49 176 1234567 or +4915112345678.", "‹phone› or ‹phone›."),
    ("+1 (555) 123-4567", "‹phone›"),
    ("call me at 5551234567", "call me at ‹phone›"),
    ("phone: 555 1234", "phone: ‹phone›"),
    ("(555) 123-4567, 555-123-4567, 1-800-555-0199", "‹phone›, ‹phone›, ‹phone›"),
    ("020 7946 0958", "‹phone›"),
    ("06 12 34 56 78", "‹phone›"),
    ("Tel. 030/123456 und 0176/12345678", "Tel. ‹phone› und ‹phone›"),
    (
        "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234567890\nab==\n-----END RSA PRIVATE KEY-----\nb",
        "a\n‹private-key›\nb",
    ),
    ("-----BEGIN PRIVATE KEY-----\\nMIIEowIBAAKCAQEA1234567890abcdefghij\\ncut off", "‹private-key›\\ncut off"),
    ("hf_" + "aBcDeFgHiJkLmNoPqR" * 2, "‹api-key›"),
    ("sk-" + "abcdefghijKLMNOPQRST", "‹api-key›"),
    ("sk-ant-api-abcdefgh-ijklmnop", "‹api-key›"),
    ("ghp_" + "x" * 36 + " gho_" + "Y" * 36 + " ghs_" + "z" * 36, "‹api-key› ‹api-key› ‹api-key›"),
    ("github_pat_" + "abcdefghijk" * 2, "‹api-key›"),
    ("glpat-abcdefghijKLMNOPQRST", "‹api-key›"),
    ("xoxb-abcdefghijKLMNOPQRST", "‹api-key›"),
    ("AKIAABCDEFGHIJKLMNOP", "‹api-key›"),
    ("AIza" + "abcdefghijKLMNOPQRSTuvwxyz-ABCDEFGHI", "‹api-key›"),
    ("npm_" + "abcdef" * 6, "‹api-key›"),
    ("pypi-" + "AgEIcHlwaSvcmc" * 4, "‹api-key›"),
    ("password: correct-horse-battery", "password: ‹secret›"),
    ("password: correct-horse-battery and user bob", "password: ‹secret› and user bob"),
    ("my password: swordfish\nuser: bob", "my password: ‹secret›\nuser: bob"),
    ("password: swordfish, user: bob", "password: ‹secret›, user: bob"),
    ("passwd=swordfish works", "passwd=‹secret› works"),
    ('{"password": "swordfish", "x": 1}', '{"password": "‹secret›", "x": 1}'),
    ("the api key: password: hunter22", "the api key: password: ‹secret›"),
    ("token=login(password=hunterx)", "token=‹secret›"),
    ("api key: abcdefghij", "api key: ‹secret›"),
    ("secret: abc!def/ghi is set", "secret: ‹secret› is set"),
    ("token: kJhGfDsApOiU is mine", "token: ‹secret› is mine"),
    ("token: abcdefghijklmnopqrstuvwxyz is mine", "token: ‹secret› is mine"),
    ("bob[at]example.org, bob (at) example.org.", "‹email›, ‹email›."),
    ("eve.x [AT] mail.example [dot] org", "‹email›"),
    ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ== bob@laptop ok", "‹ssh-key› ok"),
    ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBv+/xYz\nnext", "‹ssh-key›\nnext"),
    ("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9w", "‹ssh-key›"),
    ("my SSN is 536-22-8726.", "my SSN is ‹national-id›."),
    ("CPF 111.444.777-35", "CPF ‹national-id›"),
    ("codice fiscale RSSMRA85T10A562S, nato", "codice fiscale ‹national-id›, nato"),
    ("NIR 2 95 10 99 126 111 93", "NIR ‹national-id›"),
    ("hetu 131052-308T", "hetu ‹national-id›"),
    ("dbPassword: hunter22x and userPassword=swordfish1", "dbPassword: ‹secret› and userPassword=‹secret›"),
    ("githubToken = abcdefgh12\nPGPASSWORD=topsecret", "githubToken = ‹secret›\nPGPASSWORD=‹secret›"),
    ("smtp_pass=x9y8, pw: hunter22, myuserpassword:abc1", "smtp_pass=‹secret›, pw: ‹secret›, myuserpassword:‹secret›"),
    ("password:          hunter22", "password:          ‹secret›"),
    ('{"dbPassword" : "a&b,c1;d"}', '{"dbPassword" : "‹secret›"}'),
    ("password: a&b,c1;d, ok", "password: ‹secret›, ok"),
    ('password: "correct horse battery", ok', 'password: "‹secret›", ok'),
    ("my password is hunter22.", "my password is ‹secret›."),
    ("<password>hunter22</password>", "<password>‹secret›</password>"),
    ("AccountKey=abc/def==;EndpointSuffix=core", "AccountKey=‹secret›;EndpointSuffix=core"),
    ("redis://:pw@host:6379/0", "redis://‹credentials›@host:6379/0"),
    ("postgres://u:p@ss@host/x", "postgres://‹credentials›@host/x"),
    ('"bob"@example.org, "bob smith"@example.org', "‹email›, ‹email›"),
    ("o'brien@example.com", "‹email›"),
    ("de89370400440532013000 and de89 3704 0044 0532 0130 00 thanks", "‹iban› and ‹iban› thanks"),
    ("DE89-3704-0044-0532-0130-00", "‹iban›"),
    ("0044 20 7946 0958, 00442079460958, 0049 176 1234567", "‹phone›, ‹phone›, ‹phone›"),
    ("011 44 20 7946 0958", "‹phone›"),
    (
        "> -----BEGIN RSA PRIVATE KEY-----\n> MIIEowIBAAKCAQEA1234567890\n> abcdefabcdefabcdefabcdef\n> thanks",
        "> ‹private-key›\n> thanks",
    ),
    (
        "its end: MIIEowIBAAKCAQEA1234567890abc\nabcdefabcdefabcdefabcdef\nab==\n-----END RSA PRIVATE KEY-----\nhello",
        "its end: ‹private-key›\nhello",
    ),
    (
        'key = "-----BEGIN PRIVATE KEY-----" +\n "MIIEowIBAAKCAQEA12345678" +\n "abcdefabcdefabcdef=="',
        'key = "‹private-key›"',
    ),
    ("the wifi password in the guest room: welcome2berlin", "the wifi password in the guest room: ‹secret›"),
    ("mot de passe : Ch@tNoir1987, la senha é Corcovado*55", "mot de passe : ‹secret›, la senha é ‹secret›"),
    ("CREATE USER kim IDENTIFIED BY 'Kimchi!Jar3'", "CREATE USER kim IDENTIFIED BY '‹secret›'"),
    ('os.environ["DBPASS"] = "Ly9_burrow"', 'os.environ["DBPASS"] = "‹secret›"'),
    ("Passphrase: correct horse battery staple", "Passphrase: ‹secret›"),
    ("030 / 2093 4417, 01.42.68.53.17, 手机号是13812047765，", "‹phone›, ‹phone›, 手机号是‹phone›，"),
    ("来自114.242.31.87的请求", "来自‹ip›的请求"),
    # where a validator is not sure
    ("+1 555 123 456 has a digit too few", "‹phone› has a digit too few"),
    ("+1 212 555 0100 4242 has too many", "‹phone› has too many"),
    ("+1 (555) 012-3456 is of a range that is not assigned", "‹phone› is of a range that is not assigned"),
    ("phone: +1 234 5678", "phone: ‹phone›"),
    ("XX900000000000000000 is of a country without IBANs yet", "‹iban› is of a country without IBANs yet"),
    ("GB82 WEST 1234 5698 7654 32", "‹iban›"),
]

LEFT_ALONE = [
    "on 2026-11-22 at 06:30:21 and 2026-11-22T06:30:21+01:00",
    "22.11.2026 or 11/22/2026 or 01-02-2026 10:30 or 01.02.2026",
    "01/02/2026 - 03/04/2026",
    "version 1.2.3.4 and v1.2.3.4 and torch==2.13.0.1 and 1.2.3 and Chrome/120.0.6099.129",
    "$1,234.56 and 1.234,56 EUR and 1 000 000 and 12 345 678",
    "order 302-1234567-1234567 and ORD-2026-000123 and #100234 and 4500012345",
    "order number 12345678, invoice 2026-0001234",
    "EAN 4006381333931 ISBN 978-3-16-148410-0",
    "timestamp 1700000000000 and 1700000000",
    "card 4111 1111 1111 1112 fails Luhn",
    "DE89370400440532013001 fails mod 97",
    "DE6437040044053201 is too short for Germany, DE72ABCD0044053201300A has letters where Germany has digits",
    "lodash@4.17.21 image@sha256:abc @decorator.method user@localhost",
    "std::vector<int> a::b x :: Int Foo::Bar dead::beef aa:bb:cc:dd:ee:ff 12:30:45",
    "sk-learn sk-circle-fade-dot-spinner-animation",
    "the standard bearer responsibilities and a basic understanding",
    "max_tokens: 4096 tokens=100000 token: the password: please reset it",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "sha 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "0.123456789 3.14159265358979 1e-10 6.02214076",
    "3 5 2 4 2 7 6 3 9 4 8 5 2 3 6 7",
    "What is 17 + 26? +5 -3 2+49176123456",
    "OID 1.3.6.1.4.1.311.21, section 1.3.6.1.4.1",
    "postcode 10115 Berlin, 90210-1234, call 3 functions, text 10 lines",
    "What does -----BEGIN PRIVATE KEY----- mean?",
    "password reset: how do I reset my password",
    "I forgot my password: please help me. What is a token: explanation? The secret: practice.",
    "token: something that a model reads, and the secret: nobody knows",
    "password:怎么重置我的密码呢请告诉我",
    "def login(password: string, token: Optional[str]): token = tokenizer.encode(text)",
    "password=$DB_PASSWORD token=os.environ['TOKEN'] secret={{ value }} token: https://example.org/docs",
    "hf_hub_download hf_model npm_config_registry pypi-publish-to-the-production-index-workflow xoxb-your-token",
    "meet me (at) noon, x[at] = 3, a[at].b, attr[attr] (at home) example.org",
    "ssh-rsa AAAA... is a kind of key, ssh-keygen -t ed25519",
    "+10 000 000 users, +20000000 requests and +999 1234 5678",
    "000-12-3456, 666-12-3456, 900-12-3456 and 536-00-8726",
    "111.444.777-36 and 131052-308U and RSSMRA85T10A562T and 2 95 10 99 126 111 94",
    "the password is required, the password is 8characters, password=None, token=true, onepassword: yes",
    "maxTokens: 1234567 tokenizer: gpt2bpe compass: north1 bypass=12345 monkey: banana1 secretary: Anna12",
    "api_key = \"YOUR_API_KEY\", token: <your-token>, KEY=sk-..., password: ********, pass: 'second'",
    "password for server12, password policy, passphrase: ask the owner of it, bind 0.0.0.0 or 127.0.0.1",
    "order 0012345678901 and 0099123456789 and 2001123456789",
    "What does -----END PRIVATE KEY----- mean? It comes after internationalization.",
    "10 + 20 = 30; 100-200-300; 2020-2021-2022; ISO 9001:2015, 1920x1080",
]

HOSTILE = [
    "a", "a@", "a.", "a@a.", "1 ", "1-", "1", "+1", "4111 ", "sk-", "sk-‹api-key›", "eyJ", "eyJaaaaaaaa.", "://a:", ":",
    "::", "f:", "1.", "1.1.1.1", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "bearer ", "token:", "password=a", "A0 ",
    "DE89 ", "(", "call ", "tel 1", "0 ", "01 ", "012-", "SG.a", "1‹card›", "1 ‹card›", "ya29.", "call 1 1 1 1 1 1 1",
    "hf_", "hf_aaaaaaaaaaaaaaaaaaaa", "password: a ", "password: please ", "secret: abcdef.", "token:a.", "a(at)",
    "a(at)a.", "a [at] a [dot] ", " [at] ", "[dot]", "a.a.a(dot)", "ssh-rsa ", "ssh-rsa AAAA",
    "ssh-rsa AAAAaaaaaaaaaaaaaaaa ", "api key: ", "token: a(", "a-", "-----END PRIVATE KEY-----", "-----END ",
    "aaaaaaaaaaaaaaaaaaaa\n", "> aaaaaaaaaaaaaaaaaaaa\n-----END PRIVATE KEY-----",
    "a'", "a'a@", '"a', '"a"@', "password",
    "password: \"a ", "password is ", "password a1b", "passphrase: a ",
    "password =", "Identified by ", "PASS ", "senha ",
    "aPassword:", "de89-", "de89 3704 ", "00", "0044 ", "011 4", "://:a@", "pw:",
]  # fmt: skip
PERSON_PIECES = [
    "123-45-",
    "123-45-6789",
    "111.444.777-35",
    "RSSMRA85T10A562S",
    "1 85 05 ",
    "131052-308T",
    "+1 234 567 ",
]


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_what_identifies_or_unlocks_is_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(expected) == expected


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == text


def test_luhn_tells_cards_from_numbers() -> None:
    """Of ten numbers that differ only in the check digit, one is a card."""
    assert sum(redact(f"411111111111111{digit}") == "‹card›" for digit in range(10)) == 1


@pytest.mark.parametrize("form", [PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL])
def test_phone_numbers_of_every_country_are_found(form: int) -> None:
    """One fixed and one mobile number of each, as the library gives them for an example; 8 digits or more."""
    checked = 0
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
            example = phonenumbers.example_number_for_type(region, kind)
            number = phonenumbers.format_number(example, form) if example else ""
            if sum(map(str.isdigit, number)) >= 8:
                assert redact(f"at {number}, please") == "at ‹phone›, please"
                checked += 1
    assert checked > 400


@pytest.mark.parametrize("number", ["DE89370400440532013000", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"])
def test_one_wrong_character_makes_an_iban_an_ordinary_word(number: str) -> None:
    assert redact(number) == "‹iban›"
    for place in range(4, len(number)):
        wrong = number[:place] + ("1" if number[place] != "1" else "2") + number[place + 1 :]
        assert "‹iban›" not in redact(wrong)


def test_validators_are_imported_at_the_first_candidate() -> None:
    code = (
        "import sys\n"
        "import monitor.daemon.app, monitor.cli\n"
        "from monitor.core.redaction import redact, redact_secrets\n"
        "redact('plain text of 2026-11-30, password: hunter22')\n"
        "redact_secrets('+49 176 1234567')\n"
        "assert not {'phonenumbers', 'stdnum', 'rapidfuzz', 'markdown_it'} & set(sys.modules)\n"
        "redact('+49 176 1234567')\n"
        "assert 'phonenumbers' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


PIECES = [text for text, _ in FOUND] + HOSTILE + list(" \n.,:;<>@+-/()=\"'0123456789abcXYZ_é٣")


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    assert redact(redact(text)) == redact(text)


SHORT, TIMES, LIMIT = 3_000, 10, 30
GROWTH = f"""
import re, time

def seconds(replace, text):
    began = time.process_time()
    replace(text)
    return time.process_time() - began

def grows_faster_than_length(replace, piece, tail):
    texts = [piece * (size // len(piece)) + tail for size in ({SHORT}, {SHORT * TIMES})]
    measured = []
    until = time.process_time() + 0.5
    while not measured or time.process_time() < until:  # the quickest of several: others use the machine, too
        measured.append([seconds(replace, text) for text in texts])
        short, long = map(min, zip(*measured))
        if long <= {LIMIT} * short:
            return False
    return True

def check(replace, pieces):
    for one in pieces:
        replace(one)  # imports what it needs
        for tail in ("", "x", "\\0", "‹ip›"):
            assert not grows_faster_than_length(replace, one, tail), (one, tail)
"""
"""Ten times the text may take thirty times as long, not a hundred times. A pattern that is
worse still runs into the time limit of the child."""


def check_growth(setup: str, pieces: list[str]) -> subprocess.CompletedProcess[str]:
    code = f"{GROWTH}\n{setup}\ncheck(replace, {pieces!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)


def test_no_text_makes_it_slow() -> None:
    """Time is linear in the length, whatever piece is repeated and whatever stands at the end."""
    done = check_growth("from monitor.core.redaction import redact as replace", HOSTILE + PERSON_PIECES)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("pattern", "piece"), [("[0-9]+x", "1"), ("a@[a@]*y", "a@")])
def test_a_slow_pattern_is_found(pattern: str, piece: str) -> None:
    done = check_growth(f"import functools\nreplace = functools.partial(re.compile({pattern!r}).sub, '')", ["-", piece])
    assert f"({piece!r}, ''" in done.stderr, done.stderr


def test_tags_of_the_same_names_hide_nothing() -> None:
    # Tagged prompts are common; the placeholders use brackets that no markup does.
    for raw in ("<phone>+49 176 1234567</phone>", "<ip>10.0.0.1</ip>", "<email>jo@example.com</email>"):
        tag = raw[1 : raw.index(">")]
        assert redact(raw) == f"<{tag}>‹{tag}›</{tag}>"
