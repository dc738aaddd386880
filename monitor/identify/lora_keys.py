"""The keys of a LoRA adapter: which module and which part each one is for, and whether PEFT loads a key of its form."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from monitor.identify import conversions
from monitor.identify.checks import quoted
from monitor.identify.tensors import Tensor

PREFIX: Final = "base_model.model."
OWN_NAME: Final = "default"
"""The adapter name under which PEFT loads, and which it therefore also reads in keys."""

_KEY: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<part>A|B|embedding_A|embedding_B|magnitude_vector)(?P<rest>(?:\.[^.]+)*)"
)


class Part(StrEnum):
    """What a tensor is in its module."""

    A = "lora_A"
    B = "lora_B"
    EMBEDDING_A = "lora_embedding_A"
    EMBEDDING_B = "lora_embedding_B"
    BIAS = "lora_B.bias"
    MAGNITUDE = "lora_magnitude_vector"


class Form(StrEnum):
    """The form of a key."""

    RIGHT = "right"
    NAMED = "named"
    """With PEFT's own adapter name in it: PEFT loads it, vLLM refuses it."""
    OTHER_NAME = "other name"
    NO_PREFIX = "no prefix"
    TWO_PREFIXES = "two prefixes"
    LATE_PREFIX = "late prefix"

    @property
    def loads(self) -> bool:
        """Whether PEFT finds a place for such keys."""
        return self in (Form.RIGHT, Form.NAMED)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a LoRA tensor."""

    name: str
    module: str
    part: Part
    form: Form
    adapter: str = ""
    """The adapter's name, where it stands in the key."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's tensors: A is (rank, inputs), B is (outputs, rank)."""

    module: str
    keys: Mapping[Part, Key]
    tensors: Mapping[Part, Tensor]

    @property
    def embedding(self) -> bool:
        return Part.EMBEDDING_A in self.keys or Part.EMBEDDING_B in self.keys

    @property
    def a(self) -> Tensor | None:
        return self.tensors.get(Part.A) or self.tensors.get(Part.EMBEDDING_A)

    @property
    def b(self) -> Tensor | None:
        return self.tensors.get(Part.B) or self.tensors.get(Part.EMBEDDING_B)


def parse(name: str, rules: conversions.Rules | None) -> Key | None:
    """Reads one key; ``None`` if it is none of a LoRA tensor.

    ``rules``: how PEFT converts the keys of adapters for this base; ``None`` if it does not.
    """
    if not (match := _KEY.fullmatch(_converted(name, rules) if rules is not None and ".lora_" in name else name)):
        return None
    module, form = _form(match["module"])
    part, rest = Part(f"lora_{match['part']}"), match["rest"].removeprefix(".")
    adapter, _, last = rest.rpartition(".")
    if part in (Part.A, Part.B):
        if last == "bias" and part is Part.B:
            part = Part.BIAS
        elif last != "weight":
            return None
    elif part is not Part.MAGNITUDE or last != "weight":
        adapter = rest
    if adapter:
        named = Form.NAMED if adapter == OWN_NAME else Form.OTHER_NAME
        form = named if form is Form.RIGHT else form
    return Key(name, module, part, form, adapter)


def _form(module: str) -> tuple[str, Form]:
    """The module without the prefix, and what is the matter with the prefix."""
    before, prefix, rest = module.rpartition(PREFIX)
    if not prefix:
        return module.removeprefix("base_model."), Form.NO_PREFIX
    if before:
        return rest, Form.TWO_PREFIXES if module.startswith(PREFIX) else Form.LATE_PREFIX
    return rest, Form.RIGHT


def _converted(name: str, rules: conversions.Rules) -> str:
    """A key as PEFT converts it for models that it or transformers renames.

    A conversion that only took something away from the front is undone, and a missing prefix is added.
    """
    inner = name.replace(f"{PREFIX}model.", "model.", 1)
    inner = conversions.renamed(inner.replace(PREFIX, "", 1), rules)
    found = name if name.endswith(inner) else inner
    return found if found.startswith("base_model.") else f"{PREFIX}{found}"


def pairs(keys: Iterable[Key], tensors: Mapping[str, Tensor]) -> list[Pair]:
    """The keys by module, sorted."""
    found: dict[str, dict[Part, Key]] = {}
    for key in keys:
        found.setdefault(key.module, {})[key.part] = key
    return [
        Pair(module, parts, {part: tensors[key.name] for part, key in parts.items()})
        for module, parts in sorted(found.items())
    ]


def wrong_forms(keys: Iterable[Key]) -> list[str]:
    """What is the matter with the keys that PEFT does not load because of their form."""
    by_form: dict[Form, list[Key]] = {}
    for key in keys:
        by_form.setdefault(key.form, []).append(key)
    said = {
        Form.NO_PREFIX: f"do not begin with '{PREFIX}': PEFT loads none of them, vLLM does",
        Form.TWO_PREFIXES: f"have '{PREFIX}' twice: PEFT loads none of them, vLLM may",
        Form.LATE_PREFIX: f"have other names before '{PREFIX}': PEFT loads none of them",
        Form.OTHER_NAME: "have an adapter's name in them: PEFT loads none of them, and vLLM refuses them",
    }
    return [
        f"{len(by_form[form])} names, such as {quoted(by_form[form][0].name)}, {words}"
        for form, words in said.items()
        if form in by_form
    ]


def named(keys: Iterable[Key]) -> str | None:
    """What to say of keys with PEFT's own adapter name in them."""
    found = [key for key in keys if key.form is Form.NAMED]
    if not found:
        return None
    return (
        f"an adapter's name, '{OWN_NAME}', stands in {len(found)} names, such as {quoted(found[0].name)}: "
        "PEFT loads them, vLLM refuses them; save the adapter with save_pretrained"
    )
