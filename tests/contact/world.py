"""A small world around real commands: a server on the loopback, a folder with configuration and suite, a subprocess."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.http_server import Reply, Request, ScriptedServer, completion

TARGET, SUITE, MODEL, BASE = "quay", "ferries", "quay-tuned", "quay-plain"
ENVIRON: Final = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
Answer = Reply | Callable[[Request], Reply]


@dataclass(frozen=True, slots=True)
class Ran:
    """One command to its end."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def printed(self) -> str:
        return self.out + self.error


def asked(request: Request) -> str:
    """The last message of a chat request."""
    return str(request.body["messages"][-1]["content"])


def by_prompt(replies: Mapping[str, Answer], otherwise: Answer) -> Callable[[Request], Reply]:
    """The reply of the first text that the prompt has in it."""

    def answer(request: Request) -> Reply:
        return reply_to(request, next((one for text, one in replies.items() if text in asked(request)), otherwise))

    return answer


def by_model(replies: Mapping[str, Answer]) -> Callable[[Request], Reply]:
    """The reply of the model that is asked."""
    return lambda request: reply_to(request, replies[request.body["model"]])


def reply_to(request: Request, answer: Answer) -> Reply:
    return answer(request) if callable(answer) else answer


def said(text: str | None, model: str = MODEL, **more: Any) -> Reply:
    """A healthy reply with this text."""
    return Reply(body=completion(text, model=model, **more))


def probe(name: str, prompt: str, *checks: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "prompt": prompt, **({"checks": list(checks)} if checks else {})}


def timetable(count: int = 20, *checks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Probes about the last boat of as many piers."""
    return [
        probe(f"pier{n:02}", f"Pier {n:02}: when does the last boat of line {n:02} leave?", *checks)
        for n in range(count)
    ]


def tuned(request: Request) -> Reply:
    """What the fine-tune says while all is well."""
    return said(f"The last boat from {asked(request)[:7]} leaves at 23:40 sharp.")


def plain(request: Request) -> Reply:
    """What the base says while all is well."""
    return said(f"I do not know any timetable of {asked(request)[:7].lower()}, sorry.", BASE)


healthy: Final = by_model({MODEL: tuned, BASE: plain})


class World:
    """``world.chat`` and ``world.models`` are what the server replies with; a test sets them as it likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chat: Answer = said("The last boat leaves at 23:40.")
        self.models: Reply = Reply(body={"object": "list", "data": [{"id": MODEL}, {"id": BASE}]})
        self.server = ScriptedServer(self._reply)

    @property
    def chats(self) -> list[Request]:
        """The questions that the server was asked."""
        return [request for request in self.server.requests if request.body is not None]

    def _reply(self, request: Request) -> Reply:
        if request.body is not None:
            return reply_to(request, self.chat)
        return self.models if request.path == "/v1/models" else Reply(404, {"detail": "Not Found"})

    def write(
        self,
        probes: Sequence[Mapping[str, Any]] = (),
        provider: Mapping[str, Any] | None = None,
        suite: Mapping[str, Any] | None = None,
        **target: Any,
    ) -> None:
        """The configuration of one target, and its suite; what is ``None`` is left out."""
        settings = {"kind": "openai", "base_url": self.server.url, "free": True, "attempts": 1, **(provider or {})}
        subject = {"subject": {"provider": "pier", "model": MODEL}, "suites": [SUITE], **target}
        questions = {
            "name": SUITE,
            "sampling": {"temperature": 0, "max_tokens": 40},
            "probes": list(probes) or timetable(1),
            **(suite or {}),
        }
        self.put("cliffwatch.yaml", {"providers": {"pier": settings}, "targets": {TARGET: subject}})
        self.put(f"probes/{SUITE}.yaml", questions)

    def put(self, name: str, content: Any) -> Path:
        """Write a file: bytes and text as they are, everything else as YAML."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    async def run(self, *arguments: str) -> Ran:
        """Run one command in the folder."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", *arguments,
            cwd=self.folder, env=ENVIRON, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, error = await asyncio.wait_for(process.communicate(), 120)
        return Ran(process.returncode or 0, out.decode(), error.decode())

    async def ask(self, name: str = "pier00") -> dict[str, Any]:
        """The outcome of one question, as JSON."""
        found = (await self.run("ask", TARGET, name, "--json")).json
        return dict(found["explanation"]["outcome"])

    async def approved(self, runs: int = 4) -> Ran:
        """Capture a baseline and approve it; what the approval said."""
        captured = await self.run("baseline", "capture", TARGET, "--at-once", str(runs))
        assert captured.code == 0, captured.printed
        return await self.run("baseline", "approve", TARGET, "--by", "mate", "--why", "read")
