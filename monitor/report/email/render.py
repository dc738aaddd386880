"""The report as HTML and as plain text. The template escapes all text that is not our own."""

from collections.abc import Mapping
from functools import cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from monitor.report.email.charts import HEIGHT, WIDTH, Picture
from monitor.report.email.report import Report

if TYPE_CHECKING:
    from jinja2 import Environment

COLUMNS: Final = 76
Pictures = Mapping[tuple[str, str, str], tuple[str, Picture]]
"""(target, suite, signal) -> the address of its picture (``cid:...`` or ``data:...``), and the picture."""


def html(report: Report, pictures: Pictures) -> str:
    """The HTML with inlined styles, because mail programs drop style sheets. Media queries stay."""
    import css_inline

    whole = _environment().get_template("mail.html.j2").render(r=report, pictures=pictures, width=WIDTH, height=HEIGHT)
    return css_inline.inline(whole, keep_at_rules=True, minify_css=True, load_remote_stylesheets=False)


def size(report: Report, pictures: Mapping[tuple[str, str, str], Picture]) -> int:
    """Bytes of the HTML in a mail, with 80 characters for the address of each picture."""
    return len(html(report, {key: ("x" * 80, one) for key, one in pictures.items()}).encode())


def text(report: Report) -> str:
    """The report as plain text. Commands and addresses are never wrapped."""
    return _environment().get_template("mail.txt.j2").render(r=report).strip() + "\n"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("monitor.report.email"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: name is not None and ".html" in name,
    )  # fmt: skip
    made.filters["folded"] = _folded
    return made


def _folded(words: Any, indent: int = 0, first: int | None = None) -> str:
    """``words`` wrapped at 76 columns. ``first``: the indent of the first line, if different."""
    start = " " * (indent if first is None else first)
    lines = wrap(str(words), COLUMNS, initial_indent=start, subsequent_indent=" " * indent,
                 break_long_words=False, break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)
