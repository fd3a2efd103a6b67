"""The commands, and how their errors look: one line, unless the trace is asked for."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from candlewick.cli import agent, bench, chat, doctor, inspect, mcp, run, serve, top, verify
from candlewick.cli.options import is_debugging
from candlewick.core.errors import CandlewickError, InvalidRequestError

INTERRUPTED = 130
"""What a shell calls the end by Ctrl-C: 128 and the signal's number."""


class _Commands(TyperGroup):
    """Commands whose errors are one line on standard error: status 2 for a wrong request, 1 for the rest."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except CandlewickError as error:
            if is_debugging(ctx):
                raise
            print(f"candlewick: {error}", file=sys.stderr)
            raise typer.Exit(2 if isinstance(error, InvalidRequestError) else 1) from None


def _tell_version(asked: bool) -> None:
    if asked:
        print(version("candlewick"))
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    name="candlewick",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Language models on an ordinary CPU, inside your own program."""


app.command("run")(run.run)
app.command("chat")(chat.chat)
app.command("agent")(agent.agent)
app.command("mcp")(mcp.mcp)
app.command("serve")(serve.serve)
app.command("top")(top.top)
app.command("inspect")(inspect.inspect)
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
app.add_typer(bench.bench, name="bench")
