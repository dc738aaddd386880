"""Suites: a YAML file of probes with what is expected of each answer, read into ``records.Suite``.

A suite stands in ``probes/NAME.yaml`` beside the configuration, or ships with the program; its ``name`` is its
file's. Errors come all at once, each with file, line, key path and the nearest known key.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from monitor.config.anchors import AnchorsFile
from monitor.config.anchors import suite_of as anchors_suite
from monitor.config.problems import from_validation, hint, render
from monitor.config.yaml_reader import Document, Problem, read
from monitor.core import records
from monitor.core.errors import ConfigError
from monitor.core.package_data import shipped
from monitor.core.records import PRODUCTION_SUITE, Suite
from monitor.core.run_kinds import run_kind
from monitor.core.section import Name, Section, Text
from monitor.core.settings import Settings

SNAPSHOT_PROBES: Final = 5
"""How many probes of a suite a target's snapshot is asked in each run, once each."""


def _regex(pattern: str) -> str:
    import regex

    try:
        regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return pattern


def _json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is not a JSON Schema: {error.json_path}: {error.message[:200]}") from None
    for node in _nodes(schema):
        if isinstance(node.get("pattern"), str):
            _regex(node["pattern"])
        reference = node.get("$ref")
        if isinstance(reference, str) and not _points_inside(reference, schema):
            raise ValueError(f"'$ref' must point to a part of this schema, such as '#/$defs/x'; not '{reference[:80]}'")
    return schema


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(inner)


def _points_inside(reference: str, schema: Any) -> bool:
    place = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(place, list) and key.isdecimal() and int(key) < len(place):
            place = place[int(key)]
        elif isinstance(place, dict) and key in place:
            place = place[key]
        else:
            return False
    return reference == "#" or reference.startswith("#/")


class Contains(Section):
    """The answer holds this text."""

    kind: Literal["contains"] = Field(description="the answer holds this text")
    text: Text = Field(description="what it must hold")


class Exact(Section):
    """The answer is this text."""

    kind: Literal["exact"] = Field(description="the answer is this text, blanks around it aside")
    text: Text = Field(description="what it must be")


class Regex(Section):
    """The answer matches this regular expression somewhere."""

    kind: Literal["regex"] = Field(description="the answer matches this regular expression somewhere")
    pattern: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_regex)] = Field(
        description="as Python writes them; anchor it with ^ and $ to match the whole"
    )


class JsonSchema(Section):
    """The answer is JSON of this schema."""

    kind: Literal["json_schema"] = Field(description="the answer is JSON that this schema allows")
    schema_: Annotated[dict[str, Any], AfterValidator(_json_schema)] = Field(
        alias="schema", description="JSON Schema, draft 2020-12"
    )


class Number(Section):
    """The answer's number is this one."""

    kind: Literal["number"] = Field(description="the number that the answer gives is this one")
    value: float = Field(description="the right number")
    tolerance: float = Field(0, ge=0, description="how far off it may be, either way")


class Verdict(Section):
    """The answer is this verdict of a judge."""

    kind: Literal["verdict"] = Field(description="the answer is this verdict of a judge; anchors are checked by it")
    verdict: Literal["pass", "fail"] = Field(description="what a person says")


AnyCheck = Annotated[Contains | Exact | Regex | JsonSchema | Number | Verdict, Field(discriminator="kind")]
"""A check with the options that its kind takes; ``judge.checks.CHECKS`` holds what each does."""


class SamplingFile(Section):
    """How an answer is drawn."""

    temperature: float | None = Field(None, ge=0, le=2, description="the endpoint's own when left out")
    max_tokens: int = Field(256, ge=1, le=131_072, description="longest answer, in the model's tokens")
    logprobs: int = Field(0, ge=0, le=20, description="top alternatives to ask for per token; 0 asks for none")


class MessageFile(Section):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="who says it")
    content: Text = Field(description="what is said")


class ProbeFile(Section):
    """One prompt with what is expected of the answer: ``prompt``, or ``messages`` for a conversation."""

    id: Name = Field(description="its name, unique in the suite; answers are compared by it")
    prompt: Text | None = Field(None, description="what the user says")
    messages: Annotated[tuple[MessageFile, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="a conversation instead of a prompt; the user speaks last"
    )
    reference: Text | None = Field(None, description="a right answer, for the judge and for similarity")
    rubric: Text | None = Field(None, description="what the judge asks of the answer, instead of the suite's rubric")
    checks: tuple[AnyCheck, ...] = Field((), max_length=20, description="what must hold of the answer")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("needs either 'prompt' or 'messages'" + (", not both" if self.prompt else ""))
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last of 'messages' must be the user's")
        return self


class SuiteFile(Section):
    """A file of probes."""

    name: Name = Field(description="the file's own name, without .yaml")
    description: str | None = Field(None, max_length=10_000, description="for people; changing it changes no baseline")
    system: Text | None = Field(None, description="system prompt before every probe that brings none")
    rubric: Text | None = Field(None, description="what the judge asks of every answer; no judging when left out")
    replicates: int = Field(1, ge=1, le=100, description="answers asked for each probe in one run")
    base_replicates: int = Field(
        1, ge=1, le=100, description="how many of them are asked of the base, too; at most `replicates`"
    )
    sampling: SamplingFile = Field(default_factory=SamplingFile, description="how answers are drawn")
    probes: tuple[ProbeFile, ...] = Field(min_length=1, max_length=2000, description="the prompts")

    @model_validator(mode="after")
    def _no_more_of_the_base(self) -> Self:
        if self.base_replicates > self.replicates:
            raise ValueError(f"'base_replicates' is at most 'replicates', here {self.replicates}")
        return self


def load_suite(name_or_path: str, config_dir: Path) -> Suite:
    """The suite that a configuration in ``config_dir`` calls ``name_or_path``.

    Raises ConfigError, listing every problem of the file, one a line.
    """
    path = find_suite(name_or_path, config_dir)
    if path is None:
        raise ConfigError(f"no suite '{name_or_path}'; {hint(name_or_path, known_suites(config_dir))}")
    suite, problems = read_suite(path)
    if suite is None:
        raise ConfigError(render(problems))
    return suite


def run_digest(settings: Settings, suites: Mapping[str, Suite], target: str, suite: str) -> str:
    """What a run's answers and scores depend on, as one sha256: the suite, or how production inputs are drawn."""
    production = settings.targets[target].production
    if run_kind(target, suite).frozen_items or production is None:
        return suites[suite].digest
    return hashlib.sha256(production.model_dump_json(exclude={"sample"}).encode()).hexdigest()


def is_path(name_or_path: str) -> bool:
    """Whether a target's suite is given as a path, not as a name."""
    return "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def find_suite(name_or_path: str, config_dir: Path) -> Path | None:
    """Where a suite stands: a path if it has a ``/`` or ends in ``.yaml``, else in probes/, then among the shipped."""
    if is_path(name_or_path):
        return config_dir / os.path.expanduser(name_or_path)
    folders = (config_dir / "probes", shipped("probes"))
    return next((folder / f"{name_or_path}.yaml" for folder in folders if _there(folder, name_or_path)), None)


def _there(folder: Path, name: str) -> bool:
    return os.path.isfile(folder / f"{name}.yaml")


def known_suites(config_dir: Path) -> list[str]:
    """The names of the suites beside the configuration and of the shipped ones, sorted."""
    found: set[str] = set()
    for folder in (config_dir / "probes", shipped("probes")):
        if os.path.isdir(folder) and os.access(folder, os.R_OK):
            found |= {name.removesuffix(".yaml") for name in os.listdir(folder) if name.endswith(".yaml")}
    return sorted(found)


def read_suite(path: Path) -> tuple[Suite | None, list[Problem]]:
    """Read one suite file, or one of anchors (``anchors`` in place of ``probes``); None when there is any problem."""
    document = read(path)
    problems = list(document.problems)
    if document.data is None:
        return None, problems or [document.problem((), "the file is empty")]
    if not isinstance(document.data, dict):
        return None, [*problems, document.problem((), "must be a mapping (key: value) with 'name' and 'probes'")]
    anchored = "anchors" in document.data and "probes" not in document.data
    kind: type[SuiteFile | AnchorsFile] = AnchorsFile if anchored else SuiteFile
    parsed: SuiteFile | AnchorsFile | None = None
    try:
        parsed = kind.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        problems += from_validation(kind, error, document)
    problems += _name_problems(document, path) + _repeated_ids(document, "anchors" if anchored else "probes")
    return (_suite(parsed) if parsed and not problems else None), problems


def _name_problems(document: Document, path: Path) -> list[Problem]:
    name = document.data.get("name")
    if name == PRODUCTION_SUITE:
        return [document.problem(("name",), f"'{PRODUCTION_SUITE}' is kept for sampled production inputs; rename it")]
    if isinstance(name, str) and name != path.stem:
        return [document.problem(("name",), f"must be the file's own name, '{path.stem}'")]
    return []


def _repeated_ids(document: Document, section: str) -> list[Problem]:
    problems, first = [], dict[str, int]()
    probes = document.data.get(section)
    for index, probe in enumerate(probes if isinstance(probes, list) else []):
        name = probe.get("id") if isinstance(probe, dict) else None
        if not isinstance(name, str):
            continue
        loc = (section, index, "id")
        if name in first:
            problems.append(document.problem(loc, f"'{name}' is taken already, on line {first[name]}"))
        first.setdefault(name, document.line(loc) or 0)
    return problems


def _suite(parsed: SuiteFile | AnchorsFile) -> Suite:
    if isinstance(parsed, AnchorsFile):
        suite = anchors_suite(parsed)
    else:
        probes = tuple(_probe(probe, parsed.system) for probe in parsed.probes)
        sampling = records.Sampling(**parsed.sampling.model_dump())
        suite = Suite(parsed.name, "", probes, parsed.replicates, sampling, parsed.rubric, parsed.base_replicates)
    return replace(suite, digest=hashlib.sha256(suite_body(suite).encode()).hexdigest())


def _probe(parsed: ProbeFile, system: str | None) -> records.Probe:
    if parsed.messages is not None:
        messages = tuple(records.Message(message.role, message.content) for message in parsed.messages)
    else:
        messages = (records.Message("user", parsed.prompt or ""),)
    if system and all(message.role != "system" for message in messages):
        messages = (records.Message("system", system), *messages)
    checks = tuple(
        records.Check(check.kind, check.model_dump(by_alias=True, exclude={"kind"})) for check in parsed.checks
    )
    return records.Probe(parsed.id, messages, parsed.reference, checks, parsed.rubric)


def suite_body(suite: Suite) -> str:
    """The suite's canonical content as JSON, whose sha256 is its digest.

    Everything that an answer or its scores depend on, defaults filled in; probes by id, so that moving one
    in the file changes nothing. Keys that came later stand in it only when they are set: the digests of before hold.
    """
    content = asdict(suite)
    del content["digest"]
    if suite.base_replicates == 1:
        del content["base_replicates"]
    if suite.response_schema is None:
        del content["response_schema"]
    content["probes"] = sorted(content["probes"], key=lambda probe: probe["id"])
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def suite_from_body(digest: str, body: str) -> Suite:
    """The suite whose ``suite_body`` is ``body``; its probes in the body's order."""
    content = json.loads(body)
    probes = [
        records.Probe(
            **{
                **probe,
                "messages": tuple(records.Message(**message) for message in probe["messages"]),
                "checks": tuple(records.Check(**check) for check in probe["checks"]),
            }
        )
        for probe in content.pop("probes")
    ]
    sampling = records.Sampling(**content.pop("sampling"))
    return Suite(digest=digest, probes=tuple(probes), sampling=sampling, **content)


def schema(file: type[SuiteFile | AnchorsFile] = SuiteFile) -> dict[str, Any]:
    """The JSON Schema of a suite file, or of one of anchors, for editors; published in ``docs/``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **file.model_json_schema(),
        "title": "A suite of Cliffwatch" if file is SuiteFile else "Anchors of Cliffwatch's judge",
    }
