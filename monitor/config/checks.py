"""What a configuration's parts must be beyond their types: providers, store, schedule, embeddings.

Each check sees the whole of what could be read, adds to ``problems`` or ``warnings``, and skips what is missing
or was refused before: one mistake is told once.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel

from monitor.config.problems import Loc, Problem, hint, nearest
from monitor.config.yaml_reader import Document, read
from monitor.core.errors import ConfigError, MissingExtra
from monitor.core.records import Suite
from monitor.core.schedule import parse
from monitor.core.settings import Provider, Settings

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_KEY_START: Final = re.compile(r"(?i)(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp|glpat|key|bearer)[-_]|AIza|eyJ")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRETS: Final = frozenset(("providers", "email", "http"))
"""The sections that name variables and files with secrets in them."""
_PARTS_FOR_LOCAL: Final = ("torch", "transformers", "peft")


@dataclass
class Checks:
    """What the checks look at, and what they find."""

    settings: Settings
    """Parts that were refused are missing from it: None where the type says otherwise."""
    document: Document
    folder: Path
    environ: Mapping[str, str]
    installed: Callable[[str], bool]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    suites: dict[str, Suite] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    """A suite's digest -> how many of its probes have a rubric."""
    keys: frozenset[str] = SECRETS
    """The sections whose secrets have to be there: none for who only reads the store."""

    def about_key(self, loc: Loc, text: str) -> None:
        """A problem of a variable or file that holds a key, where its section's are asked for."""
        if loc[0] in self.keys:
            self.problem(loc, text)

    def problem(self, loc: Loc, text: str) -> None:
        self.problems.append(self.document.problem(loc, text))

    def warn(self, loc: Loc, text: str) -> None:
        self.warnings.append(self.document.problem(loc, text))

    def at(self, path: str | Path) -> Path:
        return self.folder / os.path.expanduser(path)

    def names(self, section: str) -> list[str]:
        """The keys that stand in ``section`` of the file, refused ones too."""
        data: Any = self.document.data.get(section)
        return list(data) if isinstance(data, dict) else []

    def has_unknown_key(self, loc: Loc, section: type[BaseModel]) -> bool:
        """Whether ``loc`` holds a misspelt key: what seems to be missing may be that one, and it is told already."""
        data: Any = self.document.data
        for part in loc:
            data = data[part]
        return not set(data) <= set(section.model_fields)

    def missing_extra(self, loc: Loc, what: str, extra: str, modules: tuple[str, ...]) -> None:
        if not all(self.installed(module) for module in modules):
            self.problem(loc, str(MissingExtra(what, extra)))


def run(c: Checks) -> None:
    """Check everything but the endpoints and targets."""
    _store(c)
    for name, provider in (c.settings.providers or {}).items():
        _provider(c, ("providers", name), provider)
    _embeddings(c)
    _schedule(c)


def _store(c: Checks) -> None:
    loc, url = ("store",), c.settings.store
    parts = _split(url)
    scheme = parts.scheme if parts else ""
    if scheme == "sqlite":
        _sqlite(c, url)
    elif scheme == "postgresql+psycopg" and parts:
        if parts.password is not None or "password=" in parts.query:
            c.problem(loc, "holds a password; leave it out, and set PGPASSWORD or PGPASSFILE for the daemon")
        c.missing_extra(loc, "a PostgreSQL store", "postgres", ("psycopg",))
    elif scheme.startswith("postgres"):
        c.problem(loc, "must start with 'postgresql+psycopg://'")
    else:
        c.problem(loc, "must be 'sqlite:///FILE' or 'postgresql+psycopg://USER@HOST/DATABASE'")


def _sqlite(c: Checks, url: str) -> None:
    file = url.removeprefix("sqlite:///").partition("?")[0]
    if not url.startswith("sqlite:///"):
        c.problem(("store",), "needs three slashes: 'sqlite:///FILE'")
    elif file in ("", ":memory:"):
        c.problem(("store",), "names no file; a store in memory forgets its baselines: 'sqlite:///cliffwatch.db'")
    elif os.path.isdir(c.folder / file):
        c.problem(("store",), "is a folder; name a file in it: 'sqlite:///FOLDER/cliffwatch.db'")


def absolute_store(url: str, folder: Path) -> str:
    """``url`` with a SQLite file counted from ``folder``; any other URL as it is."""
    if not url.startswith("sqlite:///"):
        return url
    file, mark, options = url.removeprefix("sqlite:///").partition("?")
    return f"sqlite:///{folder / os.path.expanduser(file)}{mark}{options}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def _provider(c: Checks, loc: Loc, provider: Provider) -> None:
    remote = provider.kind in ("openai", "anthropic")
    if not remote and provider.kind:
        for key in ("base_url", "api_key_env", "api_key_file"):
            if getattr(provider, key) is not None:
                c.problem((*loc, key), f"only for kinds openai and anthropic; this one is {provider.kind}")
    if provider.script is not None and provider.kind != "scripted" and provider.kind:
        c.problem((*loc, "script"), f"only for kind scripted; this one is {provider.kind}")
    if provider.kind == "scripted":
        _script(c, loc, provider)
    if provider.kind == "local":
        c.missing_extra((*loc, "kind"), "kind local", "local", _PARTS_FOR_LOCAL)
    if remote:
        _base_url(c, (*loc, "base_url"), provider)
        _key(c, loc, provider)
    if provider.deadline_seconds < provider.timeout_seconds:
        text = f"shorter than timeout_seconds ({provider.timeout_seconds:g}): a slow first attempt is cut off"
        c.warn((*loc, "deadline_seconds"), text)


def _script(c: Checks, loc: Loc, provider: Provider) -> None:
    if provider.script is None:
        if not _refused(c, (*loc, "script")) and not c.has_unknown_key(loc, Provider):
            c.problem(loc, "kind scripted needs 'script', a YAML file of answers")
    elif not os.path.isfile(c.at(provider.script)):
        c.problem((*loc, "script"), "no such file")
    else:
        c.problems += _script_problems(c.at(provider.script))


def _script_problems(path: Path) -> list[Problem]:
    from monitor.ask.scripted import load_script

    problems = read(path).problems
    if not problems:
        try:
            load_script(path)
        except ConfigError as error:
            return [Problem(str(path), None, "", line.removeprefix(f"{path}: ")) for line in str(error).splitlines()]
    return problems


def _refused(c: Checks, loc: Loc) -> bool:
    """Whether ``loc`` stands in the file, so that a missing value was refused before."""
    return loc in c.document.lines


def _base_url(c: Checks, loc: Loc, provider: Provider) -> None:
    if provider.base_url is None:
        return
    parts = _split(provider.base_url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        c.problem(loc, "must be an http:// or https:// address with a host, such as http://vllm:8000/v1")
    elif "@" in parts.netloc:
        c.problem(loc, "holds a user or password; leave it out and name the key with 'api_key_env'")
    elif parts.query or parts.fragment:
        c.problem(loc, "must end with the path, without '?' or '#'")
    elif parts.scheme == "http" and _has_key(provider) and not loopback(parts.hostname):
        c.warn(loc, "plain http: the key can be read on the way to another machine")


def loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def _has_key(provider: Provider) -> bool:
    return provider.api_key_env is not None or provider.api_key_file is not None


def _key(c: Checks, loc: Loc, provider: Provider) -> None:
    if provider.api_key_env is not None and provider.api_key_file is not None:
        c.problem((*loc, "api_key_file"), "given beside 'api_key_env'; keep one of them")
    if provider.api_key_env is not None:
        _key_variable(c, (*loc, "api_key_env"), provider.api_key_env)
    if provider.api_key_file is not None:
        _key_file(c, (*loc, "api_key_file"), c.at(provider.api_key_file))
    refused = any(_refused(c, (*loc, key)) for key in ("api_key_env", "api_key_file", "base_url"))
    refused = refused or c.has_unknown_key(loc, Provider)
    if not _has_key(provider) and provider.base_url is None and not refused:
        c.problem(loc, f"{provider.kind}'s own API needs a key: name it with 'api_key_env' or 'api_key_file'")


def _key_variable(c: Checks, loc: Loc, name: str) -> None:
    if c.environ.get(name, "").strip():
        if not _sendable(c.environ[name]):
            c.about_key(loc, f"the environment variable {name} holds characters that cannot be sent as a key")
    elif not VARIABLE.fullmatch(name) or looks_like_key(name):
        c.problem(loc, "looks like a key, not like a variable's name; take it out of the file, and name its variable")
    else:
        c.about_key(loc, f"the environment variable {name} is not set (or empty)")


def looks_like_key(text: str) -> bool:
    """Whether a secret itself seems to stand where the name of its variable belongs."""
    if len(text) >= 12 and _KEY_START.match(text) and not text.isupper():
        return True
    shouted = text == text.upper() and "_" in text  # as names of variables are
    return len(text) >= 20 and any(char.isdigit() for char in text) and not shouted


def _key_file(c: Checks, loc: Loc, path: Path) -> None:
    if not os.path.exists(path):
        c.about_key(loc, "no such file")
    elif not os.path.isfile(path):
        c.about_key(loc, "is not a file")
    else:
        try:
            key = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            c.about_key(loc, "cannot be read by this user, or is not text")
            return
        if not key.strip():
            c.about_key(loc, "the file is empty")
        elif not _sendable(key):
            c.about_key(loc, "the file holds characters that cannot be sent as a key")


def _sendable(key: str) -> bool:
    """Whether a key can stand in an HTTP header, blanks around it aside."""
    return key.strip().isascii() and key.strip().isprintable()


def _embeddings(c: Checks) -> None:
    if c.settings.embeddings and c.settings.embeddings.model:
        pinned(c, ("embeddings",), c.settings.embeddings.model, c.settings.embeddings.revision)


def pinned(c: Checks, loc: Loc, model: str, revision: str | None) -> None:
    """A model on this machine is a folder, or a hub id pinned to a commit."""
    if os.path.isdir(c.at(model)):
        if revision is not None:
            c.warn((*loc, "revision"), "has no effect: the model is a folder")
    elif model.startswith(("/", "./", "../", "~")) or not HUB_ID.fullmatch(model):
        c.problem((*loc, "model"), "no such folder")
    elif revision is None and not _refused(c, (*loc, "revision")):
        c.problem(loc, "a hub id needs 'revision', the 40 hex digits of its commit (or make 'model' a folder)")
    elif revision is not None and not COMMIT.fullmatch(revision):
        c.problem((*loc, "revision"), "must be the 40 hex digits of a commit; a tag or branch can move")


def _schedule(c: Checks) -> None:
    schedule = c.settings.schedule
    for key in ("probes", "production", "selftest"):
        text = getattr(schedule, key)
        try:
            parse(text)
        except ValueError:
            meant = nearest(text, ("daily", "weekly mon 06:00", "every 2 days"))
            forms = "must be 'daily', 'every N days' or 'weekly DAY HH:MM' (DAY: mon to sun)"
            c.problem(("schedule", key), forms + (f"; for example '{meant}'" if meant else ""))
    _timezone(c, schedule.timezone)
    if schedule.day_seconds < 86_400:
        c.warn(("schedule", "day_seconds"), f"a day lasts {schedule.day_seconds:g} s: only for demos and trials")


def _timezone(c: Checks, name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        c.problem(("schedule", "timezone"), f"no such timezone; {_zone_hint(name, available_timezones())}")


def _zone_hint(name: str, known: set[str]) -> str:
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
    meant = nearest(name, known) or cities.get(nearest(name.rpartition("/")[2], cities) or "")
    return f"did you mean '{meant}'?" if meant else "IANA names look like 'Europe/Berlin'"


def provider_of(c: Checks, loc: Loc, name: str | None) -> Provider | None:
    """The provider that an endpoint names; None, told once, when there is none."""
    if not name:
        return None
    names = c.names("providers")
    if name not in names:
        c.problem((*loc, "provider"), f"no provider '{name}'; {hint(name, names, 'providers is empty')}")
    return (c.settings.providers or {}).get(name)
