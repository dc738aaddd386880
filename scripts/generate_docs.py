"""The pages that are made from the code: ``python -m scripts.generate_docs`` writes them, a test says when they are stale."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor import cli, config
from monitor.config import anchors, suites
from monitor.config.problems import is_model, members
from monitor.config.starter import starter_config
from monitor.core.settings import Settings
from monitor.report.metrics import names as metric_names

_CONFIG: Final = """\
# Configuration

One YAML file, `cliffwatch.yaml` (`--config FILE` or `CLIFFWATCH_CONFIG`). `cliffwatch init` writes one to start from,
`cliffwatch check` prints every problem in it at once, with file, line and the nearest known key. Keys and passwords
never stand in it: name the variable or the file that holds them. Relative paths count from the file's folder.
YAML is read by the core schema of YAML 1.2: `yes`, `no`, `on` and `06:00` are text.
For completion in an editor, put this on the first line, with the path or address of the schema:

    # yaml-language-server: $schema=cliffwatch.schema.json

A configuration to start from:

```yaml
{starter}```
"""

_SUITES: Final = """\
# Suites

A suite is a YAML file of probes: prompts with what is expected of each answer. Put it into `probes/NAME.yaml` beside
`cliffwatch.yaml` and list `NAME` in a target's `suites`; a value with a `/` or ending in `.yaml` is a path.
A suite of yours goes before a shipped one of the same name. Two ship:
`format`, instruction following for any chat model, and `lab-support`, for the lab's own. The judge's anchors
stand in a file like it: see [judge.md](judge.md).

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

What an answer or its score depends on makes the suite's digest, and a baseline holds for one digest: after a change
of a prompt, check, rubric or sampling the suite needs a new baseline. Comments, `description`, layout and the order of
the probes are free. Checks are decided without a model; the rubric is the judge's, where one is configured.
"""

_ANCHORS: Final = """\
# The judge and its anchors

A judge moves too: a provider swaps the model behind the name, a prompt cache or a quantisation changes it. Then every
score moves, and it looks as if what it judges had moved. Anchors tell the two apart: answers, right and wrong, with the
verdict that a person gave. Put them into `probes/anchors.yaml` and name the file in `judge.anchors`:

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

The judge is then a target named `judge`, beside yours, with this one suite: it is asked about each anchor exactly as
about an answer of a run, on the schedule of the probes, and what is checked is that its verdict is the person's. So it
needs a baseline like any target (`cliffwatch baseline capture judge --days 14`, `baseline approve judge`), and
`status`, `findings`, `calibrate`, the pages and the metrics show it: its `pass_ratio` is how often it agrees with
people. What the anchors cost counts against `judge.budget`; what judging costs, against the target that is judged.

All alarms of `judge` are tickets: a judge that moved spoils scores, not answers. While one is open, a signal that rests
on the judge's verdicts (`judge_score`; `negative_flips` for probes without checks) is a ticket, too, and says why; once
the judge is back and the drop is still there, a fresh sample makes it a page. Before such a page goes out the anchors
are scored anew, at most once an hour, so that a judge that was swapped since its last daily run is told in time.

How many: 20 at least, better 50, half of them fail, some of them hard; the easy ones tell a swapped judge, the hard
ones a shifted one. The lab's judge agrees on 26 of its 30 (`anchors: lab-anchors`); the base's next version in its
place agrees on 15, and is told at the first run with a baseline of 14 days, at the second with one of 7. A verdict that
people would now give otherwise is a changed file, and needs a new baseline; `by`, `why` and `description` are free.
Anchors are stored and sent to the judge as they stand, so take personal data out of answers that real users got.

For an editor the schema of the file is `anchors.schema.json`. Its keys:
"""

_COMMANDS: Final = """\
# Commands

Exit codes: 0 fine, 1 drift (an alarm is raised, or stays raised after a probe), 2 usage or configuration, 3 could not
measure, 70 a crash: a mistake of Cliffwatch's own, with its traceback on standard error. What prints a result takes
`--json`. Every command that reads the configuration takes `--config FILE` (`CLIFFWATCH_CONFIG`).
"""


def pages() -> dict[str, str]:
    """File name in ``docs/`` -> its text."""
    return {
        "config.md": _CONFIG.format(starter=starter_config()) + "".join(_sections("", Settings, {})),
        "suites.md": _SUITES + "".join(_sections("", suites.SuiteFile, {})),
        "judge.md": _ANCHORS + "".join(_sections("", anchors.AnchorsFile, {})),
        "commands.md": _COMMANDS + "".join(_commands("cliffwatch", typer.main.get_command(cli.app))),
        "metrics.md": metric_names.markdown(),
        "cliffwatch.schema.json": json.dumps(config.schema(), indent=2) + "\n",
        "suite.schema.json": json.dumps(suites.schema(), indent=2) + "\n",
        "anchors.schema.json": json.dumps(suites.schema(anchors.AnchorsFile), indent=2) + "\n",
    }


def _commands(path: str, command: Any) -> Iterator[str]:
    """A section for each command under ``command``, in the order of ``--help``; hidden options are left out."""
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


def _sections(path: str, section: type[BaseModel], seen: dict[tuple[str, ...], str]) -> Iterator[str]:
    """A table for ``section`` and one for each section in it, in the order of the file; same keys are shown once."""
    keys = tuple(f"{name} {field.description}" for name, field in _fields(section))
    yield f"\n## {f'`{path}`' if path else 'Top level'}\n\n{_cell(section.__doc__ or '')}"
    if keys in seen:
        yield f" The keys are those of `{seen[keys]}`.\n"
        return
    seen[keys] = path
    yield "\n\n"
    yield "| key | value | default | meaning |\n|---|---|---|---|\n"
    for name, field in _fields(section):
        meaning = field.description or next((s.__doc__ or "" for s in _inner(field.annotation)), "")
        yield f"| `{name}` | {_kind(field)} | {_default(field)} | {_cell(meaning)} |\n"
    for name, field in _fields(section):
        inner = list(_inner(field.annotation))
        for choice in inner:
            kind = f" kind: {_kind(choice.model_fields['kind'])}" if len(inner) > 1 else ""
            yield from _sections(
                f"{path}.{name}{_suffix(field)}".removeprefix(".") + kind.replace("`", ""), choice, seen
            )


def _fields(section: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        yield field.alias or name, field


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a value of this type holds."""
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
