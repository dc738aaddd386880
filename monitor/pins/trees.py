"""Parsed YAML and TOML with the line of each value, and the rules for keys that name a model, an image or a command."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from monitor.pins import commands, values, vendors
from monitor.pins.records import Advice, Found, UnreadableError

MAX_DEPTH: Final = 60
MAX_NODES: Final = 200_000
TEMPLATED: Final = "__templated__"

_MODEL_KEY: Final = re.compile(
    r"(?:^|.*[_.-])(?:model|llm)(?:[_-]?(?:name|id))?$|^(?:model|llm)(?:name|id)?$|.*Model(?:Name|Id)?$"
)
_NOT_MODEL_KEY: Final = re.compile(r"served|alias|price|cost|label|title|display", re.I)
_HUB_KEY: Final = re.compile(
    r"(?:model_name_or_path|pretrained_model_name_or_path|base_model(?:_name_or_path)?|model_?uri|model_?url|"
    r"storage_?uri|hf_model(?:_id)?|hf_repo(?:_id)?|repo_id|hub_model|adapter_model|lora_model|hf_model_name)",
    re.I,
)
_LOADS: Final = re.compile(
    r"^(?:tensor_?parallel|dtype|torch_?dtype|quantization|max_?model_?len|gpu_?memory|trust_?remote|load_in_|lora|"
    r"enable_?lora|attn_?impl|tokenizer$|chat_?template$|vllm|peft)",
    re.I,
)
_COMMAND_KEYS: Final = frozenset(("run", "script", "before_script", "command", "entrypoint", "args"))


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar with its line."""

    text: str
    line: int


Tree = dict[str, Any] | list[Any] | Value


def documents(text: str) -> list[Tree]:
    """The documents of a YAML file. Raises UnreadableError."""
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" on line {mark.line + 1}" if mark else ""
        raise UnreadableError(f"not valid YAML{where}") from error
    except RecursionError as error:
        raise UnreadableError("nested too deeply") from error
    count = [0]
    return [_tree(node, 0, count) for node in nodes]


def _tree(node: Node, depth: int, count: list[int]) -> Tree:
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_NODES:
        raise UnreadableError(f"more than {MAX_DEPTH} levels or {MAX_NODES:,} values")
    if isinstance(node, MappingNode):
        return {_key(key): _tree(value, depth + 1, count) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [_tree(item, depth + 1, count) for item in node.value]
    return Value("" if _is_null(node) else str(node.value), node.start_mark.line + 1)


def _key(node: Node) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else ""


def _is_null(node: Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def text_of(tree: Any) -> str:
    """Text of a scalar; "" for anything else."""
    return tree.text if isinstance(tree, Value) else ""


def mappings(tree: Any, serving: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every mapping, with whether it is part of a container whose image serves models."""
    if isinstance(tree, dict):
        inside = serving or values.serves(text_of(tree.get("image")))
        yield tree, inside
        for child in tree.values():
            yield from mappings(child, inside)
    elif isinstance(tree, list):
        for child in tree:
            yield from mappings(child, serving)


def found(tree: Any, locked: frozenset[str]) -> Iterator[Found]:
    """Everything that floats in a configuration or manifest."""
    for mapping, serving in mappings(tree):
        yield from _images(mapping)
        yield from _models(mapping)
        yield from _hubs(mapping)
        yield from _variables(mapping)
        yield from _commands(mapping, serving, locked)


def _images(mapping: dict[str, Any]) -> Iterator[Found]:
    for key, value in mapping.items():
        if key.lower().endswith("image") and isinstance(value, Value) and (advice := values.image(value.text)):
            yield value.line, advice
    repository, tag = mapping.get("repository"), mapping.get("tag")
    if isinstance(repository, Value) and isinstance(tag, Value) and not text_of(mapping.get("digest")):
        registry = text_of(mapping.get("registry"))
        whole = "/".join(part for part in (registry, repository.text) if part)
        if advice := values.image(f"{whole}:{tag.text}" if tag.text else whole):
            yield tag.line, advice


def _models(mapping: dict[str, Any]) -> Iterator[Found]:
    for key, value in mapping.items():
        if is_model_key(key) and isinstance(value, Value) and (advice := alias(key, value.text)):
            yield value.line, advice
        if key in ("providers", "provider") and isinstance(value, list | Value):
            for one in value if isinstance(value, list) else [value]:
                if ":" in text_of(one) and (advice := vendors.advice(one.text)):
                    yield one.line, advice


def is_model_key(key: str) -> bool:
    """Whether a key or variable of this name holds the name of a model."""
    return (_MODEL_KEY.fullmatch(key) or _MODEL_KEY.fullmatch(key.lower())) is not None and not _NOT_MODEL_KEY.search(
        key
    )


def alias(key: str, name: str) -> Advice | None:
    """Advice about a vendor's alias under a key. A name that is also an ordinary word counts under a clear key only."""
    ambiguous = vendors.bare(name) in vendors.AMBIGUOUS
    if not name or (ambiguous and not re.search(r"openai|llm|chat|judge|gpt", key, re.I)):
        return None
    return vendors.advice(name)


def _hubs(mapping: dict[str, Any]) -> Iterator[Found]:
    loads = any(_LOADS.match(key) for key in mapping)
    for key, value in mapping.items():
        named = _HUB_KEY.fullmatch(key) is not None or (loads and is_model_key(key))
        explicit = text_of(value).startswith("hf://")
        if (named or explicit) and isinstance(value, Value) and (repo := values.hub_id(value.text)):
            revision = _revision(mapping) or repo[1]
            if advice := values.hub(repo[0], revision):
                yield value.line, advice


def _revision(mapping: dict[str, Any]) -> str | None:
    """The revision next to a hub id."""
    keys = [key for key in mapping if re.fullmatch(r"(?i)(?:\w+_)?(?:revision|commit|sha)|\w*Revision", key)]
    return next((text for key in keys if (text := text_of(mapping[key])) and text not in ("None", "null")), None)


def _variables(mapping: dict[str, Any]) -> Iterator[Found]:
    """``{name: LLM_MODEL, value: gpt-4o}`` of Kubernetes and ``- LLM_MODEL=gpt-4o`` of Compose."""
    name, value = mapping.get("name"), mapping.get("value")
    if isinstance(name, Value) and isinstance(value, Value) and is_model_key(name.text):
        yield from ((value.line, one) for one in [alias(name.text, value.text)] if one)
    pairs = mapping.get("environment")
    for pair in pairs if isinstance(pairs, list) else []:
        key, _, given = text_of(pair).partition("=")
        if is_model_key(key) and (advice := alias(key, given)):
            yield pair.line, advice


def _commands(mapping: dict[str, Any], serving: bool, locked: frozenset[str]) -> Iterator[Found]:
    words: list[Value] = []
    for key, value in mapping.items():
        if key not in _COMMAND_KEYS:
            continue
        if isinstance(value, list) and key in ("command", "args", "entrypoint"):
            words += [one for one in value if isinstance(one, Value)]
        elif key in ("script", "before_script", "run") or isinstance(value, Value):
            for one in value if isinstance(value, list) else [value]:
                yield from _lines(one, serving, locked)
    yield from (
        (_line(words, one), one)
        for one in commands.in_words([word.text for word in words], serving=serving, locked=locked)
    )
    for word in words:
        if "\n" in word.text or " " in word.text.strip():  # sh -c "..."
            yield from _lines(word, serving, locked)


def _line(words: list[Value], advice: Advice) -> int:
    """Line of the word that the advice quotes."""
    quoted = re.findall(r"'([^']+)'", advice.what)
    places = [word.line for word in words if any(text in word.text for text in reversed(quoted))]
    return places[0] if places else words[0].line


def _lines(value: Any, serving: bool, locked: frozenset[str]) -> Iterator[Found]:
    if not isinstance(value, Value):
        return
    for offset, line in joined(value.text):
        shift = 1 if "\n" in value.text else 0  # the text of a block starts below its key
        for advice in commands.in_text(line, serving=serving, locked=locked):
            yield value.line + offset + shift, advice


def joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a shell text with their index, continued ones joined, without comments."""
    start = 0
    parts: list[str] = []
    for index, line in enumerate(text.split("\n")):
        bare = re.sub(r"(?:^|\s)#.*$", "", line).rstrip()
        if not parts:
            start = index
        parts.append(bare.removesuffix("\\"))
        if not bare.endswith("\\"):
            yield start, " ".join(parts)
            parts = []
    if parts:
        yield start, " ".join(parts)
