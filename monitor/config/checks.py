"""Checks beyond types: providers, store, schedule, embeddings.

Each check sees everything that could be read and adds to ``problems`` or ``warnings``. It skips what is missing or
already rejected, so that each mistake is reported once.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel

from monitor.config.problems import hint, nearest
from monitor.config.yaml_reader import Document, Loc, Problem, read
from monitor.core.errors import ConfigError, MissingExtra
from monitor.core.kinds import load
from monitor.core.providers import PROVIDERS, ApiProvider, Provider
from monitor.core.records import Suite
from monitor.core.schedule import parse
from monitor.core.settings import Endpoint, Settings, Target

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_KEY_START: Final = re.compile(r"(?i)(?:sk|pk|rk|hf|gsk|xai|nvapi|ghp|glpat|key|bearer)[-_]|AIza|eyJ")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRETS: Final = frozenset(("providers", "email", "http"))
"""Sections that name variables and files with secrets."""


@dataclass
class Checks:
    """Input and results of the checks."""

    settings: Settings
    """Without rejected parts, which are None even where the type says otherwise."""
    document: Document
    folder: Path
    environ: Mapping[str, str]
    installed: Callable[[str], bool]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    suites: dict[str, Suite] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    """Digest of a suite -> number of its probes with a rubric."""
    keys: frozenset[str] = SECRETS
    """Sections whose secrets must be present; empty for commands that only read the store."""

    def about_key(self, loc: Loc, text: str) -> None:
        """Adds a problem of a variable or file with a key, if the secrets of its section are required."""
        if loc[0] in self.keys:
            self.problem(loc, text)

    def problem(self, loc: Loc, text: str) -> None:
        self.problems.append(self.document.problem(loc, text))

    def warn(self, loc: Loc, text: str) -> None:
        self.warnings.append(self.document.problem(loc, text))

    def at(self, path: str | Path) -> Path:
        return self.folder / os.path.expanduser(path)

    def names(self, section: str) -> list[str]:
        """Keys in ``section`` of the file, including rejected ones."""
        data: Any = self.document.data.get(section)
        return list(data) if isinstance(data, dict) else []

    def has_unknown_key(self, loc: Loc, section: type[BaseModel]) -> bool:
        """Whether ``loc`` has an unknown key: it may be a misspelt form of a missing one, and is already reported."""
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
            c.problem(loc, "contains a password; remove it, and set PGPASSWORD or PGPASSFILE for the daemon")
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
        c.problem(("store",), "names no file; a store in memory loses its baselines; use 'sqlite:///cliffwatch.db'")
    elif os.path.isdir(c.folder / file):
        c.problem(("store",), "is a folder; name a file in it, for example 'sqlite:///FOLDER/cliffwatch.db'")


def absolute_store(url: str, folder: Path) -> str:
    """``url`` with a relative SQLite path resolved against ``folder``; other URLs unchanged."""
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
    if provider.kind:
        entry = PROVIDERS[provider.kind]
        for key, reader in entry.yaml_files.items():
            _yaml_file(c, (*loc, key), getattr(provider, key), reader)
        if entry.extra is not None:
            c.missing_extra((*loc, "kind"), f"kind {provider.kind}", entry.extra, entry.modules)
        if isinstance(provider, ApiProvider):
            _base_url(c, (*loc, "base_url"), provider)
            _key(c, loc, provider, entry.needs_key)
    if provider.deadline_seconds < provider.timeout_seconds:
        text = f"is shorter than timeout_seconds ({provider.timeout_seconds:g}), so slow first attempts are cut off"
        c.warn((*loc, "deadline_seconds"), text)


def _yaml_file(c: Checks, loc: Loc, path: Path | None, reader: str) -> None:
    if path is not None and not os.path.isfile(c.at(path)):
        c.problem(loc, "file not found")
    elif path is not None:
        c.problems += _yaml_problems(c.at(path), reader)


def _yaml_problems(path: Path, reader: str) -> list[Problem]:
    problems = read(path).problems
    if not problems:
        try:
            load(reader)(path)
        except ConfigError as error:
            return [Problem(str(path), None, "", line.removeprefix(f"{path}: ")) for line in str(error).splitlines()]
    return problems


def _refused(c: Checks, loc: Loc) -> bool:
    """Whether the file contains ``loc``: a missing value was then already rejected."""
    return loc in c.document.lines


def _base_url(c: Checks, loc: Loc, provider: ApiProvider) -> None:
    if provider.base_url is None:
        return
    parts = _split(provider.base_url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        c.problem(loc, "must be an http:// or https:// URL with a host, for example http://vllm:8000/v1")
    elif re.search(r"\s", provider.base_url):
        c.problem(loc, "contains a blank; remove it")
    elif "@" in parts.netloc:
        c.problem(loc, "contains a user or password; remove it, and name the key with 'api_key_env'")
    elif parts.query or parts.fragment:
        c.problem(loc, "must end with the path, without '?' or '#'")
    elif parts.scheme == "http" and provider.has_key and not loopback(parts.hostname):
        c.warn(loc, "plain HTTP: others on the network can read the key")


def loopback(host: str) -> bool:
    """Whether a host is this machine."""
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def _key(c: Checks, loc: Loc, provider: ApiProvider, needed: bool) -> None:
    if provider.api_key_env is not None and provider.api_key_file is not None:
        c.problem((*loc, "api_key_file"), "cannot be combined with 'api_key_env'; keep one of them")
    if provider.api_key_env is not None:
        _key_variable(c, (*loc, "api_key_env"), provider.api_key_env)
    if provider.api_key_file is not None:
        _key_file(c, (*loc, "api_key_file"), c.at(provider.api_key_file))
    refused = any(_refused(c, (*loc, key)) for key in ("api_key_env", "api_key_file", "base_url"))
    refused = refused or c.has_unknown_key(loc, type(provider))
    if needed and not provider.has_key and provider.base_url is None and not refused:
        c.problem(loc, f"the {provider.kind} API requires a key; name it with 'api_key_env' or 'api_key_file'")


def _key_variable(c: Checks, loc: Loc, name: str) -> None:
    if c.environ.get(name, "").strip():
        if not _sendable(c.environ[name]):
            c.about_key(loc, f"environment variable {name} contains characters that are not allowed in a key")
    elif not VARIABLE.fullmatch(name) or looks_like_key(name):
        c.problem(loc, "looks like a key, not the name of a variable; remove it from the file, and name its variable")
    else:
        c.about_key(loc, f"environment variable {name} is not set or empty")


def looks_like_key(text: str) -> bool:
    """Whether ``text`` seems to be a secret instead of the name of its variable."""
    if len(text) >= 12 and _KEY_START.match(text) and not text.isupper():
        return True
    shouted = text == text.upper() and "_" in text  # like names of variables
    return len(text) >= 20 and any(char.isdigit() for char in text) and not shouted


def _key_file(c: Checks, loc: Loc, path: Path) -> None:
    if not os.path.exists(path):
        c.about_key(loc, "file not found")
    elif not os.path.isfile(path):
        c.about_key(loc, "is not a file")
    else:
        try:
            key = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            c.about_key(loc, "is not readable by this user, or not text")
            return
        if not key.strip():
            c.about_key(loc, "the file is empty")
        elif not _sendable(key):
            c.about_key(loc, "the file contains characters that are not allowed in a key")


def _sendable(key: str) -> bool:
    """Whether a key, without surrounding blanks, is allowed in an HTTP header."""
    return key.strip().isascii() and key.strip().isprintable()


def _embeddings(c: Checks) -> None:
    if c.settings.embeddings and c.settings.embeddings.model:
        pinned(c, ("embeddings",), c.settings.embeddings.model, c.settings.embeddings.revision)


def pinned(c: Checks, loc: Loc, model: str, revision: str | None) -> None:
    """Checks that a model on this machine is a folder, or a hub id pinned to a commit."""
    if os.path.isdir(c.at(model)):
        if revision is not None:
            c.warn((*loc, "revision"), "has no effect: the model is a folder")
    elif model.startswith(("/", "./", "../", "~")) or not HUB_ID.fullmatch(model):
        c.problem((*loc, "model"), "folder not found")
    elif revision is None and not _refused(c, (*loc, "revision")):
        c.problem(loc, "a hub id requires 'revision', the 40 hex digits of its commit (or set 'model' to a folder)")
    elif revision is not None and not COMMIT.fullmatch(revision):
        c.problem((*loc, "revision"), "must be the 40 hex digits of a commit, because tags and branches can move")


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
        c.warn(("schedule", "day_seconds"), f"a day lasts {schedule.day_seconds:g} s; only for demos and tests")


def _timezone(c: Checks, name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        c.problem(("schedule", "timezone"), f"unknown time zone; {_zone_hint(name, available_timezones())}")


def _zone_hint(name: str, known: set[str]) -> str:
    cities = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
    meant = nearest(name, known) or cities.get(nearest(name.rpartition("/")[2], cities) or "")
    return f"did you mean '{meant}'?" if meant else "IANA names look like 'Europe/Berlin'"


def provider_of(c: Checks, loc: Loc, name: str | None) -> Provider | None:
    """The provider that an endpoint names; None, and one problem, if it does not exist."""
    if not name:
        return None
    names = c.names("providers")
    if name not in names:
        c.problem((*loc, "provider"), f"unknown provider '{name}'; {hint(name, names, 'providers is empty')}")
    return (c.settings.providers or {}).get(name)


def unsent_sampling(c: Checks, loc: Loc, target: Target) -> None:
    """Warn about sampling of the target's suites that a kind of provider never sends, and what is not measured then."""
    for suite in (c.suites[reference] for reference in target.suites if reference in c.suites):
        for text in dict.fromkeys(_unsent(c, suite, target)):
            c.warn((*loc, "suites"), f"'{suite.name}' {text}")


def _unsent(c: Checks, suite: Suite, target: Target) -> Iterator[str]:
    asked = suite.sampling.temperature
    subject, base = _never_sent(c, target.subject), _never_sent(c, target.base)
    if asked is not None and "temperature" in {*subject, *base}:
        kind = subject.get("temperature") or base["temperature"]
        lost = "base_match and border are" if "temperature" in subject else "base_match is"
        effect = f"{lost} not measured" if asked == 0 else "the endpoint uses its default"
        yield f"sets temperature {asked:g}, which kind {kind} never sends: {effect}"
    if suite.sampling.logprobs and "logprobs" in subject:
        yield f"requests logprobs, which kind {subject['logprobs']} does not return: logprobs is not measured"


def _never_sent(c: Checks, endpoint: Endpoint | None) -> dict[str, str]:
    """Parameter that the endpoint's provider never sends -> the provider's kind."""
    provider = (c.settings.providers or {}).get(endpoint.provider or "") if endpoint else None
    if provider is None or not provider.kind:
        return {}
    return dict.fromkeys(PROVIDERS[provider.kind].never_sent, provider.kind)
