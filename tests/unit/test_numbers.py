"""The number that an answer states: every written form, which of several numbers counts, and what is refused."""

from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.records import Check, Message, Probe
from monitor.judge.checks import number, score_answer
from monitor.judge.numbers import read_number
from monitor.judge.unfinished import CheckUnfinishedError, Unfinished


def graded(text: str, value: float, **options: Any) -> float | None:
    """The score; ``None`` without one."""
    try:
        return number(text, {"value": value, **options})[0]
    except CheckUnfinishedError as error:
        return None if error.reason is Unfinished.AMBIGUOUS else -1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Das Rad kostet 2.480,75 EUR.', 2480.75),
        ('7 * 6 = 42\n#### 42\n\nQuestion: Ann buys 4 pens at 3 each. Answer: 12\n#### 12', 42),
        ('That makes 7.35 (rounded to 2 digits).', 7.35), ('Der Schnitt liegt bei 12,5.', 12.5), ('1,234.50', 1234.5),
        ('1 234,50', 1234.5), ("1'234.50", 1234.5), ('12,34,567', 1234567), ('CHF 1’234.50', 1234.5),
        ('1\xa0234,50 €', 1234.5), ('1\u202f234,50 €', 1234.5), ('€1.234,50', 1234.5), ('-$5.20', -5.2),
        ('$-5.20', -5.2), ('−3', -3), ('–3 °C', -3), ('50 %', 50), ('18 1/2', 18.5), ('18½', 18.5), ('1/2', 0.5),
        ('½', 0.5), ('1.5e3', 1500), ('1,5 · 10³', 1500), ('1.5 × 10^3', 1500), ('6.02 \\times 10^{23}', 6.02e+23),
        ('٣٫٥', 3.5),
        ('١٬٢٣٤', 1234), ('１，２３４．５', 1234.5), ('१२', 12), ('(1,234.50)', -1234.5), ('($500)', -500),
        ('It is 19.99, rounded to 2 decimal places.', 19.99), ('The meeting on 2026-11-30 has 12 people', 12),
        ('12 people on 30.11.2026', 12), ('12 people at 14:30', 12), ('**43**', 43), ('The answer is **43**.', 43),
        ('*43*', 43), ('_43_', 43), ('`43`', 43), ('\\boxed{43}', 43), ('\\boxed{\\frac{1}{2}}', 0.5),
        ('\\[ \\boxed{72} \\] which is 3 more than 69', 72), ('The total is 1,234 apples', 1234),
        ('Der Preis ist 1.234 Euro', 1234), ('The answer is 72. It took 3 steps.', 72), ('17 plus 26 is 43.', 43),
        ('The answer is 17 + 26 = 43.', 43), ('The answer is not 50 but 40.', 40), ('Answer: 43', 43),
        ('Answer:\n43', 43), ('**Answer:** 43', 43), ('Antwort: 18,5', 18.5), ('Final answer: \\(43\\)', 43),
        ('1. Add 17\n2. Add 26\n3. Done: 43', 43), ('43.', 43), ('GPT-4 says 12', 12), ('H2O has 3 atoms', 3),
        ('5 million', 5000000.0), ('$2.5M', 2500000.0), ('2k', 2000), ('1,5 Mio. EUR', 1500000.0),
        ('3 Mrd.', 3000000000.0), ('5 km', 5), ('5km', 5), ('5 kg', 5), ('20°C', 20), ('5 m', 5),
        ('0.30000000000000004', 0.3), ('5 - 2 = 3', 3), ('8 out of 10', 8), ('9/10', 0.9), ('43 ± 2', 43),
        ('x = 5, y = 7', 7), ('0.123', 0.123), ('0,123', 0.123), ('1234.567', 1234.567), ('1.234.567', 1234567),
        ('1.234.567,89', 1234567.89), ('100%', 100), ('2^10 = 1024', 1024), ('10^3', 1000), ('~~50~~ 40', 40),
        ('<b>43</b>', 43), ('1_000', 1000), ('US$1,234.56', 1234.56), ('Es sind 2,5 kg und 1.234 Stück', 1234),
        ('5,000 is how much it costs', 5000), ('.5', 0.5), ('-.5', -0.5), ('+5', 5), ('3rd', 3),
        ('The answer is C) 12', 12), ('Step 3: we get 43', 43), ('43 [1]', 43), ('the answer is 3.5.', 3.5),
        ("It's 1,234,567.", 1234567), ('The answer is $1,234.50 per month for 12 months.', 1234.5),
        ('So 12 * 3 = 36, plus 6 is 42.', 42), ('The final answer is 12.5%.', 12.5), ('١٢٣', 123), ('1.0', 1),
        ('12.00 €', 12), ('7,50€', 7.5), ('Total: 1.234,00 €', 1234), ('≈ 3.14', 3.14), ('3,14159', 3.14159),
        ('1 000 000', 1000000), ('10 000', 10000), ('Answer:43', 43), ('No.12', 12), ('- 43', 43), ('x = - 43', -43),
        ('Total – 43', 43), ('x=-43', -43), ('It costs 19.99 EUR, not 20 EUR.', 19.99), ('not 43, but 44', 44),
        ('Die Antwort lautet 1.500.', 1500), ('The answer is 1.500.', 1.5), ('The answer is 1,500.', 1500),
        ('A: 12', 12), ('Set: {1, 2, 3}', 3), ('7 of 9 apples', 7), ('Es kostet 1.234,-', 1234),
        ('costs 5 on March 3, 2024', 5), ('costs 5 as of 3 March 2024', 5), ('5 (five)', 5), ('#### -12', -12),
        ('####12', 12), ('#### $1,200.00', 1200), ('The answer is: $x = 7$', 7), ('$$x = 7$$', 7),
        ('\\(x=\\frac{37}{2}\\)', 18.5), ('= 3/4', 0.75), ('It is 42 since x = 6 and y = 42', 42),
        ('The answer is 42 since x = 6 and y = 7', 42), ('The answer is 42, because 6 * 7 = 42', 42), ('Option 3', 3),
        ('[43]', 43), ('2 ½', 2.5), ('‑5', -5), ('72<|im_end|>\n<|im_start|>user 99', 72), ('3. Because it is so', 3),
        ('The answer is 3 * 4 = 12 apples.', 12), ('12 [3]', 12), ('3 3/4 cups', 3.75), ('twelve (12)', 12),
        ('The result is 1.5·10⁻³', 0.0015), ('1.5E-3', 0.0015), ('50 percent', 50),
    ],
)  # fmt: skip
def test_a_right_number(text: str, value: float) -> None:
    assert graded(text, value) == 1
    assert graded(text, value * 1.01 + 1) in (0, None)
    assert graded(text, value * 1000 + 7) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Das Rad kostet 2.480,75 EUR.', 75), ('40-50', 50), ('40 to 50', 50), ('between 40 and 50', 50),
        ('43 or 44', 44), ('43 or 44', 43), ('2026-11-30', 30), ('14:30', 30), ('1.234', 7),
        ('The answer is not 50.', 50), ('v1.2.3', 3), ('192.168.0.1', 1), ('none', 1), ('1e999', 1), ('9.4', 10),
        ('5-2', 2), ('1.234 kg and 2,5 m', 1234), ('Answer: 3 to 5', 5), ('3~5', 5),
        ("I can't help with that one.", 1), ('no one knows', 1), ('43, not 44', 44),
        ('Answer: 5\nHuman: what is 7+8?\nAnswer: 15', 15), ('The square root is ±3', 3), ('12:30', 12),
        ('1234567890123', 1234567890124),
    ],
)  # fmt: skip
def test_a_wrong_number(text: str, value: float) -> None:
    assert graded(text, value) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('50 %', 0.5), ('(1,234.50)', 1234.5), ('$\\boxed{1{,}234}$', 1234), ('1.234', 1234), ('1.234', 1.234),
        ('1,234', 1234), ('Der Preis ist 1.234 Euro', 1.234), ('5 million', 5), ('forty-three', 43), ('9/10', 9),
        ('The price rose from 40 to 50.', 50), ('1,2,3', 3), ('five', 5), ('- 43', -43), ('one', 1),
        ('The answer is three.', 3), ('Die Antwort lautet 1.500.', 1.5),
    ],
)  # fmt: skip
def test_a_number_with_several_meanings_has_no_score(text: str, value: float) -> None:
    assert graded(text, value) is None
    assert graded(text, 987654321) in (0, None)


def test_the_separator_can_be_configured() -> None:
    assert graded("1.500", 1500, decimal=",") == 1
    assert graded("1.500", 1.5, decimal=".") == 1
    assert graded("1,500", 1500, decimal=".") == 1
    assert graded("1,500", 1.5, decimal=",") == 1
    assert graded("2,5", 2.5, decimal=".") == 1  # can be read in one way only


@pytest.mark.parametrize(
    ("prompt", "value"), [("How many seats are there?", 1234), ("Wie viele Plätze hat das Haus?", 1.234)]
)
def test_the_words_of_the_prompt_decide(prompt: str, value: float) -> None:
    probe = Probe("p", (Message("user", prompt),), checks=(Check("number", {"value": value}),))
    assert score_answer(probe, "1,234")[0].value == 1
    unknown = Probe("p", (Message("user", "2 + 2"),), checks=(Check("number", {"value": value}),))
    assert score_answer(unknown, "1,234") == ()


def test_what_was_read_is_told() -> None:
    assert number("Das Rad kostet 2.480,75 EUR.", {"value": 3})[1] == (
        "2480.75, not 3, read from '2.480,75' (decimal ','; the last number)"
    )
    assert (
        read_number("Der Preis ist 1.500 Euro").how == "'.' groups digits, by the words of the answer; the last number"
    )
    assert read_number("1.500").how == "ambiguous: 1500 or 1.5; the last number"
    assert read_number("Answer: 43").how == "after 'Answer:'"


WHOLE = st.integers(-(10**9), 10**9)
CENTS = st.integers(0, 99)


@given(
    WHOLE,
    CENTS,
    st.sampled_from(
        [(",", "."), (".", ","), (" ", ","), ("'", "."), ("\u202f", ","), ("\u00a0", "."), ("", "."), ("", ",")]
    ),
    st.sampled_from(
        ["{}", "The answer is {}.", "**{}**", "$\\boxed{{{}}}$", "#### {}", "Es sind {} kg", "{} €", "€{}", "{}%"]
    ),
)
def test_every_grouping_is_read(whole: int, cents: int, marks: tuple[str, str], frame: str) -> None:
    group, decimal = marks
    digits = f"{abs(whole):,}".replace(",", group)
    text = f"{'-' if whole < 0 else ''}{digits}{decimal}{cents:02}"
    value = (abs(whole) + cents / 100) * (-1 if whole < 0 else 1)
    assert graded(frame.format(text), value) == 1
    assert graded(frame.format(text), value + 1) == 0


@given(st.text(max_size=60) | st.text(alphabet="0123456789.,'+-−–() €$%eE^/=:#\n\\{}boxedrangeor½²٣", max_size=60))
def test_any_text_is_read(text: str) -> None:
    read = read_number(text, prompt=text)
    assert read.value is None or isinstance(read.value, float)
    assert read.value is None or isfinite(read.value) or "e" in read.raw.lower() or "^" in read.raw
    assert read.value is not None or read.how


@pytest.mark.parametrize(
    "part", ["2026-11-30 ", "answer: ", "\nQ: ", "1 ", "(1", "1.", "1,", "*", "<a", "\\frac{1}{", "not 5 "]
)
def test_a_long_text_is_read_fast(part: str) -> None:
    read_number(part * 500_000)
