"""
What keys, limits and metering cost a request: microseconds each, over a real SQLite file and journal.

    python benchmarks/metering.py [--folder DIR]

The best of many short runs, which other work on the machine disturbs least, and the median. The
goal is 40 µs for all of it together.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from junctor.conf.settings import Settings, Storage, Team
from junctor.core.accounts import Accounts
from junctor.core.ledger import Ledger
from junctor.core.limits import MemoryConcurrencyLimiter, MemoryRateLimiter
from junctor.core.reservations import Reservation
from junctor.core.storage.database import Database

GOAL = 40.0
SETTINGS = Settings(
    storage=Storage(usage_interval=1000.0),
    team_defaults=Team(requests_per_minute=10_000_000, audio_seconds_per_day=1e12),
)


class Bench:
    """One server's accounts, limits and ledger."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder}/junctor.db")
        self.accounts = Accounts(self.database, lambda: SETTINGS)
        self.rates = MemoryRateLimiter()
        self.running = MemoryConcurrencyLimiter()
        self.ledger = Ledger(folder / "journal", self.database, settings=lambda: SETTINGS)
        self.open: list[Reservation] = []

    async def start(self) -> None:
        """Open the database and the ledger, and make a key."""
        await self.database.upgrade()
        await self.ledger.open()
        self.key = await self.accounts.create_key("acme")
        self.principal = await self.accounts.authenticate(self.key)

    async def authenticate(self) -> None:
        """Check a key that is known."""
        await self.accounts.authenticate(self.key)

    async def rate(self) -> None:
        """Count a request of the minute."""
        await self.rates.hit(self.principal)

    async def concurrency(self) -> None:
        """Count a request in and out."""
        async with await self.running.acquire(self.principal):
            pass

    async def reserve(self) -> None:
        """Write the line of an admission."""
        self.open.append(
            self.ledger.reserve(
                request_id="req_0123456789abcdef",
                principal=self.principal,
                contract="openai",
                operation="transcribe",
            )
        )

    async def settle(self) -> None:
        """Write the line of an end."""
        self.open.pop().settle(
            frames=160_000, rate=16_000, model="whisper-large-v3", provider="whisper", cost=0.001
        )

    async def together(self) -> None:
        """Do what every request pays for."""
        await self.authenticate()
        await self.rate()
        async with await self.running.acquire(self.principal):
            await self.reserve()
            self.open[-1].hold(10.0)
            await self.settle()


async def measure(step: Callable[[], Awaitable[None]], *, number: int = 50) -> float:
    """Return microseconds for one step, by one short run."""
    begin = time.perf_counter()
    for _ in range(number):
        await step()
    return (time.perf_counter() - begin) / number * 1e6


async def main(folder: Path) -> bool:
    """Print the table; False when the goal is missed."""
    bench = Bench(folder)
    await bench.start()
    names = ["authenticate", "rate", "concurrency", "reserve", "settle", "together"]
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(400):
        for name in names:
            times[name].append(await measure(getattr(bench, name)))
        await bench.ledger.fold()
    for name in names:
        print(
            f"{name:13}  best {min(times[name]):6.2f} µs   median {statistics.median(times[name]):6.2f} µs"
        )
    await bench.ledger.close()
    await bench.accounts.close()
    await bench.database.close()
    return min(times["together"]) < GOAL


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    with tempfile.TemporaryDirectory() as temporary:
        good = asyncio.run(main(parser.parse_args().folder or Path(temporary)))
    raise SystemExit(0 if good else 1)
