"""``python -m monitor.lab`` is ``cliffwatch lab``."""

from monitor.lab.cli import app

app(prog_name="cliffwatch lab")
