"""The runbooks as pages: the few marks of Markdown that they use, and nothing that could be more than text."""

import re
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape

from monitor.core.package_data import shipped

NAME: Final = re.compile(r"[A-Za-z]+")


def folder() -> Path:
    return shipped("alerts") / "runbooks"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.md"))


def text(name: str) -> str | None:
    """A runbook as it is written; ``None`` when there is none of that name."""
    if not NAME.fullmatch(name) or name not in names():
        return None
    return (folder() / f"{name}.md").read_text(encoding="utf-8")


def page(name: str) -> tuple[str, Markup] | None:
    """A runbook's title and body; ``None`` when there is none of that name."""
    found = text(name)
    if found is None:
        return None
    title, _, body = found.partition("\n")
    return title.removeprefix("# ").strip(), Markup("\n").join(_blocks(body))


def _blocks(written: str) -> list[Markup]:
    blocks = []
    for block in re.split(r"\n\s*\n", written.strip()):
        if block.startswith("## "):
            heading, _, rest = block.partition("\n")
            blocks.append(Markup("<h2>{}</h2>").format(heading[3:]))
            block = rest
        if re.match(r"- |\d+\. ", block):
            tag = "ul" if block.startswith("- ") else "ol"
            items = re.split(r"^(?:- |\d+\. )", block, flags=re.MULTILINE)[1:]
            inside = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
            blocks.append(Markup(f"<{tag}>{{}}</{tag}>").format(inside))
        elif block.strip():
            blocks.append(Markup("<p>{}</p>").format(_inline(block)))
    return blocks


def _inline(written: str) -> Markup:
    pieces = re.split(r"`([^`]+)`", " ".join(written.split()))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if index % 2 else escape(piece) for index, piece in enumerate(pieces)
    )
