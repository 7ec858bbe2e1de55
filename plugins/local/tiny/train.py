"""
Train `junctor-tiny` from nothing and export it: about an hour on two CPU cores.

::

    python -m junctor.plugins.local.tiny.train --out DIR [--minutes N | --steps N]

One process draws windows, one learns from them. Checkpoints carry on after an interruption: call it
again with the same ``--out``. Needs the extra ``train``.
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

_PEAK_RATE = 2e-3
_WARM_UP = 150
_GUIDANCE_FROM, _GUIDANCE_FULL = 300, 1000
_AVERAGE = 0.998
_BATCH_SIZE = {2.0: 30, 3.0: 20, 4.0: 15, 10.0: 6}
_QUEUED = 6
# Up to this progress: the lengths to choose from, seconds, and the share padded to 30 s.
_CURRICULUM: tuple[tuple[float, tuple[float, ...], float], ...] = (
    (0.03, (2.0,), 0.01),
    (0.25, (2.0, 3.0, 3.0), 0.01),
    (0.45, (2.0, 3.0, 4.0, 10.0), 0.01),
    (0.80, (2.0, 3.0, 4.0, 10.0, 10.0, 10.0), 0.1),
    (math.inf, (2.0, 3.0, 4.0, 10.0, 10.0, 10.0), 0.3),
)
# While progress is below the first share the extra targets weigh 1, then the second number.
_WORD_WEIGHT = (0.5, 0.4)
_PHONEME_WEIGHT = (0.35, 0.3)


@attrs.frozen
class Options:
    """What the command line says."""

    out: Path
    minutes: float
    steps: int
    threads: int
    seed: int


def parse(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m junctor.plugins.local.tiny.train")
    parser.add_argument("--out", type=Path, required=True, help="folder of the exported model")
    parser.add_argument("--minutes", type=float, default=60, help="wall-clock budget, in all runs")
    parser.add_argument("--steps", type=int, default=0, help="number of steps, instead of minutes")
    parser.add_argument("--threads", type=int, default=1, help="threads of the learning process")
    parser.add_argument("--seed", type=int, default=0)
    return Options(**vars(parser.parse_args(arguments)))


def plan_batch(progress: float, draw: random.Random) -> Plan:
    """
    Choose the shape of the next batch.

    Short windows first, since they teach the sounds fastest; whole windows of several sentences
    later; more and more of them padded to 30 s, as faster-whisper does it.
    """
    lengths, share = next(row[1:] for row in _CURRICULUM if progress < row[0])
    full, seconds = draw.random() < share, draw.choice(lengths)
    return Plan(seconds, 5 if full else _BATCH_SIZE[seconds], full)


def _supply(
    seed: int, progress: "multiprocessing.sharedctypes.Synchronized[float]", batches: "Queue[Batch]"
) -> None:
    """Fill `batches` until the process that started this one is gone."""
    batches.cancel_join_thread()
    torch.set_num_threads(1)
    examples, draw, parent = Examples(seed), random.Random(seed), os.getppid()  # noqa: S311
    while os.getppid() == parent:
        batch = examples.batch(plan_batch(progress.value, draw))
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
        self.options = options
        self.examples = Examples(options.seed)
        self.model = build_model(self.examples.vocabulary)
        self.teacher = Teacher(self.model, self.examples.vocabulary, len(self.examples.phonemes))
        self._parameters = list(self.teacher.parameters())
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=_PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01
        )
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
        rate = _PEAK_RATE * min(1, (self.step + 1) / _WARM_UP) * (0.01 + 0.99 * cosine)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = self.teacher.losses(batch)
        guidance = (self.step - _GUIDANCE_FROM) / (_GUIDANCE_FULL - _GUIDANCE_FROM)
        total = (
            losses.text
            + 0.5 * min(1.0, max(0.0, guidance)) * losses.attention
            + _weight(_WORD_WEIGHT, progress) * losses.word
            + _weight(_PHONEME_WEIGHT, progress) * losses.phoneme
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
        """Export the averaged weights."""
        self.model.load_state_dict(self._average)
        export(self.model, self.options.out)


def _batches(run: Run) -> Iterator[Batch]:
    """Yield batches made by another process until the budget is used."""
    context = multiprocessing.get_context("spawn")
    progress = context.Value("d", run.progress)
    supply: Queue[Batch] = context.Queue(_QUEUED)
    # Another seed after each interruption, or the same windows would come again.
    seed = run.options.seed + 1 + run.step
    maker = context.Process(target=_supply, args=(seed, progress, supply), daemon=True)
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
