"""Generates the pages of ``docs/`` that are made from the code: ``python -m scripts.generate_docs``.

A test fails when a page is out of date.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor import cli, config
from monitor.ask import reply_errors, served
from monitor.config import anchors, suites
from monitor.config.problems import is_model, members
from monitor.config.starter import starter_config
from monitor.core import finish_reasons
from monitor.core.kinds import kinds_of, shared, summary
from monitor.core.settings import Settings
from monitor.core.signals import CATALOGUE
from monitor.core.wording import amount
from monitor.report.metrics import names as metric_names

_CONFIG: Final = """\
# Configuration

One YAML file, `cliffwatch.yaml` (`--config FILE` or `CLIFFWATCH_CONFIG`). `cliffwatch init` writes an example,
`cliffwatch check` prints all problems with file, line and the nearest known key. The file contains no keys or
passwords: name the environment variable or the file that holds them. Relative paths are relative to the file's folder.
Cliffwatch reads the core schema of YAML 1.2: `yes`, `no`, `on` and `06:00` are text.
For completion in an editor, make this the first line, with the path or URL of the schema:

    # yaml-language-server: $schema=cliffwatch.schema.json

An example:

```yaml
{starter}```
"""

_SUITES: Final = """\
# Suites

A suite is a YAML file of probes: prompts with what is expected of each answer. Save it as `probes/NAME.yaml` next to
`cliffwatch.yaml`, and list `NAME` in a target's `suites`. A value that contains `/` or ends in `.yaml` is a path.

Cliffwatch ships two suites: `format` tests instruction following of any chat model, and `lab-support` tests the lab's
model. Your suite takes precedence over a shipped one of the same name. The judge's anchors are in a similar file: see
[judge.md](judge.md).

```yaml
name: support                 # the file's own name
system: You are the shop's support desk.
rubric: Pass if the reply answers the question in a friendly tone.
replicates: 2
sampling: {temperature: 0.7, max_tokens: 200}
probes:
  - id: delivery-france
    prompt: How long does delivery to France take?
    reference: 4 days
    checks:
      - {kind: regex, pattern: '\\b4 days\\b'}
  - id: capital
    prompt: What is the capital of France? One word.
    checks:
      - {kind: exact, text: Paris}
```

The suite's digest covers everything that an answer or its score depends on. A baseline is valid for one digest, so a
suite needs a new baseline after a change of a prompt, check, rubric or sampling. You can change comments,
`description`, layout and the order of the probes without a new baseline. Checks need no model. The judge uses the
rubric, if one is configured.

The subject is asked every probe in every run. While nothing moves, the base is asked an eighth of them (at least 3),
others each time, so that every probe has its turn within 8 runs. It is asked all probes while the suite has no approved
baseline, in a capture window, in a manual run and in a fresh sample, and after an evaluation in which a page signal or
`base_drift` is worth a look or alarming, until one is quiet. [budgets.md](budgets.md) tells what a day costs.

A check may take 2 seconds of CPU time and 512 MiB of memory on one answer. Past that, the answer has no score from this
check: the run's page and JSON name it with its reason, the log has `check_unfinished`, and
`cliffwatch_run_checks_unfinished` counts it. [numbers.md](numbers.md) tells how `number` reads an answer.
"""

_ANCHORS: Final = """\
# The judge and its anchors

A judge can drift too: a provider replaces the model behind the name, or a prompt cache or a quantisation changes it.
All scores then change, as if the judged targets had changed. Anchors show the difference. An anchor is an answer, right
or wrong, with the verdict that a person gave. Save the anchors as `probes/anchors.yaml`, and name the file in
`judge.anchors`:

```yaml
name: anchors                 # the file's own name
rubric: Pass if the reply answers the question in a friendly tone.
anchors:
  - id: kind-and-right
    prompt: How long does delivery to France take?
    reference: 4 days
    answer: It takes 4 days. Have a lovely day!
    verdict: pass
    by: kim
  - id: rude
    prompt: How long does delivery to France take?
    answer: Read the page.
    verdict: fail
    why: the fact is missing and the tone is rude
```

The judge is then a target named `judge`, next to yours, with this one suite. Cliffwatch asks it about each anchor
exactly as about an answer of a run, on the schedule of the probes, and checks that its verdict equals the person's. The
judge therefore needs a baseline like any target (`cliffwatch baseline capture judge --days 14`, `baseline approve
judge`). `status`, `findings`, `calibrate`, the pages and the metrics show it. Its `pass_ratio` is the share of anchors
on which it agrees with people. The cost of the anchors counts against `judge.budget`; the cost of judging counts
against the target that is judged.

All alarms of `judge` are tickets, because a drifted judge makes scores wrong, not answers. While one is open, a signal
that uses the judge's verdicts (`judge_score`; `negative_flips` for probes without checks) is a ticket, too, and gives
the reason. If the drop remains after the judge's alarm is closed, two evaluations on different days make it a page.
Before such a page is sent, Cliffwatch scores the anchors again, at most once an hour, so that it finds a judge that was
replaced since its last daily run.

Use at least 20 anchors, better 50. Half of them should fail, and some should be hard: easy anchors detect a replaced
judge, hard ones a shifted one. The lab's judge agrees on 26 of its 30 anchors (`anchors: lab-anchors`). When the base's
next version replaces it, 15 agree, and Cliffwatch detects this in the first run with a baseline of 14 days, and in the
second with one of 7.

If people now give another verdict on an anchor, change the file and approve a new baseline. You can change `by`, `why`
and `description` without one. Anchors are stored and sent to the judge unchanged, so remove personal data from answers
that real users got.

The schema of the file, for editors, is `anchors.schema.json`. Its keys:
"""

_COMMANDS: Final = """\
# Commands

Exit codes: 0 success, 1 drift (an alarm is open), 2 usage or configuration error, 3 could not measure, 70 crash (a bug
in Cliffwatch; the traceback goes to standard error). Commands that print results take `--json`. Every command that
reads the configuration takes `--config FILE` (`CLIFFWATCH_CONFIG`).
"""


_SIGNALS: Final = """\
# Signals

Written by `make docs`; do not edit.

A signal is one kind of change that Cliffwatch watches for. The list is in the order in which the pages show signals:
causes before what follows from them. [detection.md](detection.md) explains how evidence becomes an alarm.

| signal | name | finds | alarm | needs | effect of no change | alert and runbook |
|---|---|---|---|---|---|---|
"""


def _signals() -> Iterator[str]:
    """A row for each signal of the catalogue."""
    for one in CATALOGUE:
        unchanged = f"{amount(one.name, one.effect.reference).removeprefix('+')} {one.effect.unit}"
        cells = (one.title, one.about, one.severity.value, one.needs, unchanged, f"`{one.alert}`")
        yield f"| `{one.name}` | {' | '.join(map(_cell, cells))} |\n"


_REPLIES: Final = """\
# Replies

What Cliffwatch makes of the replies of servers. A reply is one of three things:

| outcome | what it is | in the results |
|---|---|---|
| answer | a text, or an empty text of a completed reply | compared with the baseline |
| refusal | the model refused, or a filter blocked the prompt or the answer | an answer that counts as a refusal |
| unmeasured | an error, an unreadable reply, a cut before any text, an unknown finish reason | counted by reason |

## Errors

HTTP 200 does not make a reply an answer. Cliffwatch looks for an error in these places: `error` at the top level, in
the choice and in the message; `object` or `type` with the value `error`; `success: false`; a status of 400 and above
in `code` or `status`; `detail` or `message` in place of an answer; an event of a stream; a finish reason of class
error; the text of a page. A text beside an error is not an answer. Empty values such as `"error": null` are no
errors.

The error's own code decides the reason and whether Cliffwatch asks again, as an HTTP status does: 429 is
`rate_limited`, 500 and above and an error without a code are `server_error`, 401 and 403 are `unauthorized`, 402 and
a spent quota are `quota`, other codes are `rejected`. Only `rate_limited`, `server_error`, `timeout`, `connection`,
and an unreadable reply without token counts are asked again. A complete reply that counts its tokens was billed and
would come back the same. The detail of an unmeasured question has the error's own code and message, without keys and
control characters, at most {longest} characters.

If a call ends with HTTP 404, HTTP 405 or a page, Cliffwatch looks for the API near `base_url`, such as below `/v1`,
and names the address that answers. This calls `GET /models` only, which costs nothing.

## Refusals

A filter is one event, however it is told. All of these are refusals with the finish reason `content_filter`, unless
the reply has its own word: a finish reason of class filtered or refusal; `message.refusal`; HTTP 400 or 403 with a
code such as `content_filter`, `ResponsibleAIPolicyViolation`, `content_policy_violation`, `moderation_blocked` or
`data_inspection_failed`; `promptFeedback.blockReason`; a filtered `prompt_filter_results` without choices; a
gateway's moderation or guardrail. The same code with HTTP 401, 404, 408 or 429 is an error.

## Texts

Of a content that is a list, the texts of its parts are joined. Parts of thinking or reasoning are left out. If a
completed reply has no text, the answer is empty, and `text_in` names the field that has one, such as
`reasoning_content` or `tool_calls`. `cliffwatch ask` prints it. If a limit cut the reply before any text, it is
`truncated`.

Requests say `"stream": false`. If a server streams all the same, the answer is put together from the events, and the
log says so once. A stream without an end is unreadable. These irregularities do no harm: a byte order mark, bytes
that are not valid UTF-8 (read as replacement characters), lone surrogates, NaN, comments or other text around the
JSON, a wrong `Content-Type`, gzip, and any status from 200 to 299. If a field is given twice, an empty value counts
for nothing and the larger number counts; [budgets.md](budgets.md) has the rules for counts of tokens. Two different
texts of a field such as `content` or `finish_reason` make the reply unreadable.

## Who served it

Answers keep what a reply says about who served it. `contract` compares it with the baseline.

| name | from |
|---|---|
{served}
## Finish reasons

Cliffwatch knows the words below, in any case and spelling (`MAX_TOKENS`, `maxTokens`, `FinishReason.MAX_TOKENS`). If
a gateway passes on `native_finish_reason` as well, the worse class counts. A reply with a text and no finish reason
is an answer, because some servers leave it out. A word that is not in the table is `unknown_finish`: its text is not
measured, and the detail has the word. When a later version knows the word, the daemon judges kept replies anew at its
start: their runs become due again, nothing is asked again, and the audit log names them. Runs with a verdict and
captured baselines stay as they are.

A `truncated` answer with a text is an answer, and `contract` compares its finish reason. It was cut by the server's
own limit if it has fewer tokens than the limit that was sent, or if the word says so, as `model_length` does.

| word | class | dialects |
|---|---|---|
{words}
## Sources

| dialect | source |
|---|---|
{sources}"""


def _replies() -> str:
    names: dict[str, list[str]] = {}
    for header, name in served.HEADERS.items():
        names.setdefault(name, []).append(f"`{header}`")
    names["provider"].append("the field `provider` of the reply")
    words = sorted(finish_reasons.TABLE.items(), key=lambda row: (list(finish_reasons.Ending).index(row[1][0]), row[0]))
    return _REPLIES.format(
        longest=reply_errors.LONGEST_WORDS,
        served="".join(f"| `{name}` | {', '.join(found)} |\n" for name, found in sorted(names.items())),
        words="".join(
            f"| `{word}` | {str(ending).replace('_', ' ')} | {', '.join(dialects)} |\n"
            for word, (ending, dialects) in words
        ),
        sources="".join(f"| {dialect} | {source} |\n" for dialect, source in finish_reasons.SOURCES.items()),
    )


def pages() -> dict[str, str]:
    """File name in ``docs/`` -> its text."""
    return {
        "config.md": _CONFIG.format(starter=starter_config()) + "".join(_sections("", Settings, {})),
        "suites.md": _SUITES + "".join(_sections("", suites.SuiteFile, {})),
        "judge.md": _ANCHORS + "".join(_sections("", anchors.AnchorsFile, {})),
        "commands.md": _COMMANDS + "".join(_commands("cliffwatch", typer.main.get_command(cli.app))),
        "metrics.md": metric_names.markdown(),
        "replies.md": _replies(),
        "signals.md": _SIGNALS + "".join(_signals()),
        "cliffwatch.schema.json": json.dumps(config.schema(), indent=2) + "\n",
        "suite.schema.json": json.dumps(suites.schema(), indent=2) + "\n",
        "anchors.schema.json": json.dumps(suites.schema(anchors.AnchorsFile), indent=2) + "\n",
    }


def _commands(path: str, command: Any) -> Iterator[str]:
    """A section for each command under ``command``, in the order of ``--help``, without hidden options."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{path} {name}", inner)
    if hasattr(command, "commands"):
        return
    rows, names = [], []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            shown = (parameter.metavar or parameter.name).upper()
            names.append(shown if parameter.required else f"[{shown}]")
        elif parameter.hidden or "--config" in parameter.opts or parameter.name == "help":
            continue
        else:
            shown = ", ".join([*parameter.opts, *parameter.secondary_opts])
        rows.append(f"| `{shown}` | {_cell(parameter.help or '')} |\n")
    yield f"\n## `{' '.join([path, *names])}`\n\n{' '.join((command.help or '').split())}\n"
    if rows:
        yield "\n| argument or option | meaning |\n|---|---|\n" + "".join(rows)


Fields = list[tuple[str, FieldInfo]]


def _sections(path: str, section: type[BaseModel], seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    """A table for ``section`` and each section in it, in the order of the file. Equal keys are shown once."""
    yield from _table(path, section.__doc__ or "", list(_fields(section)), seen)


def _table(path: str, meaning: str, fields: Fields, seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    keys = tuple(f"{name} {field.description}" for name, field in fields)
    yield f"\n## {f'`{path}`' if path else 'Top level'}\n\n{_cell(meaning)}"
    if keys in seen:
        yield f" The keys are those of `{seen[keys]}`.\n"
        return
    seen[keys] = path
    yield "\n\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|\n"
    for name, field in fields:
        meaning = field.description or next((s.__doc__ or "" for s in _inner(field.annotation)), "")
        yield f"| `{name}` | {_kind(field)} | {_default(field)} | {_cell(meaning)} |\n"
    for name, field in fields:
        inner, place = list(_inner(field.annotation)), f"{path}.{name}{_suffix(field)}".removeprefix(".")
        yield from _kinds(place, inner, seen) if len(inner) > 1 else _each(place, inner, seen)


def _each(path: str, sections: list[type[BaseModel]], seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    for section in sections:
        yield from _sections(path, section, seen)


def _kinds(path: str, choices: list[type[BaseModel]], seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    """The kinds of section at ``path``: first their common keys, if any, then those of each kind."""
    common = shared(choices)
    if common.model_fields:
        kinds = Literal[tuple(kind for choice in choices for kind in kinds_of(choice))]  # type: ignore[valid-type]
        kind = FieldInfo(annotation=kinds, description=summary(choices))  # type: ignore[arg-type]
        fields = [(name, kind if name == "kind" else field) for name, field in _fields(common)]
        yield from _table(path, common.__doc__ or "", fields, seen)
    for choice in choices:
        own = [(name, field) for name, field in _fields(choice) if name not in common.model_fields]
        if own:
            yield from _table(f"{path} kind: {', '.join(kinds_of(choice))}", choice.__doc__ or "", own, seen)


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        yield field.alias or name, field


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections in a value of this type."""
    for member in members(annotation):
        if is_model(member):
            yield member
        elif hasattr(member, "__metadata__"):
            yield from _inner(get_args(member)[0])
        elif get_origin(member) in (dict, tuple):
            yield from _inner([argument for argument in get_args(member) if argument is not Ellipsis][-1])


def _suffix(field: FieldInfo) -> str:
    origin = get_origin(_bare(field.annotation))
    return ".NAME" if origin is dict else "[]" if origin is tuple else ""


def _bare(annotation: Any) -> Any:
    inner = members(annotation)[0]
    return _bare(get_args(inner)[0]) if hasattr(inner, "__metadata__") else inner


_WORDS: Final = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}


def _kind(field: FieldInfo) -> str:
    annotation = _bare(field.annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if origin is dict:
        return "name → section" if list(_inner(annotation)) else "key → value"
    if origin is tuple:
        return "list of sections" if list(_inner(annotation)) else "list of text"
    return _WORDS.get(annotation, "section") + _range(field)


def _range(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{signs[name]} {getattr(item, name):g}" for item in field.metadata for name in signs if hasattr(item, name)
    ]
    return f" {', '.join(limits)}" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, BaseModel) or default in ((), {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent.parent / "docs"
    for file, text in pages().items():
        (folder / file).write_text(text, encoding="utf-8")
