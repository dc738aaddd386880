"""A provider or a source is one file and one entry: those that are added to a copy of the source are seen everywhere.

A kind without a price list fails closed: tried on each kind of the catalogue, in a copy without price lists.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monitor.ask import Asker, Setup
from monitor.config import check
from monitor.core import providers, sources
from monitor.core.records import Answer, Message, Reason
from monitor.core.settings import Settings
from monitor.identify import Checked, Reading
from monitor.sample.request_log import Logged
from monitor.store import open_store
from scripts import generate_docs
from tests.acceptance.processes import get, wait_for
from tests.daemon import SUITE
from tests.programs import free_port

ROOT: Final = Path(__file__).parents[2]


def importing(*objects: Any) -> str:
    return "".join(f"from {one.__module__} import {one.__name__}\n" for one in objects)


ECHO: Final = f"""\
{importing(Setup, Answer)}from {providers.__name__} import EchoSettings
from {Reason.__module__} import Exchange


class EchoProvider:
    def __init__(self, setup):
        self._times = setup.own(EchoSettings).times
        self._clock = setup.clock

    async def ask(self, question, accepts):
        text = " ".join([question.messages[-1].content] * self._times)
        request = {{"model": question.model, "prompt": question.messages[-1].content}}
        return Answer(
            text=text, finish_reason="stop", refusal=False, model=question.model, fingerprint=None, request_id=None,
            prompt_tokens=1, completion_tokens=1, latency_seconds=0.0, asked_at=self._clock(),
            exchange=Exchange(request, {{"text": text}}), logprobs=None,
        )

    async def look(self, path):
        return 200, ["loud"]

    async def aclose(self):
        pass
"""

ECHO_IDENTITY: Final = f"""\
{importing(Checked, Reading)}

async def read(declared, get):
    _, served = await get("/served")
    said = {{one.key: Checked("repeats", one.model in served, one.model, " ".join(served)) for one in declared}}
    return {{key: Reading((check,)) for key, check in said.items()}}
"""

ECHO_ENTRY: Final = '''

@catalogued(
    ProviderKind(
        provider="monitor.ask.echo:EchoProvider", identity="monitor.identify.echo:read", identity_checks=("repeats",)
    )
)
class EchoSettings(Provider):
    """Repeats the question."""

    kind: Literal["echo"] = Field(description="the question itself, for tests")
    times: int = Field(1, ge=1, le=3, description="how often the question is repeated")
'''

LINES: Final = f"""\
{importing(Logged, Message, Path)}

def read(source, stratify, window, tally):
    for line in Path(source.file).read_text().splitlines():
        tally.read += 1
        yield Logged((Message("user", line),), "(none)")
"""

LINES_ENTRY: Final = '''

@catalogued(read="monitor.sample.lines:read")
class LinesSource(Source):
    """A text file of prompts."""

    kind: Literal["lines"] = Field(description="a text file, one prompt a line")
    file: Annotated[str, FilePattern()] = Field(description="the file of prompts")
'''


class Copy:
    """A copy of the source, run as a user would run it."""

    def __init__(self, folder: Path) -> None:
        self.source, self.config = folder / "source", folder / "cliffwatch.yaml"
        generator = Path(str(generate_docs.__file__)).relative_to(ROOT).parts[0]
        for name in {"monitor", "probes", "docs", "dashboards", "alerts", generator}:
            shutil.copytree(ROOT / name, self.source / name, ignore=shutil.ignore_patterns("weights", "__pycache__"))
        self.environ = {**os.environ, "PYTHONPATH": str(self.source)}

    def add(self, catalogue: Any, entry: str, **modules: str) -> None:
        """``modules``: stage -> the text of its new module, which is named as the entry's kind."""
        (kind,) = re.findall(r'kind: Literal\["(\w+)"\]', entry)
        for stage, text in modules.items():
            (self.source / "monitor" / stage / f"{kind}.py").write_text(text)
        with self.path(catalogue).open("a") as entries:
            entries.write(entry)

    def path(self, module: Any) -> Path:
        return self.source / Path(module.__file__).relative_to(ROOT)

    def write(self, name: str = "cliffwatch.yaml", **sections: Any) -> Path:
        (self.config.parent / "probes").mkdir(exist_ok=True)
        (self.config.parent / "probes" / "facts.yaml").write_text(yaml.safe_dump(SUITE))
        self.port = free_port()
        schedule = {"batches": 1, "production": "daily"}
        path = self.config.with_name(name)
        path.write_text(yaml.safe_dump({"http": {"port": self.port}, "schedule": schedule, **sections}))
        return path

    def changed(self, suite: str, *sections: dict[str, Any]) -> dict[str, Any]:
        """What each surface shows of ``bot`` when the first ``sections`` are replaced by the second."""
        store = {"store": f"sqlite:///{self.config.parent}/changed.db"}
        before, after = (self.write(f"{n}.yaml", **store, **one) for n, one in enumerate(sections))
        self.environ["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
        self.python("-m", "tests.new_kind", str(before), str(after), suite)
        seen: dict[str, Any] = json.loads(before.with_name("seen.json").read_text())
        assert seen["code"] == str(self.source / "monitor")
        assert seen["dashboards"] == dict.fromkeys(("fleet", "target", "judge", "operations"), True)
        return seen

    def python(self, *arguments: str, expect: int = 0) -> str:
        """Run Python over the copy to its end; what it printed."""
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=self.source, env=self.environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def cliffwatch(self, *arguments: str, expect: int = 0) -> str:
        return self.python("-m", "monitor", *arguments, "--config", str(self.config), expect=expect)

    @contextmanager
    def daemon(self) -> Iterator[str]:
        """The URL of a daemon over the copy."""
        command, log = (
            [sys.executable, "-m", "monitor", "run", "--config", str(self.config)],
            self.config.with_name("log"),
        )
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=self.source, env=self.environ, stdout=sink, stderr=sink)
        try:
            url = f"http://127.0.0.1:{self.port}"
            wait_for("the daemon to be ready", lambda: process.poll() is not None or get(f"{url}/readyz"), 30)
            assert process.poll() is None, log.read_text()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0

    def documented(self) -> tuple[str, dict[str, Any]]:
        """``docs/config.md`` and the JSON Schema, made anew."""
        self.python("-P", str(self.path(generate_docs)))
        made = self.source / "docs"
        return (made / "config.md").read_text(), json.loads((made / "cliffwatch.schema.json").read_text())

    def answers(self) -> set[str]:
        """The texts of what was answered in the one run of ``bot``."""
        store = open_store(f"sqlite:///{self.config.parent}/cliffwatch.db")
        try:
            (run,) = store.runs("bot")
            return {answer.text for answer in store.answers([run.id])}
        finally:
            store.close()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


UNPRICED_LOUD: Final = (
    "targets.bot.subject.model: no price is known for 'loud' (provider 'mine'), and kind echo has no price list: "
    "add it to its provider's 'prices', or set 'free: true' there"
)


def test_one_file_and_one_entry_are_a_provider(copy: Copy) -> None:
    copy.add(providers, ECHO_ENTRY, ask=ECHO, identify=ECHO_IDENTITY)
    targets = {"bot": {"subject": {"provider": "mine", "model": "loud"}, "suites": ["facts"]}}
    page, schema = copy.documented()
    assert "| `kind` | `openai`, `anthropic`, `local`, `scripted`, `echo` | **required** | openai: Chat" in page
    assert "; echo: the question itself, for tests |" in page
    assert "## `providers.NAME kind: echo`\n\nRepeats the question.\n" in page
    assert "| `times` | whole number ≥ 1, ≤ 3 | `1` | how often the question is repeated |" in page
    (of_name,) = schema["properties"]["providers"]["patternProperties"].values()
    known = schema["$defs"][of_name["discriminator"]["mapping"]["echo"].rpartition("/")[2]]
    assert known["properties"]["times"]["maximum"] == 3
    wrong: dict[str, dict[str, Any]] = {
        "mine": {"kind": "echo", "times": 2},
        "many": {"kind": "echo", "times": 9},
        "typo": {"kind": "echo", "tims": 2},
        "http": {"kind": "echo", "base_url": "http://x/v1"},
        "near": {"kind": "ecko", "times": 9},
        "other": {"kind": "openai", "times": 2},
    }
    copy.write(providers=wrong, targets=targets)
    said = copy.cliffwatch("check", expect=2)
    for text in (
        "providers.many.times: must be at most 3, not 9",
        "providers.typo.tims: unknown key; did you mean 'times'?",
        "providers.http.base_url: only for kinds openai and anthropic; this one is echo",
        "providers.near.kind: must be one of openai, anthropic, local, scripted, echo; did you mean 'echo'?",
        "providers.near.times: must be at most 3, not 9",
        "providers.other.times: only for kind echo; this one is openai",
        UNPRICED_LOUD,
    ):
        assert text in said
    copy.write(providers={"mine": wrong["mine"]}, targets=targets)
    assert UNPRICED_LOUD in copy.cliffwatch("run", expect=2)
    price = {"input": 1_000_000, "output": 2_000_000}
    copy.write(providers={"mine": {**wrong["mine"], "prices": {"loud": price}}}, targets=targets)
    with copy.daemon() as url:
        call = 'target="bot",arm="subject",provider="mine",model="loud"'
        asked = f'cliffwatch_api_requests_total{{{call},outcome="ok"}} 18.0'
        same = 'cliffwatch_identity_match{target="bot",check="repeats"} 1.0'
        metrics = wait_for("the answers", lambda: found if asked in (found := get(f"{url}/metrics")) else None, 20)
        wait_for("the identity", lambda: same in get(f"{url}/metrics"), 20)
        page, told = get(f"{url}/targets/bot"), json.loads(get(f"{url}/api/v1/targets/bot"))
    assert re.search(r"loud\b.*\bmine\b", page)
    assert re.search(r"\brepeats</th>", page)
    assert [(one["check"], one["result"], one["found"]) for one in told["identity"]] == [("repeats", "matches", "loud")]
    assert 'cliffwatch_target_info{target="bot",provider="mine",model="loud",' in metrics
    assert f"cliffwatch_api_spend_usd_total{{{call}}} {18 * 3.0}" in metrics
    assert copy.answers() == {f"Fact {n}? Fact {n}?" for n in range(18)}
    often = [{"mine": {"kind": "echo", "times": times, "free": True}} for times in (1, 3)]
    soft = {"bot": {**targets["bot"], "subject": {"provider": "mine", "model": "soft"}}}
    copy.write(providers=often[0], targets=soft)
    printed = copy.cliffwatch("identify", "--json", expect=1)
    (mismatch,) = json.JSONDecoder().raw_decode(printed)[0]["checks"]
    assert (mismatch["check"], mismatch["result"]) == ("repeats", "differs")
    assert (mismatch["expected"], mismatch["found"]) == ("soft", "loud")
    seen = copy.changed("facts", *({"providers": one, "targets": targets} for one in often))
    assert "length" in seen["alarming"]
    assert 'cliffwatch_alarm{target="bot",signal="length",severity="ticket"} 1.0' in seen["metrics"]
    assert re.search(r"Fact \d+\?", seen["finding"])
    assert_in_mail(seen)


def test_one_file_and_one_entry_are_a_source(copy: Copy) -> None:
    copy.add(sources, LINES_ENTRY, sample=LINES)
    folder = copy.config.parent
    (folder / "prompts.txt").write_text("Where is order 7?\nMail me at jo@example.com\n")
    (folder / "script.yaml").write_text('rules: [{answers: ["{prompt}"]}]')

    def sections(script: str = "script.yaml", **sources: dict[str, Any]) -> dict[str, Any]:
        subject = {"provider": "script", "model": "tuned"}
        made = {name: {"subject": subject, "production": {"source": one}} for name, one in sources.items()}
        return {"providers": {"script": {"kind": "scripted", "script": script}}, "targets": made}

    page, schema = copy.documented()
    known = [*sources.SOURCES, "lines"]
    with_path = [kind for kind, one in sources.SOURCES.items() if "path" in one.settings.model_fields]
    assert f"| `kind` | {', '.join(f'`{kind}`' for kind in known)} | **required** | jsonl: request logs" in page
    assert "## `targets.NAME.production.source kind: lines`\n\nA text file of prompts.\n" in page
    assert "| `file` | text | **required** | the file of prompts |" in page
    kinds = schema["$defs"]["Production"]["properties"]["source"]["discriminator"]["mapping"]
    assert schema["$defs"][kinds["lines"].rpartition("/")[2]]["required"] == ["kind", "file"]
    wrong = sections(
        missing={"kind": "lines"},
        other={"kind": "lines", "file": "prompts.txt", "path": "x"},
        near={"kind": "line", "file": "prompts.txt"},
        dots={"kind": "lines", "file": "prompts.txt", "messages": "a..b"},
    )
    copy.write(**wrong)
    said = copy.cliffwatch("check", expect=2)
    for text in (
        "targets.missing.production.source.file: missing: the file of prompts",
        f"targets.other.production.source.path: only for kinds {', '.join(with_path[:-1])} and {with_path[-1]}; ",
        f"targets.near.production.source.kind: must be one of {', '.join(known)}; did you mean 'lines'?",
        "targets.dots.production.source.messages: must be keys separated by dots, for example request.messages",
    ):
        assert text in said
    lines = {"kind": "lines", "file": "prompts.txt"}
    copy.write(**sections(bot=lines))
    with copy.daemon() as url:
        done = 'cliffwatch_runs_total{target="bot",suite="production",outcome="measured"} 1.0'
        wait_for("the run", lambda: done in get(f"{url}/metrics"), 20)
        page, told = get(f"{url}/targets/bot"), json.loads(get(f"{url}/api/v1/targets/bot"))
    assert [(one["suite"], one["outcome"]) for one in told["runs"]] == [("production", "measured")]
    assert 'id="suite-1">Suite production' in page
    assert copy.answers() == {"Where is order 7?", "Mail me at ‹email›"}
    (folder / "prompts.txt").write_text("".join(f"Where is order {n}?\n" for n in range(20)))
    (folder / "longer.yaml").write_text('rules: [{answers: ["{prompt} I do not know. {prompt}"]}]')
    seen = copy.changed("production", *(sections(script, bot=lines) for script in ("script.yaml", "longer.yaml")))
    assert "length" in seen["alarming"]
    assert 'cliffwatch_alarm{target="bot",signal="length",severity="ticket"} 1.0' in seen["metrics"]
    assert "Where is order" in seen["finding"]
    assert_in_mail(seen)


def assert_in_mail(seen: dict[str, Any]) -> None:
    """The target is in the weekly mail, with a chart of a signal that alarms."""
    assert "/targets/bot" in seen["mail"]
    ((signal, chart),) = seen["charts"].items()
    assert signal in seen["alarming"]
    assert chart in seen["mail"]


UNPRICED: Final = f"""\
import asyncio, json, sys
from pathlib import Path
{importing(check, Asker, Settings, open_store)}from {providers.__name__} import PROVIDERS
from tests.asking import QUESTION

folder = Path(sys.argv[1])
free, priced = {{"free": True}}, {{"prices": {{str(folder): {{"input": 1, "output": 1}}}}}}


def configuration(kind, more):
    own = dict.fromkeys(PROVIDERS[kind].yaml_files, str(folder / "script.yaml"))
    own |= {{"base_url": "http://127.0.0.1:9/v1"}} if PROVIDERS[kind].needs_key else {{}}
    target = {{"subject": {{"provider": "server", "model": str(folder)}}, "suites": ["format"]}}
    return {{"providers": {{"server": {{"kind": kind, **own, **more}}}}, "targets": {{"bot": target}}}}


def problems(kind, more):
    (folder / "cliffwatch.yaml").write_text(json.dumps(configuration(kind, more)))
    return [str(problem) for problem in check(folder / "cliffwatch.yaml", {{}}, lambda module: True).problems]


async def asked(kind, store):
    asker = Asker(Settings.model_validate(configuration(kind, {{}})), store)
    outcome = (await asker.exchange(QUESTION)).outcome
    return [outcome.reason, outcome.detail, outcome.usd]


store = open_store(f"sqlite:///{{folder}}/cliffwatch.db")
print(json.dumps({{
    kind: {{
        "refused": problems(kind, {{}}), "free": problems(kind, free), "priced": problems(kind, priced),
        "asked": asyncio.run(asked(kind, store)),
    }}
    for kind in PROVIDERS
}}))
store.close()
"""


@pytest.fixture(scope="module")
def unpriced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What a copy without price lists says of each kind: ``check``, and a call that was made without a check."""
    folder = tmp_path_factory.mktemp("unpriced")
    copy = Copy(folder)
    catalogue = copy.path(providers)
    text, lists = re.subn(r"^ +price_list=.*,\n", "", catalogue.read_text(), flags=re.MULTILINE)
    assert lists == len(providers.PROVIDERS), "every kind had one"
    catalogue.write_text(text)
    (folder / "script.yaml").write_text('rules: [{answers: ["{prompt}"]}]')
    copy.environ["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    return folder, json.loads(copy.python("-c", UNPRICED, str(folder)).splitlines()[-1])


@pytest.mark.parametrize("kind", providers.PROVIDERS)
def test_a_kind_without_a_price_list_fails_closed(unpriced: tuple[Path, dict[str, Any]], kind: str) -> None:
    folder, found = unpriced[0], unpriced[1][kind]
    said = f"no price is known for '{folder}' (provider 'server'), and kind {kind} has no price list: "
    give = "add it to its provider's 'prices', or set 'free: true' there"
    assert found["refused"] == [f"{folder}/cliffwatch.yaml:1: targets.bot.subject.model: {said}{give}"]
    assert (found["free"], found["priced"]) == ([], [])
    assert found["asked"] == [
        "unpriced",
        f"no price is known for tuned at server, and kind {kind} has no price list",
        0,
    ]
