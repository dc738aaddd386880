"""Draws the committed dashboards from live queries: ``python -m dashboards.picture`` writes docs/img/dashboard-*.png.

No Grafana server can be had where this is built, so this is a stand-in, and every picture says so. What is real: the
dashboards' JSON, the daemon's own exposition over a store with three weeks in it (``tests.weeks``), the alert rules,
and a Prometheus that answers every query. The past is put into it by ``promtool tsdb create-blocks-from``.

Needs Debian's prometheus and chromium.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Final

import yaml

from dashboards.build import BOARDS, FOLDER, path
from dashboards.draw import FAINT, GRID, KINDS, TEXT, TITLE, Mark
from dashboards.frames import Ask, Span, legend, lines, substituted
from monitor.core.records import Arm
from monitor.report.metrics import Internals
from monitor.store import open_store
from tests import prometheus, weeks

ROOT: Final = FOLDER.parent
PICTURES: Final = ROOT / "docs" / "img"
END: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
JOB, INSTANCE, URL = "cliffwatch", "cliffwatch:9464", "https://cliffwatch.example.com"
SHOWN: Final = "support-bot"
"""The target that the Target dashboard is drawn for."""
VARIABLES: Final = {
    "job": JOB, "instance": ".+", "web": URL, "__rate_interval": "4h", "__interval": "1h", "__range": "21d",
}  # fmt: skip
CAPTION: Final = "Drawn by Cliffwatch's stand-in from the live queries, not by Grafana"
WIDTH, COLUMN, ROW, GAP = 1680, 1680 / 24, 38, 8
"""Pixels; a row of the grid is 38 high as in Grafana, its gap included."""


@contextmanager
def past(folder: Path) -> Iterator[Ask]:
    """A Prometheus that remembers the three weeks, alerts and all; ``ask`` of ``dashboards.frames``."""
    store = open_store(f"sqlite:///{folder / 'weeks.db'}")
    kept = folder / "weeks.prom"
    with kept.open("w", encoding="utf-8") as file:
        hours = Hours(store, file.write)
        weeks.Weeks(store, END, hours.seen).live()
        file.write("# EOF\n")
    store.close()
    backfill(folder, kept)
    config = "global: {scrape_interval: 1h, evaluation_interval: 1h}\n"
    flags = ("--query.lookback-delta=61m", "--storage.tsdb.retention.time=10y")
    with prometheus.running(folder, config, *flags) as url:
        fired = folder / "alerts.prom"
        fired.write_text("".join(alerts(partial(prometheus.asked, url))) + "# EOF\n", encoding="utf-8")
    backfill(folder, fired)
    with prometheus.running(folder, config, *flags) as url:
        yield partial(prometheus.asked, url)


class Hours:
    """What a scrape of the daemon would have seen, hour by hour."""

    def __init__(self, store: Any, write: Callable[[str], Any]) -> None:
        self._store, self._write, self._settings = store, write, weeks.settings(URL)
        self._internals = Internals()

    def seen(self, now: datetime) -> None:
        if now.hour == 0 and now.day % 9 == 0:
            self._internals.reloaded(ok=True, at=now)
        if now.hour == 2:
            self._called(now.day)
        if (now.day, now.hour) in ((17, 9), (20, 3)):
            self._internals.run_failed()
        self._internals.ticked(now - timedelta(seconds=2))
        body, _ = self._internals.exposition(self._store, self._settings, now)
        self._write(stamped(f"up 1\n{body.decode()}", now))

    def _called(self, day: int) -> None:
        for n in range(60):
            self._internals.observe_call(SHOWN, Arm.SUBJECT, "vllm", "ok", 0.3 + (n * 7 + day) % 11 / 10)
            self._internals.observe_call(SHOWN, Arm.BASE, "vllm", "ok", 0.2 + (n * 5 + day) % 7 / 10)
            self._internals.observe_call(SHOWN, Arm.JUDGE_SUBJECT, "claude", "ok", 1.1 + (n * 3 + day) % 13 / 10)


def stamped(text: str, now: datetime) -> str:
    """An exposition's samples as OpenMetrics of that time, with the labels that a scrape adds."""
    where = f'job="{JOB}",instance="{INSTANCE}"'
    made = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            made.append(f"{name}{{{where}{',' if labels else ''}{labels or ''}}} {value} {now.timestamp():.0f}\n")
    return "".join(made)


def alerts(ask: Ask) -> Iterator[str]:
    """``ALERTS`` as Prometheus writes it, of the shipped rules over the weeks, hour by hour; ``for`` is shorter."""
    rules = yaml.safe_load((ROOT / "alerts" / "rules.yaml").read_text(encoding="utf-8"))
    found: list[tuple[float, str]] = []
    for rule in [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]:
        start = END - timedelta(days=weeks.DAYS)
        params = {"query": rule["expr"], "start": start.timestamp(), "end": END.timestamp(), "step": 3600}
        for one in ask("query_range", **params)["result"]:
            labels = {**one["metric"], **rule.get("labels", {}), "alertname": rule["alert"], "alertstate": "firing"}
            labels.pop("__name__", None)
            named = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
            found += [(at, f"ALERTS{{{named}}} 1 {at:.0f}\n") for at, _ in one["values"]]
    yield from (line for _, line in sorted(found))


def backfill(folder: Path, kept: Path) -> None:
    """Write the samples as blocks that Prometheus finds when it starts. Raises CalledProcessError."""
    large = "--max-block-duration=720h"  # a block for every two hours takes minutes
    blocks = ["promtool", "tsdb", "create-blocks-from", large, "openmetrics", "-q", str(kept), str(folder / "data")]
    subprocess.run(blocks, check=True, capture_output=True)


def marks(board: Mapping[str, Any], ask: Ask, variables: Mapping[str, str], span: Span) -> list[Mark]:
    """The annotations of a dashboard: when each began."""
    made: list[Mark] = []
    for one in board["annotations"].get("list") or []:
        expr = substituted(one["expr"], variables)
        found = ask("query_range", query=expr, start=span.start, end=span.end, step=3600)["result"]
        for series in found:
            words = (
                f"{legend(one['titleFormat'], series['metric'])} {legend(one.get('textFormat', ''), series['metric'])}"
            )
            values = {float(value) / 1000 for _, value in series["values"]}
            times = values if one.get("useValueForTime") else {float(series["values"][0][0])}
            made += [(at, words, one["iconColor"]) for at in times]
    return sorted(set(made))


def page(name: str, ask: Ask) -> tuple[str, int]:
    """The dashboard as HTML, and its height in pixels."""
    board = json.loads(path(name).read_text(encoding="utf-8"))
    days = int(re.fullmatch(r"now-(\d+)d", board["time"]["from"])[1])  # type: ignore[index]
    start = END - timedelta(days=min(days, weeks.DAYS) - 0.5)
    span = Span(start.timestamp(), END.timestamp(), 3600.0 * (2 if days > 14 else 1))
    variables = {**VARIABLES, "target": SHOWN if name == "target" else ".+"}
    seen = marks(board, ask, variables, span)
    drawn = [drawn_panel(panel, ask, variables, span, seen) for panel in board["panels"]]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) * ROW
    top = 84 + (24 if seen else 0)
    body = f'{header(board, variables, seen)}<main style="height:{bottom}px">{"".join(drawn)}</main>'
    body += f"<footer>{CAPTION} · {END:%Y-%m-%d %H:%M} UTC</footer>"
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>{body}</body>", top + bottom + 44


def header(board: Mapping[str, Any], variables: Mapping[str, str], seen: Sequence[Mark]) -> str:
    chosen = []
    for one in board["templating"]["list"]:
        if one.get("hide") != 2:
            value = "Prometheus" if one["type"] == "datasource" else variables[one["name"]].replace(".+", "All")
            chosen.append(f'<span class="variable"><b>{escape(one["label"])}</b>{escape(value)}</span>')
    links = "".join(f'<span class="linked">{escape(one["title"])} ↗</span>' for one in board["links"])
    words = {color: re.sub(r"^Cliffwatch\w+", "Alarm", text).split(" ")[0] for _, text, color in seen}
    keys = "".join(
        f'<span class="key"><i style="background:{color}"></i>'
        f"{ {'Alarm': 'alarm begins', 'Baseline': 'baseline approved'}.get(word, 'configuration read') }</span>"
        for color, word in words.items()
    )
    marked = f'<div class="marks">{keys}</div>' if keys else ""
    return (
        f"<header><h1>{escape(board['title'])}</h1><p>{escape(board['description'])}</p><em>{CAPTION}</em></header>"
        f"<nav>{''.join(chosen)}<span class=right>{links}</span></nav>{marked}"
    )


def drawn_panel(
    panel: Mapping[str, Any], ask: Ask, variables: Mapping[str, str], span: Span, seen: Sequence[Mark]
) -> str:
    at = panel["gridPos"]
    box = f"left:{at['x'] * COLUMN:.0f}px;top:{at['y'] * ROW}px;"
    if panel["type"] == "row":
        return f'<div class="rowtitle" style="{box}">⌄ {escape(panel["title"])}</div>'
    width, height = round(at["w"] * COLUMN - GAP), at["h"] * ROW - GAP
    found = lines(panel, ask, variables, span)
    inside = KINDS[panel["type"]](panel, found, width, height, span, seen)
    return (
        f'<section style="{box}width:{width}px;height:{height}px"><h2 style="height:{TITLE - 10}px">'
        f"{escape(substituted(panel['title'], variables))}</h2>{inside}</section>"
    )


STYLE: Final = f"""
* {{box-sizing: border-box; margin: 0}}
body {{background: #111217; color: {TEXT}; font: 13px/1.35 Inter, "DejaVu Sans", Arial, sans-serif; padding: 12px 16px;
  width: {WIDTH + 32}px}}
header {{display: flex; align-items: baseline; gap: 16px}} h1 {{font-size: 20px; font-weight: 600}}
header p {{color: {FAINT}; font-size: 14px}} header em {{margin-left: auto; color: {FAINT}; font-size: 12px}}
nav {{display: flex; gap: 12px; margin: 10px 0; align-items: center; height: 28px}} .right {{margin-left: auto}}
.variable {{border: 1px solid {GRID}; padding: 3px 10px; border-radius: 2px}}
.variable b {{color: {FAINT}; font-weight: 400; margin-right: 8px}}
.linked {{color: #6e9fff; margin-left: 16px}} .marks {{height: 24px; color: {FAINT}}}
main {{position: relative}} footer {{color: {FAINT}; font-size: 12px; padding-top: 8px}}
section {{position: absolute; background: #181b1f; border: 1px solid #23262c; border-radius: 2px; overflow: hidden;
  padding: 6px 8px 0}}
h2 {{font-size: 13px; font-weight: 500; white-space: nowrap; overflow: hidden; text-overflow: ellipsis}}
.rowtitle {{position: absolute; font-size: 15px; font-weight: 500; padding-top: 8px}}
.stat {{position: absolute; inset: 32px 8px 8px; display: flex; align-items: center; justify-content: center;
  border-radius: 2px; font-weight: 500; text-align: center}}
svg text {{fill: {FAINT}; font-size: 11px}} svg {{display: block}}
.legend {{font-size: 11px; line-height: {24 - 6}px}} .key {{margin-right: 14px; white-space: nowrap; font-size: 11px}}
.key i {{display: inline-block; width: 12px; height: 4px; border-radius: 2px; margin: 0 6px 3px 0}}
table {{border-collapse: collapse; width: 100%; table-layout: fixed; font-size: 12.5px}}
th {{text-align: left; font-weight: 500; color: #6e9fff; border-bottom: 1px solid {GRID}; padding: 4px 8px;
  height: 30px}}
td {{border-bottom: 1px solid #20232a; padding: 0 8px; height: 30px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis}}
.link {{color: #8ab8ff; text-decoration: underline; text-underline-offset: 3px}}
.gauge > div {{display: inline-block; width: calc(100% - 56px); height: 12px; background: #22252b;
  vertical-align: middle}}
.gauge i, .bar i {{display: block; height: 100%}} .gauge span {{display: inline-block; width: 48px; text-align: right}}
.bars {{display: flex; flex-direction: column; gap: 8px; padding: 4px}}
.bar b {{font-weight: 400; font-size: 12px}} .bar span {{float: right; font-size: 13px; margin-top: -18px}}
.bar > div {{height: 16px; background: #22252b; width: calc(100% - 76px)}}
.bar span {{margin-top: -17px}}
.empty {{display: flex; align-items: center; justify-content: center; height: calc(100% - 40px); color: {FAINT};
  padding: 12px; text-align: center}}
"""


def photographed(html: Path, picture: Path, height: int) -> None:
    """Raises CalledProcessError."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
             "--hide-scrollbars", f"--window-size={WIDTH + 32},{height}"]  # fmt: skip
    subprocess.run(
        ["chromium", *flags, f"--user-data-dir={html.parent / 'chromium'}", f"--screenshot={picture}", html.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(BOARDS), help="dashboards to draw; all when left out")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder of the pictures")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cliffwatch-picture-") as made:
        folder = Path(made)
        with past(folder) as ask:
            for name in chosen.names:
                html, height = page(name, ask)
                (folder / f"{name}.html").write_text(html, encoding="utf-8")
                picture = chosen.out / f"dashboard-{name}.png"
                photographed(folder / f"{name}.html", picture, height)
                sys.stdout.write(f"{picture}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
