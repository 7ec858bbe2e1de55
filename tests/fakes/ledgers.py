"""A ledger over a real SQLite file, that can be killed and started again."""

import asyncio
import os
from pathlib import Path

from junctor.conf.settings import Settings, Storage, Team
from junctor.core.accounts import Principal
from junctor.core.ledger import Ledger
from junctor.core.reservations import Reservation
from junctor.core.storage.database import Database
from junctor.core.usage import DAY

SETTINGS = Settings(storage=Storage(usage_batch=3, usage_interval=1000.0))
NOON = 20_000 * DAY + DAY // 2


def of(
    team: str = "acme",
    *,
    key: str = "key",
    prefix: str = "abcdefgh",
    seconds_per_day: float | None = None,
    limits: Team | None = None,
) -> Principal:
    limits = limits or Team(audio_seconds_per_day=seconds_per_day)
    return Principal(team=team, key_id=key, prefix=prefix, limits=limits)


class Server:
    """A ledger that can be killed and started again, over one folder; others may share `url`."""

    def __init__(self, folder: Path, *, url: str | None = None) -> None:
        self.path = folder / "junctor.db"
        self.journal = folder / "journal"
        self.database = Database(url or f"sqlite:///{self.path}")
        self.now = NOON
        self.ledger = self.make()

    def make(self) -> Ledger:
        return Ledger(self.journal, self.database, settings=lambda: SETTINGS, now=lambda: self.now)

    async def start(self) -> None:
        await self.database.upgrade()
        await self.ledger.open()

    async def kill(self) -> None:
        """End as kill -9 would: nothing is folded, nothing closed properly."""
        task, file = self.ledger._fold._task, self.ledger._journal._file
        assert task is not None
        assert file is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        os.close(file)
        self.ledger._journal._file = None  # what is dead writes nothing more
        self.ledger = self.make()

    async def restart(self) -> None:
        await self.kill()
        await self.ledger.open()

    def reserve(self, principal: Principal | None = None, *, charge_id: str = "") -> Reservation:
        return self.ledger.reserve(
            request_id="req",
            principal=principal or of(),
            contract="openai",
            operation="transcribe",
            charge_id=charge_id,
        )

    def serve(self, frames: int = 16_000, *, principal: Principal | None = None) -> str:
        reservation = self.reserve(principal)
        reservation.settle(frames=frames, rate=16_000)
        return reservation.id

    def film(self, frames: int = 24, *, principal: Principal | None = None) -> None:
        self.reserve(principal).settle(unit="video_seconds", frames=frames, rate=24)

    def chat(self, tokens: int, *, principal: Principal | None = None) -> str:
        reservation = self.reserve(principal)
        reservation.settle(prompt_tokens=tokens - tokens // 3, completion_tokens=tokens // 3)
        return reservation.id

    async def rows(self) -> list[tuple[object, ...]]:
        return await self.database.fetch("SELECT id, frames, outcome FROM ledger_entries")

    async def outcomes(self) -> list[str]:
        return sorted(str(row[2]) for row in await self.rows())

    def journal_size(self) -> int:
        return sum(path.stat().st_size for path in self.journal.iterdir())
