"""
Train `junctor-tiny` and export it, in two stages of about an hour each on two CPU cores.

::

    python -m junctor.plugins.local.tiny.train --out FIRST [--minutes N | --steps N]
    python -m junctor.plugins.local.tiny.train --out DIR --from FIRST.checkpoint.pt

The first stage learns from nothing, in a few voices and whole utterances. The second goes on from
its checkpoint, in many voices, with speech cut off anywhere, as streaming does it. One process
draws windows, one learns from them. Checkpoints carry on after an interruption: call it again with
the same arguments. Needs the extra ``train``.
"""

import argparse
import math
import multiprocessing
import os
import queue
import random
import sys
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.queues import Queue
from pathlib import Path

import attrs
import torch

from junctor.plugins.local.tiny.examples import Batch, Examples, Plan
from junctor.plugins.local.tiny.export import export
from junctor.plugins.local.tiny.network import Losses, Teacher, build_model

_AVERAGE = 0.998
_QUEUED = 6
_BATCH_SIZE = {0.8: 40, 1.6: 30, 2.0: 30, 2.4: 22, 3.0: 20, 4.0: 15, 5.0: 12, 7.0: 9, 10.0: 6}
_FULL_SIZE = 5
_LIVE_SHARE = 0.5


@attrs.frozen
class Stage:
    """What a stage of training teaches, and how fast."""

    peak_rate: float
    warm_up: int
    """Steps until the peak rate."""
    guidance: tuple[int, int]
    """From when to when, in steps, the shown attention gains its weight."""
    word_weight: tuple[float, float]
    """While progress is below the first number the words of frames weigh 1, then the second."""
    phoneme_weight: tuple[float, float]
    curriculum: tuple[tuple[float, tuple[float, ...], float], ...]
    """Up to this progress: the lengths to choose from, seconds, and the share padded to 30 s."""
    kept: float = 0.0
    """Share of the weights it began with in those it exports: some of what it unlearns is kept."""
    live: tuple[float, ...] = ()
    """Lengths of windows that are cut as streaming does it, seconds; `_LIVE_SHARE` of the batches."""


FIRST = Stage(
    peak_rate=2e-3,
    warm_up=150,
    guidance=(300, 1000),
    word_weight=(0.5, 0.4),
    phoneme_weight=(0.35, 0.3),
    curriculum=(
        (0.03, (2.0,), 0.01),
        (0.25, (2.0, 3.0, 3.0), 0.01),
        (0.45, (2.0, 3.0, 4.0, 10.0), 0.01),
        (0.80, (2.0, 3.0, 4.0, 10.0, 10.0, 10.0), 0.1),
        (math.inf, (2.0, 3.0, 4.0, 10.0, 10.0, 10.0), 0.3),
    ),
)
SECOND = Stage(
    peak_rate=7e-4,
    warm_up=100,
    guidance=(-1, 0),
    word_weight=(0.0, 0.4),
    phoneme_weight=(0.0, 0.3),
    curriculum=(
        (0.7, (2.0, 3.0, 5.0, 7.0, 10.0, 10.0), 0.12),
        (math.inf, (2.0, 3.0, 5.0, 7.0, 10.0, 10.0), 0.3),
    ),
    kept=0.25,
    live=(0.8, 1.6, 1.6, 2.4, 2.4, 4.0, 7.0),
)


@attrs.frozen
class Options:
    """What the command line says."""

    out: Path
    minutes: float
    steps: int
    threads: int
    seed: int
    origin: Path | None

    @property
    def stage(self) -> Stage:
        """The second one if there is a checkpoint to go on from."""
        return FIRST if self.origin is None else SECOND


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m junctor.plugins.local.tiny.train")
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--minutes", type=float, default=60, help="wall-clock budget, in all runs")
    parser.add_argument("--steps", type=int, default=0, help="number of steps, instead of minutes")
    parser.add_argument("--threads", type=int, default=1, help="threads of the learning process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--from", dest="origin", type=Path, help="checkpoint of the first stage, to go on from"
    )
    return Options(**vars(parser.parse_args(arguments)))


def plan_batch(stage: Stage, progress: float, draw: random.Random) -> Plan:
    """
    Choose the shape of the next batch.

    Short windows first, since they teach the sounds fastest; whole windows of several sentences
    later; more and more of them padded to 30 s, as faster-whisper does it.
    """
    if stage.live and draw.random() < _LIVE_SHARE:
        seconds, quiet = draw.choice(stage.live), draw.randint(0, 100)
        return Plan(seconds, _BATCH_SIZE[seconds], full=False, live=True, quiet=quiet)
    lengths, share = next(row[1:] for row in stage.curriculum if progress < row[0])
    full, seconds = draw.random() < share, draw.choice(lengths)
    quiet = draw.randint(0, 60) if stage.live else 0
    return Plan(seconds, _FULL_SIZE if full else _BATCH_SIZE[seconds], full, quiet=quiet)


def _supply(
    options: Options,
    seed: int,
    progress: "multiprocessing.sharedctypes.Synchronized[float]",
    batches: "Queue[Batch]",
) -> None:
    """Fill `batches` until the process that started this one is gone."""
    batches.cancel_join_thread()
    torch.set_num_threads(1)
    stage, draw, parent = options.stage, random.Random(seed), os.getppid()  # noqa: S311
    examples = Examples(seed, wide=bool(stage.live))
    while os.getppid() == parent:
        batch = examples.batch(plan_batch(stage, progress.value, draw))
        while os.getppid() == parent:
            try:
                batches.put(batch, timeout=5)
                break
            except queue.Full:
                continue


def _weight(schedule: tuple[float, float], progress: float) -> float:
    until, later = schedule
    return 1.0 if progress < until else later


class Run:
    """A training run: model, optimiser, a running average of the weights, and how far it is."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options, self.stage = options, options.stage
        self.examples = Examples(options.seed)
        self.model = build_model(self.examples.vocabulary)
        self.teacher = Teacher(self.model, self.examples.vocabulary, len(self.examples.phonemes))
        self._parameters = list(self.teacher.parameters())
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=self.stage.peak_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        if options.origin is not None:
            self._start_from(options.origin)
        self._average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.step = 0
        self._spent = 0.0
        self._since = time.monotonic()
        self._checkpoint = options.out.with_name(options.out.name + ".checkpoint.pt")
        if self._checkpoint.exists():
            self._resume()

    @property
    def seconds(self) -> float:
        """Wall-clock time spent, earlier runs included."""
        return self._spent + time.monotonic() - self._since

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1."""
        if self.options.steps:
            return self.step / self.options.steps
        return self.seconds / (60 * self.options.minutes)

    def _start_from(self, origin: Path) -> None:
        """Take over the averaged weights of another run; its optimiser's state would not fit."""
        state = torch.load(origin)
        self.model.load_state_dict(state["average"])
        self.teacher.extras().load_state_dict(state["extras"])

    def _resume(self) -> None:
        state = torch.load(self._checkpoint)
        self.model.load_state_dict(state["model"])
        self.teacher.extras().load_state_dict(state["extras"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._average, self.step, self._spent = state["average"], state["step"], state["seconds"]

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "extras": self.teacher.extras().state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": self._average,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self._checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def learn(self, batch: Batch) -> Losses:
        """Take one step."""
        progress = min(1.0, self.progress)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        stage = self.stage
        warmth = min(1, (self.step + 1) / stage.warm_up)
        rate = stage.peak_rate * warmth * (0.01 + 0.99 * cosine)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = self.teacher.losses(batch)
        first, full = stage.guidance
        guidance = (self.step - first) / (full - first)
        total = (
            losses.text
            + 0.5 * min(1.0, max(0.0, guidance)) * losses.attention
            + _weight(stage.word_weight, progress) * losses.word
            + _weight(stage.phoneme_weight, progress) * losses.phoneme
        )
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._keep_average()
        self.step += 1
        return losses

    def _keep_average(self) -> None:
        keep = min(_AVERAGE, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self._average[name].lerp_(value, 1 - keep)

    def finish(self) -> None:
        """Export the averaged weights, with the stage's share of those it began with."""
        weights = self._average
        if self.options.origin is not None:
            began = torch.load(self.options.origin)["average"]
            kept = self.stage.kept
            weights = {name: value.lerp(began[name], kept) for name, value in weights.items()}
        self.model.load_state_dict(weights)
        export(self.model, self.options.out)


def _batches(run: Run) -> Iterator[Batch]:
    """Yield batches made by another process until the budget is used."""
    context = multiprocessing.get_context("spawn")
    progress = context.Value("d", run.progress)
    supply: Queue[Batch] = context.Queue(_QUEUED)
    # Another seed after each interruption, or the same windows would come again.
    seed = run.options.seed + 1 + run.step
    maker = context.Process(target=_supply, args=(run.options, seed, progress, supply), daemon=True)
    maker.start()
    try:
        while run.progress < 1:
            progress.value = run.progress
            yield supply.get(timeout=300)
    finally:
        maker.terminate()
        maker.join()


def main(arguments: list[str]) -> None:
    """Train, then export."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    run = Run(options)
    recent: deque[tuple[float, ...]] = deque(maxlen=50)
    for batch in _batches(run):
        losses = run.learn(batch)
        recent.append(tuple(loss.item() for loss in attrs.astuple(losses, recurse=False)))
        if run.step % 50 == 0:
            means = [sum(column) / len(recent) for column in zip(*recent, strict=True)]
            text, word, phoneme, attention = means
            print(  # noqa: T201 — the progress of a command
                f"step {run.step} {run.seconds:.0f} s {run.progress:.1%} text {text:.3f} "
                f"word {word:.3f} phoneme {phoneme:.3f} attention {attention:.3f}",
                flush=True,
            )
        if run.step % 250 == 0:
            run.save()
    run.save()
    run.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
