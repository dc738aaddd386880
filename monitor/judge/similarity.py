"""Similarity of an answer's meaning to its reference: cosine of sentence embeddings.

torch is imported in the worker thread that embeds, at the first pair, so a daemon without similarity scores stays
small, and the event loop never waits for a model.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.core.errors import ConfigError, CouldNotMeasure, MissingExtra
from monitor.core.logs import scrub
from monitor.core.settings import Embeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_TEXT_CHARS: Final = 20_000
"""The models read a few hundred tokens; tokenizing a megabyte of hostile text only wastes time."""

_THREADS: Final = 2
_BATCH: Final = 32


class Embedder:
    """Embeds texts in one worker thread, with a model that is loaded at first use.

    ``settings.model`` is a folder, or a hub id with its commit pinned in ``revision``; a pinned model that is in the
    local cache is loaded without the network. Raises ConfigError at once for a model that is neither. Only safetensors
    weights are read, and no code of a model is executed.
    """

    def __init__(self, settings: Embeddings) -> None:
        self._folder = _folder(settings)
        self._settings = settings
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._model: SentenceTransformer | None = None

    async def similarity_scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each (answer, reference) the cosine of their embeddings, clipped to 0..1; 0 where either is blank.

        Raises MissingExtra without sentence-transformers, ConfigError for a folder without such a model,
        CouldNotMeasure if a model cannot be loaded from the hub.
        """
        if not pairs:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._similarities, list(pairs))

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """The embedding of each text: a unit vector, rounded to half floats, as stored.

        Raises the same errors as ``similarity_scores`` does.
        """
        if not texts:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._embeddings, list(texts))

    def close(self) -> None:
        """End the worker. It finishes the present texts and drops those that wait."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _embeddings(self, texts: list[str]) -> list[tuple[float, ...]]:
        readable = [_readable(text) for text in texts]
        distinct = sorted(set(readable))
        halves = self._vectors(distinct).astype("float16").tolist()
        vectors = {text: tuple(vector) for text, vector in zip(distinct, halves, strict=True)}
        return [vectors[text] for text in readable]

    def _similarities(self, pairs: list[tuple[str, str]]) -> list[float]:
        pairs = [(_readable(answer), _readable(reference)) for answer, reference in pairs]
        texts = sorted({text for pair in pairs for text in pair if text})
        if not texts:
            return [0.0] * len(pairs)
        vectors = self._vectors(texts)
        place = {text: index for index, text in enumerate(texts)}
        scores = []
        for answer, reference in pairs:
            a, r = place.get(answer), place.get(reference)
            cosine = 0.0 if a is None or r is None else float(vectors[a] @ vectors[r])
            # the same text differs by 1e-7 in another batch; a stored score should not
            scores.append(round(min(1.0, max(0.0, cosine)), 5))
        return scores

    def _vectors(self, texts: list[str]) -> "NDArray[np.float32]":
        """Unit vectors, shape (texts, dimensions)."""
        if self._model is None:
            self._model = _load(self._settings, self._folder)
        return self._model.encode(
            texts, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )


def _readable(text: str) -> str:
    """The part of a text that a model reads, without lone surrogates, which JSON allows and tokenizers reject."""
    return text[:_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8").strip()


def _folder(settings: Embeddings) -> Path | None:
    """The folder in ``settings.model``, or ``None`` for a pinned hub id. Raises ConfigError."""
    name = settings.model
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigError(f"embeddings.model: no folder {folder}")
    if settings.revision is None or not _COMMIT.fullmatch(settings.revision):
        raise ConfigError(
            f"embeddings.model: no folder {name!r} here; as a hub id it needs embeddings.revision, "
            "the commit to load (40 hex digits)"
        )
    return None


def _load(settings: Embeddings, folder: Path | None) -> "SentenceTransformer":
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ImportError:
        raise MissingExtra("similarity scores", "local") from None
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(min(_THREADS, os.cpu_count() or 1))
    safe = {"use_safetensors": True}
    if folder is not None:
        if not (folder / "modules.json").is_file():
            raise ConfigError(f"embeddings.model: {folder} holds no sentence-transformers model (no modules.json)")
        try:
            return SentenceTransformer(
                str(folder), device="cpu", model_kwargs=safe, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise ConfigError(f"embeddings.model: {folder} cannot be loaded: {_first_line(error)}") from error
    return _load_from_hub(settings, safe)


def _load_from_hub(settings: Embeddings, safe: dict[str, bool]) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer

    problem: Exception | None = None
    for local in (True, False):  # the cache first: a pinned commit never changes
        try:
            return SentenceTransformer(
                settings.model,
                device="cpu",
                revision=settings.revision,
                model_kwargs=safe,
                local_files_only=local,
                trust_remote_code=False,
            )
        except Exception as error:
            problem = error
    raise CouldNotMeasure(
        f"embeddings.model: {settings.model} at {settings.revision} is not in the cache and cannot be fetched: "
        f"{_first_line(problem)}; put it on disk and name its folder"
    ) from problem


def _first_line(error: Exception | None) -> str:
    lines = scrub(str(error)).strip().splitlines()  # before the cut: a pattern does not recognise half a key
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
