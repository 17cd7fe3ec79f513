"""Where the command line begins: what needs none of it does not wait until all of it is loaded."""

import sys

from service.build import short_version


def main() -> None:
    """Run the command line and exit."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{short_version()}\n")
        sys.exit(0)
    from service.cli.commands import run  # loads Typer, Rich, httpx and pydantic, which takes a while

    sys.exit(run())
