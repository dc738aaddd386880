"""Reads ``cliffwatch.yaml`` into frozen settings and reports all problems at once.

``load`` returns settings, ``check`` returns a report. Both only read files: they use no network and load no model.
Relative paths are relative to the configuration's folder. No message quotes a value that could be a key.
"""

import importlib.util
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor.config import checks as parts
from monitor.config import email, http, targets
from monitor.config.anchors import as_target
from monitor.config.checks import SECRETS, Checks
from monitor.config.problems import from_validation, in_order, is_model, members, render
from monitor.config.suites import is_path
from monitor.config.yaml_reader import Document, Problem, read
from monitor.core.errors import ConfigError
from monitor.core.kinds import chosen, kinds_of, shared
from monitor.core.providers import PROVIDERS, Provider
from monitor.core.records import JUDGE_TARGET, Suite
from monitor.core.section import file_patterns, is_url
from monitor.core.settings import (
    ActionToken,
    DeclaredAdapter,
    Email,
    Embeddings,
    Endpoint,
    Judge,
    Production,
    Settings,
    Snapshot,
    Target,
)

AnyEndpoint = TypeVar("AnyEndpoint", Endpoint, Snapshot, Judge)
AnyModel = TypeVar("AnyModel", Endpoint, Snapshot, Judge, Embeddings)
Installed = Callable[[str], bool]
"""Module name -> whether it can be imported."""


@dataclass(frozen=True)
class Report:
    """Result of ``check``. ``settings`` and ``suites`` are set only if there are no problems."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    settings: Settings | None
    suites: Mapping[str, Suite] = field(default_factory=dict)
    """Suites that targets name, by suite name."""


def load(path: Path, environ: Mapping[str, str] | None = None, *, keys: frozenset[str] = SECRETS) -> Settings:
    """The settings in ``path``, with relative paths made absolute.

    ``environ`` has the variables that contain keys; default: the environment of the process. ``keys``: the sections of
    ``checks.SECRETS`` whose secrets must be present.
    Raises ConfigError with one line per problem, ordered by file and line.
    """
    report = check(path, environ, keys=keys)
    if report.settings is None:
        raise ConfigError(render(report.problems))
    from monitor.core import logs

    logs.conceal(logs.secrets_in(report.settings, os.environ if environ is None else environ))
    return report.settings


def load_to_read(path: Path) -> tuple[Settings, Mapping[str, Suite]]:
    """``load`` for commands that make no calls, with suites by name. Variables and files of keys may be missing."""
    report = check(path, keys=frozenset())
    if report.settings is None:
        raise ConfigError(render(report.problems))
    return report.settings, report.suites


def check(
    path: Path,
    environ: Mapping[str, str] | None = None,
    installed: Installed | None = None,
    *,
    keys: frozenset[str] = SECRETS,
) -> Report:
    """Read the configuration and its suites. Returns problems and warnings; never raises.

    ``keys``: the sections whose secrets, in variables and files, must be present.
    """
    make = f"create one with `cliffwatch init {shlex.quote(str(path))}`"
    document = read(path, missing=f"file not found; {make}, or name yours with --config or CLIFFWATCH_CONFIG")
    if not isinstance(document.data, dict):
        what = "the file is empty" if document.data is None else "must be a mapping (key: value), such as 'targets:'"
        return Report(tuple(document.problems) or (document.problem((), what),), (), None)
    settings, problems = _validated(document)
    checks = Checks(
        settings=settings,
        document=document,
        folder=path.parent,
        environ=os.environ if environ is None else environ,
        installed=installed or _installed,
        keys=keys,
    )
    parts.run(checks)
    targets.run(checks)
    email.run(checks)
    http.run(checks)
    problems = [*document.problems, *problems, *checks.problems]
    warnings = in_order(checks.warnings)
    if problems:
        return Report(in_order(problems), warnings, None)
    return Report(
        (),
        warnings,
        resolved(settings, path.parent.absolute()),
        {suite.name: suite for suite in checks.suites.values()},
    )


def schema() -> dict[str, Any]:
    """The JSON Schema of ``cliffwatch.yaml``, for editors; published as ``docs/cliffwatch.schema.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
        "title": "cliffwatch.yaml",
        "description": "The configuration of Cliffwatch.",
    }


def resolved(settings: Settings, folder: Path) -> Settings:
    """``settings`` with relative paths resolved against ``folder`` (absolute), and a judge with anchors as a target."""

    def at(path: str | Path) -> Path:
        return folder / os.path.expanduser(path)

    def model(found: AnyModel) -> AnyModel:
        return found.model_copy(update={"model": str(at(found.model))}) if os.path.isdir(at(found.model)) else found

    def endpoint(found: AnyEndpoint) -> AnyEndpoint:
        if found.adapter:
            found = found.model_copy(update={"adapter": at(found.adapter)})
        return model(found) if PROVIDERS[settings.providers[found.provider].kind].loads_weights else found

    def declared(found: DeclaredAdapter) -> DeclaredAdapter:
        base = str(at(found.base_model)) if os.path.isdir(at(found.base_model)) else found.base_model
        return found.model_copy(update={"path": at(found.path), "base_model": base})

    def provider(found: Provider) -> Provider:
        return found.model_copy(update={key: at(path) for key, path in found if isinstance(path, Path)})

    def production(found: Production) -> Production:
        named = {key: getattr(found.source, key) for key in file_patterns(type(found.source))}
        patterns = {key: pattern if is_url(pattern) else str(at(pattern)) for key, pattern in named.items()}
        files = {key: at(path) for key, path in found.source if isinstance(path, Path)}
        return found.model_copy(update={"source": found.source.model_copy(update=patterns | files)})

    def mail(found: Email) -> Email:
        paths = {key: getattr(found.smtp, key) for key in ("ca_file", "password_file")}
        smtp = found.smtp.model_copy(update={key: at(path) for key, path in paths.items() if path})
        return found.model_copy(update={"smtp": smtp})

    def token(found: ActionToken) -> ActionToken:
        return found.model_copy(update={"token_file": at(found.token_file)}) if found.token_file else found

    def target(found: Target) -> Target:
        return found.model_copy(
            update={
                "subject": endpoint(found.subject),
                "base": endpoint(found.base) if found.base else None,
                "snapshot": endpoint(found.snapshot) if found.snapshot else None,
                "adapter": declared(found.adapter) if found.adapter else None,
                "suites": tuple(str(at(suite)) if is_path(suite) else suite for suite in found.suites),
                "production": production(found.production) if found.production else None,
            }
        )

    judge = endpoint(settings.judge) if settings.judge else None
    if judge is not None and judge.anchors is not None and is_path(str(judge.anchors)):
        judge = judge.model_copy(update={"anchors": at(judge.anchors)})
    implied = {JUDGE_TARGET: as_target(judge)} if judge is not None and judge.anchors is not None else {}
    return settings.model_copy(
        update={
            "store": parts.absolute_store(settings.store, folder),
            "providers": {name: provider(found) for name, found in settings.providers.items()},
            "judge": judge,
            "http": settings.http.model_copy(
                update={
                    "actions": {name: token(found) for name, found in settings.http.actions.items()},
                    "inputs": {name: token(found) for name, found in settings.http.inputs.items()},
                }
            ),
            "embeddings": model(settings.embeddings) if settings.embeddings else None,
            "email": mail(settings.email) if settings.email else None,
            "targets": {name: target(found) for name, found in settings.targets.items()} | implied,
        }
    )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _validated(document: Document) -> tuple[Settings, list[Problem]]:
    try:
        return Settings.model_validate_json(json.dumps(document.data), strict=True), []
    except ValidationError as error:
        # the readable parts are still checked, so that one report lists all problems
        return _partial(Settings, document.data), from_validation(Settings, error, document)


def _partial(section: type[BaseModel], data: dict[str, Any]) -> Any:
    """Section with the valid parts of ``data``; other keys have their default, or None without one."""
    values: dict[str, Any] = {}
    for name, info in section.model_fields.items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        annotated = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        unknown = name == "kind" and not kinds_of(section)  # the section is what all kinds share
        values[name] = _part(annotated, data[name], default) if name in data and not unknown else default
    return section.model_construct(**values)


def _part(annotation: Any, value: Any, default: Any) -> Any:
    inner = _section(annotation, value)
    if is_model(inner):
        return _partial(inner, value) if isinstance(value, dict) else default
    if get_origin(inner) is dict and isinstance(value, dict):
        of = get_args(inner)[1]
        sections = is_model(_section(of, {}))
        return {key: _part(of, item, None) for key, item in value.items() if not sections or isinstance(item, dict)}
    try:
        return TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return default


def _section(annotation: Any, value: Any) -> Any:
    """The type that ``value`` is read as; for sections of several kinds its kind's, or their common base class."""
    choices = members(get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation)
    if len(choices) == 1 or not all(is_model(choice) for choice in choices):
        return choices[0]
    kind = value.get("kind") if isinstance(value, dict) else None
    return chosen(choices, kind) or shared(choices)
