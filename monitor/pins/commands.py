"""Command lines: installers, downloaders and model servers, in shell scripts, Dockerfiles, manifests and notebooks."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from monitor.pins import values, vendors
from monitor.pins.records import Advice

SERVERS: Final = re.compile(
    r"(?:^|[/.\s])(?:vllm|vllm\.entrypoints\S*|sglang\S*|text-generation-launcher|text-embeddings-router|lmdeploy|"
    r"trtllm-serve|mlx_lm\S*|llama-server|llama-cli|transformers|axolotl\S*|litgpt|tune)(?=$|[\s])"
)
_MODEL_OPTIONS: Final = frozenset(
    (
        "--model",
        "--model-id",
        "--model_id",
        "--model-path",
        "--model_path",
        "--hf-repo",
        "-hf",
        "--base-model",
        "--tokenizer",
    )
)
_TAKES_VALUE: Final = frozenset(("-r", "--requirement", "-i", "--index-url", "--extra-index-url", "-e", "-t"))
_ENDS: Final = frozenset((";", "&&", "||", "|", "&"))


def in_text(text: str, *, serving: bool = False, locked: frozenset[str] = frozenset()) -> Iterator[Advice]:
    """Advice about the commands of one line or of several joined by ``\\``, ``&&`` and ``;``."""
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|")
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:  # an open quote: the line is part of something else
        return
    command: list[str] = []
    for word in (*words, ";"):
        if word in _ENDS or set(word) <= set(";&|"):
            yield from in_words(command, serving=serving, locked=locked)
            command = []
        else:
            command.append(word)


def in_words(words: Sequence[str], *, serving: bool = False, locked: frozenset[str] = frozenset()) -> Iterator[Advice]:
    """Advice about one command. ``serving``: whether it runs in a model server's image."""
    if not words:
        return
    line = " ".join(words)
    if re.search(r"\b(?:pip3?|uv)\b.*\binstall\b|\buv\s+add\b", line):
        yield from _installed(words, locked)
    elif re.search(r"\b(?:huggingface-cli|hf)\s+download\b", line):
        yield from _downloaded(words)
    elif re.search(r"\bdocker\s+(?:run|pull)\b", line):
        yield from (one for word in words if not word.startswith("-") and (one := values.image(word)) and ":" in word)
    elif re.search(r"\bgit\s+clone\b.*huggingface\.co/", line):
        yield from _cloned(words)
    if serving or SERVERS.search(line):
        yield from _served(words)
    yield from _asked(words)


def _installed(words: Sequence[str], locked: frozenset[str]) -> Iterator[Advice]:
    start = next((i for i, word in enumerate(words) if word in ("install", "add")), len(words))
    if any(word in ("-c", "--constraint") for word in words):
        return
    previous = ""
    for word in words[start + 1 :]:
        named = not word.startswith("-") and previous not in _TAKES_VALUE
        if named and (advice := values.requirement(word, locked)):
            yield advice
        previous = word


def _downloaded(words: Sequence[str]) -> Iterator[Advice]:
    start = words.index("download")
    repository = next((word for word in words[start + 1 :] if not word.startswith("-")), "")
    yield from _hub(repository, option(words, "--revision"))


def _cloned(words: Sequence[str]) -> Iterator[Advice]:
    url = next((word for word in words if "huggingface.co/" in word), "").removesuffix(".git")
    yield from _hub(url.removeprefix("https://huggingface.co/"), option(words, "--branch") or option(words, "-b"))


def _served(words: Sequence[str]) -> Iterator[Advice]:
    """The model that a server loads, as an option or as the argument of ``serve``."""
    named = [(name, one) for name in sorted(_MODEL_OPTIONS) if (one := option(words, name))]
    if "serve" in words and (after := words[list(words).index("serve") + 1 :]) and not after[0].startswith("-"):
        named.append(("serve", after[0]))
    for name, model in named:
        revision = option(words, "--tokenizer-revision" if name == "--tokenizer" else "--revision")
        yield from _hub(model, revision)


def _asked(words: Sequence[str]) -> Iterator[Advice]:
    """A vendor's alias given as ``--model``."""
    for name in ("--model", "-m", "--model-name", "--judge-model"):
        model = option(words, name)
        if model and vendors.bare(model) not in vendors.AMBIGUOUS and (advice := vendors.advice(model)):
            yield advice


def _hub(model: str, revision: str | None) -> Iterator[Advice]:
    if (found := values.hub_id(model)) and (advice := values.hub(found[0], revision or found[1])):
        yield advice


def option(words: Sequence[str], name: str) -> str | None:
    """Value of ``--name value`` or ``--name=value``."""
    for index, word in enumerate(words):
        if word == name and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None
