"""The command: it parses and prints, nothing else."""

from monitor.cli.main import app, main

__all__ = ["app", "main"]
