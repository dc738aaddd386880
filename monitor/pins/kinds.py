"""The kinds of files that are scanned: one module and one entry each. The first kind that matches reads the file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monitor.pins import dockerfile, notebook, projects, python, requirements, shell, terraform, yaml_files
from monitor.pins.records import Found, Text


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file. ``read`` raises UnreadableError."""

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Text], Iterator[Found]]


KINDS = (
    FileKind("Python requirements and constraints", requirements.matches, requirements.read),
    FileKind("pyproject.toml, Pipfile and setup.cfg", projects.matches, projects.read),
    FileKind("Dockerfile", dockerfile.matches, dockerfile.read),
    FileKind("Python", python.matches, python.read),
    FileKind("Jupyter notebook", notebook.matches, notebook.read),
    FileKind("Terraform", terraform.matches, terraform.read),
    FileKind("YAML and JSON settings", yaml_files.matches, yaml_files.read),
    FileKind("shell script, Makefile and .env", shell.matches, shell.read),
)


def kind_of(path: Path) -> FileKind | None:
    """The kind of a file by its name; None for files that are not scanned."""
    return next((kind for kind in KINDS if kind.matches(path)), None)
