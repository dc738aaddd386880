"""States are data: no code reads one back out of a sentence, and no wording moves one."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.core import signals, wording
from monitor.core.records import Advice, Alarm, AlarmState, Cause, Confirmation, Finding, FindingState, Severity
from monitor.detect import alarms
from monitor.report.email.report import draft
from monitor.report.explain import sentences
from monitor.report.explain.claim import Claim, claim
from monitor.report.explain.context import FindingContext
from tests import mail_story
from tests.mail_story import NOW, SUITE, alarm, facts

MONITOR: Final = Path(__file__).resolve().parents[2] / "monitor"
MAY_READ: Final = ("report/explain/", "store/migrations/", "lab/", "ask/http.py", "ask/reply_errors.py",
                   "config/yaml_reader.py", "core/redaction/", "identify/asked.py", "judge/number_forms.py",
                   "judge/numbers.py", "sample/markers.py", "sample/objects.py",
                   "sample/database_errors.py")  # fmt: skip
"""Where sentences are made, where those of old stores are read once, and where others' are read: prompts that a model
server is asked, errors of providers, of object stores, of database drivers and of the YAML and JSON libraries, and what
loggers write in place of a text."""
NAMES: Final = frozenset({"prompt tokens", "model id", "prefix cache"})
"""Values of a fixed set that have a space in them: parts of the contract."""
LOOKS: Final = frozenset(
    {"startswith", "endswith", "partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix", "find",
     "rfind", "index", "count", "compile", "match", "search", "fullmatch", "findall", "finditer", "sub"}
)  # fmt: skip
"""Methods of texts, and functions of ``re``, that look for something in a text."""
FRAGMENT: Final = re.compile(r"[A-Za-z]{2,}[,:;.]? [a-z]{2,}|^ [a-z]{3,}|[a-z]{3,} $")
"""Two words beside each other, or one with the space before or after it."""


@cache
def parsed() -> list[tuple[str, ast.Module]]:
    files = sorted(MONITOR.rglob("*.py"))
    return [(one.relative_to(MONITOR).as_posix(), ast.parse(one.read_text(encoding="utf-8"))) for one in files]


def texts(node: ast.AST | None) -> list[str]:
    inside = ast.walk(node) if node is not None else ()
    return [one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str)]


@cache
def constants() -> dict[str, list[str]]:
    """Constant of any module -> its text, or the texts in it.

    Not of a mapping, whose keys alone are looked up, and not of a record, which is compared as a whole.
    """
    found: dict[str, list[str]] = {}
    for _, tree in parsed():
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and not _mapping_or_record(node.value):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, []).extend(texts(node.value))
    return found


def _mapping_or_record(value: ast.expr | None) -> bool:
    called = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id[:1].isupper()
    return isinstance(value, ast.Dict) or called


def looked_for(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text, of each text that something is compared with or that is looked for in another."""
    for node in ast.walk(tree):
        line, sides = getattr(node, "lineno", 0), list[ast.expr]()
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOKS:
            sides = node.args
        for side in sides:
            for one in ast.walk(side):
                name = one.id if isinstance(one, ast.Name) else one.attr if isinstance(one, ast.Attribute) else ""
                yield from ((line, text) for text in [*constants().get(name, []), *_own(one)])


def _own(node: ast.AST) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def fragments(tree: ast.Module) -> list[tuple[int, str]]:
    """A sentence stands on one line, unlike a statement for a database."""
    found = ((line, text) for line, text in looked_for(tree) if text not in NAMES and "\n" not in text)
    return [(line, text) for line, text in found if FRAGMENT.search(text)]


@pytest.mark.parametrize(
    "code",
    [
        'finding.summary.startswith("Not an adapter loss")',
        'head.endswith("but worth a look")',
        'alarm.note == "A later look agrees."',
        'found = "on all" in told',
        're.compile("the looks so far (say|suggest) that")',
        'sign.endswith(" stopped")',
    ],
)
def test_the_scan_sees_code_that_looks_for_a_fragment(code: str) -> None:
    assert fragments(ast.parse(code))


def test_no_code_compares_with_a_fragment_of_a_sentence() -> None:
    found = [(name, one) for name, tree in parsed() if not name.startswith(MAY_READ) for one in fragments(tree)]
    assert found == []


def test_no_template_compares_with_a_fragment_of_a_sentence() -> None:
    looked = re.compile(r"(?:==|!=|\bin\b)\s*[\"']([^\"']+)[\"']")
    templates = [*MONITOR.rglob("*.html"), *MONITOR.rglob("*.j2"), *MONITOR.rglob("*.txt")]
    found = [
        (path.name, text)
        for path in templates
        for text in looked.findall(path.read_text(encoding="utf-8"))
        if FRAGMENT.search(text) and text not in NAMES
    ]
    assert templates
    assert found == []


STATES: Final = (FindingState.QUIET, FindingState.LOOK, FindingState.ALARMING)


def findings(signal: str) -> Iterator[Finding]:
    """One of every state, cause and advice."""
    plain = mail_story.finding("bot", signal, "Answers of bot are longer: 40 characters.", 0.5)
    for state, (place, cause) in product(STATES, enumerate(Cause)):
        yield replace(
            plain, state=state, cause=cause, disagrees=place % 2 == 1, traffic_share=(None, 0.3, 1.0)[place % 3],
            caveat="A ticket, not a page: the judge moved.", evidence_log10=4.0,
        )  # fmt: skip
    for advice in Advice:
        yield replace(plain, state=FindingState.ALARMING, advice=advice)


def swapped(finding: Finding) -> Finding:
    """The same finding in other words: each letter's case swapped in all that is worded."""
    return replace(
        finding,
        what=finding.what.swapcase(),
        numbers=finding.numbers.swapcase(),
        caveat=finding.caveat.swapcase(),
    )


def decided(told: Claim) -> tuple[Any, ...]:
    """What a claim decides, without how it is worded."""
    return told.state, told.began, told.suspect, told.runbook, bool(told.headline), bool(told.now), bool(told.why)


@pytest.mark.parametrize("signal", signals.TITLES)
def test_no_wording_moves_a_state_a_suspect_or_a_runbook(signal: str) -> None:
    up = Alarm("bot", SUITE, signal, Severity.PAGE, AlarmState.RAISED, NOW, 412)
    over = replace(up, state=AlarmState.CLEARED, cleared_at=NOW, cleared_by="jo", cleared_why="on purpose")
    by_answers = replace(over, cleared_by=None, cleared_run_id=412)
    for finding, its in product(findings(signal), (None, up, over, by_answers)):
        other = swapped(finding)
        assert sentences.summary(finding) != sentences.summary(other)
        assert wording.state_of(finding, its) is wording.state_of(other, its)
        assert decided(claim(finding, FindingContext(alarm=its))) == decided(claim(other, FindingContext(alarm=its)))


@pytest.mark.parametrize("how", Confirmation)
def test_no_note_moves_an_alarm(how: Confirmation) -> None:
    held = Alarm("bot", SUITE, "canaries", Severity.TICKET, AlarmState.CONFIRMED, NOW, 3, NOW, 4, alarms.NOTES[how])
    held = replace(held, confirmation=how)
    other = replace(held, note=held.note.swapcase())
    assert alarms.wants_confirmation(held) == alarms.wants_confirmation(other)
    confirmed = wording.alarm_state(replace(other, note=""), NOW)
    assert (wording.alarm_state(other, NOW) == confirmed) == (how in wording.AGREEING)


def test_the_mail_tells_the_same_of_what_is_worded_otherwise() -> None:
    told = [
        mail_story.finding("bot", "adapter_loss", "bot answers like its base model: 4%.", 0.04, alarming=True),
        mail_story.finding("bot", "length", "Below the alarm line, but worth a look: answers are longer: 40.", 1.4),
        mail_story.finding("bot", "judge_score", "The judge sees no drop: 0.9.", 0.0),
    ]

    def mail(found: list[Finding]) -> tuple[Any, ...]:
        latest = {("bot", SUITE): {one.signal: one for one in found}}
        made = draft(facts(["bot"], latest=latest, alarms={"bot": [alarm("bot", "adapter_loss", 0.1)]}), None).report()
        changes = [(one.label, one.name, one.link, one.tone) for one in made.changes.items]
        return made.subject, made.headline, made.tone, made.quiet_count, changes

    assert mail(told) == mail([swapped(one) for one in told])
    assert "Worth a look" in str(mail(told))
