"""The configuration as frozen settings: every key of ``cliffwatch.yaml`` with its meaning and default.

``monitor.config`` reads the file into these and reports what is wrong with it. Descriptions here are the
documentation: the published JSON Schema and ``docs/config.md`` are made from them.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from monitor.core.kinds import one_of
from monitor.core.limits import DEFAULT_HOST, DEFAULT_PORT
from monitor.core.providers import PROVIDERS, Provider
from monitor.core.run_kinds import PRODUCTION
from monitor.core.section import Name, Section
from monitor.core.sources import SOURCES, Source

if TYPE_CHECKING:
    AnyProvider = Provider
    AnySource = Source
else:
    AnyProvider = one_of([entry.settings for entry in PROVIDERS.values()])
    AnySource = one_of([entry.settings for entry in SOURCES.values()])


class Endpoint(Section):
    """A model at a provider."""

    provider: Name = Field(description="a key of providers")
    model: str = Field(min_length=1, description="model id as the provider names it; local: a folder or a hub id")
    revision: str | None = Field(None, description="local only: the hub commit (40 hex digits) to load")
    adapter: Path | None = Field(None, description="local only: a PEFT adapter's folder to load onto the model")
    retires: date | None = Field(
        None, description="day (YYYY-MM-DD, UTC) on which it is shut down; left out: what the provider's API says"
    )


class Production(Section):
    """The sample of production inputs."""

    source: AnySource = Field(description="where production inputs are read from")
    sample: int = Field(100, ge=1, le=10_000, description="inputs per sample")
    stratify: str | None = Field(None, description="dotted path of a field whose values share the sample")
    rubric: str | None = Field(None, description="what the judge asks of an answer to a production input")


class Budget(Section):
    """What a target may cost; reserved before each call, probes, judge and retries alike."""

    usd_per_day: float | None = Field(None, ge=0, description="USD per UTC day; unpriced models are then refused")
    requests_per_day: int | None = Field(None, ge=0, description="requests per UTC day, retries included")


class DeclaredAdapter(Section):
    """The adapter that the subject is meant to serve, as it lies on disk."""

    path: Path = Field(description="the PEFT adapter's folder")
    base_model: str = Field(min_length=1, description="the base model that it was trained on, by its hub id or folder")
    revision: str | None = Field(None, description="the base's commit (40 hex digits), where the adapter names one")


class Target(Section):
    """One endpoint and model that a team depends on."""

    subject: Endpoint = Field(description="what is watched")
    base: Endpoint | None = Field(None, description="the model under the fine-tune, asked beside the subject")
    snapshot: Endpoint | None = Field(
        None, description="the version to roll back to; asked a few probes a run, to know that it still answers"
    )
    adapter: DeclaredAdapter | None = Field(
        None, description="the adapter that the subject is meant to serve; its files are checked against the base"
    )
    suites: tuple[str, ...] = Field((), description="suites to ask: a name in probes/ or shipped, or a path")
    production: Production | None = Field(None, description="the sample of production inputs")
    budget: Budget = Field(default_factory=Budget)

    @property
    def run_suites(self) -> list[str]:
        """The suite names of its runs: a path's is its file's stem; ``production`` for the sample."""
        names = [Path(suite).stem if suite.endswith((".yaml", ".yml")) else Path(suite).name for suite in self.suites]
        return [*names, *([PRODUCTION.suite] if self.production else [])]


class Judge(Endpoint):
    """The model that scores answers by their suite's rubric."""

    anchors: Path | None = Field(
        None, description="file of answers with a person's verdict; the judge scores them on the probes' schedule"
    )
    budget: Budget = Field(default_factory=Budget, description="what scoring the anchors may cost")


class Embeddings(Section):
    """The sentence-transformers model that compares an answer with its reference."""

    model: str = Field(description="a folder, or a hub id")
    revision: str | None = Field(None, description="the hub commit (40 hex digits); required for a hub id")


class Schedule(Section):
    """When runs are due."""

    probes: str = Field("daily", description="'daily', 'every N days' or 'weekly DAY HH:MM', DAY: mon to sun")
    production: str = Field("weekly mon 06:00", description="the same forms, for production samples")
    selftest: str = Field(
        "weekly sun 03:00",
        description="the same forms, for self-tests: faults injected into copies of stored answers, without a call",
    )
    timezone: str = Field("UTC", description="IANA name, for clock times; slots are kept in UTC")
    batches: int = Field(
        6, ge=1, le=96, description="parts a probe run is spread over its day in, each at a jittered time"
    )
    day_seconds: float = Field(
        86_400, ge=1, le=86_400, description="how long a 'day' lasts; shorter than 86400 only for demos and trials"
    )


class Alarms(Section):
    """How often a page may be nothing."""

    false_pages_per_target_year: float = Field(0.1, gt=0, le=365, description="promised upper rate of false pages")


LEAST_TOKEN: Final = 32
"""Characters of a person's token: what ``openssl rand -hex 16`` writes."""


class ActionToken(Section):
    """Where one person's token is kept."""

    token_env: str | None = Field(None, description="name of the environment variable that holds the token")
    token_file: Path | None = Field(None, description="file that holds the token, read at start and at reload")


class Http(Section):
    """Where metrics and pages are served."""

    host: str = Field(DEFAULT_HOST, description="address to listen on")
    port: int = Field(
        DEFAULT_PORT,
        ge=0,
        le=65535,
        description="port for /metrics, /healthz, /readyz, /-/reload and the pages; 0 picks one",
    )
    url: str | None = Field(
        None,
        description="address under which people reach the pages, which answer to no other public name; links in "
        "alerts and mail start with it",
    )
    actions: dict[Name, ActionToken] = Field(
        default_factory=dict,
        description="person -> their token; with one they approve, acknowledge, clear and run from the pages. "
        "None: the pages only read",
    )


class Smtp(Section):
    """The server that takes the mail."""

    host: str = Field(min_length=1, description="the server's name, as its certificate has it")
    port: int = Field(587, ge=1, le=65535, description="587 for STARTTLS, 465 for TLS from the first byte")
    starttls: bool = Field(True, description="turn to TLS before anything else is said; refused where that fails")
    tls: bool = Field(False, description="TLS from the first byte, in place of STARTTLS")
    ca_file: Path | None = Field(None, description="PEM file of the authority to trust, in place of the system's")
    username: str | None = Field(None, description="for the login; left out: no login")
    password_env: str | None = Field(None, description="name of the environment variable that holds the password")
    password_file: Path | None = Field(None, description="file that holds the password, read when mail is sent")


class Email(Section):
    """The weekly e-mail."""

    to: tuple[str, ...] = Field(min_length=1, description="addresses that it goes to")
    sender: str = Field("cliffwatch@localhost", description="address that it comes from")
    smtp: Smtp
    every: str = Field(
        "weekly mon 08:00",
        description="'daily', 'every N days' or 'weekly DAY HH:MM' ('weekly' may be left out), in schedule.timezone",
    )


class Settings(Section):
    """``cliffwatch.yaml``."""

    store: str = Field(
        "sqlite:///cliffwatch.db",
        description="sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE with the password in PGPASSWORD",
    )
    providers: dict[Name, AnyProvider] = Field(min_length=1, description="endpoints by a name of yours")
    judge: Judge | None = Field(None, description="scores answers by rubric; none: only deterministic checks")
    embeddings: Embeddings | None = Field(None, description="none: no similarity scores")
    targets: dict[Name, Target] = Field(min_length=1, description="what to watch, by a name of yours")
    schedule: Schedule = Field(default_factory=Schedule)
    alarms: Alarms = Field(default_factory=Alarms)
    email: Email | None = Field(None, description="none: no mail is sent")
    http: Http = Field(default_factory=Http)
