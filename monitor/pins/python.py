"""Python, by its syntax tree: loaders without ``revision``, clients' ``model=...``, defaults, ``install_requires``."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.pins import trees, values, vendors
from monitor.pins.records import Advice, Found, Text, UnreadableError

_LOADERS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "from_pretrained": (("pretrained_model_name_or_path", "model_name", "model_id", "repo_id"), ""),
    "snapshot_download": (("repo_id",), ""),
    "hf_hub_download": (("repo_id",), ""),
    "load_dataset": (("path",), "datasets"),
    "pipeline": (("model",), "transformers"),
    "LLM": (("model",), "vllm"),
    "AsyncEngineArgs": (("model",), "vllm"),
    "EngineArgs": (("model",), "vllm"),
    "Engine": (("model_path",), "sglang"),
    "SentenceTransformer": (("model_name_or_path",), "sentence_transformers"),
    "CrossEncoder": (("model_name_or_path", "model_name"), "sentence_transformers"),
}
"""Function -> names of the parameter with the repository, and the package that the file must import."""
_CLIENTS: Final = frozenset(
    [
        "openai",
        "anthropic",
        "litellm",
        "langchain",
        "langchain_openai",
        "langchain_anthropic",
        "llama_index",
        "instructor",
        "pydantic_ai",
        "dspy",
        "google",
        "mistralai",
        "groq",
        "cohere",
        "autogen",
        "crewai",
        "haystack",
        "agents",
        "smolagents",
        "semantic_kernel",
        "guidance",
    ]
)
_TAKES_MODEL: Final = frozenset(
    ("init_chat_model", "GenerativeModel", "LM", "ChatOpenAI", "ChatAnthropic", "OpenAIModel", "Agent")
)
"""Functions whose first argument is a vendor's model."""
_REQUEST: Final = frozenset(
    [
        "messages",
        "input",
        "prompt",
        "contents",
        "system",
        "temperature",
        "max_tokens",
        "max_completion_tokens",
        "stream",
        "tools",
        "provider",
        "api_key",
        "base_url",
        "api_base",
    ]
)
"""Keys that a request or a client's settings have next to the model."""
_SECOND: Final = frozenset(("PeftModel", "PeftModelForCausalLM"))
"""Classes whose ``from_pretrained`` takes the adapter as its second argument."""


def matches(path: Path) -> bool:
    return path.suffix == ".py"


def read(file: Text) -> Iterator[Found]:
    """Raises UnreadableError."""
    try:
        tree = ast.parse(file.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise UnreadableError("not valid Python 3" + (f" on line {line}" if line else "")) from error
    yield from found(tree, file)


def found(tree: ast.Module, file: Text) -> Iterator[Found]:
    """Everything that floats in one module or notebook."""
    module = _Module(tree, file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from module.call(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            yield from module.assigned(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from module.defaults(node)
        elif isinstance(node, ast.Dict):
            yield from module.payload(node)


class _Module:
    """One module: what it imports and the strings that its names stand for."""

    def __init__(self, tree: ast.Module, file: Text) -> None:
        self.file = file
        self.imports = set(_imports(tree))
        self.strings = _strings(tree)

    def call(self, node: ast.Call) -> Iterator[Found]:
        name = _last(node.func)
        keywords = {one.arg: one.value for one in node.keywords if one.arg}
        open_ended = any(one.arg is None for one in node.keywords)
        if name in _LOADERS and self._imported(_LOADERS[name][1]):
            yield from self._loaded(node, name, keywords, open_ended)
        elif name == "setup" and "install_requires" in keywords:
            yield from self._installed(keywords["install_requires"])
        yield from self._asked(node, name, keywords)

    def _imported(self, package: str) -> bool:
        return not package or package in self.imports

    def _loaded(self, node: ast.Call, name: str, keywords: dict[str, ast.expr], open_ended: bool) -> Iterator[Found]:
        value = next((keywords[one] for one in _LOADERS[name][0] if one in keywords), None)
        place = self._position(node, name)
        value = value or (node.args[place] if len(node.args) > place else None)
        text = self._string(value)
        if text is None or self.file.is_local(text) or _is_true(keywords.get("local_files_only")):
            return
        repository = values.hub_id(text, bare=name in ("from_pretrained", "pipeline", "SentenceTransformer"))
        if repository is None:
            return
        revision = keywords.get("revision")
        written = self._string(revision)
        if (open_ended and revision is None) or (revision is not None and written is None and not _is_none(revision)):
            return  # set in another place
        if advice := values.hub(repository[0], written or repository[1]):
            yield (revision if written and revision else value or node).lineno, advice

    def _position(self, node: ast.Call, name: str) -> int:
        """Index of the positional argument with the repository."""
        owner = _last(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        return 1 if name == "pipeline" or (name == "from_pretrained" and owner in _SECOND) else 0

    def _installed(self, value: ast.expr) -> Iterator[Found]:
        for item in value.elts if isinstance(value, ast.List | ast.Tuple) else []:
            if (text := self._string(item)) and (advice := values.requirement(text, self.file.locked)):
                yield item.lineno, advice

    def _asked(self, node: ast.Call, name: str, keywords: dict[str, ast.expr]) -> Iterator[Found]:
        for key, value in keywords.items():
            if trees.is_model_key(key) and isinstance(value, ast.Constant):
                yield from self._alias(key, value)
        first = _constant(node.args[0]) if node.args else None
        if first is None:
            return
        if name == "add_argument" and trees.is_model_key(first.lstrip("-").replace("-", "_")) and "default" in keywords:
            yield from self._alias(first, keywords["default"])
        elif name in ("getenv", "get", "setdefault") and len(node.args) > 1 and trees.is_model_key(first):
            yield from self._alias(first, node.args[1])
        if name in _TAKES_MODEL:
            yield from self._alias("model", node.args[0])

    def assigned(self, node: ast.Assign | ast.AnnAssign) -> Iterator[Found]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if node.value is not None and trees.is_model_key(_last(target)):
                yield from self._alias(_last(target), node.value)

    def defaults(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Found]:
        positional = [*node.args.posonlyargs, *node.args.args]
        given = node.args.defaults
        pairs = [*zip(positional[len(positional) - len(given) :], given, strict=True)]
        pairs += [(one, value) for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value]
        for argument, value in pairs:
            if trees.is_model_key(argument.arg):
                yield from self._alias(argument.arg, value)

    def payload(self, node: ast.Dict) -> Iterator[Found]:
        """A request as a mapping. A row of results also has a model, and none of a request's other keys."""
        names = {_constant(key) for key in node.keys if key is not None}
        if len(names) > 1 and not names & _REQUEST:
            return
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and _constant(key) in ("model", "model_name"):
                yield from self._alias("model", value)

    def _alias(self, key: str, value: ast.expr) -> Iterator[Found]:
        value = _default(value)
        text = _constant(value)
        if text is None or (vendors.bare(text) in vendors.AMBIGUOUS and not self.imports & _CLIENTS):
            return
        if advice := _advice(key, text):
            yield value.lineno, advice

    def _string(self, value: ast.expr | None) -> str | None:
        """The string that an expression stands for; None if it is not known here."""
        if isinstance(value, ast.Name):
            return self.strings.get(value.id)
        return _constant(value)


def _advice(key: str, name: str) -> Advice | None:
    return vendors.advice(name) if vendors.bare(name) in vendors.AMBIGUOUS else trees.alias(key, name)


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _strings(tree: ast.Module) -> dict[str, str]:
    """Names that are assigned one string, once, at the top of the module."""
    found: dict[str, list[str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                found.setdefault(_last(target), []).append(_constant(node.value) if node in tree.body else None)
    return {name: values[0] for name, values in found.items() if len(values) == 1 and values[0] is not None}


def _default(value: ast.expr) -> ast.expr:
    """The default that ``Field("x")``, ``typer.Option("x")`` or ``given or "x"`` stands for."""
    if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.Or):
        return value.values[-1]
    if isinstance(value, ast.Call) and _last(value.func) in ("Field", "field", "Option", "Argument", "mapped_column"):
        given = next((one.value for one in value.keywords if one.arg == "default"), None)
        return given or (value.args[0] if value.args else value)
    return value


def _constant(value: ast.expr | None) -> str | None:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _last(node: ast.expr) -> str:
    """The last name of ``a.b.c``; "" for other expressions."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
