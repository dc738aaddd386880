"""Keyed hashes of personal values: without the key, nobody can tell which value a hash is of, not even by trying.

The key is the environment variable ``CLIFFWATCH_HASH_KEY``. Without it, a SQLite store has a key file next to it, which
is made on first use. A store on PostgreSQL has no place that only this machine can read, so it needs the variable.
"""

import hmac
import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from monitor.core.errors import CouldNotMeasure

VARIABLE: Final = "CLIFFWATCH_HASH_KEY"

LEAST: Final = 16
"""Minimum length of a key in characters."""

SQLITE: Final = "sqlite:///"

HEX: Final = 32
"""Hex digits of a hash: 128 bits."""


def key_file(store_url: str) -> Path | None:
    """The key file of a SQLite store; ``None`` for another store."""
    return Path(f"{store_url.removeprefix(SQLITE)}.hash-key") if store_url.startswith(SQLITE) else None


def missing(store_url: str, environ: Mapping[str, str]) -> bool:
    """Whether a key is needed from the environment and is not there: a SQLite store has a key file."""
    return key_file(store_url) is None and not environ.get(VARIABLE, "").strip()


def read_key(store_url: str, *, create: bool, environ: Mapping[str, str] = os.environ) -> bytes:
    """The key of a store's hashes. ``create``: make a missing key file.

    Raises CouldNotMeasure if there is no key, or if it is too short.
    """
    if given := environ.get(VARIABLE, "").strip():
        if len(given) < LEAST:
            raise CouldNotMeasure(f"{VARIABLE} is shorter than {LEAST} characters; make one: openssl rand -hex 32")
        return given.encode()
    path = key_file(store_url)
    if path is None:
        raise CouldNotMeasure(
            f"keyed hashes of a store on PostgreSQL need a key: set {VARIABLE} (openssl rand -hex 32), the same for "
            "the daemon and for commands"
        )
    return _from_file(path, create=create)


def _from_file(path: Path, *, create: bool) -> bytes:
    try:
        if create and not path.exists():
            _write(path)
        found = path.read_bytes().strip()
    except OSError as error:
        raise CouldNotMeasure(
            f"{path}: {error.strerror}; it has the key of this store's hashes: restore it, or set {VARIABLE}"
        ) from error
    if len(found) < LEAST:
        raise CouldNotMeasure(f"{path}: no key in it; restore it from a backup, or set {VARIABLE}")
    return found


def _write(path: Path) -> None:
    """Make the file, readable by its owner only. It appears with its whole content, also if two processes make it."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass  # another process made it: its key counts
    finally:
        new.unlink()


def keyed_hash(key: bytes, value: str) -> str:
    """HMAC-SHA256 of ``value``, cut to 128 bits, in hex."""
    return hmac.new(key, value.encode("utf-8", "replace"), sha256).hexdigest()[:HEX]
