"""Frozen settings: every key of ``cliffwatch.yaml`` with its meaning and default.

``monitor.config`` reads the file into these records and reports its problems. The descriptions are the documentation:
the published JSON Schema and ``docs/config.md`` are generated from them.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from monitor.core.kinds import one_of
from monitor.core.limits import DEFAULT_HOST, DEFAULT_PORT
from monitor.core.providers import PROVIDERS, Provider
from monitor.core.records import DataKind
from monitor.core.run_kinds import FROZEN, PRODUCTION
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

    provider: Name = Field(description="name of a provider in `providers`")
    model: str = Field(min_length=1, description="model id at the provider; for kind local, a folder or a hub id")
    revision: str | None = Field(None, description="kind local only: hub commit to load (40 hex digits)")
    adapter: Path | None = Field(None, description="kind local only: folder of the PEFT adapter to load")
    retires: date | None = Field(
        None,
        description="shutdown date of the model (YYYY-MM-DD, UTC); default: the date that the provider's API returns",
    )


class Snapshot(Endpoint):
    """The version to roll back to, or the dated version behind an alias."""

    compare: bool = Field(
        False,
        description="ask the snapshot everything that the subject is asked, production inputs included, and compare "
        "the answers (signal alias_moved); default: five probes per run",
    )


class Production(Section):
    """The sample of production inputs."""

    source: AnySource = Field(description="source of the production inputs")
    sample: int = Field(100, ge=1, le=10_000, description="number of inputs per sample")
    frozen: int = Field(
        0,
        ge=0,
        le=10_000,
        description="number of inputs of the frozen sample, drawn once and asked again with each sample; 0: none",
    )
    stratify: str | None = Field(
        None, description="dotted path of a field; each of its values gets its share of the sample"
    )
    rubric: str | None = Field(None, description="criterion by which the judge scores answers to production inputs")
    replay: Literal["text", "whole"] = Field(
        "text",
        description="what is asked of a logged request: its text, or also its tools, response_format and sampling "
        "parameters; a change needs a new baseline",
    )
    subject_key: str | None = Field(
        None,
        description="dotted path of the field that names the person, such as `user`; stored only as a keyed hash, so "
        "that `forget` and `export-data` find the person's inputs",
    )
    keep: Literal["texts", "hashes"] = Field(
        "texts",
        description="what is stored of inputs and answers: their texts, or only lengths, keyed hashes and scores",
    )

    @property
    def keeps_texts(self) -> bool:
        """Whether texts of inputs and answers are stored."""
        return self.keep == "texts"

    @property
    def needs_key(self) -> bool:
        """Whether keyed hashes are stored."""
        return self.subject_key is not None or not self.keeps_texts


class Budget(Section):
    """Daily limits of a target. Reserved before each call, for probes, judge and retries."""

    usd_per_day: float | None = Field(
        None, ge=0, description="maximum USD per UTC day; requires a price for every model"
    )
    requests_per_day: int | None = Field(None, ge=0, description="maximum requests per UTC day, including retries")


class DeclaredAdapter(Section):
    """The adapter on disk that the subject is expected to serve."""

    path: Path = Field(description="folder of the PEFT adapter")
    base_model: str = Field(
        min_length=1, description="hub id or folder of the base model that the adapter was trained on"
    )
    revision: str | None = Field(None, description="commit of the base model (40 hex digits), if the adapter names one")


class Target(Section):
    """One endpoint and model that a team depends on."""

    subject: Endpoint = Field(description="the model to watch")
    base: Endpoint | None = Field(
        None, description="the model under the fine-tune; gets the same probes, most runs an eighth of them"
    )
    snapshot: Snapshot | None = Field(
        None,
        description="the version to roll back to; gets a few probes per run to check that it still answers, or all of "
        "them with `compare`",
    )
    adapter: DeclaredAdapter | None = Field(
        None, description="the adapter that the subject is expected to serve; its files are checked against the base"
    )
    suites: tuple[str, ...] = Field(
        (), description="suites to run: the name of a file in probes/ or of a shipped suite, or a path"
    )
    production: Production | None = Field(None, description="the sample of production inputs")
    budget: Budget = Field(default_factory=Budget)

    @property
    def run_suites(self) -> list[str]:
        """Suite names of the target's runs: the file's stem for a path, the reserved names for the samples."""
        names = [Path(suite).stem if suite.endswith((".yaml", ".yml")) else Path(suite).name for suite in self.suites]
        if self.production is not None:
            names += [PRODUCTION.suite, *([FROZEN.suite] if self.production.frozen else [])]
        return names


class Judge(Endpoint):
    """The model that scores answers by the rubric of their suite."""

    anchors: Path | None = Field(
        None, description="file of answers with a person's verdict; the judge scores them on the schedule of the probes"
    )
    budget: Budget = Field(default_factory=Budget, description="budget for scoring the anchors")


class Embeddings(Section):
    """The sentence-transformers model that compares answers with their references."""

    model: str = Field(description="a folder, or a hub id")
    revision: str | None = Field(None, description="hub commit (40 hex digits); required for a hub id")


class Schedule(Section):
    """When runs are due."""

    probes: str = Field(
        "daily", description="schedule of probe runs: 'daily', 'every N days' or 'weekly DAY HH:MM' (DAY: mon to sun)"
    )
    production: str = Field("weekly mon 06:00", description="schedule of production samples, in the same format")
    selftest: str = Field(
        "weekly sun 03:00",
        description="schedule of self-tests, in the same format; they inject faults into copies of stored answers",
    )
    timezone: str = Field("UTC", description="IANA time zone of days and clock times; times are stored in UTC")
    batches: int = Field(
        6, ge=1, le=96, description="number of batches that a probe run is spread over its day in, at randomized times"
    )
    day_seconds: float = Field(
        86_400, ge=1, le=86_400, description="length of a day in seconds; less than 86400 only for demos and tests"
    )


class Alarms(Section):
    """Alarm policy."""

    false_pages_per_target_year: float = Field(0.1, gt=0, le=365, description="maximum rate of false pages")


class Retention(Section):
    """Days for which data is kept, by kind, from the end of its run."""

    texts: int | None = Field(
        365,
        ge=1,
        description="days for texts: sampled inputs, answers, verdicts of the judge, examples in findings, "
        "log-probabilities; null keeps them",
    )
    exchanges: int | None = Field(
        90, ge=1, description="days for raw exchanges, which contain the texts: at most `texts`; null is `texts`"
    )
    embeddings: int | None = Field(365, ge=1, description="days for embeddings of answers; null keeps them")
    scores: int | None = Field(730, ge=1, description="days for scores of answers; null keeps them")
    findings: int | None = Field(730, ge=1, description="days for findings; null keeps them")

    @property
    def days(self) -> dict[DataKind, int]:
        """Kind -> its days; without the kinds that are kept."""
        given = (self.texts, self.exchanges)
        exchanges = min((one for one in given if one is not None), default=None)
        found = {
            DataKind.TEXTS: self.texts,
            DataKind.EXCHANGES: exchanges,
            DataKind.EMBEDDINGS: self.embeddings,
            DataKind.SCORES: self.scores,
            DataKind.FINDINGS: self.findings,
        }
        return {kind: days for kind, days in found.items() if days is not None}


LEAST_TOKEN: Final = 32
"""Minimum length of a token in characters: the output of ``openssl rand -hex 16``."""


class ActionToken(Section):
    """Location of the token of a person or client."""

    token_env: str | None = Field(None, description="name of the environment variable that contains the token")
    token_file: Path | None = Field(None, description="file that contains the token; read at start and reload")


class Http(Section):
    """The HTTP server for metrics and pages."""

    host: str = Field(DEFAULT_HOST, description="address to listen on")
    port: int = Field(
        DEFAULT_PORT,
        ge=0,
        le=65535,
        description="port of /metrics, /healthz, /readyz, /-/reload and the pages; 0 picks a free port",
    )
    url: str | None = Field(
        None,
        description="public URL of the pages; links in alerts and mail start with it, and pages reject other public "
        "host names",
    )
    actions: dict[Name, ActionToken] = Field(
        default_factory=dict,
        description="person -> token; people with a token can approve, acknowledge, clear and run from the pages; "
        "default: the pages are read-only",
    )
    inputs: dict[Name, ActionToken] = Field(
        default_factory=dict,
        description="client -> token; a client with a token can send production inputs to targets with a source of "
        "kind http or otlp, and nothing else; default: no inputs are taken",
    )


class Smtp(Section):
    """The mail server."""

    host: str = Field(min_length=1, description="host name of the server, as in its certificate")
    port: int = Field(587, ge=1, le=65535, description="587 for STARTTLS, 465 for TLS from the first byte")
    starttls: bool = Field(True, description="switch to TLS before login and mail; mail is not sent if that fails")
    tls: bool = Field(False, description="TLS from the first byte, instead of STARTTLS")
    ca_file: Path | None = Field(
        None, description="PEM file of the certificate authority to trust, instead of the system's"
    )
    username: str | None = Field(None, description="user name for the login; default: no login")
    password_env: str | None = Field(None, description="name of the environment variable that contains the password")
    password_file: Path | None = Field(None, description="file that contains the password; read when mail is sent")


class Email(Section):
    """The weekly e-mail."""

    to: tuple[str, ...] = Field(min_length=1, description="addresses of the recipients")
    sender: str = Field("cliffwatch@localhost", description="address of the sender")
    smtp: Smtp
    every: str = Field(
        "weekly mon 08:00",
        description="'daily', 'every N days' or 'weekly DAY HH:MM' ('weekly' is optional), in schedule.timezone",
    )


class Settings(Section):
    """The sections of ``cliffwatch.yaml``."""

    store: str = Field(
        "sqlite:///cliffwatch.db",
        description="sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE with the password in PGPASSWORD",
    )
    providers: dict[Name, AnyProvider] = Field(min_length=1, description="endpoints, by a name that you choose")
    judge: Judge | None = Field(
        None, description="scores answers by rubric; default: no judge, only deterministic checks"
    )
    embeddings: Embeddings | None = Field(
        None, description="model for similarity scores; default: no similarity scores"
    )
    targets: dict[Name, Target] = Field(min_length=1, description="what to watch, by a name that you choose")
    schedule: Schedule = Field(default_factory=Schedule)
    alarms: Alarms = Field(default_factory=Alarms)
    email: Email | None = Field(None, description="the weekly e-mail; default: no mail is sent")
    http: Http = Field(default_factory=Http)
    retention: Retention = Field(default_factory=Retention)
