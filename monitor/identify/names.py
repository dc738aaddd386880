"""Whether two model names can be the same model: aliases, tags, revisions, prefixes, paths and dated versions.

Servers list a model under another name than the one that requests use. Names that differ only in a form that some
server adds or leaves out are equal here; names that contradict each other are not.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

LONGEST_NAME: Final = 1_000
"""Longer names are compared by equality only."""

NEUTRAL: Final = frozenset(("latest", "stable", "default", "current", "main"))
"""Tags and suffixes for the version that a bare name means."""
ROUTING: Final = frozenset(("nitro", "floor", "free", "online", "exacto", "extended", "beta", "thinking"))
"""OpenRouter's variants of any id. Its list has the bare id only."""
_FOLDERS: Final = frozenset(("models", "model", "publishers", "accounts", "projects", "locations", "endpoints"))
"""Parts of a resource name that say nothing about the model."""

_ABSOLUTE: Final = re.compile(r"^(?:/|\.{1,2}/|~|[a-z]:/|file:)")
_HUB: Final = re.compile(r"^(?:https?://)?(?:hf\.co|huggingface\.co)/|^hf://(?:models/)?")
_CACHE: Final = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)(?:/snapshots/[^/]+)?(?:/|$)")
_FILE: Final = re.compile(r"(?:-\d{5}-of-\d{5})?\.(?:gguf|ggml|bin|safetensors|pt|pth|onnx|mlpackage|llamafile)$")
_QUANT: Final = re.compile(r"[-._](i?q\d(?:_[a-z0-9]+)*|[bf]?f16|f32|fp16|mxfp4)$")
_BEDROCK: Final = re.compile(
    r"^(?:(?:us|eu|apac|ap|jp|au|ca|sa|global|us-gov)\.)?"
    r"(?:anthropic|meta|amazon|mistral|cohere|ai21|deepseek|openai|qwen|writer|google|nvidia|moonshot|minimax|zai)\."
)
_BEDROCK_VERSION: Final = re.compile(r"-v\d+:\d+(?::\d+k)?$")
_NEUTRAL_SUFFIX: Final = re.compile(rf"[-_](?:{'|'.join(sorted(NEUTRAL - {'main', 'default'}))})$")
_PREVIEW: Final = re.compile(r"[-_](preview|exp|experimental)$")
_VERSIONS: Final = (
    re.compile(r"[-_.@](20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])$"),  # 2024-08-06, 20240806
    re.compile(r"[-_](0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"),  # 05-06
    re.compile(r"[-_](0[1-9]|1[0-2])-(20\d\d)$"),  # 08-2024
    re.compile(r"[-_@](0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"),  # 0613
    re.compile(r"[-_](2[2-9])(0[1-9]|1[0-2])$"),  # 2407
    re.compile(r"[-_](00\d)$"),  # 001
    re.compile(r"[-_]v(\d+(?:\.\d+)*)$"),  # v1.2
)
_KINDS: Final = ("day", "month_day", "month", "month_day", "month", "number", "number")
_COPY: Final = re.compile(
    r"[-_.](?:unsloth|bnb|gptq(?:-?v\d)?|awq|fp8|nvfp4|mxfp4|fp4|w\d+a\d+|quantized|gguf|mlx|exl2|[48]-?bit|int[48]|"
    r"bf16|fp16|dynamic|marlin|hf|neuron)(?=[-_.]|$)"
)


@dataclass(frozen=True, slots=True)
class Version:
    """A version at the end of a name; ``kind`` says what ``value`` can be compared with."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """The parts of a model's name."""

    core: str
    org: tuple[str, ...] = ()
    """What stands before the last slash; empty for a file's path."""
    version: Version | None = None
    tag: str = ""
    quant: str = ""
    path: str = ""
    """The whole path of a file or folder; empty for other names."""


@lru_cache(maxsize=50_000)
def parsed(text: str) -> Name:
    """The parts of a name.

    >>> parsed("models/Gemini-2.0-flash-001").version, parsed("org/x:latest").org, parsed("gpt-4o-2024-08-06").core
    (Version(kind='number', value='1'), ('org',), 'gpt-4o')
    """
    if len(text) > LONGEST_NAME or text[:3].casefold() == "ft:":
        return Name(text)
    whole = normalize("NFKC", unquote(text)).strip().casefold().replace("\\", "/")
    if cached := _CACHE.search(whole):
        whole = f"{cached[1]}/{cached[2]}"
    whole = _HUB.sub("", whole)
    path = [part for part in whole.split("/") if part not in ("", ".", "..", "~", "file:")]
    if not path:
        return Name(whole)
    if _ABSOLUTE.match(whole):
        return replace(_last(path[-1], ()), path="/".join(path))
    return _last(path[-1], tuple(part for part in path[:-1] if part not in _FOLDERS))


def _last(last: str, org: tuple[str, ...]) -> Name:
    """The name whose last part, after every slash, is ``last``."""
    last = _BEDROCK_VERSION.sub("", _BEDROCK.sub("", last))
    last, tag = _tagged(last)
    quant = ""
    if file := _FILE.search(last):
        last = last[: file.start()]
        if found := _QUANT.search(last):
            last, quant = last[: found.start()], found[1]
    last = _NEUTRAL_SUFFIX.sub("", last)
    preview = _PREVIEW.search(last)
    last, version = _versioned(last[: preview.start()] if preview else last)
    core = re.sub(r"[\s_.]+", "-", _NEUTRAL_SUFFIX.sub("", last) + (f"-{preview[1]}" if preview else ""))
    return Name(re.sub(r"^gpt-35(?=-|$)", "gpt-3-5", core), org, version, tag, quant)


def _tagged(last: str) -> tuple[str, str]:
    """The name without its tag or revision, and the tag; "" for one that a bare name means, and for a date."""
    for mark in ("@", ":"):
        head, found, tag = last.partition(mark)
        if found and head:
            if mark == "@" and _versioned(f"x@{tag}")[1] is not None:
                return last, ""  # read as a version
            return head, "" if tag in NEUTRAL else f"@{tag}" if mark == "@" else tag
    return last, ""


def _versioned(name: str) -> tuple[str, Version | None]:
    for kind, pattern in zip(_KINDS, _VERSIONS, strict=True):
        found = pattern.search(name)
        if found and found.start() > 0:
            return name[: found.start()], Version(kind, _value(kind, found.groups()))
    return name, None


def _value(kind: str, groups: tuple[str, ...]) -> str:
    if kind == "month":  # MM-YYYY or YYMM
        month, year = groups if len(groups[1]) == 4 else (groups[1], f"20{groups[0]}")
        return f"{year}-{month}"
    return groups[0].lstrip("0") or "0" if kind == "number" else "-".join(groups)


def serves(listed: str, asked: str) -> bool:
    """Whether a model that is listed under one name answers requests for another, as far as names show.

    A bare name means any version of it; a version means only itself. A prefix such as a team or an organisation may be
    missing on either side.

    >>> serves("gpt-4o-2024-08-06", "gpt-4o"), serves("gpt-4o", "gpt-4o-2024-08-06"), serves("llama3:70b", "llama3")
    (True, False, False)
    """
    if listed == asked:
        return True
    there, here = parsed(listed), parsed(asked)
    if there.path and here.path:
        return there.path == here.path
    if there.core != here.core or not _compatible(there.org, here.org):
        return False
    if here.tag != there.tag and not (here.tag in ROUTING and not there.tag) and not _one_revision(here.tag, there.tag):
        return False
    if here.quant and here.quant != there.quant:
        return False
    return here.version is None or agree(here.version, there.version) is True


def _one_revision(one: str, other: str) -> bool:
    """Whether one side names a revision and the other leaves it out, as lists do."""
    return (one.startswith("@") and not other) or (other.startswith("@") and not one)


def _compatible(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one is empty or the end of the other: ``team-a/org/x`` and ``org/x``."""
    short, long = sorted((one, other), key=len)
    return not short or long[-len(short) :] == short


def agree(one: Version | None, other: Version | None) -> bool | None:
    """Whether two versions are the same; ``None`` if they cannot be compared."""
    if one is None or other is None:
        return None
    if one.kind == other.kind:
        return one.value == other.value
    kinds = {one.kind: one.value, other.kind: other.value}
    if kinds.keys() == {"day", "month_day"}:
        return kinds["day"].endswith(kinds["month_day"])
    if kinds.keys() == {"day", "month"}:
        return kinds["day"].startswith(kinds["month"])
    return None


def contradicts(declared: str, said: str) -> bool:
    """Whether a reply names another version of the declared model than the declared one.

    >>> contradicts("gpt-4o-2024-08-06", "gpt-4o-2024-11-20"), contradicts("gpt-4o", "gpt-4o-2024-11-20")
    (True, False)
    """
    here, there = parsed(declared), parsed(said)
    same = here.core == there.core and _compatible(here.org, there.org)
    return same and agree(here.version, there.version) is False


def copies(one: str, other: str) -> bool:
    """Whether two bases can be the same weights: the same name, or quantised and mirrored copies of it.

    >>> copies("unsloth/Llama-3.1-8B-Instruct-bnb-4bit", "meta-llama/Llama-3.1-8B-Instruct")
    True
    """
    here, there = (parsed(text) for text in (one, other))
    same = here.version is None or there.version is None or agree(here.version, there.version) is not False
    return same and _COPY.sub("", here.core) == _COPY.sub("", there.core)


class Index:
    """Names of a list by their core, so that a long list is read once."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_core: dict[str, list[str]] = {}
        for name in names:
            self._by_core.setdefault(parsed(name).core, []).append(name)

    def find(self, asked: str) -> str | None:
        """The listed name that serves ``asked``: a bare one before a dated one."""
        found = [name for name in self._by_core.get(parsed(asked).core, ()) if serves(name, asked)]
        return min(found, key=lambda name: (parsed(name).version is not None, name), default=None)


def fits(pattern: str, name: str) -> bool:
    """Whether a name fits a listed pattern such as ``openai/*``. Only ``*`` is special."""
    parts = [re.escape(part) for part in pattern.split("*")]
    return len(parts) > 1 and re.fullmatch(".*".join(parts), name, re.DOTALL) is not None


def names_of(entry: Mapping[str, object]) -> Iterator[str]:
    """All names under which a list's entry can be asked for, the id first."""
    keys = ("id", "model", "name", "model_name", "model_id", "modelId", "slug", "canonical_slug", "key", "model_group")
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str) and value:
            yield value
    aliases = entry.get("aliases")
    if isinstance(aliases, list):
        yield from (one for one in aliases if isinstance(one, str) and one)
