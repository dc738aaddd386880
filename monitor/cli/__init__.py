"""The command line: parses arguments, calls the layers below, and prints results."""

from monitor.cli.main import app, main

__all__ = ["app", "main"]
