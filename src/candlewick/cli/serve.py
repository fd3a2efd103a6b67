"""``candlewick serve``: the model for programs that speak HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from candlewick.cli import loading, options
from candlewick.core.errors import CandlewickError

if TYPE_CHECKING:
    from candlewick.chat.llm import AsyncLLM

GRACE_SECONDS = 10
"""How long running answers may go on after the server was told to stop."""


class ServeError(CandlewickError):
    """The server can't start."""


def serve(
    model: options.ModelReference = "builtin",
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on.", envvar="CANDLEWICK_HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", help="0 takes a free one.", envvar="CANDLEWICK_PORT")
    ] = 8000,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Name for clients to ask for; may be given again.")
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key", help="Let in only who bears it; may be given again.", envvar="CANDLEWICK_API_KEY"
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="A name by which this server may be called; '*' for any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="A web page that may call from a browser.")
    ] = None,
    threads: options.Threads = None,
    context: options.Context = None,
    debug: options.Debug = False,
) -> None:
    """Serve a model over HTTP, in the form of OpenAI's Chat Completions."""
    uvicorn, create_app = _server_parts()
    # The port first: nobody wants to wait for a model and then hear that the port is taken.
    with _unwinding_on_termination(), _listen(host, port) as listener:
        llm = loading.load_async_llm(model, threads=threads, context=context)
        try:
            app = create_app(
                llm,
                model_names=name or (),
                api_keys=api_key or (),
                allowed_hosts=allow_host or (),
                allowed_origins=allow_origin or (),
            )
            _say_hello(listener, llm, name, has_key=bool(api_key))
            config = uvicorn.Config(app, log_level="info", timeout_graceful_shutdown=GRACE_SECONDS)
            with contextlib.suppress(KeyboardInterrupt):  # which uvicorn raises again after its shutdown
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            asyncio.run(llm.close())


@contextlib.contextmanager
def _unwinding_on_termination() -> Iterator[None]:
    """End by unwinding on SIGTERM, so that the model is closed; uvicorn sends it again after its shutdown."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _server_parts() -> tuple[Any, Any]:
    try:
        import uvicorn

        from candlewick.server import create_app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("candlewick"):
            raise
        raise ServeError(f"the server needs {error.name}: pip install 'candlewick[server]'") from None
    return uvicorn, create_app


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"can't listen on {host}:{port}: {reason}; choose another with --host and --port"
        ) from None


def _say_hello(listener: socket.socket, llm: AsyncLLM, names: list[str] | None, *, has_key: bool) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    lines = [
        f"model    {escape(', '.join(names or [llm.model_name]))}",
        f"address  {address}/v1",
        f"health   {address}/health",
        f"API      {address}/docs",
        f"keys     {'wanted' if has_key else 'none'}",
    ]
    if not has_key and not ipaddress.ip_address(host).is_loopback:
        lines.append(
            "[yellow]Everybody who reaches this address may use the model; --api-key shuts them out.[/]"
        )
    Console(file=sys.stderr, highlight=False).print(Panel("\n".join(lines), title="Candlewick", expand=False))
