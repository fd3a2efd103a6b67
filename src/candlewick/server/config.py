"""What an application, and the server around it, may be told. Frozen and complete; unknown names raise.

Knows no file, no environment variable and no command line: :mod:`candlewick.server.settings` reads those.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from candlewick.core.config import EngineConfig
from candlewick.core.errors import InvalidRequestError
from candlewick.server.settings import setting

AccessLogForm = Literal["text", "json", "off"]


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of one application; sizes and times carry their unit in the name."""

    api_keys: tuple[str, ...] = setting(
        (),
        "A key, or a name, a space and a key; only who bears one may use the models.",
        flag="api-key",
        secret=True,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "A name, beyond localhost, by which this server may be called; '*' for any.", flag="allow-host"
    )
    allowed_origins: tuple[str, ...] = setting(
        (), "A web page that may call from a browser (CORS).", flag="allow-origin"
    )
    mcp_hosts: tuple[str, ...] = setting(
        (),
        "A host, with a port where it is not the usual one, of MCP servers that requests may bring by URL.",
        flag="mcp-host",
    )
    max_body_bytes: int = setting(16 * 2**20, "The largest request body that is read.")
    max_request_seconds: float | None = setting(
        None, "The longest that an answer may take, waiting included."
    )
    max_concurrent_per_key: int | None = setting(
        None, "Requests that each key may have running; without keys all clients count as one."
    )
    max_requests_per_minute_per_key: int | None = setting(
        None, "Requests that each key may begin in a minute, all at once or one after the other."
    )
    heartbeat_seconds: float = setting(15.0, "A stream that is silent for so long gets a comment.")
    traces: bool = setting(
        False, "Whether requests are told to OpenTelemetry; OTEL_ variables say where and how."
    )
    metrics_prefix: str = setting(
        "candlewick", "How the names in /metrics begin; 'vllm' suits dashboards made for it."
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value: Any = getattr(self, option.name)
            if isinstance(option.default, tuple):
                if isinstance(value, str) or not all(isinstance(item, str) for item in value):
                    raise InvalidRequestError(
                        f"{option.name} must be several texts, got {value!r}", option.name
                    )
                object.__setattr__(self, option.name, tuple(value))
            elif isinstance(value, bool) or option.name in _MAY_BE_ZERO:
                pass
            elif isinstance(value, int | float) and not value > 0:
                raise InvalidRequestError(f"{option.name} must be more than 0, got {value!r}", option.name)
        if not self.metrics_prefix.isidentifier():
            raise InvalidRequestError(
                f"metrics_prefix must be a word of letters, digits and '_', got {self.metrics_prefix!r}",
                "metrics_prefix",
            )


_MAY_BE_ZERO = ("port", "shutdown_seconds")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(ServerConfig):
    """Settings of ``candlewick serve``: the application's, and what it is made and run with."""

    models: tuple[str, ...] = setting(
        ("builtin",),
        "A model: a path, hf:owner/repository[:file or quantisation] or 'builtin', with NAME= before it to choose its "
        "name. The first is loaded at once, others when they are asked for.",
        flag="model",
    )
    names: tuple[str, ...] = setting((), "A name for clients to ask for the first model by.", flag="name")
    host: str = setting("127.0.0.1", "The address to listen on.")
    port: int = setting(8000, "The port to listen on; 0 takes a free one.")
    api_key_file: str | None = setting(
        None, "A file with one API key a line, as for --api-key; # begins a comment."
    )
    threads: int | None = setting(None, "Worker threads of each model; else all usable cores.")
    draft_model: str | None = setting(
        None, "A much smaller model with the same vocabulary, to guess ahead for the first model."
    )
    context: int | None = setting(None, "Tokens of prompt and answer together; else the model's limit.")
    max_running: int = setting(EngineConfig.max_running, "Answers that each model computes at the same time.")
    max_waiting: int = setting(
        EngineConfig.max_waiting, "Requests that may wait for each model; more are told to retry."
    )
    kv_cache_bytes: int | None = setting(
        None, "Memory for each model's keys and values; else from free memory."
    )
    model_memory_bytes: int | None = setting(
        None, "Memory for all models together; the one used longest ago makes room, never one in use."
    )
    database: str | None = setting(
        None, "Where responses and conversations are kept: sqlite:///file.db or postgresql://…", secret=True
    )
    shutdown_seconds: int = setting(
        10, "How long running answers may go on after the server was told to stop."
    )
    access_log: AccessLogForm = setting("text", "Whether and how requests are logged on standard error.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port <= 65535:
            raise InvalidRequestError(f"port must be from 0 to 65535, got {self.port}", "port")
        if not self.models:
            raise InvalidRequestError("models must name at least one model", "models")
        if self.shutdown_seconds < 0:
            raise InvalidRequestError(f"shutdown_seconds must not be negative, got {self.shutdown_seconds}")
