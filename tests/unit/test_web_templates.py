"""The templates against the stylesheet."""

import re
from pathlib import Path

from monitor.report.web import pages


def test_every_class_of_the_templates_is_one_that_the_stylesheet_knows() -> None:
    folder = Path(pages.__file__).parent
    style = (folder / "static" / "style.css").read_text()
    known = set(re.findall(r"\.([a-z][a-z-]*)", style))
    unknown = [
        (template.name, name)
        for template in sorted((folder / "templates").glob("*.html"))
        for value in re.findall(r'class="((?:[^"{]|{{.*?}}|{%.*?%})*)"', template.read_text())
        for name in re.sub(r"{{.*?}}|{%.*?%}", " ", value).split()
        if name not in known
    ]
    assert unknown == []
