"""The command: it parses and prints, nothing else."""

from monitor.cli.program import app, main

__all__ = ["app", "main"]
