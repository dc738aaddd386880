"""Inference with llama.cpp in this process, with one engine for each set of weights in use.

An engine never changes its weights. llama.cpp can rescale an adapter while it runs, but its prompt cache then still
has keys and values of the old weights, and answers drift for a while: a fault that the lab must show only on purpose.
An engine of these models loads in 40 ms and takes 20 to 40 MB.
"""

import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jinja2
import jinja2.ext
import jinja2.sandbox
import jsonschema
import xllamacpp

from monitor.lab import gguf_files
from monitor.lab.served import Weights

SLOTS: Final = 8
"""Requests that one engine decodes in one batch; further ones wait in llama.cpp's queue."""

_MAX_ENGINES: Final = 8

Finish = Literal["stop", "length", "sequence", "refusal"]
Message = dict[str, str]


class EngineError(ValueError):
    """llama.cpp refused the request; the message is its own. ``too_long`` if the prompt exceeds the context."""

    def __init__(self, message: str, too_long: bool = False) -> None:
        super().__init__(message)
        self.too_long = too_long


@dataclass(frozen=True)
class Sampling:
    """How to draw an answer. ``None`` leaves a thing open: no limit, a random seed, no logprobs, any text.

    ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 cut nothing. ``top_logprobs`` is a count of
    alternatives per token, and ``schema`` a JSON schema that the answer is bound to. ``ban_end`` keeps the
    model from ending by itself.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    top_logprobs: int | None = None
    schema: dict[str, Any] | None = None
    ban_end: bool = False


@dataclass(frozen=True)
class Generated:
    """An answer. ``tokens`` are OpenAI's logprob entries, one per token, kept where logprobs were asked."""

    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    tokens: tuple[dict[str, Any], ...] | None = None
    stop_sequence: str | None = None


class Engine:
    """One set of weights, loaded. `generate` may be called from many threads at once."""

    def __init__(self, root: Path, weights: Weights) -> None:
        base = root / weights.base
        self._template = _chat_template(base)
        params = _params(gguf_files.base_gguf(base, weights.fmt))
        context = gguf_files.read_json(base / "config.json")["max_position_embeddings"]
        self._context = int(context)
        params.n_ctx = self._context * SLOTS
        if weights.adapter is not None:
            path = gguf_files.adapter_gguf(root / weights.adapter, base)
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(path), weights.scale)]
        self._server = xllamacpp.Server(params)

    def prompt(self, messages: Sequence[Message]) -> str:
        """The text that the model's chat template makes of ``messages``, the assistant's turn opened."""
        try:
            return self._template.render(messages=list(messages), add_generation_prompt=True)
        except jinja2.TemplateError as error:
            raise EngineError(f"the chat template refused the messages: {error}") from error

    def generate(self, prompt: str, sampling: Sampling) -> Generated:
        """Answer ``prompt``; blocks (some ms a token) without holding the interpreter lock.

        Raises `EngineError` when llama.cpp refuses the request, or cannot hold the answer to the schema.
        """
        if sampling.schema is not None:
            _check_schema(sampling.schema)
        choice, usage = self._complete(_request(prompt, sampling, self._context))
        entries = (choice.get("logprobs") or {}).get("content") or []
        if entries and not entries[-1]["bytes"]:
            entries.pop()  # the end token: counted in the usage, but no part of the answer
        whole = Generated(
            text=choice["text"],
            finish="stop" if choice["finish_reason"] == "stop" else "length",
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage["completion_tokens"],
            tokens=tuple(_entry(entry, sampling.top_logprobs or 0) for entry in entries),
        )
        if sampling.schema is not None and whole.finish == "stop" and not _is_json(whole.text):
            # llama.cpp answers freely, and says nothing, where it cannot make a grammar of a schema.
            raise EngineError("the answer cannot be bound to this JSON schema")
        cut = _cut_at_stop(whole, sampling.stop)
        if sampling.top_logprobs is None:
            return Generated(cut.text, cut.finish, cut.prompt_tokens, cut.completion_tokens, None, cut.stop_sequence)
        return cut

    def count(self, prompt: str) -> int:
        """How many tokens ``prompt`` is."""
        _, usage = self._complete({"prompt": prompt, "n_predict": 0, "cache_prompt": False})
        tokens: int = usage["prompt_tokens"]
        return tokens

    def _complete(self, request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            result: dict[str, Any] = self._server.handle_completions(request)
        except (ValueError, RuntimeError) as error:
            raise EngineError(str(error)) from error
        if refusal := result.get("error"):
            raise EngineError(refusal["message"], too_long=refusal.get("type") == "exceed_context_size_error")
        return result["choices"][0], result["usage"]


class Engines:
    """Engines by weights, started when first asked for; the one longest unused makes room for a new one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._engines: OrderedDict[Weights, Engine] = OrderedDict()

    def get(self, weights: Weights) -> Engine:
        """The engine of ``weights``; the first call converts and loads (0.05 to 0.5 s)."""
        with self._lock:
            engine = self._engines.pop(weights, None) or Engine(self._root, weights)
            self._engines[weights] = engine
            if len(self._engines) > _MAX_ENGINES:
                self._engines.popitem(last=False)  # a request that still holds it keeps it alive until it ends
            return engine

    def close(self) -> None:
        """Stop every engine with its threads. No request may be running."""
        with self._lock:
            self._engines.clear()


def _params(path: Path) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = SLOTS
    # One thread: at this size a second one costs more in waiting for the first than it computes.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    # No cache and f32 keys: the same request gives the same logits, whatever was asked before.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    # Prompts are short: small batches and no checkpoints keep an engine small.
    params.n_batch, params.n_ubatch, params.n_ctx_checkpoints = 512, 128, 0
    params.warmup = params.fit_params = params.endpoint_slots = params.ui = False
    params.verbosity = 0
    # The library always opens its own port on loopback. A key nobody knows keeps it shut: all goes by the gateway.
    params.api_keys = [secrets.token_hex(16)]
    params.n_threads_http = 1
    return params


def _check_schema(schema: dict[str, Any]) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise EngineError(f"not a JSON schema: {error.message}") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _request(prompt: str, sampling: Sampling, context: int) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": prompt,
        "n_predict": context if sampling.max_tokens is None else min(sampling.max_tokens, context),
        "cache_prompt": False,
        "temperature": sampling.temperature,
        # llama.cpp's own defaults cut the distribution (top-k 40, min-p 0.05): not what the APIs promise.
        "samplers": ["penalties", "top_k", "top_p", "temperature"],
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": -1 if sampling.seed is None else sampling.seed % (2**32 - 1),
        "ignore_eos": sampling.ban_end,
    }
    if sampling.schema is not None:
        request["json_schema"] = sampling.schema
    if sampling.top_logprobs is not None or sampling.stop:
        request["n_probs"] = max(1, sampling.top_logprobs or 0)
    return request


def _entry(entry: dict[str, Any], top: int) -> dict[str, Any]:
    def plain(one: dict[str, Any]) -> dict[str, Any]:
        return {key: one[key] for key in ("token", "logprob", "bytes")}

    return plain(entry) | {"top_logprobs": [plain(one) for one in entry["top_logprobs"][:top]]}


def _cut_at_stop(answer: Generated, stops: tuple[str, ...]) -> Generated:
    """End ``answer`` before the first of ``stops``.

    llama.cpp has stop words too, but does not tell which one it met, and Anthropic's ``stop_sequence`` must.
    """
    found = [(at, stop) for stop in stops if (at := answer.text.find(stop)) >= 0]
    if not found:
        return answer
    at, stop = min(found, key=lambda pair: pair[0])
    kept: list[dict[str, Any]] = []
    size = len(answer.text[:at].encode())
    for entry in answer.tokens or ():
        if size <= 0:
            break
        kept.append(entry)
        size -= len(entry["bytes"])
    return Generated(answer.text[:at], "sequence", answer.prompt_tokens, len(kept), tuple(kept), stop)


def _chat_template(base: Path) -> jinja2.Template:
    """The base's chat template in the environment that transformers gives it, so that prompts agree to the byte."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(gguf_files.chat_template(base))
