"""Golden sets: reading, exact messages, digests, and the import of each format with an account of what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor.cli.main import app
from monitor.config.golden import load_golden, read_golden
from monitor.core.records.golden import GoldenSet
from monitor.golden.formats import Imported, load
from monitor.golden.items import ImportProblem

YAML = """\
description: The shop's support desk
items:
  - id: refund
    input: Can I get a refund?
    system: You are the shop's support desk.
    expected: Yes, within 30 days.
    checks: [{kind: contains, text: 30 days}]
    tags: [refunds, en]
    weight: 2
    owner: shop team
    source: ticket 4711
  - id: talk
    messages:
      - {role: user, content: Hi}
      - {role: assistant, content: Hello}
      - {role: user, content: Where is my parcel?}
    rubric: Pass if it asks for the order's number.
    tools: [{type: function, function: {name: find_order}}]
"""


def made(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def golden(folder: Path, text: str, name: str = "support.yaml") -> GoldenSet:
    return load_golden(made(folder, name, text))


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_set_in_yaml(tmp_path: Path) -> None:
    found = golden(tmp_path, YAML)
    refund, talk = found.items
    assert (found.name, refund.weight, refund.tags, refund.owner) == ("support", 2, ("refunds", "en"), "shop team")
    assert [one.role for one in refund.messages] == ["system", "user"]
    assert [one.content for one in talk.messages] == ["Hi", "Hello", "Where is my parcel?"]
    assert talk.tools[0]["function"]["name"] == "find_order"
    assert found.coverage() == {"": 1, "en": 1, "refunds": 1}
    assert found.ungraded() == ()


def test_the_same_set_in_three_forms_has_one_digest(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "input": "1?", "expected": "one", "tags": ["x", "y"], "weight": 2.0},
        {"id": "b", "input": "2?"},
    ]
    lines = golden(tmp_path, jsonl(*rows), "a.jsonl")
    table = golden(tmp_path, 'id,input,expected,tags,weight\nb,2?,,,\na,1?,one,"y;x",2\n', "b.csv")
    tree = golden(tmp_path, json.dumps({"items": rows}), "c.yaml")
    assert lines.digest == table.digest == tree.digest


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("shop team", "web team", True),
        ("ticket 4711", "ticket 4712", True),
        ("The shop's", "Our shop's", True),
        ("within 30 days", "within 14 days", False),
        ("weight: 2", "weight: 3", False),
        ("find_order", "get_order", False),
        ("text: 30 days", "text: days", False),
    ],
)
def test_the_digest_covers_what_an_answer_or_its_score_depends_on(
    tmp_path: Path, old: str, new: str, same: bool
) -> None:
    assert (golden(tmp_path, YAML).digest == golden(tmp_path, YAML.replace(old, new)).digest) is same


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "", "{}: the file is empty"),
        ("a.yaml", "[]", "{}:1: must be a mapping (key: value) with 'items'"),
        ("a.yaml", "items: []", "{}:1: items: must not be empty"),
        ("a.yaml", "items:\n  - id: a\n    inptu: x\n", "{}:3: items[0].inptu: unknown key; did you mean 'input'?"),
        ("a.yaml", "items:\n  - id: a\n", "{}:2: items[0]: requires either 'input' or 'messages'"),
        (
            "a.yaml",
            "items:\n  - id: a\n    input: x\n  - id: a\n    input: y\n",
            "{}:4: id: 'a' is already used on line 2",
        ),
        (
            "a.yaml",
            "items:\n  - id: a\n    input: x\n    checks: [{kind: contain, text: x}]\n",
            "{}:4: items[0].checks[0].kind: must be one of contains, exact, regex, json_schema, number, verdict; "
            "did you mean 'contains'?",
        ),
        ("a.yaml", "items:\n  - {id: a, input: x, weight: 0}\n", "{}:2: items[0].weight: must be more than 0, not 0"),
        ("a.jsonl", '{"id": "a", "input": "x"}\n{"id"\n', "{}:2: not valid JSON; each line is one item"),
        ("a.jsonl", "\n[1]\n", "{}:2: must be a mapping with 'id' and 'input'"),
        ("a.jsonl", '{"id": "a", "input": 3}\n', "{}:1: input: must be text, not a number; put it in quotes"),
        ("a.jsonl", "", "{}: contains no items"),
        ("a.csv", "id,input,colour\na,x,red\n", "{}:2: colour: unknown key; known: "),
        ("a.csv", "id,input\na,x,red\n", "{}:2: has more values than the header has columns"),
        ("a.csv", "id,input,weight\na,x,much\n", "{}:2: weight: must be a number, not text"),
        ("a.txt", "x", "{}: a golden set is a .yaml, .yml, .jsonl, .csv file; rename it or import it"),
    ],
)
def test_messages_are_exact(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = made(tmp_path, name, text)
    found, problems = read_golden(path)
    assert found is None
    assert str(problems[0]).startswith(message.format(path))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    _, problems = read_golden(made(tmp_path, "a.jsonl", jsonl({"id": "a"}, {"id": "b", "input": ""}, {"input": "x"})))
    assert [problem.line for problem in problems] == [1, 2, 3]


def imported(folder: Path, name: str, text: str) -> tuple[Imported, GoldenSet]:
    """What an import reads, and the set that it makes."""
    found = load(made(folder, name, text))
    return found, golden(folder, jsonl(*found.items), "made.jsonl")


PROMPTFOO = """\
prompts: ["Answer {{question}}", file://prompt.json]
providers: [openai:gpt-4o]
tests:
  - vars: {question: "2+2?"}
    description: sum
    assert:
      - {type: equals, value: "4"}
      - {type: icontains, value: four}
      - {type: javascript, value: output.length < 3}
      - {type: llm-rubric, value: is polite, threshold: 0.8}
    metadata: {topic: maths}
  - file://more.csv
"""


def test_promptfoo_yaml(tmp_path: Path) -> None:
    made(tmp_path, "prompt.json", '[{"role": "system", "content": "s"}, {"role": "user", "content": "{{question}}"}]')
    made(tmp_path, "more.csv", "question,__expected,__expected2\n3+3?,contains: 6,grade: is short\n")
    found, items = imported(tmp_path, "promptfooconfig.yaml", PROMPTFOO)
    assert found.format == "promptfoo"
    assert [item.id for item in items.items] == ["sum-1", "sum-2", "test-2-1", "test-2-2"]
    first, second, third, _ = items.items
    assert first.messages[0].content == "Answer 2+2?"
    assert [one.role for one in second.messages] == ["system", "user"]
    assert [check.kind for check in first.checks] == ["exact", "regex"]
    assert (first.rubric, first.tags, first.expected) == ("is polite", ("maths",), "4")
    assert (third.rubric, third.checks[0].options["text"]) == ("is short", "6")
    assert found.notes.counts == {
        "'providers' of the configuration is left out": 1,
        "the assertion 'javascript' is left out": 2,
        "'threshold' of an assertion is left out": 2,
    }


def test_promptfoo_csv(tmp_path: Path) -> None:
    text = "question,__expected,__metric\ncapital of France?,Paris,geo\nlist?,is-json,\n"
    found, items = imported(tmp_path, "tests.csv", text)
    assert (found.format, len(items.items)) == ("promptfoo", 2)
    assert [one.checks[0].kind for one in items.items] == ["exact", "json_schema"]
    assert list(found.notes.counts) == ["'__metric' of a test is left out"]


def test_deepeval(tmp_path: Path) -> None:
    rows = [
        {"input": "a?", "expected_output": "b", "retrieval_context": ["c"], "source_file": "d.pdf"},
        {"scenario": "x"},
    ]
    found, items = imported(tmp_path, "goldens.json", json.dumps(rows))
    assert (found.format, items.items[0].expected, items.items[0].source) == ("DeepEval", "b", "d.pdf")
    assert list(found.notes.counts) == [
        "'retrieval_context' is left out",
        "a conversational golden has no input and is left out",
    ]


def test_inspect(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "input": "Which?", "choices": ["red", "blue"], "target": "B", "metadata": {"x": 1}},
        {"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "target": ["a", "b"]},
    ]
    found, items = imported(tmp_path, "samples.jsonl", jsonl(*rows))
    assert found.format == "Inspect"
    assert items.items[0].messages[0].content == "Which?\n\nA) red\nB) blue"
    assert [item.expected for item in items.items] == ["B", "a"]
    assert "'metadata' is left out" in found.notes.counts
    assert "of several targets, the first is the expected answer" in found.notes.counts


def test_openai_evals(tmp_path: Path) -> None:
    row = {"input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "ideal": ["x", "y"]}
    found, items = imported(tmp_path, "match.jsonl", jsonl(row))
    assert (found.format, items.items[0].expected) == ("OpenAI evals", "x")
    assert list(found.notes.counts) == ["of several ideal answers, the first is the expected answer"]


def test_langfuse(tmp_path: Path) -> None:
    rows = [
        {"id": "i1", "input": {"question": "q?", "user": "u"}, "expectedOutput": {"answer": "a"}, "status": "ACTIVE"},
        {"id": "i2", "input": "old", "expectedOutput": None, "status": "ARCHIVED"},
        {
            "id": "i3",
            "input": "q3",
            "expectedOutput": "a3",
            "status": "ACTIVE",
            "sourceTraceId": "t",
            "metadata": {"m": 1},
        },
    ]
    found, items = imported(tmp_path, "dataset.json", json.dumps({"data": rows}))
    assert (found.format, [item.id for item in items.items]) == ("Langfuse", ["i1", "i3"])
    assert [item.expected for item in items.items] == ["a", "a3"]
    assert items.items[1].source == "Langfuse trace t"
    assert set(found.notes.counts) == {
        "an archived item is left out",
        "'metadata' is left out",
        "the input 'user' is left out, because 'question' is asked",
    }


def test_langsmith(tmp_path: Path) -> None:
    messages = [{"type": "human", "content": "hi"}, {"type": "tool", "content": "x"}, {"type": "human", "content": "q"}]
    rows = [{"id": "e1", "inputs": {"messages": messages}, "outputs": {"output": {"content": "a"}}, "split": ["test"]}]
    found, items = imported(tmp_path, "examples.jsonl", jsonl(*rows))
    assert (found.format, items.items[0].expected, items.items[0].tags) == ("LangSmith", "a", ("test",))
    assert [one.content for one in items.items[0].messages] == ["hi", "q"]
    assert list(found.notes.counts) == ["a message of the role 'tool' is left out"]


def test_lm_evaluation_harness(tmp_path: Path) -> None:
    rows = [
        {
            "doc_id": 0, "doc": {"q": 1}, "target": "1", "doc_hash": "ab", "resps": [["x"]],
            "arguments": {"gen_args_0": {"arg_0": "Q: ?", "arg_1": " no"},
            "gen_args_1": {"arg_0": "Q: ?", "arg_1": " yes"}},
        },
        {"doc_id": 1, "doc": {}, "target": "42", "arguments": [["Sum?", {"until": ["\n"]}]]},
    ]  # fmt: skip
    found, items = imported(tmp_path, "samples_gsm8k_2026-11-01T00-00-00.jsonl", jsonl(*rows))
    assert found.format == "lm-evaluation-harness"
    assert [(item.id, item.expected, item.tags) for item in items.items] == [
        ("gsm8k-0", "yes", ("gsm8k",)),
        ("gsm8k-1", "42", ("gsm8k",)),
    ]
    assert items.items[0].source == "lm-evaluation-harness gsm8k doc_hash ab"
    assert len(found.notes.counts) == 2


def test_plain_csv(tmp_path: Path) -> None:
    text = 'Question,Answer,tags,weight,colour\nq?,a,"x, y",2,red\n,b,,,\n'
    found, items = imported(tmp_path, "mine.csv", text)
    assert (found.format, items.items[0].tags, items.items[0].weight) == ("plain", ("x", "y"), 2)
    assert set(found.notes.counts) == {"'colour' is left out", "a row without input is left out"}


def test_ids_that_repeat_get_a_number(tmp_path: Path) -> None:
    rows = [{"id": "a b", "input": "1"}, {"id": "a-b", "input": "2"}, {"id": "a-b-2", "input": "3"}]
    _, items = imported(tmp_path, "rows.jsonl", jsonl(*rows))
    assert len({item.id for item in items.items}) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not valid JSON"),
        ("a.jsonl", "{}\n{", "a.jsonl:2: not valid JSON; each line is one record"),
        ("a.jsonl", "[]\n", "a.jsonl:1: must be a mapping"),
        ("a.json", '[{"x": 1}]', "is none of the known formats (promptfoo,"),
        ("a.yaml", "prompts: [x]\ntests: [file://../../etc/passwd.yaml]\n", "is outside the folder of"),
        ("a.yaml", "tests: [3]\n", "is not valid promptfoo"),
        ("a.jsonl", '{"input": [{"role": "tool", "content": "x"}], "ideal": "x"}\n', "has no message of the user"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ImportProblem, match="a\\.") as raised:
        load(made(tmp_path, name, text))
    assert message in str(raised.value)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["golden", *arguments])
    return result.exit_code, result.stdout, result.stderr or str(result.exception or "")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "mine.csv", "question,answer,tags,colour\nq?,a,x,red\nr?,,x,\n")
    code, out, _ = run("import", "mine.csv")
    digest = load_golden(Path("golden/mine.jsonl")).digest
    assert code == 0
    assert out.splitlines() == [
        f"golden/mine.jsonl: 2 items from plain, digest {digest[:12]}",
        "not taken over: 'colour' is left out (1, first at line 2)",
    ]
    assert [path.name for path in Path("golden").iterdir()] == ["mine.jsonl"]
    code, out, _ = run("show", "golden/mine.jsonl")
    assert out.splitlines() == [
        f"golden/mine.jsonl: 2 items, digest {digest[:12]}",
        "  x: 2 (100%)",
        "1 item without expected, checks or rubric: row-3",
    ]
    _, out, _ = run("show", "golden/mine.jsonl", "--json")
    assert json.loads(out) == {"name": "mine", "digest": digest, "items": 2, "tags": {"x": 2}, "ungraded": ["row-3"]}
    code, _, error = run("import", "mine.csv")
    assert code != 0
    assert "already exists" in error


def test_an_import_that_makes_no_valid_set_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "bad.jsonl", jsonl({"input": "x", "weight": -1}))
    code, _, error = run("import", "bad.jsonl")
    assert code != 0
    assert error == "bad.jsonl: item 1: weight: must be more than 0, not -1.0"
    assert list(Path("golden").iterdir()) == []
