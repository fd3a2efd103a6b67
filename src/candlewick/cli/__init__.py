"""The command line; needs the ``cli`` extra."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``candlewick`` command."""
    try:
        from candlewick.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "candlewick":
            raise
        print(
            f"candlewick: the command line needs {error.name}: pip install 'candlewick[cli]'", file=sys.stderr
        )
        sys.exit(1)
    app()
