"""Models that the lab serves: five names, their weights folders, and the model that each is derived from."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

from monitor import __version__
from monitor.lab.gguf_files import Format, read_json, weights_hash


@dataclass(frozen=True)
class Weights:
    """Which tensors answer: a base folder, an adapter folder on it with its scale, and how the base is stored."""

    base: str
    adapter: str | None = None
    scale: float = 1.0
    fmt: Format = "f32"


@dataclass(frozen=True)
class Served:
    """One name in ``/v1/models``. ``parent`` is the served name of the base, for adapters only."""

    name: str
    weights: Weights
    parent: str | None = None


SERVED: Final = MappingProxyType(
    {
        served.name: served
        for served in (
            Served("lab-base", Weights("base")),
            Served("lab-support", Weights("base", "support"), "lab-base"),
            Served("lab-judge", Weights("base", "judge"), "lab-base"),
            Served("lab-base-next", Weights("base-next")),
            Served("lab-support-next", Weights("base-next", "support-next"), "lab-base-next"),
        )
    }
)


class WeightsMissingError(RuntimeError):
    """The lab's weights are not where they should be."""


def weights_dir() -> Path:
    """The folder of weights folders: ``$CLIFFWATCH_LAB_WEIGHTS`` or the one that ships in the package."""
    named = os.environ.get("CLIFFWATCH_LAB_WEIGHTS")
    return Path(named) if named else Path(__file__).parent / "weights"


class Catalogue:
    """The served names over one folder of weights. Raises `WeightsMissingError` unless every file is there.

    ``context`` is the longest prompt and answer in tokens; ``created`` a Unix time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        wanted = {served.weights.base: "model.safetensors" for served in SERVED.values()}
        wanted |= {s.weights.adapter: "adapter_model.safetensors" for s in SERVED.values() if s.weights.adapter}
        missing = [str(root / folder) for folder, file in wanted.items() if not (root / folder / file).is_file()]
        if missing:
            raise WeightsMissingError(f"no weights in {', '.join(missing)}")
        self.context = int(read_json(root / "base" / "config.json")["max_position_embeddings"])
        self.created = int((root / "base" / "model.safetensors").stat().st_mtime)

    def root_of(self, served: Served) -> str:
        """The path that vLLM would give as ``root``: the adapter's folder, or the base's."""
        return str(self.root / (served.weights.adapter or served.weights.base))

    def fingerprint(self, name: str) -> str:
        """``lab-<Cliffwatch's version>-<hash8>`` of what the operator declared under ``name``.

        As in vLLM it is computed from the configuration at start, so no fault that swaps weights shows in it.
        """
        return self._fingerprints[name]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        folders = {f for s in SERVED.values() for f in (s.weights.base, s.weights.adapter) if f}
        hashes = {folder: weights_hash(self.root / folder) for folder in folders}
        return {name: f"lab-{__version__}-{_hash8(served.weights, hashes)}" for name, served in SERVED.items()}


def _hash8(weights: Weights, hashes: dict[str, str]) -> str:
    parts = hashes[weights.base] + (hashes[weights.adapter] if weights.adapter else "")
    return hashlib.sha256(parts.encode()).hexdigest()[:8]
