"""The catalogue of sources of production inputs: for each kind its settings and the function that reads it.

A new kind is one module ``monitor/sample/NAME.py`` and one entry here. An entry names its reader as ``module:name``,
and the module is imported on first use. The JSON Schema, ``docs/config.md`` and the messages of ``check`` are made from
the entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from monitor.core.kinds import kinds_of
from monitor.core.section import FilePattern, Section


class Source(Section):
    """Source of the production inputs."""

    kind: str
    messages: str = Field("messages", description="dotted path to the chat messages of a request")
    prompt: str | None = Field(None, description="dotted path to a plain prompt, if a request has no messages")
    time: str | None = Field(None, description="dotted path to the time of the request, in any common form")
    where: dict[str, str] = Field(
        default_factory=dict, description="dotted path -> value; only matching requests are read"
    )

    @property
    def pushed(self) -> bool:
        """Whether clients send the inputs to the daemon's port; ``False`` for a kind that does not exist."""
        return self.kind in SOURCES and SOURCES[self.kind].pushed

    @property
    def has_time(self) -> bool:
        """Whether requests have a time, so that only those of the period are read."""
        return self.time is not None


@dataclass(frozen=True, slots=True)
class SourceKind:
    """Properties of one kind of source."""

    read: str
    """``module:function`` of the ``sample.request_log.ReadSource``; if ``pushed``, a ``sample.pushed.ReadBody``."""
    settings: type[Source]
    pushed: bool = False
    """Clients send the inputs to the daemon's port. The daemon keeps a sample of them in the store."""


SOURCES: Final[dict[str, SourceKind]] = {}
"""Kind -> its entry, in the order of this file."""

Model = TypeVar("Model", bound=type[Source])


def catalogued(read: str, *, pushed: bool = False) -> Callable[[Model], Model]:
    """Class decorator: add the settings to the catalogue; ``read`` is the ``module:function`` of their reader."""

    def add(settings: Model) -> Model:
        for kind in kinds_of(settings):
            SOURCES[kind] = SourceKind(read, settings, pushed)
        return settings

    return add


Format = Literal["litellm", "otel", "openinference", "openai", "langfuse", "helicone", "vertex"]
"""Who wrote the records of a file: decides where they have messages and times, and which of them are requests."""

TIMED: Final[frozenset[Format]] = frozenset({"litellm", "otel", "openinference", "langfuse", "helicone", "vertex"})
"""Formats whose records have a time. Bodies of ``openai`` have none."""


class FileSource(Source):
    """Source of the production inputs: files, or objects of a store."""

    path: Annotated[str, FilePattern()] = Field(
        min_length=1,
        description="file or glob; also s3://, gs:// and az://; rotated and compressed files are also read",
    )
    format: Format | None = Field(
        None, description="who wrote the records; sets messages, time and which records are requests, if they are unset"
    )

    @property
    def pushed(self) -> bool:
        """Whether clients send the inputs to the daemon's port; ``False`` for a kind that does not exist."""
        return self.kind in SOURCES and SOURCES[self.kind].pushed

    @property
    def has_time(self) -> bool:
        return self.time is not None or ("time" not in self.model_fields_set and self.format in TIMED)


@catalogued(read="monitor.sample.jsonl:read")
class JsonlSource(FileSource):
    """Request logs, one JSON object per line."""

    kind: Literal["jsonl"] = Field(description="request logs, one JSON object per line; also compressed")


@catalogued(read="monitor.sample.csv:read")
class CsvSource(FileSource):
    """Request logs as CSV with a header."""

    kind: Literal["csv"] = Field(description="request logs as CSV with a header; also compressed")


@catalogued(read="monitor.sample.parquet:read")
class ParquetSource(FileSource):
    """Request logs in Parquet files."""

    kind: Literal["parquet"] = Field(description="request logs in Parquet files; needs cliffwatch[files]")


class DatabaseSource(Source):
    """A database that SQLAlchemy connects to. It is only read."""

    url_env: str = Field(
        min_length=1,
        description="name of the environment variable that contains the URL of the database, as SQLAlchemy writes it",
    )
    timeout_seconds: float = Field(60, gt=0, le=3600, description="timeout of one statement, in seconds")


@catalogued(read="monitor.sample.litellm:read")
class LiteLLMSource(DatabaseSource):
    """The spend log of a LiteLLM proxy, in its PostgreSQL database."""

    kind: Literal["litellm"] = Field(description="the spend log of a LiteLLM proxy, which must store prompts")
    messages: str = Field("proxy_server_request", description="dotted path to the body of a request or its messages")
    time: str = Field("startTime", description="column of the time of the request")


@catalogued(read="monitor.sample.sql:read")
class SqlSource(DatabaseSource):
    """A table or a query of any database that SQLAlchemy connects to."""

    kind: Literal["sql"] = Field(description="a table or query of an SQL database")
    table: str | None = Field(None, min_length=1, description="table or view, also as schema.table")
    query: str | None = Field(None, min_length=1, description="SELECT statement, in place of a table")
    time: str = Field(
        min_length=1, description="column of the time of the request; times without a zone are UTC; best with an index"
    )
    key: str = Field(min_length=1, description="unique column, such as the primary key; orders rows of the same time")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("kind sql needs either 'table' or 'query'")
        return self


@catalogued(read="monitor.sample.http:read", pushed=True)
class HttpSource(Source):
    """Inputs that programs send to `POST /api/v1/inputs` of the daemon."""

    kind: Literal["http"] = Field(description="inputs that programs send to `POST /api/v1/inputs` of the daemon")
    time: str | None = Field(
        "time", description="dotted path to the time of the request, in any common form; default: the time of arrival"
    )


@catalogued(read="monitor.sample.otlp:read", pushed=True)
class OtlpSource(Source):
    """Spans that OpenTelemetry SDKs and Collectors send to `POST /v1/traces` of the daemon."""

    kind: Literal["otlp"] = Field(
        description="spans that OpenTelemetry SDKs and Collectors send to `POST /v1/traces` of the daemon"
    )
    messages: str = Field("attributes.gen_ai.input.messages", description="dotted path to the chat messages in a span")
    time: str | None = Field("start_time", description="dotted path to the time of the request in a span")


def _server(url: str) -> str:
    """``url`` if it is that of a server. Raises ValueError, without the URL, which may contain a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http:// or https:// URL with a host, without a query")
    if "@" in parts.netloc:
        raise ValueError("contains a user or password; remove it, and name its environment variable")
    return url


class ApiSource(Source):
    """Source that is read from a server's JSON API."""

    base_url: Annotated[str, AfterValidator(_server)] = Field(
        description="URL of the server, without the API's own path"
    )


@catalogued(read="monitor.sample.langfuse:read")
class LangfuseSource(ApiSource):
    """Generations that Langfuse recorded."""

    kind: Literal["langfuse"] = Field(description="generations in Langfuse, by its API; self-hosted from version 4")
    base_url: Annotated[str, AfterValidator(_server)] = Field(
        "https://cloud.langfuse.com", description="URL of the Langfuse server"
    )
    public_key_env: str = Field("LANGFUSE_PUBLIC_KEY", description="environment variable with the public key")
    secret_key_env: str = Field("LANGFUSE_SECRET_KEY", description="environment variable with the secret key")
    messages: str = Field("input", description="dotted path to the chat messages of a generation")
    time: str | None = Field("startTime", description="dotted path to the time of a generation")


@catalogued(read="monitor.sample.mlflow:read")
class MlflowSource(ApiSource):
    """Spans of models that an MLflow tracking server recorded."""

    kind: Literal["mlflow"] = Field(description="traces in MLflow, by its API; from version 3")
    experiments: list[str] = Field(min_length=1, description="names or ids of the experiments that hold the traces")
    token_env: str | None = Field(None, description="environment variable with a bearer token")
    username: str | None = Field(None, description="user for basic authentication, with `password_env`")
    password_env: str | None = Field(None, description="environment variable with the password of `username`")
    messages: str = Field("inputs", description="dotted path to the chat messages of a span")
    time: str | None = Field("time", description="dotted path to the time of a span: that of its trace")


@catalogued(read="monitor.sample.phoenix:read")
class PhoenixSource(ApiSource):
    """LLM spans that Arize Phoenix recorded."""

    kind: Literal["phoenix"] = Field(description="LLM spans in Arize Phoenix, by its API")
    project: str = Field("default", min_length=1, description="name or id of the project")
    api_key_env: str | None = Field(None, description="environment variable with the API key")
    time: str | None = Field("start_time", description="dotted path to the time of a span")
