"""The command line."""

from service.cli.entry import main

__all__ = ["main"]
