"""Slow streams: what a relayed chunk costs, and how long the first of them is held up."""

import asyncio
import os
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median, quantiles
from time import sleep

import uvloop
from attrs import define, field

from benchmarks.chat.peers import start_all, start_stream_upstream
from benchmarks.chat.reader import Reader, Stream, post, question
from benchmarks.targets import UPSTREAM_CORE, Target

SHORT = 8
"""Chunks of the streams whose cost is subtracted, so that none of a request's own is left."""
FEW, SOON = 3, 5
"""Chunks, and milliseconds between them, of the streams one at a time."""
STALL = 0.035
"""Seconds: what Nagle's algorithm and delayed acknowledgements together cost is 40 ms."""
_SETTLES = 0.3
HEAD = (
    f"{'':10} {'CPU us/chunk':>12} {'us/stream':>10} {'chunk p50/p99 ms':>17} "
    f"{'first +p50/+p99 ms':>19} {'stalls':>7} {'whole':>10}"
)


@define(kw_only=True)
class Seen:
    """What was measured of a target."""

    target: Target
    chunk: list[float] = field(factory=list)
    """CPU seconds per chunk, one a round."""
    stream: list[float] = field(factory=list)
    """CPU seconds per stream beside its chunks, one a round."""
    back: list[float] = field(factory=list)
    """Seconds a chunk is under way while many streams are open."""
    first: list[float] = field(factory=list)
    """Seconds to the first chunk without those the upstream took, one stream at a time."""
    whole: int = 0
    all: int = 0

    def forget(self) -> None:
        """Forget the rounds so far, but not whether streams were whole."""
        for figures in (self.chunk, self.stream, self.back, self.first):
            figures.clear()

    def check(self, streams: Sequence[Stream], chunks: int) -> None:
        """Count the streams that are whole."""
        self.whole += sum(stream.is_whole(chunks) for stream in streams)
        self.all += len(streams)

    def row(self, direct: "Seen") -> str:
        """Write its figures."""
        added = [
            1000 * (percentile(self.first, share) - percentile(direct.first, share))
            for share in (50, 99)
        ]
        back = [1000 * percentile(self.back, share) for share in (50, 99)]
        stalls = sum(wait > STALL for wait in self.first)
        return (
            f"{self.target.name:10} {1e6 * median(self.chunk):12.1f} "
            f"{1e6 * median(self.stream):10.0f} {back[0]:8.2f}/{back[1]:8.2f} "
            f"{added[0]:9.2f}/{added[1]:9.2f} {f'{stalls}/{len(self.first)}':>7} "
            f"{f'{self.whole}/{self.all}':>10}"
        )


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value below which `share` percent of them are; NaN where there are not two."""
    if len(values) < 2:  # noqa: PLR2004
        return float("nan")
    return quantiles(values, n=100, method="inclusive")[share - 1]


def slow(target: Target, name: str, chunks: int, interval: int) -> bytes:
    """Return the request for a stream of so many chunks, `interval` milliseconds apart."""
    return post(target, question(name, stream=True, max_tokens=chunks, seed=interval))


async def together(target: Target, *, streams: int, chunks: int, interval: int) -> list[Stream]:
    """Read many streams at once, begun evenly over one interval."""

    async def one(number: int) -> Stream:
        await asyncio.sleep(number * interval / 1000 / streams)
        reader = await Reader.connect(target.port)
        try:
            return await reader.read(slow(target, f"s-{number}", chunks, interval))
        finally:
            reader.close()

    return await asyncio.gather(*map(one, range(streams)))


async def alone(target: Target, *, streams: int) -> list[Stream]:
    """Read one stream after the other on one connection."""
    reader = await Reader.connect(target.port)
    try:
        return [await reader.read(slow(target, "alone", FEW, SOON)) for _ in range(streams)]
    finally:
        reader.close()


def _cost(seen: Seen, asked: Namespace, chunks: int) -> float:
    before = seen.target.cpu_seconds()
    streams = uvloop.run(
        together(seen.target, streams=asked.streams, chunks=chunks, interval=asked.interval)
    )
    sleep(_SETTLES)
    cost = seen.target.cpu_seconds() - before
    seen.check(streams, chunks)
    seen.back += [delay.back for stream in streams for delay in stream.delays()]
    return cost


def measure(seen: Seen, asked: Namespace) -> None:
    """Run one round against a target."""
    short = _cost(seen, asked, SHORT)
    chunk = (_cost(seen, asked, SHORT + asked.chunks) - short) / (asked.streams * asked.chunks)
    seen.chunk.append(chunk)
    seen.stream.append(short / asked.streams - SHORT * chunk)
    streams = uvloop.run(alone(seen.target, streams=asked.alone))
    seen.check(streams, FEW)
    firsts = [stream.delays()[0] for stream in streams if stream.is_whole(FEW)]
    seen.first += [first.forward + first.back for first in firsts]


def run(asked: Namespace) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {UPSTREAM_CORE})
    with ExitStack() as stack:
        targets = start_all(stack, start_stream_upstream(stack), asked)
        all_seen = [Seen(target=target) for target in targets]
        for seen in all_seen:
            _cost(seen, asked, SHORT)
            seen.forget()
        for _ in range(asked.rounds):
            for seen in all_seen:
                measure(seen, asked)
    report(all_seen)


def report(all_seen: Sequence[Seen]) -> None:
    """Print both sides and their ratios; `direct` shows what the upstream itself costs."""
    print(HEAD)
    for seen in all_seen:
        print(seen.row(all_seen[0]))
    for ours in (seen for seen in all_seen if seen.target.name == "junctor"):
        for other in all_seen[1:]:
            if other is not ours:
                pairs = zip(other.chunk, ours.chunk, strict=True)
                ratio = median(theirs / mine for theirs, mine in pairs)
                print(f"{other.target.name} / junctor: {ratio:.2f} x CPU per chunk")
