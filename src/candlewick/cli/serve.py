"""``candlewick serve``: models for programs that speak HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from candlewick.cli import loading, options
from candlewick.core.errors import CandlewickError
from candlewick.server.config import ServeConfig
from candlewick.server.settings import Setting, read_settings, settings_of, show_settings

if TYPE_CHECKING:
    from candlewick.chat.llm import AsyncLLM, Progress
    from candlewick.core.config import EngineConfig


class ServeError(CandlewickError):
    """The server can't start."""


Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="CANDLEWICK_CONFIG", help="A TOML file of settings."),
]
ShowConfig = Annotated[
    bool, typer.Option("--show-config", help="Print every setting and where it comes from, and end.")
]


def serve(
    config: Config = None, show_config: ShowConfig = False, debug: options.Debug = False, **given: Any
) -> None:
    """Serve models over HTTP, in the form of OpenAI's and Anthropic's protocols."""
    given = {name: value for name, value in given.items() if value}
    settings, sources = read_settings(ServeConfig, given, os.environ, config)
    if show_config:
        print(show_settings(settings, sources))
        return
    serving = _server_parts()
    # The port first: nobody wants to wait for a model and then hear that the port is taken.
    with _listen(settings.host, settings.port) as listener, loading.LoadingBar() as bar:
        services = serving.make_services(settings, load=_load, on_progress=bar.update)
        serving.log_to_standard_error(settings)
        start = time.perf_counter()

        def ready() -> None:
            bar.stop()
            name = services.models.names[0]
            print(f"{name} is ready after {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)

        _say_hello(listener, settings, services.models.names)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serving.serve(services, settings, listener, ready))


def _load(reference: str, engine: EngineConfig, progress: Progress) -> AsyncLLM:
    return loading.load_async_llm(reference, engine, progress)


def _server_parts() -> Any:
    try:
        from candlewick.server import serving
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("candlewick"):
            raise
        raise ServeError(f"the server needs {error.name}: pip install 'candlewick[server]'") from None
    return serving


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"can't listen on {host}:{port}: {reason}; choose another with --host and --port"
        ) from None


def _say_hello(listener: socket.socket, settings: ServeConfig, names: tuple[str, ...]) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    has_key = bool(settings.api_keys or settings.api_key_file)
    lines = [
        f"models   {escape(', '.join(names))}",
        f"chat     {address}/",
        f"address  {address}/v1",
        f"health   {address}/health",
        f"metrics  {address}/metrics",
        f"API      {address}/docs",
        f"keys     {'wanted' if has_key else 'none'}",
        f"store    {'a database' if settings.database else 'none, nothing is kept'}",
    ]
    if not has_key and not ipaddress.ip_address(host).is_loopback:
        lines.append(
            "[yellow]Everybody who reaches this address may use the models; --api-key shuts them out.[/]"
        )
    Console(file=sys.stderr, highlight=False).print(Panel("\n".join(lines), title="Candlewick", expand=False))


def _with_options(command: Callable[..., None], settings: list[Setting]) -> Callable[..., None]:
    """``command`` with an option for each setting; all of them are texts, which the settings read themselves."""
    own = [
        each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for each in inspect.signature(command, eval_str=True).parameters.values()
        if each.name != "given"
    ]
    parameters = [_option(each) for each in settings]
    command.__signature__ = inspect.Signature([*parameters, *own])  # type: ignore[attr-defined]
    return command


def _option(setting: Setting) -> inspect.Parameter:
    flags = [setting.flag, *_SHORT.get(setting.name, ())]
    about = f"{setting.help} May be given again." if setting.many else setting.help
    if setting.default not in (None, ()):
        shown = ", ".join(setting.default) if setting.many else setting.default
        about += f" \\[default: {shown}]"
    metavar = "|".join(setting.choices) or {int: "NUMBER", float: "NUMBER"}.get(setting.kind, "TEXT")
    annotation: Any = list[str] if setting.many else str
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, typer.Option(*flags, help=about, metavar=metavar)],
    )


_SHORT = {"models": ("-m",), "port": ("-p",)}
serve = _with_options(serve, settings_of(ServeConfig))
