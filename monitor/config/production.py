"""Checks of a target's ``production`` section that need more than the types of its values."""

from collections.abc import Iterator
from glob import iglob

from monitor.config.checks import VARIABLE, Checks
from monitor.config.yaml_reader import Loc
from monitor.core import keyed_hash
from monitor.core.section import file_patterns, is_url
from monitor.core.settings import Production
from monitor.core.wording import hashes_only


def check_production(c: Checks, loc: Loc, production: Production) -> None:
    source = production.source
    paths: list[tuple[Loc, str | None]] = [(("stratify",), production.stratify)]
    if source:
        paths += [(("source", key), getattr(source, key)) for key in ("messages", "prompt", "time")]
        paths += [(("source", "where", key), key) for key in source.where]
        for name in file_patterns(type(source)):
            _matches(c, (*loc, "source", name), getattr(source, name))
        for name in type(source).model_fields:
            if name.endswith("_env") and getattr(source, name) is not None:
                _variable(c, (*loc, "source", name), getattr(source, name))
    for setting, text in _conflicts(production):
        c.problem((*loc, setting), text)
    if not production.keeps_texts:
        c.warn((*loc, "keep"), hashes_only())
    paths.append((("subject_key",), production.subject_key))
    if production.needs_key and keyed_hash.missing(c.settings.store, c.environ):
        needs = "keep" if production.subject_key is None else "subject_key"
        c.warn((*loc, needs), f"{keyed_hash.VARIABLE} is not set: production runs are unmeasured; see docs/privacy.md")
    for key, path in paths:
        if path is not None and not all(path.split(".")):
            c.problem((*loc, *key), "must be keys separated by dots, for example request.messages")


def _conflicts(production: Production) -> Iterator[tuple[str, str]]:
    """(key, problem) of settings that do not go together."""
    pushed = production.source is not None and production.source.pushed
    if production.frozen and not production.keeps_texts:
        yield "frozen", "needs `keep: texts`: the items of a frozen sample are asked again, so they are stored"
    if production.frozen and production.subject_key is not None:
        yield "frozen", "cannot be used with subject_key: `forget` does not reach the items of a frozen sample"
    if pushed and not production.keeps_texts:
        yield "keep", "must be `texts` for inputs that are pushed: they are stored until the run asks them"
    if pushed and production.subject_key is not None:
        yield "subject_key", "cannot be used with inputs that are pushed: nobody knows later who sent them"
    if pushed and production.replay == "whole":
        yield "replay", "must be `text` for inputs that are pushed: only their messages are stored"


def _matches(c: Checks, loc: Loc, pattern: str | None) -> None:
    if pattern and not is_url(pattern) and "**" not in pattern and next(iglob(str(c.at(pattern))), None) is None:
        c.warn(loc, "no file matches now; runs without inputs are unmeasured")


def _variable(c: Checks, loc: Loc, name: str) -> None:
    if not VARIABLE.fullmatch(name):
        c.problem(loc, "is not the name of a variable; put the secret into a variable, and its name here")
    elif not c.environ.get(name, "").strip():
        c.warn(loc, f"environment variable {name} is not set or empty; runs without inputs are unmeasured")
