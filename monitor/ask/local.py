"""Models in this process with transformers and, if configured, a PEFT adapter. All work is in one thread."""

import asyncio
import hashlib
import threading
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.ask.protocol import AskFailed, Setup
from monitor.core.logs import scrub
from monitor.core.records import Answer, Arm, Exchange, Question, Reason, TokenLogprob, TokenUsage
from monitor.core.settings import Endpoint

_NO_TEMPLATE: Final = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
"""For a base model without a chat template: one message per line."""


_PARAMETERS: Final = frozenset({"temperature", "max_tokens", "max_completion_tokens"})
"""Parameters of a logged request that a model in this process takes."""


class _CannotLoadError(Exception):
    """The message names the part and the reason."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    tokenizer: Any
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Generated:
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    logprobs: tuple[TokenLogprob, ...] | None
    fingerprint: str
    seconds: float


class LocalProvider:
    """Loads each endpoint's weights once, with its first question, and keeps them."""

    def __init__(self, setup: Setup) -> None:
        self._clock = setup.clock
        self._endpoints = setup.endpoints
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="local-model")
        self._loaded: dict[tuple[str, str | None, Path | None], _Loaded | _CannotLoadError] = {}

    async def ask(self, question: Question, accepts: Mapping[str, bool]) -> Answer:
        lacking = question.parameters.keys() - _PARAMETERS
        if lacking:
            detail = f"the logged request has `{min(lacking)}`, which kind local lacks"
            raise AskFailed(Reason.REJECTED, detail, permanent=True)
        endpoint = self._endpoint(question.target, question.arm, question)
        request = _request(question, endpoint)
        exchange = Exchange(request, None)
        asked_at = self._clock()
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            done = await loop.run_in_executor(self._thread, self._generate, endpoint, question, stop)
        except _CannotLoadError as error:
            raise AskFailed(Reason.REJECTED, str(error), permanent=True, exchange=exchange) from None
        except (RuntimeError, ValueError, IndexError, OSError, MemoryError) as error:
            detail = f"the local model failed: {type(error).__name__}: {scrub(str(error))[:200]}"
            raise AskFailed(Reason.SERVER_ERROR, detail, exchange=exchange) from None
        finally:
            # If cancelled or timed out, the thread stops at its next token and is free for the next question.
            stop.set()
        tokens = (done.prompt_tokens, done.completion_tokens)
        response = {"text": done.text, "finish_reason": done.finish_reason, "tokens": list(tokens)}
        exchange = Exchange(request, response)
        if done.finish_reason == "length" and not done.text:
            detail = "max_tokens was used up before the answer began"
            raise AskFailed(Reason.TRUNCATED, detail, permanent=True, exchange=exchange, tokens=TokenUsage(*tokens))
        return Answer(
            text=done.text,
            finish_reason=done.finish_reason,
            refusal=False,
            model=question.model,
            fingerprint=done.fingerprint,
            request_id=None,
            prompt_tokens=done.prompt_tokens,
            completion_tokens=done.completion_tokens,
            latency_seconds=done.seconds,
            asked_at=asked_at,
            exchange=exchange,
            logprobs=done.logprobs,
        )

    async def aclose(self) -> None:
        self._loaded.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _endpoint(self, target: str, arm: Arm, question: Question) -> Endpoint:
        known = self._endpoints.get((target, arm))
        return known or Endpoint(provider=question.provider, model=question.model)

    def _generate(self, endpoint: Endpoint, question: Question, stop: threading.Event) -> _Generated:
        key = (endpoint.model, endpoint.revision, endpoint.adapter)
        if key not in self._loaded:
            try:
                self._loaded[key] = _load(endpoint)
            except _CannotLoadError as error:
                self._loaded[key] = error
        loaded = self._loaded[key]
        if isinstance(loaded, _CannotLoadError):
            raise loaded
        return _generate(loaded, question, stop)


def _load(endpoint: Endpoint) -> _Loaded:
    """Load the weights, from safetensors only, because other formats can run code.

    Raises:
        _CannotLoadError: they are missing or not pinned, or the adapter does not fit the model.
    """
    try:
        import transformers
    except ImportError:
        extra = "pip install 'cliffwatch[local]'"
        raise _CannotLoadError(
            f"providers of kind local need an optional part that is not installed: {extra}"
        ) from None
    is_folder = Path(endpoint.model).is_dir()
    if not is_folder and endpoint.revision is None:
        raise _CannotLoadError(f"{endpoint.model} is not a folder, and a hub id requires 'revision', a commit")
    revision = {} if is_folder else {"revision": endpoint.revision}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(endpoint.model, **revision)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            endpoint.model, dtype="auto", use_safetensors=True, **revision
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _CannotLoadError(f"model {endpoint.model} cannot be loaded: {scrub(str(error))[:300]}") from None
    if endpoint.adapter is not None:
        model = _with_adapter(model, endpoint.adapter)
    return _Loaded(model.eval(), tokenizer, _fingerprint(endpoint, transformers.__version__))


def _with_adapter(model: Any, adapter: Path) -> Any:
    """The model with the adapter applied.

    PEFT loads with ``strict=False``, so an adapter of another model silently has no effect. Missing and unexpected
    keys in its report are therefore an error.
    """
    import peft

    if not (adapter / "adapter_model.safetensors").is_file():
        raise _CannotLoadError(f"adapter {adapter} has no adapter_model.safetensors")
    try:
        with warnings.catch_warnings():
            # PEFT 0.21 uses the old name of an attribute of transformers 5.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            config = peft.PeftConfig.from_pretrained(str(adapter))
            config.inference_mode = True
            tuned = peft.PeftModel(model, config)
            report = tuned.load_adapter(str(adapter), "default")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _CannotLoadError(f"adapter {adapter} does not fit the model: {scrub(str(error))[:300]}") from None
    problems = [
        f"{len(keys)} {kind} keys (first: {keys[0]})"
        for kind, keys in (("missing", report.missing_keys), ("unexpected", report.unexpected_keys))
        if keys
    ]
    if problems:
        raise _CannotLoadError(f"adapter {adapter} does not fit the model: {' and '.join(problems)}")
    return tuned


def _fingerprint(endpoint: Endpoint, version: str) -> str:
    """Digest of everything that could change the answers: name, size and time of the weight files, library version."""
    digest = hashlib.sha256(f"{endpoint.model}@{endpoint.revision}".encode())
    for folder in (Path(endpoint.model), endpoint.adapter):
        if folder is not None and folder.is_dir():
            for file in sorted(folder.glob("*.safetensors")):
                status = file.stat()
                digest.update(f"{file.name}/{status.st_size}/{status.st_mtime_ns}".encode())
    return f"transformers-{version}-{digest.hexdigest()[:12]}"


def _generate(loaded: _Loaded, question: Question, stop: threading.Event) -> _Generated:
    import torch
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Stopped(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
            return torch.full((input_ids.shape[0],), stop.is_set(), dtype=torch.bool)

    started = time.perf_counter()
    sampling = question.sampling
    inputs = loaded.tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in question.messages],
        chat_template=None if loaded.tokenizer.chat_template else _NO_TEMPLATE,
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    torch.manual_seed(question.seed if question.seed is not None else torch.seed() % 2**63)
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs,
            max_new_tokens=sampling.max_tokens,
            output_logits=sampling.logprobs > 0,
            return_dict_in_generate=True,
            stopping_criteria=StoppingCriteriaList([Stopped()]),
            pad_token_id=loaded.tokenizer.pad_token_id or loaded.tokenizer.eos_token_id,
            **_drawn(question.parameters.get("temperature", sampling.temperature)),
        )
    prompt_tokens = inputs["input_ids"].shape[1]
    new = output.sequences[0, prompt_tokens:].tolist()
    ended = bool(new) and new[-1] in _end_tokens(loaded)
    content = new[:-1] if ended else new
    return _Generated(
        text=loaded.tokenizer.decode(content, skip_special_tokens=True),
        finish_reason="stop" if ended else "length",
        prompt_tokens=prompt_tokens,
        completion_tokens=len(new),
        logprobs=_logprobs(loaded, content, output.logits, sampling.logprobs) if sampling.logprobs else None,
        fingerprint=loaded.fingerprint,
        seconds=time.perf_counter() - started,
    )


def _drawn(temperature: float | None) -> dict[str, Any]:
    """Sampling arguments: from the model's plain distribution, as vendors define temperature."""
    if temperature is None:
        return {}
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}


def _end_tokens(loaded: _Loaded) -> set[int]:
    ends = loaded.model.generation_config.eos_token_id
    if ends is None:
        ends = loaded.tokenizer.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}


def _logprobs(loaded: _Loaded, tokens: list[int], logits: Any, alternatives: int) -> tuple[TokenLogprob, ...]:
    """Log-probabilities of the model's distribution, before temperature."""
    import torch

    found = []
    for token, scores in zip(tokens, logits, strict=False):
        distribution = torch.log_softmax(scores[0].float(), dim=-1)
        best = distribution.topk(min(alternatives, distribution.shape[0]))
        top = {
            loaded.tokenizer.decode([i]): v for i, v in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        }
        found.append(TokenLogprob(loaded.tokenizer.decode([token]), float(distribution[token]), top))
    return tuple(found)


def _request(question: Question, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "model": endpoint.model,
        "revision": endpoint.revision,
        "adapter": str(endpoint.adapter) if endpoint.adapter else None,
        "messages": [{"role": m.role, "content": m.content} for m in question.messages],
        "temperature": question.parameters.get("temperature", question.sampling.temperature),
        "max_tokens": question.sampling.max_tokens,
        "seed": question.seed,
    }
