"""``candlewick verify``: whether a model gives the same answers, to the bit, under all that must not matter."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from candlewick.cli import loading, options
from candlewick.core.config import EngineConfig


def verify(
    model: Annotated[
        str, typer.Argument(help="A path to a GGUF file, hf:owner/repository[:file], or 'builtin'.")
    ] = "builtin",
    requests: Annotated[int, typer.Option(min=1, max=64, help="Requests to compare.")] = 6,
    neighbours: Annotated[int, typer.Option(min=1, max=200, help="Others to run beside them.")] = 32,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of each answer.")] = 32,
    draft_model: options.DraftModel = None,
    threads: options.Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Ask a model the same under all conditions that must not matter; status 1 if an answer differs."""
    from candlewick.core.fingerprint import Fingerprint
    from candlewick.core.gguf import GGUFFile
    from candlewick.core.model_source import resolve_model
    from candlewick.core.verification import Verification, Workload

    console = Console(file=sys.stderr if as_json else sys.stdout, highlight=False)
    config = EngineConfig(num_threads=threads, draft_model=draft_model)
    workload = Workload(num_requests=requests, num_neighbours=neighbours, max_tokens=max_tokens)
    with loading.LoadingBar() as bar:
        path = resolve_model(model, progress=bar.update)
    with GGUFFile.open(path) as file:
        fingerprint = Fingerprint.of(file, config)
        verification = Verification.of_file(file, config, workload)
    checks = []
    for check in verification.run():
        checks.append(check)
        mark = "[green]same[/]     " if check.passed else "[red]different[/]"
        console.print(f"{mark} {check.condition}: [dim]{escape(check.finding)}, {check.seconds:.1f} s[/]")
    passed = all(check.passed for check in checks)
    identity = {**asdict(fingerprint), "answers_sha256": verification.answers_sha256}
    if as_json:
        findings = {"passed": passed, "fingerprint": identity, "checks": [asdict(check) for check in checks]}
        print(json.dumps(findings, indent=2))
    else:
        width = max(map(len, identity))
        console.print()
        for name, value in identity.items():
            console.print(f"[bold]{name:{width}}[/] {escape(str(value))}", soft_wrap=True)
    if not passed:
        raise typer.Exit(1)
