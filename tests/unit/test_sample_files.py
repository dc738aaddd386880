"""Which files of a path are read: rotated names, compressed forms, folders with links, bounds, and names not read."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.core.errors import CouldNotMeasure
from monitor.core.records import SampleAccount, UnreadReason
from monitor.core.settings import Production
from monitor.core.sources import JsonlSource
from monitor.sample import lines as reading
from monitor.sample import listing, peek, sample_production
from monitor.sample.tally import Tally
from tests.daemon import NOON

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def line(text: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n"


def account(path: object) -> SampleAccount:
    source = JsonlSource(kind="jsonl", path=str(path))
    return sample_production(Production(source=source, sample=100, rubric=None), 1, None, None).account


def listed(folder: Path, pattern: str, names: list[str]) -> tuple[set[str], list[str]]:
    """The names that are read, and the first that are told as not read."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(line(name))
    unread = listing.Unread()
    found = listing.files(str(folder / pattern), unread)
    return {str(one.relative_to(folder)) for one in found}, unread.names()


ROTATED = {
    "logrotate": ["web.jsonl.1", "web.jsonl.2.gz", "web.jsonl-20261130", "web.jsonl-20261130.gz",
                  "web.jsonl-2026-11-30", "web.jsonl-2026113014", "web.jsonl-20261130-1764511200.gz",
                  "web-20261130.jsonl", "web.1.jsonl.gz"],
    "Python": ["web.jsonl.2026-11-30", "web.jsonl.2026-11-30_14", "web.jsonl.2026-11-30_14-00",
               "web.jsonl.2026-11-30_14-00-00", "web.jsonl.2026-11-30_14.gz", "web.jsonl.2026-11-30.1"],
    "log4j and logback": ["web.2026-11-30.jsonl", "web-2026-11-30-1.jsonl.gz", "web.2026-11-30-14.jsonl", "web.1.jsonl",
                          "web-11-30-2026-1.jsonl.gz", "web.2026-11.jsonl"],
    "others": ["web.jsonl.20261130-120000", "web.jsonl.20261130-120000.gz", "web-2026-11-30T14-00-00.000.jsonl.gz",
               "web.2026-11-30_12-00-00_123456.jsonl", "web__2026-11-30_00-00-00.jsonl", "web.jsonl.1764511200",
               "web.jsonl.0.bz2", "web.jsonl.1.xz", "web.jsonl.1.zip", "web.jsonl.1.zst", "web.jsonl.old"],
}  # fmt: skip
OTHER_FILES = ["web.jsonl.bak", "web.json", "web-errors.jsonl", "web-1.jsonl", "web.jsonl.pos"]
STRANGERS = ["website.jsonl", "other.jsonl", ".web.jsonl.swp"]


@pytest.mark.parametrize("program", ROTATED)
def test_names_of_rotated_files(tmp_path: Path, program: str) -> None:
    names = ["web.jsonl", *ROTATED[program]]
    found, unread = listed(tmp_path, "web.jsonl", [*names, *OTHER_FILES, *STRANGERS])
    assert found == set(names)
    assert unread == sorted(OTHER_FILES)


def test_names_of_container_engines_and_supervisors(tmp_path: Path) -> None:
    docker = ["c/7f/7f-json.log", "c/7f/7f-json.log.1", "c/7f/7f-json.log.2.gz"]
    pods = ["p/ns_pod_uid/app/0.log", "p/ns_pod_uid/app/0.log.20261130-120000", "p/ns_pod_uid/app/1.log",
            "p/ns_pod_uid/app/0.log.20261130-120000.gz"]  # fmt: skip
    service = ["s/current", "s/@4000000065f1c2d30a1b2c3d.s"]
    every = [*docker, *pods, *service, "c/7f/config.json", "s/lock"]
    assert listed(tmp_path, "c/*/*-json.log", every)[0] == set(docker)
    assert listed(tmp_path, "p/*/*/*.log", every)[0] == set(pods)
    assert listed(tmp_path, "s/current", every)[0] == set(service)


def test_a_glob_reads_rotated_files_and_tells_relatives(tmp_path: Path) -> None:
    names = ["a.jsonl", "a.jsonl.2026-11-30", "b-2026-11-30.jsonl.gz", "sub/c.jsonl.1"]
    assert listed(tmp_path, "*.jsonl", [*names, "a.jsonl.bak", "z.txt"]) == (set(names[:3]), ["a.jsonl.bak"])
    assert listed(tmp_path, "**/*.jsonl", [".hidden/d.jsonl"])[0] == set(names)


def zipped(text: bytes, *names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, text)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.jsonl.1.gz", gzip.compress), ("a.jsonl.1.bz2", bz2.compress), ("a.jsonl.1.xz", lzma.compress),
        ("a.jsonl.1.zip", lambda text: zipped(text, "a.jsonl")), ("a.jsonl.1", bz2.compress),
        ("a.jsonl.1.gz", lambda text: gzip.compress(text) + gzip.compress(text)), ("a.jsonl.1.gz", bytes),
        ("a.jsonl.1.zst", zstd.compress), ("a.jsonl-20261121", zstd.compress), ("a.jsonl.1.zstd", zstd.compress),
        ("a.jsonl.1.zst", lambda text: zstd.compress(text) + zstd.compress(text)),
    ],
)  # fmt: skip
def test_compressed_files_are_known_by_content(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(line("old").encode()))
    (tmp_path / "a.jsonl").write_text(line("new"))
    found = account(tmp_path / "a.jsonl")
    assert (found.kept, found.malformed, found.unread) == (2, 0, ())


def tarred(text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as file:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(text)
        file.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl.1.lz4", b"\x04\x22\x4d\x18" + bytes(40), "LZ4 is not read"),
        ("a.jsonl.1.zip", zipped(b"{}", "a", "b"), "a zip file with 2 files in place of one is not read"),
        ("a.jsonl.1.gz", tarred(line("x").encode()), "a tar archive is not read"),
        ("a.jsonl.1", b"PAR1" + bytes(40), "Parquet is not read"),
    ],
)
def test_forms_that_cannot_be_read_are_named(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "a.jsonl").write_text(line("new"))
    found = account(tmp_path / "a.jsonl")
    (one,) = found.unread
    assert (one.reason, one.names, found.kept, found.lines) == (UnreadReason.UNKNOWN_FORMAT, (str(tmp_path / name),),
                                                                1, 1)  # fmt: skip
    assert one.detail.startswith(told)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd.compress])
def test_a_damaged_file_counts_once_and_gives_what_it_holds(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    text = "".join(line(f"{n} {os.urandom(60).hex()}") for n in range(20_000)).encode()
    packed = pack(text)
    (tmp_path / "a.jsonl.1").write_bytes(packed[: len(packed) * 3 // 4])
    found = account(tmp_path / "a.jsonl")
    assert (found.malformed, found.reasons[0].reason.value) == (1, "damaged")
    assert found.read > 100


def test_only_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.1.lz4").write_bytes(b"\x04\x22\x4d\x18" + bytes(40))
    with pytest.raises(CouldNotMeasure, match=r"cannot read .*a\.jsonl\.1\.lz4 .*LZ4 is not read"):
        account(tmp_path / "a.jsonl")


def test_a_missing_file_names_its_relatives(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(line("x"))
    with pytest.raises(CouldNotMeasure, match=r"no file matches .*a\.jsonl .*their names differ: a\.json"):
        account(tmp_path / "a.jsonl")


def test_links_that_form_a_circle_end(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jsonl").write_text(line("a"))
    (folder / "deep" / "b.jsonl").write_text(line("b"))
    for name in ("one", "two"):
        (folder / name).symlink_to(".")
        (folder / "deep" / name).symlink_to("..")
    for pattern in ("logs/**/*.jsonl", "logs/**/**/*.jsonl", "logs/*/*/*/*/*.jsonl", "logs/**"):
        found = account(tmp_path / pattern)
        assert (found.kept, found.duplicates, found.unread) == (2, 0, ())


def test_every_bound_of_a_listing_is_told(tmp_path: Path) -> None:
    folder = tmp_path
    for depth in range(6):
        (folder / f"{depth}.jsonl").write_text(line(str(depth)))
        folder = folder / "d"
        folder.mkdir()

    def told(**bounds: int) -> tuple[int, str]:
        unread = listing.Unread()
        found = listing.files(f"{tmp_path}/**/*.jsonl", unread, **bounds)
        tally = Tally()
        unread.tell(tally)
        return len(found), " ".join(one.detail for one in tally.account(()).unread)

    assert told() == (6, "")
    assert told(max_files=2) == (2, "the listing ended after 2 files; narrow the glob")
    assert told(max_entries=5)[1] == "the listing ended after 5 names; narrow the glob"
    assert told(max_depth=2) == (3, "folders more than 2 deep are not listed")


def test_a_frame_that_claims_a_huge_window_is_damaged_and_takes_no_memory(tmp_path: Path) -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: reading.ZSTD_WINDOW_LOG + 2}
    packer = zstd.ZstdCompressor(options=options)  # the size is not known at its start, so the frame names its window
    (tmp_path / "a.jsonl.1").write_bytes(packer.compress(line("old").encode()) + packer.flush())
    (tmp_path / "a.jsonl").write_text(line("new"))
    found = account(tmp_path / "a.jsonl")
    assert (found.kept, found.malformed, found.reasons[0].reason.value) == (1, 1, "damaged")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_every_bound_of_decompression_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(pack(line("same").encode() * 50_000))

    def told(**bounds: Any) -> tuple[int, list[str]]:
        unread, tally = listing.Unread(), Tally()
        read = sum(1 for _ in reading.lines(path, set(), unread, tally, **bounds))
        unread.tell(tally)
        return read, [one.detail for one in tally.account(()).unread]

    assert told() == (50_000, [])
    read, why = told(max_unpacked=10**6)
    assert why == ["more than 1,000,000 bytes after decompression; read up to there"]
    assert 0 < read < 50_000
    monkeypatch.setattr(reading, "RATIO_FROM", 10**5)
    assert told(max_ratio=20)[1] == ["more than 20 times its size after decompression; read up to there"]


def test_a_log_that_is_copied_and_truncated_while_it_is_read(tmp_path: Path) -> None:
    """logrotate's copytruncate: the file keeps its inode and starts again at 0."""
    log = tmp_path / "a.jsonl"
    log.write_text("".join(line(f"old {n}") for n in range(5000)))
    tally, seen = Tally(), set[tuple[int, int]]()
    stream = reading.lines(log, seen, listing.Unread(), tally)
    first = next(stream)
    (tmp_path / "a.jsonl.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    rest = [one.data for one in stream]
    assert b"old 0" in first.data
    assert all(one.startswith(b"{") for one in rest[:-1])
    again = [one.data for one in reading.lines(tmp_path / "a.jsonl.1", seen, listing.Unread(), tally)]
    assert len(again) == 5000


def test_check_reads_the_first_lines_of_the_newest_file_only(tmp_path: Path) -> None:
    for age, name in enumerate(["a.jsonl", "a.jsonl.1", "a.jsonl.2"]):
        (tmp_path / name).write_text("".join(line(f"{name} {n}") for n in range(50)))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    source = JsonlSource(kind="jsonl", path=str(tmp_path / "a.jsonl"))
    found = peek(Production(source=source, sample=100, rubric=None), 20, NOON)
    assert (found.lines, found.kept) == (20, 20)


def test_check_passes_over_a_newest_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(line(f"plain {n}") for n in range(50)))
    os.utime(tmp_path / "a.jsonl", (1e9, 1e9))
    (tmp_path / "a.jsonl.1.lz4").write_bytes(b"\x04\x22\x4d\x18")
    source = JsonlSource(kind="jsonl", path=str(tmp_path / "a.jsonl"))
    found = peek(Production(source=source, sample=100, rubric=None), 20, NOON)
    assert (found.lines, found.kept) == (20, 20)
