"""``candlewick bench serve``: how a server does under load; any server with OpenAI's Chat Completions."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from candlewick.cli.load_generator import PERCENTILES, Load, Report, first_model, generate
from candlewick.cli.load_picture import picture

TITLES = {
    "time_to_first_token": "time to first token",
    "inter_token": "between tokens",
    "end_to_end": "end to end",
}


def bench_serve(
    url: Annotated[str, typer.Argument(help="The API's address, such as http://127.0.0.1:8000/v1.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Else the first that it lists.")] = None,
    rate: Annotated[float, typer.Option("--rate", min=0.001, help="Requests a second, on average.")] = 2.0,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Requests in all.")] = 50,
    prompt: Annotated[int, typer.Option("--prompt", min=1, help="Words in each prompt.")] = 100,
    generate_tokens: Annotated[int, typer.Option("--generate", min=1, help="Tokens in each answer.")] = 64,
    ignore_eos: Annotated[
        bool,
        typer.Option(
            "--ignore-eos/--respect-eos", help="All answers of full length, or as the model ends them."
        ),
    ] = True,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="CANDLEWICK_API_KEY", help="A key.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of arrivals and prompts.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the figures into this file.")] = None,
) -> None:
    """Ask a server at random moments, whether or not it keeps up, and tell how long it takes."""
    url = url.rstrip("/")
    load = Load(
        url=url,
        model=model or asyncio.run(first_model(url, api_key)),
        requests=requests,
        rate=rate,
        prompt_words=prompt,
        max_tokens=generate_tokens,
        ignore_eos=ignore_eos,
        api_key=api_key,
        seed=seed,
    )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("requests", total=requests)
        report = asyncio.run(generate(load, lambda answer: progress.advance(task)))
    if svg is not None:
        svg.write_text(picture(report), "utf-8")
    if as_json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        _show(report)
    if len(report.failures) == requests:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    console = Console(highlight=False)
    load = report.load
    table = Table(title=f"{escape(load.model)}: {load.requests} requests, {load.rate:g} a second")
    table.add_column("milliseconds")
    for heading in ("mean", *[f"p{percent}" for percent in PERCENTILES]):
        table.add_column(heading, justify="right")
    for name, spread in report.spreads().items():
        if spread is not None:
            values = [spread.mean, *spread.percentiles.values()]
            table.add_row(TITLES[name], *[f"{value * 1000:.1f}" for value in values])
    console.print(table)
    console.print(f"{report.tokens_per_second:.1f} tokens a second in {report.seconds:.1f} s")
    if report.failures:
        console.print(f"[red]{len(report.failures)} failed[/], the first: {escape(report.failures[0])}")
