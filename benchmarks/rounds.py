"""One request again and again, against each target in turn: throughput, CPU and latency, in medians."""

import os
import statistics
from collections.abc import Callable, Sequence
from typing import Self

import uvloop
from attrs import define, field

from benchmarks.load import Load, run
from benchmarks.targets import TARGET_CORE, UPSTREAM_CORE, Target, busy

HEAD = (
    f"{'':10} {'rps':>8} {'CPU us':>8} {'core':>5} {'others':>6} {'p99@N ms':>9} "
    f"{'+p50@1 ms':>10} {'+p99@1 ms':>10}"
)


@define(kw_only=True)
class Seen:
    """What was measured of a target, one value a round."""

    target: Target
    payload: bytes
    alone: list[Load] = field(factory=list)
    """With one connection."""
    together: list[Load] = field(factory=list)
    cpu: list[float] = field(factory=list)
    """CPU seconds per request with many connections."""
    others: list[float] = field(factory=list)
    """Share of the targets' core that other processes took, unless niced."""

    def measure(self, *, connections: int, seconds: float) -> None:
        """Run one round: one connection alone, then many together."""
        port = self.target.port
        self.alone.append(uvloop.run(run(port, self.payload, connections=1, seconds=seconds / 2)))
        before, worked = self.target.cpu_seconds(), busy()
        load = uvloop.run(run(port, self.payload, connections=connections, seconds=seconds))
        answers = len(load.latencies)
        if load.errors or not answers:
            raise RuntimeError(f"{self.target.name}: {load.errors} errors, {answers} answers")
        used = self.target.cpu_seconds() - before
        is_there = TARGET_CORE in os.sched_getaffinity(self.target.pid)
        self.others.append((busy() - worked - used * is_there) / load.seconds)
        self.cpu.append(used / answers)
        self.together.append(load)

    def forget(self) -> None:
        """Forget the rounds so far."""
        for figures in (self.alone, self.together, self.cpu, self.others):
            figures.clear()

    def wait(self, share: float) -> float:
        """Return a percentile of the latency at one connection, seconds."""
        return statistics.median(one.percentile(share) for one in self.alone)

    def row(self, direct: Self) -> str:
        """
        Write its figures.

        A target that used less than its core, though others took none of it, was not the limit.

        """
        median = statistics.median
        rate, cpu = median(one.rate for one in self.together), median(self.cpu)
        p99 = median(one.percentile(0.99) for one in self.together)
        added = [1000 * (self.wait(share) - direct.wait(share)) for share in (0.5, 0.99)]
        return (
            f"{self.target.name:10} {rate:8.0f} {1e6 * cpu:8.0f} {rate * cpu:5.0%} "
            f"{max(0.0, median(self.others)):6.0%} "
            f"{1000 * p99:9.1f} {added[0]:10.2f} {added[1]:10.2f}"
        )


def interleave(
    targets: Sequence[Target],
    payload: Callable[[Target], bytes],
    *,
    rounds: int,
    seconds: float,
    connections: int,
) -> list[Seen]:
    """Warm all targets up, then measure them in turn, since the machine's speed drifts."""
    os.sched_setaffinity(0, {UPSTREAM_CORE})
    all_seen = [Seen(target=target, payload=payload(target)) for target in targets]
    for seen in all_seen:
        seen.measure(connections=connections, seconds=min(1.0, seconds))
        seen.forget()
    for _ in range(rounds):
        for seen in all_seen:
            seen.measure(connections=connections, seconds=seconds)
    return all_seen


def report(all_seen: Sequence[Seen]) -> None:
    """Print both sides and their ratios; the first target is the upstream itself."""
    print(HEAD)
    for seen in all_seen:
        print(seen.row(all_seen[0]))
    for ours in (seen for seen in all_seen if seen.target.name == "junctor"):
        for other in all_seen:
            if other is not ours:
                pairs = zip(ours.together, other.together, strict=True)
                rate = statistics.median(mine.rate / theirs.rate for mine, theirs in pairs)
                cpu = statistics.median(
                    theirs / mine for mine, theirs in zip(ours.cpu, other.cpu, strict=True)
                )
                print(
                    f"junctor / {other.target.name}: {rate:.2f} x requests per second, "
                    f"{cpu:.2f} x per CPU second"
                )
