"""
The fold: what is settled goes from the journal into the database, behind the requests' back.

However long the database is away, entries wait in the journal's file, and memory holds one batch.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from junctor.conf.settings import Storage
from junctor.core.errors import OverloadedError
from junctor.core.journal import Journal, Position
from junctor.core.records import Reserved, Settled, decode, encode
from junctor.core.storage.entries import EntryTable

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 4 * 1024 * 1024
"""Size from which the journal goes on in a new file, so that the old one can be removed."""
SLOWEST = 30.0
"""Longest pause between two folds while the database is away, seconds."""
LAST_SECONDS = 5.0
"""Time the last fold may take at shutdown; what it leaves is folded at the next start."""


class Fold:
    """
    Reads the journal and fills the ledger's table.

    Args:
        journal: opened by the owner, who alone appends, and only through this object.
        entries: the table; an entry that is there already stays as it is.
        storage: returns the settings of the moment (`usage_batch`, `usage_interval`).
        unsettled: the reservations under way, by id; they are carried into a new segment.

    """

    def __init__(
        self,
        journal: Journal,
        entries: EntryTable,
        storage: Callable[[], Storage],
        unsettled: Mapping[str, Reserved],
    ) -> None:
        self._journal = journal
        self._entries = entries
        self._storage = storage
        self._unsettled = unsettled
        self._kept: deque[bytes] = deque()
        """Settlements that the journal could not take; bounded by the requests under way."""
        self._position = Position(0)
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    @property
    def is_done(self) -> bool:
        """Whether the journal says nothing that the database does not have."""
        return not (self._unsettled or self._kept) and self._position == self._journal.end

    def append(self, record: bytes) -> None:
        """
        Add a record to the journal, behind those that it could not take before.

        Raises:
            OverloadedError: it cannot be written.

        """
        while self._kept:
            self._journal.append(self._kept[0])
            self._kept.popleft()
        self._journal.append(record)

    def append_or_keep(self, record: bytes) -> None:
        """Add a settlement to the journal, or keep it until the journal or the database takes it."""
        try:
            self.append(record)
        except OverloadedError:
            log.exception("journal.settlement_kept", kept=len(self._kept) + 1)
            self._kept.append(record)

    async def start(self, begin: Position) -> None:
        """Fold everything from `begin` on, then go on by itself; raises what `run` raises."""
        self._position = begin
        await self.run()
        self._task = asyncio.create_task(self._run_forever(), name="junctor-fold")

    async def stop(self) -> None:
        """Fold once more and end; what cannot be folded stays in the journal."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await self.run()
        except (OverloadedError, OSError, TimeoutError):
            log.warning("ledger.fold_left_for_next_start", kept=len(self._kept))

    async def run(self) -> None:
        """
        Fold what the journal has at this moment.

        Raises:
            OverloadedError: the database cannot be used.
            OSError: the journal cannot be read.

        """
        async with self._lock:
            end = self._journal.end
            while self._position < end:
                await self._step(end)
            await self._fold_kept()
            self._trim()

    async def _step(self, end: Position) -> None:
        batch = self._storage().usage_batch
        entries, position = await asyncio.to_thread(self._read, end, batch)
        await self._entries.add(entries)
        old, self._position = self._position, position
        if position.segment > old.segment:
            await asyncio.to_thread(self._journal.drop_before, position)

    def _read(self, end: Position, limit: int) -> tuple[list[Settled], Position]:
        lines, position = self._journal.read(self._position, end, limit=limit)
        return [record for record in decode(lines) if isinstance(record, Settled)], position

    async def _fold_kept(self) -> None:
        """Give the database what the journal could not take: it may be on another disk."""
        kept = tuple(self._kept)
        await self._entries.add([r for r in decode(kept) if isinstance(r, Settled)])
        for record in kept:
            if self._kept and self._kept[0] == record:
                self._kept.popleft()

    def _trim(self) -> None:
        """Cut off what is folded; only the reservations under way are still needed."""
        if self.is_done and not self._journal.is_lost:
            self._journal.truncate()
            self._position = self._journal.end
        elif not self._kept and (self._journal.is_lost or self._journal.end.offset > SEGMENT_BYTES):
            self._rotate()

    def _rotate(self) -> None:
        if self._journal.is_lost:
            log.error("journal.file_was_removed")
        with suppress(OverloadedError):
            self._journal.rotate(encode(opened) for opened in self._unsettled.values())

    async def _run_forever(self) -> None:
        while True:
            interval = self._storage().usage_interval
            await asyncio.sleep(min(interval * 2**self._failures, max(SLOWEST, interval)))
            try:
                await self.run()
            except Exception as exc:  # the boundary of a background task: it must go on
                if not self._failures:
                    log.exception("ledger.fold_failed", error=str(exc))
                self._failures = min(self._failures + 1, 10)
            else:
                if self._failures:
                    log.info("ledger.fold_recovered")
                self._failures = 0
