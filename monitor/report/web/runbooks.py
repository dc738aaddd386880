"""The runbooks as pages."""

import re
from pathlib import Path
from typing import Final

from markupsafe import Markup

from monitor.core.package_data import shipped

NAME: Final = re.compile(r"[A-Za-z]+")
SAFE_LINK: Final = re.compile(r"(?:https?://|mailto:|/(?!/)|#)", re.IGNORECASE)
"""How the address of a link begins. ``//host`` would lead to another server."""


def folder() -> Path:
    return shipped("alerts") / "runbooks"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.md"))


def text(name: str) -> str | None:
    """The Markdown text of a runbook; ``None`` if no runbook has that name."""
    if not NAME.fullmatch(name) or name not in names():
        return None
    return (folder() / f"{name}.md").read_text(encoding="utf-8")


def page(name: str) -> tuple[str, Markup] | None:
    """A runbook's title and body; ``None`` if no runbook has that name."""
    found = text(name)
    if found is None:
        return None
    title, _, body = found.partition("\n")
    return title.removeprefix("# ").strip(), rendered(body)


def rendered(markdown: str) -> Markup:
    """CommonMark as HTML that is safe to put on a page.

    HTML in the text is shown as text. A link may lead to a web address, a mail address or another page of the daemon;
    otherwise its source is shown. Images are not loaded. Headings have no anchors, as no page links to a section.
    """
    from markdown_it import MarkdownIt  # needed only when a person reads a runbook

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.validateLink = _safe  # type: ignore[method-assign, assignment]
    return Markup(parser.render(markdown))


def _safe(address: str) -> bool:
    """Whether a link may lead there: an address with one of the schemes below, or a path on this server."""
    return SAFE_LINK.match(address) is not None
