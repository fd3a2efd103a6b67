"""``candlewick inspect``: what a model file holds and what it needs."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from candlewick.cli import options
from candlewick.cli.loading import LoadingBar
from candlewick.cli.sizes import count, size
from candlewick.core.batch import BLOCK_SIZE
from candlewick.core.errors import InvalidRequestError, ModelLoadError
from candlewick.core.gguf import GGUFFile
from candlewick.core.model_config import ModelConfig
from candlewick.core.model_source import resolve_model
from candlewick.core.models import build_program
from candlewick.core.tensor_types import TensorType

LONGEST_VALUE = 70
"""Characters of a metadata value that are shown."""
KV_ELEMENT_BYTES = 2


def inspect(
    file: Annotated[
        str,
        typer.Argument(
            help="A path to a GGUF file, hf:owner/repository[:file or quantisation], or 'builtin'."
        ),
    ],
    context: Annotated[
        int | None, typer.Option("--context", help="Tokens to plan memory for; else the model's limit.")
    ] = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="List every tensor.")] = False,
    debug: options.Debug = False,
) -> None:
    """Show a model file: its metadata, its tensors by type, and the memory it needs."""
    if context is not None and context < 1:
        raise InvalidRequestError(f"--context must be at least 1, got {context}", "context")
    with LoadingBar() as bar:
        path = resolve_model(file, progress=bar.update)
    console = Console()
    with GGUFFile.open(path) as model:
        console.print(_metadata_table(model))
        console.print(_types_table(model))
        if tensors:
            console.print(_tensors_table(model))
        try:
            config = ModelConfig.from_file(model)
            console.print(_memory_table(model, config, context))
            build_program(config, model.tensors, model.path)
        except ModelLoadError as error:
            console.print(f"Candlewick can't run this model: {escape(error.where)}: {escape(error.reason)}")
        else:
            console.print("Candlewick can run this model.")


def kv_cache_bytes(config: ModelConfig, context: int) -> int:
    """Bytes of keys and values, in 16 bits, for one sequence of ``context`` tokens: whole blocks."""
    token_bytes = 2 * config.num_layers * config.num_kv_heads * config.head_dim * KV_ELEMENT_BYTES
    return -(-context // BLOCK_SIZE) * BLOCK_SIZE * token_bytes


def describe_value(value: Any) -> str:
    """A metadata value on one line; of arrays the length and the beginning."""
    if isinstance(value, str):
        text = value.replace("\n", "\\n")
    elif isinstance(value, list | np.ndarray):
        beginning = value[:4].tolist() if isinstance(value, np.ndarray) else value[:4]
        text = f"{len(value):,} × {', '.join(map(repr, beginning))}" + (", …" if len(value) > 4 else "")
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _metadata_table(model: GGUFFile) -> Table:
    table = Table(title=f"{escape(str(model.path))}\n{size(model.size_bytes)}, GGUF version {model.version}")
    table.add_column("Metadata", no_wrap=True)
    table.add_column("Value", overflow="fold")
    for key, value in model.metadata.items():
        table.add_row(escape(key), escape(describe_value(value)))
    return table


def _types_table(model: GGUFFile) -> Table:
    parameters: dict[TensorType, int] = defaultdict(int)
    num_bytes: dict[TensorType, int] = defaultdict(int)
    tensors: dict[TensorType, int] = defaultdict(int)
    for info in model.tensors.values():
        tensors[info.type] += 1
        parameters[info.type] += _elements(info.shape)
        num_bytes[info.type] += info.num_bytes
    table = Table("Type", title="Tensors", show_footer=True)
    table.columns[0].footer = "all"
    for heading, total in (
        ("Tensors", f"{len(model.tensors):,}"),
        ("Parameters", count(sum(parameters.values()))),
        ("Size", size(sum(num_bytes.values()))),
        ("Bits each", _bits(sum(num_bytes.values()), sum(parameters.values()))),
    ):
        table.add_column(heading, total, justify="right")
    for type in sorted(tensors, key=lambda type: -num_bytes[type]):
        table.add_row(
            type.name,
            f"{tensors[type]:,}",
            count(parameters[type]),
            size(num_bytes[type]),
            _bits(num_bytes[type], parameters[type]),
        )
    return table


def _tensors_table(model: GGUFFile) -> Table:
    table = Table("Tensor", "Shape", "Type")
    table.add_column("Size", justify="right")
    for name, info in model.tensors.items():
        shape = " × ".join(map(str, info.shape))
        table.add_row(escape(name), shape, info.type.name, size(info.num_bytes))
    return table


def _memory_table(model: GGUFFile, config: ModelConfig, context: int | None) -> Table:
    context = context or config.context_length
    weights = sum(info.num_bytes for info in model.tensors.values())
    table = Table(title=f"Memory for one sequence of {context:,} tokens", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("weights", size(weights))
    table.add_row("keys and values (16 bits)", size(kv_cache_bytes(config, context)))
    table.add_row("together, without working space", size(weights + kv_cache_bytes(config, context)))
    if context > config.context_length:
        table.caption = f"the model was made for {config.context_length:,} tokens at most"
    return table


def _elements(shape: tuple[int, ...]) -> int:
    elements = 1
    for length in shape:
        elements *= length
    return elements


def _bits(num_bytes: int, parameters: int) -> str:
    return f"{8 * num_bytes / parameters:.2f}" if parameters else "–"
