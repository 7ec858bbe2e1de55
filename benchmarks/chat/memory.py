"""Junctor's memory over many requests and many streams that the client leaves, and what they leave behind."""

import asyncio
import json
import os
import sqlite3
import urllib.request
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import linear_regression
from time import monotonic, perf_counter, sleep

import uvloop
from attrs import define, field

from benchmarks import load
from benchmarks.chat.peers import MODEL, start_stream_upstream, wait_until_ready
from benchmarks.chat.reader import Reader, post, question
from benchmarks.targets import UPSTREAM_CORE, Target, folder, start_junctor

WARM = 0.2
"""Of all requests: caches fill, allocators settle."""
SAMPLES = 60
CONNECTIONS = 16
CHUNKS, INTERVAL = 1000, 10
"""Of the streams that are left: far more than are read."""
SOONEST, LATEST = 1, 10
"""Events after which a stream is left."""
PROMPT = 1.0
"""Seconds in which the upstream's connection has to be gone."""
_PREFIX = "cut-"


@define(kw_only=True)
class Course:
    """Memory by the number of requests so far."""

    samples: list[tuple[int, int]] = field(factory=list)
    """Requests, bytes."""

    def slope(self) -> float:
        """Return how memory grows, bytes per request, by least squares behind the warm-up."""
        last = self.samples[-1][0]
        warm = [one for one in self.samples if one[0] >= WARM * last]
        return linear_regression([one[0] for one in warm], [one[1] for one in warm]).slope

    def __str__(self) -> str:
        warm = next(held for at, held in self.samples if at >= WARM * self.samples[-1][0])
        start, end = self.samples[0][1], self.samples[-1][1]
        return (
            f"{start / 1e6:.1f} MB at the start, {warm / 1e6:.1f} warm, {end / 1e6:.1f} at the end; "
            f"{self.slope():+.1f} bytes a request over {self.samples[-1][0]}"
        )


@define(kw_only=True)
class Left:
    """When streams were left, by the client and by junctor, by name."""

    client: dict[str, float] = field(factory=dict)
    upstream: dict[str, float] = field(factory=dict)

    def waits(self) -> list[float]:
        """Return how long the upstream went on for nobody, seconds, of those that were let go."""
        both = self.client.keys() & self.upstream.keys()
        return sorted(self.upstream[name] - self.client[name] for name in both)


def climb(target: Target, total: int, step: Callable[[int, int], int]) -> Course:
    """
    Ask again and again, and look at memory in between.

    Args:
        target: whose memory is looked at.
        total: requests in all, about.
        step: makes so many requests of which the first has that number, and returns how many it made.

    """
    course = Course()
    done = 0
    course.samples.append((0, target.resident_bytes()))
    while done < total:
        done += step(done, max(1, total // SAMPLES))
        course.samples.append((done, target.resident_bytes()))
    return course


class Asking:
    """Plain requests, as fast as they are answered."""

    def __init__(self, target: Target) -> None:
        self._target, self._rate = target, 200.0
        self._payload = post(target, question())

    def __call__(self, _first: int, count: int) -> int:
        """Ask for as long as so many should take."""
        seconds = count / self._rate
        asking = load.run(
            self._target.port, self._payload, connections=CONNECTIONS, seconds=seconds
        )
        seen = uvloop.run(asking)
        if seen.errors:
            raise RuntimeError(f"{seen.errors} errors")
        self._rate = max(seen.rate, 1.0)
        return len(seen.latencies)


class Leaving:
    """Streams that the client leaves after a few events, each on a connection of its own."""

    def __init__(self, target: Target, direct: Target, left: Left) -> None:
        self._target, self._direct, self._left = target, direct, left

    def __call__(self, first: int, count: int) -> int:
        """Leave so many streams, and wait until the upstream is left by junctor too."""
        uvloop.run(self._all(first, count))
        until = monotonic() + PROMPT
        while self._open() and monotonic() < until:
            sleep(0.02)
        return count

    def _open(self) -> bool:
        url = f"http://127.0.0.1:{self._direct.port}/closed"
        with urllib.request.urlopen(url) as answer:
            self._left.upstream.update(json.loads(answer.read()))
        return bool(self._left.client.keys() - self._left.upstream.keys())

    async def _all(self, first: int, count: int) -> None:
        slots = asyncio.Semaphore(CONNECTIONS)

        async def one(number: int) -> None:
            async with slots:
                await self._leave(number)

        await asyncio.gather(*map(one, range(first, first + count)))

    async def _leave(self, number: int) -> None:
        name = f"{_PREFIX}{number}"
        body = question(name, stream=True, max_tokens=CHUNKS, seed=INTERVAL)
        reader = await Reader.connect(self._target.port)
        events = SOONEST + number % (LATEST - SOONEST + 1)
        stream = await reader.read(post(self._target, body, x_request_id=name), events=events)
        self._left.client[name] = perf_counter()
        reader.close()
        if stream.is_over or not stream.pieces:
            raise RuntimeError(f"a stream ended by itself: status {stream.status}")


def billed(data: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the rows of the ledger by request and the outcomes of streams that were left."""
    with sqlite3.connect(data / "junctor.db") as database:
        rows = database.execute("SELECT request_id, outcome FROM ledger_entries").fetchall()
    database.close()
    requests = Counter(request for request, _ in rows)
    return requests, Counter(outcome for name, outcome in rows if name.startswith(_PREFIX))


def run(asked: Namespace) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {UPSTREAM_CORE})
    left = Left()
    with ExitStack() as stack:
        data = folder(stack)
        with ExitStack() as servers:
            direct = start_stream_upstream(servers)
            ours = start_junctor(servers, direct.port, model=MODEL, data=data)
            wait_until_ready(ours)
            asking = climb(ours, asked.requests, Asking(ours))
            print(f"requests: {asking}")
            leaving = climb(ours, asked.cuts, Leaving(ours, direct, left))
            print(f"streams left: {leaving}")
        report(left, *billed(data), answered=asking.samples[-1][0] + 1)


def report(left: Left, rows: Counter[str], outcomes: Counter[str], *, answered: int) -> None:
    """Print what the streams left behind, and what the ledger says."""
    waits = left.waits()
    prompt = sum(wait <= PROMPT for wait in waits)
    slowest = f", the slowest {1000 * waits[-1]:.0f} ms" if waits else ""
    print(f"upstream let go within {PROMPT:.0f} s: {prompt} of {len(left.client)}{slowest}")
    once = sum(rows[name] == 1 for name in left.client)
    others = sum(count for name, count in rows.items() if name not in left.client)
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(f"ledger: one row each for {once} of {len(left.client)} streams left ({told})")
    print(f"ledger: {others} rows for {answered} answered requests")
