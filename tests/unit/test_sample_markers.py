"""Texts that loggers write in place of a message or where they cut one, and texts of people that look alike."""

import time

import pytest

from monitor.sample import markers

PLACEHOLDERS = """
redacted-by-litellm|[REDACTED]|***|<redacted>|REDACTED|redacted|Redacted.|content redacted|[content redacted]|(redacted)
<REDACTED:PII>|<REDACTED_TEXT>|__REDACTED__|{{hidden}}|***MASKED***|[Filtered]|<masked>|[ REDACTED ]|"[REDACTED]"
<fully masked due to failed mask function>|[Scrubbed due to 'password']|[Redacted by policy]|<!-- redacted -->
[This value has been dropped because this span's size exceeds the 1MB size limit.]|REDACTED_BY_GATEWAY|<not logged>
xxxxxxxx|████|•••••|d41d8cd98f00b204e9800998ecf8427e|prompt not logged|message redacted for privacy|content omitted
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08|<prompt omitted>|[user message redacted]
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=|<sensitive data removed>|[Content filtered by policy]|redacted: gdpr
undefined|null|(null)|<nil>|<None>|{{prompt}}|{{ user.question }}|${input}|{question}|<%= prompt %>|%(prompt)s
"""
PEOPLE = """
Where is my kettle?|removed|hidden|private|What was redacted?|Write to [REDACTED] please|Please hide my email|xxx|ok
The content was removed by the moderator, why?|order 550e8400-e29b-41d4-a716-446655440000|12345678|-- |[private] repo
My payment was dropped|no input lag please|Is my input private?|content|body|(private)?|all data|no, thanks
None|none|Nan|What is null?|undefined is not a function|{"a": 1}|{a, b}|Fill {{name}} in please|{}|[]|{1}|${|nil
"""
CUT = """
a ... (litellm_truncated skipped 48211 chars) ... b|a... (litellm_truncated 12 chars)|x [truncated]|x{truncated}
x…(123 more characters)|x... (123 more characters)|x... [truncated 5 chars]|[...truncated...]|x ... (truncated)
x <truncated due to size exceeding limit>|x...[12,345 chars omitted]...y|x [+40 chars]|x ... 512 more bytes|x…[+512]
x...truncated|x... <truncated>|text [output truncated] more|---TRUNCATED---|x [snip 40 lines]|x (1234 chars truncated)
x...[TRUNCATED: 5000 tokens]|x [Content truncated due to size limit of 32KB]|x ... 99 chars truncated|x …+123 chars
x... (+456 more)|(truncated 200 characters)|x [text truncated at 1000 characters]|x... 300 characters omitted ...y
x [... 4,096 characters skipped ...] y|<<truncated>>|x [truncated by proxy]|x (… 1234 more)|x... (rest truncated)
x [1.2 KB omitted]|x ...<1,024 bytes omitted>... y|x…<truncated 12 tokens>…y|[value too long, truncated]|x ...[cut]
"""
WHOLE = """
My file was truncated, why?|How do I truncate a table? (drop and truncate)|Add 5 more chairs...|hmm…|wait... more please
I have 3 more characters to unlock (in the game)|array[+1]|The text is skipped ... why|Show more (5 items)|x...
Use varchar(255 characters)|max (200 characters) please|Write at most 50 words...|What does TRUNCATE do?|[5 words]
Can you write more ...|[truncate] the log|He said (5 more words) and left|truncated svd (sklearn)|[1 more] item|[…]
a password with (8 characters)|Summarize [100 tokens]|... 5 words or fewer|(50 words left)|Wait... 5 more|[3 bytes]
"""


def each(texts: str) -> list[str]:
    return [text for row in texts.strip().splitlines() for text in row.split("|")]


@pytest.mark.parametrize("text", each(PLACEHOLDERS))
def test_placeholders(text: str) -> None:
    assert markers.is_placeholder(text)
    assert markers.is_placeholder(f"  {text}\n")
    assert not markers.is_placeholder(f"Where is my parcel {text} ?")


@pytest.mark.parametrize("text", [*each(PEOPLE), *each(WHOLE)])
def test_what_people_type_is_no_placeholder(text: str) -> None:
    assert not markers.is_placeholder(text)


@pytest.mark.parametrize("text", each(CUT))
def test_marks_of_a_cut(text: str) -> None:
    assert markers.is_cut(text)
    assert markers.is_cut("the kettle leaks. " * 500 + text)


@pytest.mark.parametrize("text", [*each(WHOLE), *each(PEOPLE)])
def test_what_people_type_has_no_mark(text: str) -> None:
    assert not markers.is_cut(text)
    assert not markers.is_cut(f"{text} and the kettle leaks")


@pytest.mark.parametrize(
    "text",
    ["[truncated " * 9000, "... 1," * 9000 + " chars", "-" * 60_000 + " chars", "[" * 60_000 + "truncated",
     " " * 60_000 + "omitted chars", "[value too long " * 4000, "(+1 chars" * 6000, "a" * 60_000],
)  # fmt: skip
def test_hostile_texts_take_linear_time(text: str) -> None:
    begin = time.process_time()
    for one in (text, text[:300]):
        markers.is_cut(one)
        markers.is_placeholder(one)
        markers.looks_like_messages(one)
        markers.looks_serialised(one)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    "text", ["(" * 900 + ")" * 900, "['" + "a" * 2**18 + "']", "[" * 70 + "'" + "]" * 70, "['a', "]
)
def test_a_python_literal_is_bounded(text: str) -> None:
    with pytest.raises(ValueError, match=r"literal"):
        markers.literal(text)


def test_a_python_literal_runs_nothing() -> None:
    with pytest.raises(ValueError, match="no literal"):
        markers.literal("[__import__('os').getcwd()]")
    assert markers.literal("[{'a': (1, None, True)}]") == [{"a": [1, None, True]}]
