"""
What many waiting jobs cost a process that has few: the same calls with none queued and with many.

    python -m benchmarks.jobs [--queued 1000] [--database URL]

One job of the queue `video` runs all the time. Measured are `submit`, `get`, `ahead` and a page of
`list`, some each second as callers would, then an idle stretch: CPU, and on Postgres the
transactions in its database a second. Without `--database` an SQLite file is used, and a Postgres
of its own beside it where there is one on the machine.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from attrs import define, field

from junctor.conf.settings import Jobs as Section
from junctor.conf.settings import Settings, Storage
from junctor.core.jobs import Job, Jobs, Progress
from junctor.core.storage.database import Database
from tests.fakes.postgres import postgres, program

CALLS = 100
PAUSE = 0.02
"""Seconds between two calls."""
QUIET = 0.1
"""Seconds of CPU in one second that count as nothing."""
IDLE = 5.0
"""Seconds of the idle stretch."""
TRANSACTIONS = """
    SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


@define(kw_only=True)
class Seen:
    """What was measured, in milliseconds, per cent of a core, and transactions a second."""

    calls: dict[str, tuple[float, float]] = field(factory=dict)
    """Median and 95th percentile by call."""
    cpu: float = 0.0
    transactions: float = 0.0

    def rows(self) -> dict[str, float]:
        """Return every number by its name."""
        return {
            **{
                f"{name} {which}, ms": value
                for name, pair in self.calls.items()
                for which, value in zip(("p50", "p95"), pair, strict=True)
            },
            "idle CPU, %": self.cpu,
            "idle transactions/s": self.transactions,
        }


class Bench:
    """A process with jobs, the first of which never ends."""

    def __init__(self, url: str, folder: Path) -> None:
        settings = Settings(
            storage=Storage(data_dir=str(folder), database_url=url), jobs=Section(keep=1e9)
        )
        self.database = Database(url)
        self.jobs = Jobs(lambda: settings)
        self.is_postgres = url.startswith("postgresql")

    async def open(self) -> Job:
        """Begin, and have one job running."""

        async def work(_job: Job, _progress: Progress) -> dict[str, object]:
            await asyncio.Event().wait()
            return {}

        await self.database.upgrade()
        self.jobs.register("video", work)
        await self.jobs.open(self.database)
        job = await self.submit()
        while job.state != "running":
            await asyncio.sleep(0.05)
            job = await self.jobs.get(job.id, team="bench")
        return job

    async def submit(self, team: str = "bench") -> Job:
        """Queue one more."""
        return await self.jobs.submit(
            "video", team=team, payload={"a": "b" * 500}, queue="video", seconds=5
        )

    async def fill(self, count: int) -> float:
        """Queue so many at once; return the seconds until DBOS has them all, CPU seconds each."""
        began = time.process_time()
        for _ in range(count):
            await self.submit()
        await self.settle()
        return (time.process_time() - began) / count

    async def settle(self) -> None:
        """Wait until this process does as good as nothing."""
        while True:
            used = time.process_time()
            await asyncio.sleep(1)
            if time.process_time() - used < QUIET:
                return

    async def measured(self) -> Seen:
        """Measure all, with what is queued now."""
        seen, made = Seen(), []

        async def submit() -> None:
            made.append(await self.submit())

        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "submit": submit,
            "get": lambda: self.jobs.get(made[-1].id, team="bench"),
            "ahead": lambda: self.jobs.ahead(made[-1]),
            "list of 100": lambda: self.jobs.list("bench", kind="video", limit=100),
        }
        for name, call in calls.items():
            seen.calls[name] = await timed(call)
        for job in made:
            await self.jobs.cancel(job.id, team="bench")
        await self.settle()
        before, used = await self.transactions(), time.process_time()
        await asyncio.sleep(IDLE)
        seen.cpu = (time.process_time() - used) / IDLE * 100
        seen.transactions = (await self.transactions() - before) / IDLE
        return seen

    async def transactions(self) -> int:
        """Return how many the database has seen; they are told up to a second late."""
        if not self.is_postgres:
            return 0
        return int(str((await self.database.fetch(TRANSACTIONS))[0][0]))

    async def close(self) -> None:
        """Stop."""
        await self.jobs.close()
        await self.database.close()


async def timed(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return median and 95th percentile of a call, milliseconds."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


async def compare(url: str, folder: Path, queued: int) -> None:
    """Measure without and with jobs that wait, and print both and their ratios."""
    bench = Bench(url, folder)
    await bench.open()
    empty = await bench.measured()
    each = await bench.fill(queued)
    full = await bench.measured()
    await bench.close()
    print(f"\n{url.partition(':')[0]}: {each * 1000:.1f} ms of CPU for each of {queued} at once")
    print(f"{'':24}{'none':>10}{queued:>10}{'ratio':>8}")
    for name, value in empty.rows().items():
        other = full.rows()[name]
        print(f"{name:24}{value:10.2f}{other:10.2f}{other / value if value else 0:8.2f}")


def main() -> None:
    """Run on each kind of database that there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=1000)
    parser.add_argument("--database")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = [given.database or f"sqlite:///{folder}/junctor.db"]
        if given.database is None and program("initdb"):
            urls.append(stack.enter_context(postgres()))
        for url in urls:
            asyncio.run(compare(url, folder, given.queued))


if __name__ == "__main__":
    main()
