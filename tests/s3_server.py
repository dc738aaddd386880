"""A small S3 server on the loopback: lists one bucket and serves its objects in ranges, as pyarrow asks for them."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

NOW: Final = datetime(2026, 12, 1, tzinfo=UTC)
_ERROR: Final = "<Error><Code>{0}</Code><Message>{0}</Message></Error>"


@dataclass
class Bucket:
    """Objects by key; ``denied`` answers 403 to everything, ``broken`` 403 to the keys in it."""

    name: str = "logs"
    objects: dict[str, bytes] = field(default_factory=dict)
    modified: dict[str, datetime] = field(default_factory=dict)
    denied: bool = False
    broken: set[str] = field(default_factory=set)
    read: dict[str, list[int]] = field(default_factory=dict)
    """Key -> bytes of each range that was read."""
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    bucket: ClassVar[Bucket]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        name, _, key = unquote(parts.path).lstrip("/").partition("/")
        bucket, query = self.bucket, parse_qs(parts.query, keep_blank_values=True)
        if bucket.denied or key in bucket.broken:
            self._send(403, _ERROR.format("AccessDenied").encode())
        elif name != bucket.name or (key and key not in bucket.objects):
            self._send(404, _ERROR.format("NoSuchKey" if name == bucket.name else "NoSuchBucket").encode())
        elif not key:
            found = self._listing(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
            self._send(200, found.encode() if "list-type" in query else b"")
        else:
            self._object(key, bucket.objects[key])

    def _object(self, key: str, content: bytes) -> None:
        headers = {"Last-Modified": format_datetime(self.bucket.modified.get(key, NOW), usegmt=True)}
        span = self.headers.get("Range")
        if self.command == "HEAD" or not span:
            self._send(200, content, headers)
            return
        first, _, last = span.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        self.bucket.read.setdefault(key, []).append(len(part))
        self._send(
            206, part, {**headers, "Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"}
        )

    def _listing(self, prefix: str, delimiter: str) -> str:
        keys = sorted(key for key in self.bucket.objects if key.startswith(prefix))
        folders = {prefix + key[len(prefix) :].partition("/")[0] + "/" for key in keys if "/" in key[len(prefix) :]}
        folders = folders if delimiter else set()
        shown = [key for key in keys if not any(key.startswith(folder) for folder in folders)]
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.bucket.objects[key])}</Size><LastModified>"
            f"{self.bucket.modified.get(key, NOW):%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
            for key in shown
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders)
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>'
            f"<KeyCount>{len(shown) + len(folders)}</KeyCount>{contents}{prefixes}</ListBucketResult>"
        )

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def s3_server(bucket: Bucket) -> Iterator[str]:
    """Serves ``bucket``; yields the URL for ``AWS_ENDPOINT_URL``."""
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield bucket.url
        finally:
            server.shutdown()
            thread.join()
