"""The training loop: resumable at any time, exportable at any time.

    python training/train.py --run first --minutes 60         # again with the same name: goes on where it
    stopped

Matrices learn by Muon (Jordan et al. 2024), the embedding and the norms by AdamW. The rate warms up and then
falls in a straight line to nothing at the end of the given time. A run in several legs says how far the rate
falls in each: ``--from-rate 1 --to-rate 0.3``, then ``--from-rate 0.3``.

Each worker is a process with one thread that learns from batches of its own; they share their gradients after every
step, and the work of Muon. Two threads of one process would wait for each other after every operation.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import distributed, multiprocessing
from torch.nn import functional

import amx_step
import text_tokens
from corpus.chance import Chance
from corpus.mixture import dialogue
from model import ModelShape, TinyModel, causal_spans
from muon import Muon
from packing import GROUP, Batch, encode, make_batches
from weights_file import read_weights

RUNS = Path(__file__).with_name("runs")
WARM_UP_STEPS = 20
MATRIX_RATE = 0.02
VECTOR_RATE = 3e-3
CLIP = 1.0
SAVE_EVERY = 180.0
"""Seconds between checkpoints."""
AVERAGE_STEPS = 100
"""How far back the average of the weights reaches; it is what is exported, good at any time of a run."""


@dataclass(frozen=True)
class Workers:
    """This process among those that learn together; each has the same weights at every step."""

    count: int
    rank: int

    @classmethod
    def meet(cls, count: int, rank: int, meeting: Path) -> Workers:
        """Waits for the others; ``meeting`` is a file that they all know and that is not there yet."""
        if count > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting.absolute()}", rank=rank, world_size=count
            )
        return cls(count, rank)

    def average_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        together /= self.count
        for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, value: float) -> float:
        """The first worker's value, on all of them."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, 0)
        return float(shared)


ALONE = Workers(1, 0)


class Optimizers:
    """Muon for the blocks' matrices, AdamW for the rest, and one schedule for both."""

    def __init__(self, model: TinyModel, workers: Workers) -> None:
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("blk")]
        others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and name.startswith("blk"))]
        self.matrices = Muon(matrices, lr=MATRIX_RATE, workers=workers.count, rank=workers.rank)
        self.others = torch.optim.AdamW(
            others, lr=VECTOR_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )

    def step(self, factor: float) -> None:
        for optimizer, rate in ((self.matrices, MATRIX_RATE), (self.others, VECTOR_RATE)):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            with autocast():
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        return {"matrices": self.matrices.state_dict(), "others": self.others.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.matrices.load_state_dict(state["matrices"])
        self.others.load_state_dict(state["others"])


def autocast() -> torch.autocast:
    """bfloat16 for matrix products where the processor has them; elsewhere they take many times as long as float32."""
    multiplies = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies)


def batch_loss(model: TinyModel, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the learned tokens by their weights, in nats; logits are computed for nothing else."""
    weights = batch.weights[:, 1:]
    learned = weights > 0
    with autocast():
        states = model.states(batch.ids, batch.spans(), batch.positions)
        logits = model.logits(states[:, :-1][learned])
    losses = functional.cross_entropy(logits.float(), batch.ids[:, 1:][learned], reduction="none")
    return losses @ weights[learned] / weights.sum()


def gradients(model: TinyModel, batch: Batch) -> float:
    """The loss; the parameters get its gradients."""
    if amx_step.fits(model, batch):
        return amx_step.learn(model, batch)
    loss = batch_loss(model, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


@torch.no_grad()
def exact_share(
    model: TinyModel, tokenizer: Tokenizer, count: int, seed: int = 0
) -> dict[str, tuple[int, int]]:
    """(right, all) for each ability on held-out dialogues.

    Right is an answer whose every token is the most likely one after those before it: what greedy decoding
    writes.
    """
    chance = Chance(seed, "test")
    tally: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        made = dialogue(chance)
        item = encode(made, tokenizer)
        ids = torch.tensor([item.ids])
        with autocast():
            chosen = model(ids, causal_spans(ids.shape[1]))[0].argmax(-1)
        exact = bool((chosen[item.prompt_length - 1 : -1] == ids[0, item.prompt_length :]).all())
        right, total = tally.get(made.ability, (0, 0))
        tally[made.ability] = (right + exact, total + 1)
    return dict(sorted(tally.items()))


class Run:
    """One named run: its folder, its model and optimisers, and how far it is."""

    def __init__(self, name: str, seed: int, start: Path | None = None, workers: Workers = ALONE) -> None:
        """``start`` is a file whose weights a new run begins with."""
        self.folder = RUNS / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.seed, self.step, self.tokens = seed, 0, 0
        torch.manual_seed(seed)
        self.model = TinyModel(ModelShape())
        if start:
            read_weights(start, self.model)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.workers = workers
        self.optimizers = Optimizers(self.model, workers)
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint)
            self.step, self.tokens = state["step"], state["tokens"]
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizers.restore(state["optimizers"])

    def learn(self, batch: Batch, rate: float) -> tuple[float, float]:
        """One step at ``rate`` times the full rates; the loss before it and the gradient's norm."""
        loss = gradients(self.model, batch)
        parameters = list(self.model.parameters())
        self.workers.average_gradients(parameters)
        self.tokens += self.workers.count * int((batch.document >= 0).sum())
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        self.optimizers.step(rate)
        self._update_average()
        self.step += 1
        return loss, float(norm)

    @torch.no_grad()
    def _update_average(self) -> None:
        share = 1 / min(self.step + 1, AVERAGE_STEPS)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), share)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint so that a crash in between leaves the old one."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": self.optimizers.state(),
        }
        unfinished = self.checkpoint.with_suffix(".unfinished")
        torch.save(state, unfinished)
        os.replace(unfinished, self.checkpoint)

    def log(self, **values: Any) -> None:
        line = json.dumps({"step": self.step, "tokens": self.tokens, **values})
        print(line, flush=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(line + "\n")


@lru_cache(1)
def _tokenizer() -> Tokenizer:
    return text_tokens.load()


def group_batches(seed: int, group: int, worker: int, drill_share: float) -> list[Batch]:
    """What a worker learns from in a group of steps: a function of these numbers, made in a process of its own."""
    torch.set_num_threads(1)
    return make_batches((seed << 40) + group, worker, _tokenizer(), drill_share)


def train(
    run: Run,
    minutes: float,
    rates: tuple[float, float],
    drill_share: float,
    compiled: bool,
) -> None:
    """Train for ``minutes`` with a rate that goes from the first of ``rates`` to the second, shares of the full
    one; ``drill_share`` of the steps are drills."""
    if compiled:
        torch._dynamo.config.recompile_limit = 64  # rows have several lengths, and rotate or not
        for block in run.model.blk:
            block.compile(dynamic=False)
    workers = run.workers
    started = saved = time.monotonic()
    first_step, recent = run.step, []

    def rate(progress: float) -> float:
        """Share of the full rate: a short warm-up, then a straight line."""
        first, last = rates
        return (first + (last - first) * progress) * min(1.0, (run.step - first_step + 1) / WARM_UP_STEPS)

    def save() -> None:
        if workers.rank == 0:
            run.save()

    with ProcessPoolExecutor(1, get_context("spawn")) as background:

        def begin(group: int) -> Future[list[Batch]]:
            return background.submit(group_batches, run.seed, group, workers.rank, drill_share)

        upcoming = begin(run.step // GROUP)
        batches: list[Batch] = []
        try:
            while (progress := workers.agree((time.monotonic() - started) / 60 / minutes)) < 1:
                if not batches:
                    batches = upcoming.result()[run.step % GROUP :]
                    upcoming = begin(run.step // GROUP + 1)
                batch = batches.pop(0)
                loss, norm = run.learn(batch, rate(progress))
                recent.append(loss)
                if run.step % 20 == 0 and workers.rank == 0:
                    seconds = round(time.monotonic() - started, 1)
                    run.log(loss=round(sum(recent) / len(recent), 4), norm=round(norm, 3), seconds=seconds)
                    recent.clear()
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
        finally:
            save()
    if workers.rank == 0:
        run.log(held_out=exact_share(run.average, _tokenizer(), 200))


def work(rank: int, arguments: argparse.Namespace, meeting: Path) -> None:
    """One worker's life."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    workers = Workers.meet(arguments.workers, rank, meeting)
    rates = (arguments.from_rate, arguments.to_rate)
    run = Run(arguments.run, arguments.seed, arguments.start, workers)
    train(run, arguments.minutes, rates, arguments.drills, arguments.compile)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="main", help="name of the run, a folder under training/runs")
    parser.add_argument(
        "--minutes", type=float, required=True, help="how long to train, the falling rate included"
    )
    parser.add_argument("--from-rate", type=float, default=1.0, help="share of the full rate at the start")
    parser.add_argument("--to-rate", type=float, default=0.0, help="share of the full rate at the end")
    parser.add_argument(
        "--drills", type=float, default=0.1, help="share of the steps that are drills of copying"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that learn together, one a core")
    parser.add_argument(
        "--compile", action="store_true", help="1.4 times the speed without AMX, after minutes of compiling"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="a GGUF file whose weights a new run begins with")
    arguments = parser.parse_args()
    if arguments.workers == 1:
        work(0, arguments, Path())
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        workers = multiprocessing.spawn(  # type: ignore[no-untyped-call]
            work, (arguments, meeting), nprocs=arguments.workers, join=False
        )
        # Whoever ends this process ends the run; each worker goes on to its checkpoint and leaves.
        signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in workers.processes])
        while not workers.join():
            pass


if __name__ == "__main__":
    main()
