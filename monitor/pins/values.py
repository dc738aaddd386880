"""Rules for single values: hub ids and revisions, container images, library requirements."""

import re
from typing import Final

from monitor.pins.records import Advice, Rule

LIBRARIES: Final = frozenset(
    [
        "transformers",
        "peft",
        "vllm",
        "accelerate",
        "bitsandbytes",
        "tokenizers",
        "sentence-transformers",
        "unsloth",
        "optimum",
        "auto-gptq",
        "autoawq",
        "gptqmodel",
        "flash-attn",
        "llama-cpp-python",
        "sglang",
        "lmdeploy",
        "tensorrt-llm",
        "ctranslate2",
        "text-generation-server",
        "exllamav2",
        "mlx-lm",
    ]
)
"""Libraries that decide what a model answers: weights, tokenizer, chat template, adapter, kernels."""
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_HUB: Final = re.compile(
    r"(?:hf://|https://huggingface\.co/)?([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([\w./-]+))?"
)
_VENDORS: Final = re.compile(
    r"(?:openai/(?!gpt-oss|whisper|clip)|azure|anthropic/|gemini/|vertex_ai|bedrock|openrouter/|groq/|litellm|ollama|"
    r"together_ai|fireworks_ai|cohere/|replicate/|mistral/|models/|data/|checkpoints?/|outputs?/|adapters?/|configs?/|"
    r"src/|tests?/|prompts?/|results?/|logs?/|application/|text/|image/|audio/|users?/)",
    re.I,
)
"""Beginnings of names with a slash that are no hub ids: gateways' prefixes, folders, media types."""
_FILE: Final = re.compile(
    r"\.(?:ya?ml|json|jsonl|csv|txt|md|py|sh|parquet|safetensors|bin|pt|pth|gguf|toml|onnx)$", re.I
)
_BARE: Final = frozenset(
    [
        "gpt2",
        "gpt2-medium",
        "gpt2-large",
        "gpt2-xl",
        "distilgpt2",
        "bert-base-uncased",
        "bert-base-cased",
        "bert-large-uncased",
        "distilbert-base-uncased",
        "roberta-base",
        "roberta-large",
        "t5-small",
        "t5-base",
        "t5-large",
        "xlm-roberta-base",
        "all-MiniLM-L6-v2",
        "all-mpnet-base-v2",
    ]
)
_SERVES: Final = re.compile(
    r"(?:^|[/._-])(?:vllm|tgi|text-generation-inference|text-embeddings-inference|sglang|ollama|llama[.-]?cpp|"
    r"tritonserver|nim|lmdeploy|litellm|localai|local-ai|tensorrt-llm|trtllm|ray-llm|huggingface\w*|llms?|lora|peft|"
    r"transformers[\w-]*|pytorch|xinference|lorax|openllm|aphrodite\w*|tabbyapi|mlserver|djl-serving)(?=$|[/:._-])",
    re.I,
)
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(.*)")
UNKNOWN: Final = re.compile(r"\$|\{\{|__templated__|<[a-z]|%\(|\{[a-z_]+\}", re.I)
"""A value that another place sets."""


def is_commit(revision: str) -> bool:
    return _COMMIT.fullmatch(revision) is not None


def hub_id(text: str, *, bare: bool = False) -> tuple[str, str | None] | None:
    """Repository and revision of a hub id or ``hf://`` URL; None for paths, URLs and gateways' names.

    ``bare``: whether well-known names without an organisation count.
    """
    if bare and text in _BARE:
        return text, None
    found = _HUB.fullmatch(text)
    if found is None or UNKNOWN.search(text):
        return None
    explicit = text.startswith(("hf://", "https://huggingface.co/"))
    if not explicit and (_VENDORS.match(text) or _FILE.search(found[1])):
        return None
    return found[1], found[2]


def hub(repository: str, revision: str | None) -> Advice | None:
    """Advice about a hub repository. ``revision``: what is written; None if nothing is."""
    if revision and (is_commit(revision) or UNKNOWN.search(revision)):
        return None
    if revision:
        what = f"revision '{revision}' of '{repository}' is a branch or tag, which can move"
    else:
        what = f"'{repository}' has no revision, so the newest commit of its default branch is loaded"
    instead = f"use the commit (40 hex digits) of https://huggingface.co/{repository}/commits as revision"
    return Advice(Rule.HUB_REVISION, what, instead)


def serves(image: str) -> bool:
    """Whether the name of an image is one of a model server or of a library that loads models."""
    return _SERVES.search(image.partition("@")[0]) is not None


def image(name: str, *, decides: bool = False) -> Advice | None:
    """Advice about a container image. ``decides``: whether it counts whatever its name."""
    name = name.strip()
    if not name or UNKNOWN.search(name) or "@sha256:" in name or name == "scratch":
        return None
    if not decides and not serves(name):
        return None
    last = name.rpartition("/")[2]
    repository, _, tag = name.rpartition(":") if ":" in last else (name, "", "")
    what = f"image '{name}' " + ("is named by a tag, which can move" if tag else "has no tag, so it is 'latest'")
    shown = f"{repository}:{tag}@sha256:..." if tag else f"{repository}@sha256:..."
    return Advice(Rule.IMAGE_TAG, what, f"use '{shown}', with the digest of `docker buildx imagetools inspect {name}`")


def requirement(text: str, locked: frozenset[str] = frozenset()) -> Advice | None:
    """Advice about one requirement, as in ``requirements.txt``; None for other libraries and exact versions."""
    line = re.split(r"\s#|\s--", text.strip(), maxsplit=1)[0].strip()
    found = _REQUIREMENT.fullmatch(line)
    if found is None or line.startswith("-"):
        return None
    name, spec = normal(found[1]), found[3].partition(";")[0].strip().strip("()").strip()
    if name not in LIBRARIES or name in locked or UNKNOWN.search(spec):
        return None
    return library(name, spec)


def library(name: str, spec: str) -> Advice | None:
    """Advice about a library whose name is known to decide. ``spec``: ``==1.2``, ``>=1``, ``@ git+https://...``."""
    if exact(spec):
        return None
    what = f"'{name}{spec if spec.startswith(('=', '<', '>', '~', '!')) else f' {spec}' if spec else ''}'"
    why = (
        "follows a branch or tag" if spec.startswith("@") else "accepts any newer version" if spec else "has no version"
    )
    instead = "use a commit" if spec.startswith("@") else f"use '{name}==VERSION', or commit a lock file"
    return Advice(Rule.LIBRARY_VERSION, f"{what} {why}", instead)


def exact(spec: str) -> bool:
    """Whether a version specifier allows one version only."""
    if spec.startswith("@"):
        where = spec[1:].strip()
        commit = re.search(r"@([0-9a-f]{7,40})(?:#|$)", where)
        return commit is not None or ("git+" not in where and re.search(r"\.(whl|tar\.gz|zip)(#|$)", where) is not None)
    return any(re.fullmatch(r"={2,3}\s*[\w.!+-]+", part.strip()) is not None for part in spec.split(","))


def normal(name: str) -> str:
    """A package's name in its normal form: lower case, ``-`` between words."""
    return re.sub(r"[-_.]+", "-", name).lower()
