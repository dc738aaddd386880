"""Reads suites, YAML files of probes with the expected answers, into ``records.Suite``.

A suite is in ``probes/NAME.yaml`` next to the configuration, or ships with Cliffwatch; its ``name`` is that of its
file. All errors are reported at once, each with file, line, key path and the nearest known key.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
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
from monitor.core.records import FROZEN_SUITE, PRODUCTION_SUITE, Suite
from monitor.core.run_kinds import run_kind
from monitor.core.section import Name, Section, Text
from monitor.core.settings import Settings

SNAPSHOT_PROBES: Final = 5
"""Number of a suite's probes that a target's snapshot gets in each run, once each."""


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
            raise ValueError(f"'$ref' must point to a part of this schema, such as '#/$defs/x', not '{reference[:80]}'")
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
    """The answer contains this text."""

    kind: Literal["contains"] = Field(description="the answer contains this text, in the same case and characters")
    text: Text = Field(description="text that it must contain")


class Exact(Section):
    """The answer is this text."""

    kind: Literal["exact"] = Field(
        description="the answer is this text in the same case and characters, ignoring surrounding blanks"
    )
    text: Text = Field(description="text that it must equal")


class Regex(Section):
    """The answer matches this regular expression somewhere."""

    kind: Literal["regex"] = Field(description="the answer matches this regular expression somewhere")
    pattern: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_regex)] = Field(
        description="in Python's syntax; use ^ and $ to match the whole answer"
    )


class JsonSchema(Section):
    """The answer is JSON that matches this schema."""

    kind: Literal["json_schema"] = Field(description="the answer is JSON that matches this schema")
    schema_: Annotated[dict[str, Any], AfterValidator(_json_schema)] = Field(
        alias="schema", description="JSON Schema, draft 2020-12"
    )


class Number(Section):
    """The answer's number is this one. [numbers.md](numbers.md) has the rules by which a number is read."""

    kind: Literal["number"] = Field(description="the number in the answer is this one")
    value: float = Field(description="the correct number")
    tolerance: float = Field(0, ge=0, description="allowed difference, in either direction")
    decimal: Literal[".", ","] | None = Field(
        None,
        description="decimal separator of numbers that can be read both ways, such as 1.234; default: found in the "
        "answer's other numbers, then in the words of the answer and of the prompt",
    )


class Verdict(Section):
    """The answer is this verdict of a judge."""

    kind: Literal["verdict"] = Field(description="the answer is this verdict of a judge; used for anchors")
    verdict: Literal["pass", "fail"] = Field(description="the person's verdict")


AnyCheck = Annotated[Contains | Exact | Regex | JsonSchema | Number | Verdict, Field(discriminator="kind")]
"""A check with the options of its kind; ``judge.checks.CHECKS`` has their functions."""


class SamplingFile(Section):
    """How an answer is sampled."""

    temperature: float | None = Field(None, ge=0, le=2, description="default: the endpoint's")
    max_tokens: int = Field(256, ge=1, le=131_072, description="maximum length of the answer, in the model's tokens")
    logprobs: int = Field(0, ge=0, le=20, description="top alternatives to request per token; 0 requests none")


class MessageFile(Section):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="role of the speaker")
    content: Text = Field(description="text of the turn")


class ProbeFile(Section):
    """One prompt with the expected answer: ``prompt``, or ``messages`` for a conversation."""

    id: Name = Field(description="id of the probe, unique in the suite; answers are compared by id")
    prompt: Text | None = Field(None, description="the user's prompt")
    messages: Annotated[tuple[MessageFile, ...], Field(min_length=1, max_length=100)] | None = Field(
        None, description="a conversation instead of a prompt; the last turn is the user's"
    )
    reference: Text | None = Field(None, description="a correct answer, for the judge and for similarity")
    rubric: Text | None = Field(None, description="criterion for the judge, instead of the suite's rubric")
    checks: tuple[AnyCheck, ...] = Field((), max_length=20, description="checks that the answer must pass")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("requires either 'prompt' or 'messages'" + (", not both" if self.prompt else ""))
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last item of 'messages' must have the role user")
        return self


class SuiteFile(Section):
    """A file of probes."""

    name: Name = Field(description="name of the file, without .yaml")
    description: str | None = Field(None, max_length=10_000, description="for people; changes need no new baseline")
    system: Text | None = Field(None, description="system prompt of every probe that has none")
    rubric: Text | None = Field(None, description="criterion for the judge; default: answers are not judged")
    replicates: int = Field(1, ge=1, le=100, description="number of answers per probe and run")
    base_replicates: int = Field(
        1,
        ge=1,
        le=100,
        description="number of answers per probe from the base, in a run that asks it; at most `replicates`",
    )
    sampling: SamplingFile = Field(default_factory=SamplingFile, description="how answers are sampled")
    probes: tuple[ProbeFile, ...] = Field(min_length=1, max_length=2000, description="the prompts")

    @model_validator(mode="after")
    def _no_more_of_the_base(self) -> Self:
        if self.base_replicates > self.replicates:
            raise ValueError(f"'base_replicates' must be at most 'replicates' ({self.replicates})")
        return self


def load_suite(name_or_path: str, config_dir: Path) -> Suite:
    """The suite that a configuration in ``config_dir`` names ``name_or_path``.

    Raises ConfigError with every problem of the file, one per line.
    """
    path = find_suite(name_or_path, config_dir)
    if path is None:
        raise ConfigError(f"unknown suite '{name_or_path}'; {hint(name_or_path, known_suites(config_dir))}")
    suite, problems = read_suite(path)
    if suite is None:
        raise ConfigError(render(problems))
    return suite


def run_digest(settings: Settings, suites: Mapping[str, Suite], target: str, suite: str) -> str:
    """sha256 of what a run's answers and scores depend on: the suite, or how production inputs are drawn."""
    production = settings.targets[target].production
    if run_kind(target, suite).frozen_items or production is None:
        return suites[suite].digest
    # Settings that change no input, and defaults of later versions: baselines of before a setting stay valid.
    same: dict[str, Any] = {"sample": True, "frozen": True, "subject_key": True}
    same["source"] = {"timeout_seconds", *(("format",) if getattr(production.source, "format", None) is None else ())}
    same |= {"replay": True} if production.replay == "text" else {}
    same |= {"keep": True} if production.keeps_texts else {}
    return hashlib.sha256(production.model_dump_json(exclude=same).encode()).hexdigest()


def is_path(name_or_path: str) -> bool:
    """Whether a target's suite is a path, not a name."""
    return "/" in name_or_path or name_or_path.endswith((".yaml", ".yml"))


def find_suite(name_or_path: str, config_dir: Path) -> Path | None:
    """Path of a suite: as given if it has a ``/`` or ends in ``.yaml``; else in probes/, then among shipped ones."""
    if is_path(name_or_path):
        return config_dir / os.path.expanduser(name_or_path)
    folders = (config_dir / "probes", shipped("probes"))
    return next((folder / f"{name_or_path}.yaml" for folder in folders if _there(folder, name_or_path)), None)


def _there(folder: Path, name: str) -> bool:
    return os.path.isfile(folder / f"{name}.yaml")


def known_suites(config_dir: Path) -> list[str]:
    """Sorted names of the suites next to the configuration and the shipped ones."""
    found: set[str] = set()
    for folder in (config_dir / "probes", shipped("probes")):
        if os.path.isdir(folder) and os.access(folder, os.R_OK):
            found |= {name.removesuffix(".yaml") for name in os.listdir(folder) if name.endswith(".yaml")}
    return sorted(found)


def read_suite(path: Path) -> tuple[Suite | None, list[Problem]]:
    """Read a suite or a file of anchors (``anchors`` instead of ``probes``). Returns no suite if there are problems."""
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
    if name in (PRODUCTION_SUITE, FROZEN_SUITE):
        return [document.problem(("name",), f"'{name}' is reserved for production samples; rename the suite")]
    if isinstance(name, str) and name != path.stem:
        return [document.problem(("name",), f"must be the name of the file, '{path.stem}'")]
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
            problems.append(document.problem(loc, f"'{name}' is already used on line {first[name]}"))
        first.setdefault(name, document.line(loc) or 0)
    return problems


def _suite(parsed: SuiteFile | AnchorsFile) -> Suite:
    if isinstance(parsed, AnchorsFile):
        suite = anchors_suite(parsed)
    else:
        probes = tuple(_probe(probe, parsed.system) for probe in parsed.probes)
        sampling = records.Sampling(**parsed.sampling.model_dump())
        suite = Suite(parsed.name, "", probes, parsed.replicates, sampling, parsed.rubric, parsed.base_replicates)
    return with_digest(suite)


def with_digest(suite: Suite) -> Suite:
    """The suite with the digest of its content."""
    return replace(suite, digest=hashlib.sha256(suite_body(suite).encode()).hexdigest())


def _probe(parsed: ProbeFile, system: str | None) -> records.Probe:
    messages = conversation(parsed.messages, parsed.prompt, system)
    checks = tuple(records.Check(check.kind, _options(check)) for check in parsed.checks)
    return records.Probe(parsed.id, messages, parsed.reference, checks, parsed.rubric)


def conversation(
    given: Sequence[MessageFile] | None, prompt: str | None, system: str | None
) -> tuple[records.Message, ...]:
    """The messages to ask: those given, or the prompt; after the system prompt, if they have none of their own."""
    if given is not None:
        messages = tuple(records.Message(one.role, one.content) for one in given)
    else:
        messages = (records.Message("user", prompt or ""),)
    if system and all(one.role != "system" for one in messages):
        messages = (records.Message("system", system), *messages)
    return messages


def _options(check: AnyCheck) -> dict[str, Any]:
    options = check.model_dump(by_alias=True, exclude={"kind"})
    if options.get("decimal", "") is None:
        del options["decimal"]  # as in the digests of earlier suites
    return options


def suite_body(suite: Suite) -> str:
    """The suite's canonical content as JSON, whose sha256 is its digest.

    It has everything that an answer or its scores depend on, including defaults. Probes are sorted by id, so that their
    order in the file does not matter. Keys of later versions are included only if set, so that old digests stay valid.
    """
    content = asdict(suite)
    del content["digest"]
    if suite.base_replicates == 1:
        del content["base_replicates"]
    if suite.response_schema is None:
        del content["response_schema"]
    content["probes"] = sorted(content["probes"], key=lambda probe: probe["id"])
    for probe in content["probes"]:
        if not probe["parameters"]:
            del probe["parameters"]
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def suite_from_body(digest: str, body: str) -> Suite:
    """The suite whose ``suite_body`` is ``body``, with probes in the order of the body."""
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
    """The JSON Schema of a file of probes or anchors, for editors. Published in ``docs/``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **file.model_json_schema(),
        "title": "A suite of Cliffwatch" if file is SuiteFile else "Anchors of Cliffwatch's judge",
    }
