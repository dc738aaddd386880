"""Logs of real processes: every line is read, and no secret stands in any, wherever it was planted."""

import ast
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from monitor.core import logs
from monitor.core.logs import LONGEST_MESSAGE, conceal, scrub
from monitor.store import open_store
from tests.acceptance.processes import Daemon
from tests.daemon import HEALTHY, SUITE, write
from tests.http_server import Reply, Request, ScriptedServer
from tests.programs import free_port

ROOT: Final = Path(__file__).parents[2]

SECRETS: Final = {
    "env": "plain-words-are-a-key-too",
    "file": 'another key "with quotes" and \\ in it',
    "smtp": "p/ss w&rd=1",
    "token": "tok-0123456789abcdef0123456789abcdef",
    "postgres": "pg'password",
    "unconfigured": "nobody-named-this-one-9",
}
"""None of them has a vendor's shape: they are known by where they are kept."""
SHAPES: Final = (
    "sk-proj-aB3dE5fG7hI9jK1lM3nO5pQ7", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
)  # fmt: skip
"""Known by their shape alone: no configuration names them."""
PROMPT: Final = "What is the price of a blue lamp?"

SCRIPT: Final = """
import logging, sys, threading, warnings
from pathlib import Path
import structlog
from monitor import config
from monitor.core import logs
logs.configure(service=sys.argv[1] == "json")
config.load(Path("cliffwatch.yaml"))
log = structlog.get_logger()
import json, os
from sqlalchemy.exc import IntegrityError
secrets = json.loads(sys.stdin.read())
for secret in secrets:
    log.warning("said", text=f"before {secret} after", **{"as a name " + secret: 1})
    log.info(secret, nested={"a": [{"b": (secret, {secret})}], secret: Path(f"/tmp/{secret}")}, raw=ValueError(secret))
    user = "jo:" + secret.replace(" ", "").replace("/", "")
    log.info("address", url=f"https://{user}@host/v1", body=json.dumps({"k": secret}))
    headers = {"Authorization": f"Bearer {secret}"}
    logging.getLogger("httpx").warning("HTTP Request: POST %s with %r", "http://x/", headers)
    logging.getLogger("uvicorn.error").error("broken %d", secret)
    warnings.warn(f"old {secret}")
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise RuntimeError(f"535 authentication failed for {secret}") from error
    except RuntimeError:
        log.exception("failed", error=f"5.7.8 {secret}")
        logging.getLogger("openai").exception("request failed")
    for shown in range(len(secret)):
        log.error("cut", exc_info=ValueError("x" * (499 - shown) + " " + secret))
    thread = threading.Thread(target=lambda: (_ for _ in ()).throw(ValueError(secret)))
    thread.start()
    thread.join()
try:
    orig = Exception("duplicate key\\nDETAIL:  Key (text)=(" + os.environ["PROMPT"] + ") exists.")
    raise IntegrityError("INSERT", {"text": os.environ["PROMPT"]}, orig, hide_parameters=True)
except IntegrityError:
    log.exception("store_failed")
logging.getLogger("openai").setLevel(logging.DEBUG)
logging.getLogger("openai").debug("Request options: %s", os.environ["PROMPT"])
raise SystemError(" ".join(secrets))
"""


def environ() -> dict[str, str]:
    return {
        **os.environ, "LAB_KEY": SECRETS["env"], "SMTP_WORD": SECRETS["smtp"], "JOS": SECRETS["token"],
        "PGPASSWORD": SECRETS["postgres"], "OTHER_API_KEY": SECRETS["unconfigured"], "PROMPT": PROMPT,
    }  # fmt: skip


def written(folder: Path, url: str, port: int = 0) -> Path:
    """A configuration that names a secret in every place that takes one."""
    (folder / "probes").mkdir()
    suite = {**SUITE, "probes": [{**one, "prompt": f"{PROMPT} {one['id']}"} for one in SUITE["probes"]]}
    (folder / "probes" / "facts.yaml").write_text(yaml.safe_dump(suite))
    (folder / "key.txt").write_text(SECRETS["file"] + "\n")
    server = {"kind": "openai", "base_url": url, "free": True, "attempts": 2}
    endpoint = {"provider": "server", "model": "tuned"}
    path = folder / "cliffwatch.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "store": f"sqlite:///{folder}/cliffwatch.db",
                "providers": {
                    "server": {**server, "api_key_env": "LAB_KEY"},
                    "other": {**server, "api_key_file": "key.txt"},
                },
                "judge": {"provider": "other", "model": "judge"},
                "targets": {
                    "bot": {"subject": endpoint, "base": {"provider": "other", "model": "plain"}, "suites": ["facts"]}
                },
                "schedule": {"day_seconds": 20, "batches": 1},
                "email": {
                    "to": ["sre@example.com"],
                    "smtp": {"host": "127.0.0.1", "username": "jo", "password_env": "SMTP_WORD"},
                },
                "http": {"actions": {"jo": {"token_env": "JOS"}}},
            }
        )
        + f"\n# port: {port}}}\n"
    )
    return path


def unclean(text: str) -> list[str]:
    """The secrets that stand in ``text``, as they are or as JSON writes them."""
    forms = {form for one in (*SECRETS.values(), *SHAPES) for form in (one, json.dumps(one)[1:-1], repr(one)[1:-1])}
    return [form for form in forms if form in text]


@pytest.mark.parametrize("kind", ["json", "terminal"])
def test_no_way_of_logging_lets_a_secret_through(tmp_path: Path, kind: str) -> None:
    written(tmp_path, "http://127.0.0.1:9/v1")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], cwd=tmp_path, env=environ(), text=True, capture_output=True, timeout=120,
        input=json.dumps([*SECRETS.values(), *SHAPES]), check=False,
    )  # fmt: skip
    told = done.stderr
    assert done.returncode == 1
    assert unclean(told + done.stdout) == []
    assert begun(told + done.stdout) == []
    assert PROMPT not in told
    for what in ("said", "address", "library", "crashed", "store_failed", "535 authentication failed", "uvicorn.error"):
        assert what in told, what
    if kind == "json":
        events = [json.loads(line) for line in told.splitlines()]
        assert sum(one["event"] == "crashed" for one in events) == len(SECRETS) + len(SHAPES) + 1
        assert any("‹secret›" in one.get("text", "") for one in events)


async def test_a_daemon_whose_provider_echoes_the_key(tmp_path: Path) -> None:
    """A 401 that repeats the key, a token in a request line, a broken request, a file that is refused at a reload."""

    def refuse(request: Request) -> Reply:
        header = request.headers.get("authorization", "")
        return Reply(401, {"error": {"message": f"Incorrect API key provided: {header}. Prompt: {request.body}"}})

    port = free_port()
    async with ScriptedServer(refuse) as server:
        config = written(tmp_path, server.url, port)
        text = yaml.safe_load(config.read_text())
        text["http"]["port"] = port
        config.write_text(yaml.safe_dump(text) + f"\n# port: {port}}}\n")
        kept = dict(os.environ)
        os.environ.update(environ())
        try:
            daemon = Daemon(config).start()
        finally:
            os.environ.clear()
            os.environ.update(kept)
        try:
            await asyncio.to_thread(daemon.wait_ready)
            for _ in range(450):
                if '"run_finished"' in (told := daemon.log.read_text()):
                    break
                await asyncio.sleep(0.2)
            else:
                pytest.fail(f"no run was finished in 90 s; the daemon said:\n{told}")
            await asyncio.to_thread(_knock, daemon)
            text["providers"]["server"]["api_key_env"] = SHAPES[0]
            config.write_text(yaml.safe_dump(text))
            async with httpx.AsyncClient() as client:
                assert (await client.post(f"{daemon.url}/-/reload")).status_code == 400
        finally:
            import signal

            await asyncio.to_thread(daemon.end, signal.SIGTERM)
        assert {request.headers.get("authorization") for request in server.requests} == {
            f"Bearer {SECRETS['env']}", f"Bearer {SECRETS['file']}",
        }  # fmt: skip
    told = daemon.log.read_text()
    assert unclean(told) == []
    assert PROMPT not in told
    events = [json.loads(line) for line in told.splitlines()]
    seen = {one["event"] for one in events}
    assert {"started", "run_due", "run_finished", "reload_failed", "library", "stopped"} <= seen
    for one in events:
        if one["event"] in ("asked", "run_finished"):
            assert (one["target"], one["suite"], one["run"] >= 1) == ("bot", "facts", True), one


def _knock(daemon: Daemon) -> None:
    """A request with the token in its line, and one that is no HTTP."""
    httpx.get(f"{daemon.url}/targets/{SECRETS['token']}", headers={"Authorization": f"Bearer {SECRETS['token']}"})
    with closing(socket.create_connection(("127.0.0.1", daemon.port), timeout=10)) as raw:
        raw.sendall(f"GET /?token={SECRETS['token']} nonsense {SECRETS['env']}\r\n\r\n".encode())
        raw.recv(1000)


def begun(text: str) -> list[str]:
    """The first half of a secret, where a line holds it: what a cut leaves of one."""
    return [one for one in (*SECRETS.values(), *SHAPES) if one[: max(6, len(one) // 2)] in text]


def test_no_part_of_a_secret_is_left_where_a_message_is_cut(tmp_path: Path) -> None:
    """Wherever the cut falls in it, in an exception's own message and in those of its causes."""
    conceal(SECRETS.values())
    for secret in (*SECRETS.values(), *SHAPES):
        for shown in range(len(secret) + 1):
            told = logs.render_error(ValueError("x" * (LONGEST_MESSAGE - 1 - shown) + " " + secret))
            assert begun(told) == []
            assert "x" * 400 in told


def test_what_is_no_secret_stays() -> None:
    digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    for line in ("http://127.0.0.1:9464", "2026-11-22T12:00:00+00:00", "gpt-4o-2024-08-06", "sre@example.com", digest):
        assert scrub(line) == line


def test_a_secret_stays_hidden_while_others_become_known() -> None:
    """A reload conceals what its file names while runs and requests log."""
    known = "plain-words-raced"
    conceal([known, *(f"plain-words-{number}" for number in range(500))])
    assert known not in scrub(f"said {known} aloud")
    leaks: list[str] = []
    over = threading.Event()

    def log() -> None:
        while not over.is_set():
            try:
                told = scrub(f"said {known} aloud")
            except RuntimeError as error:
                told = f"{known}: {error}"
            leaks.extend([told] if known in told else [])

    thread = threading.Thread(target=log)
    thread.start()
    for number in range(300):
        conceal([f"one-more-of-them-{number}"])
    over.set()
    thread.join()
    assert leaks == []


def events_in_the_code() -> set[str]:
    found = set()
    for path in (ROOT / "monitor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _logs(node.func):
                first: Any = node.args[0] if node.args else None
                first = node.args[1] if isinstance(first, ast.Attribute) and first.attr == "levelno" else first
                name = "library" if isinstance(first, ast.Name) else getattr(first, "value", None)
                assert isinstance(name, str), f"{path}:{node.lineno}: an event's name is written out"
                assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name), f"{path}:{node.lineno}: {name}"
                found.add(name)
    return found


def _logs(called: ast.expr) -> bool:
    levels = ("debug", "info", "warning", "error", "exception", "critical", "log")
    return (
        isinstance(called, ast.Attribute)
        and called.attr in levels
        and isinstance(called.value, ast.Name)
        and called.value.id == "log"
    )


def test_a_command_that_is_no_service_writes_readable_lines_also_into_a_pipe(tmp_path: Path) -> None:
    """And docs/logs.md promises no more: whoever reads a command by program reads its standard output."""
    path = write(tmp_path, HEALTHY)
    open_store(f"sqlite:///{tmp_path}/cliffwatch.db").close()
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "baseline", "capture", "bot", "--at-once", "1", "--config", str(path)],
        text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (finished,) = [line for line in done.stderr.splitlines() if "run_finished" in line]
    assert re.match(r"\d{4}-\d\d-\d\dT\S+ \[info +\] run_finished ", finished)
    page = " ".join((ROOT / "docs" / "logs.md").read_text(encoding="utf-8").split())
    assert "`cliffwatch run`, writes JSON, one object a line, unless standard error is a terminal" in page
    assert "Every other command writes readable lines only, also into a file or a pipe" in page


def test_every_event_is_on_the_page_and_no_other() -> None:
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE)) == events_in_the_code()
