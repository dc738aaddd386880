"""A real Prometheus for a while, over what it scrapes or over what is put into its folder before."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.programs import free_port

START_SECONDS: Final = 30
SCRAPED: Final = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: cliffwatch, static_configs: [{{targets: ["{address}"]}}]}}]
"""
"""What scrapes one daemon at ``address`` and reads the rules of the file ``rules``."""


@contextmanager
def running(folder: Path, config: str, *flags: str) -> Iterator[str]:
    """Its URL, once it answers. ``folder``: gets its configuration, its log and, in ``data``, what it keeps.

    Raises FileNotFoundError where there is no Prometheus, RuntimeError with its log where it does not start.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("prometheus is not installed")
    file, port = folder / "prometheus.yml", free_port()
    file.write_text(config, encoding="utf-8")
    with (folder / "prometheus.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [program, f"--config.file={file}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", *flags],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            if not _ready(process, url):
                raise RuntimeError((folder / "prometheus.log").read_text(encoding="utf-8"))
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    for _ in range(START_SECONDS * 10):
        if process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return True
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    return False


def asked(url: str, path: str, **params: Any) -> Any:
    """``data`` of a reply of its API. Raises RuntimeError with what it says of a query that it cannot read."""
    query = urllib.parse.urlencode(params)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=30) as reply:
            return json.load(reply)["data"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{params}: {error.read().decode()}") from error
