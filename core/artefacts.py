"""
Stored content with an expiry: uploads of jobs, their results, remembered answers.

The content is a file, what is known of it a row. The file comes first and goes first: a kill
between the two leaves a file without a row, which the next start removes, or a row that the sweep
marks when it is due. The row outlives the content as the proof that it was deleted, and when.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import structlog
from attrs import frozen
from msgspec import structs

from junctor.conf.settings import Artefacts as ArtefactSettings
from junctor.core.blobs import Blob, Blobs
from junctor.core.errors import ConfigError, NotFoundError, OverloadedError
from junctor.core.storage.artefacts import ArtefactRow, ArtefactTable
from junctor.core.storage.database import Database

log = structlog.get_logger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
BATCH = 500
"""Rows that one step of a sweep takes, at most."""
PAUSE = 1.0
"""Least time between two sweeps, seconds: what is due together is deleted together."""
LONGEST_SLEEP = 60.0
"""Time after which the clock is looked at again, should somebody set it meanwhile; seconds."""
LAST_TIME = 1.1e12
"""Times are kept in 64 bits, seconds since 1970."""
FORGET_INTERVAL = 3600.0
"""Time between two removals of old proofs, seconds."""

GONE = "There is no such stored object: it has expired, was deleted, or never was."
FULL = "The server has no room to store this at the moment. Try again later."


@frozen(kw_only=True)
class Proof:
    """What is known of an artefact, also when its content is gone; times are seconds since 1970."""

    id: str
    name: str
    sha256: str
    """Of the content, hexadecimal."""
    size: int
    """Bytes."""
    created_at: float
    expires_at: float
    deleted_at: float | None


class Artefacts:
    """
    The artefacts of this process.

    Expired content is never served, whether or not the sweep has come by. A file is due in the
    second in which it expires; while the database is away the file goes all the same, and the row
    is marked later.

    Args:
        folder: their own folder; one process at a time.
        database: where the rows are. Servers may share it: each sees to its own folder.
        settings: returns the settings of the moment.
        clock: seconds since 1970, UTC.

    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        *,
        settings: Callable[[], ArtefactSettings] = ArtefactSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._blobs = Blobs(folder)
        self._table = ArtefactTable(database)
        self._settings = settings
        self._clock = clock
        self._store = ""
        self._bytes = 0
        self._writes: set[asyncio.Task[str]] = set()
        self._deleting = asyncio.Lock()
        self._next = math.inf
        """When something is due, microseconds since 1970."""
        self._is_sooner = asyncio.Event()
        self._forget_at = 0.0
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def store(self) -> str:
        """The random name of the folder, which stays when the process changes."""
        return self._store

    async def open(self) -> None:
        """
        Take the folder, remove what no row knows, and begin to sweep.

        Raises:
            ConfigError: the folder cannot be used.
            OverloadedError: the database cannot be reached.

        """
        try:
            self._store = await asyncio.to_thread(self._blobs.open)
            blobs = await asyncio.to_thread(self._blobs.all)
        except OSError as exc:
            raise ConfigError(
                f"the folder {str(self._folder)!r} cannot be used ({exc.strerror}).",
                key="storage.data_dir",
            ) from exc
        for begin in range(0, len(blobs), BATCH):
            batch = blobs[begin : begin + BATCH]
            kept = await self._table.kept(self._store, [blob.artefact for blob in batch])
            orphans = [blob for blob in batch if blob.artefact not in kept]
            await asyncio.to_thread(self._blobs.remove, orphans)
        self._bytes, expiry = await self._table.held(self._store)
        self._next = math.inf if expiry is None else expiry
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="junctor-artefacts")

    async def close(self) -> None:
        """Stop sweeping and finish what is being stored; idempotent."""
        if self._sweeper is not None:
            sweeper, self._sweeper = self._sweeper, None
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def put(self, data: bytes, *, team: str, name: str, expires_at: float) -> str:
        """
        Store content and return its id, 128 random bits.

        A caller that leaves meanwhile does not stop it: what is stored then expires as all does.

        Args:
            data: the content.
            team: who alone may have it back.
            name: what it is, in words of ours.
            expires_at: seconds since 1970, UTC; the year 36,812 at most.

        Raises:
            OverloadedError: the disk or what `artefacts.max_bytes` allows is full, or the database
                cannot be used.

        """
        if self._bytes + len(data) > self._settings().max_bytes:
            raise OverloadedError(FULL)
        self._bytes += len(data)
        row = ArtefactRow(
            id=secrets.token_hex(16),
            store=self._store,
            team=team,
            name=name,
            sha256="",
            size=len(data),
            created_at=self._now(),
            expires_at=round(min(max(expires_at, 0.0), LAST_TIME) * 1e6),
        )
        task = asyncio.create_task(self._put(row, data))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        finally:
            del task  # its error would hold this frame, and the frame the task

    async def get(self, artefact: str, *, team: str) -> bytes:
        """
        Return content as it was stored.

        Raises:
            NotFoundError: it is expired, deleted, damaged, another team's, or never was.
            OverloadedError: database or disk cannot be read.

        """
        row = await self._live(artefact, team)
        if row.expires_at <= self._now():
            raise NotFoundError(GONE)
        try:
            data = await asyncio.to_thread(self._checked, row)
        except FileNotFoundError as exc:
            raise NotFoundError(GONE) from exc
        except OSError as exc:
            raise OverloadedError("What is stored cannot be read at the moment.") from exc
        if data is None:
            log.error("artefacts.damaged", artefact=row.id)
            raise NotFoundError(GONE)
        return data

    async def delete(self, artefact: str, *, team: str) -> None:
        """
        Delete content now.

        Raises:
            NotFoundError: there is none, or it is another team's.
            OverloadedError: database or disk cannot be written.

        """
        async with self._deleting:
            row = await self._live(artefact, team)
            if not await self._delete([row]):
                raise OverloadedError("What is stored cannot be deleted at the moment.")

    async def proof(self, artefact: str, *, team: str) -> Proof:
        """
        Return what is known of an artefact, for `artefacts.proof_ttl` after its deletion.

        Raises:
            NotFoundError: nothing is known, or it is another team's.
            OverloadedError: the database cannot be read.

        """
        row = await self._table.find(artefact, team=team) if ID.fullmatch(artefact) else None
        if row is None:
            raise NotFoundError(GONE)
        return Proof(
            id=row.id,
            name=row.name,
            sha256=row.sha256,
            size=row.size,
            created_at=row.created_at / 1e6,
            expires_at=row.expires_at / 1e6,
            deleted_at=None if row.deleted_at is None else row.deleted_at / 1e6,
        )

    async def sweep(self) -> int:
        """
        Delete what has expired; return how much that was.

        Raises:
            OverloadedError: the database cannot be used; expired files are deleted all the same.

        """
        async with self._deleting:
            now, self._next = self._now(), math.inf
            try:
                swept = await self._sweep(now)
                expiry = await self._table.next_expiry(self._store)
                await self._forget(now)
            except OverloadedError:
                self._next = now
                await asyncio.to_thread(self._blobs.remove_expired, now)
                raise
            self._next = min(self._next, math.inf if expiry is None else expiry)
            return swept

    def _now(self) -> int:
        return round(self._clock() * 1e6)

    async def _put(self, row: ArtefactRow, data: bytes) -> str:
        blob = Blob(row.id, row.expires_at)
        try:
            row = await asyncio.to_thread(self._write, blob, row, data)
            await self._table.add(row)
        except (OSError, OverloadedError) as exc:
            self._bytes -= row.size
            await asyncio.to_thread(self._blobs.remove, [blob])
            log.warning("artefacts.not_stored", bytes=row.size, error=str(exc))
            raise OverloadedError(FULL) from exc
        if row.expires_at < self._next:
            self._next = row.expires_at
            self._is_sooner.set()
        return row.id

    def _write(self, blob: Blob, row: ArtefactRow, data: bytes) -> ArtefactRow:
        digest = sha256(data).hexdigest()
        self._blobs.write(blob, data)
        return structs.replace(row, sha256=digest)

    def _checked(self, row: ArtefactRow) -> bytes | None:
        data = self._blobs.read(_blob(row))
        return data if sha256(data).hexdigest() == row.sha256 else None

    async def _live(self, artefact: str, team: str) -> ArtefactRow:
        row = await self._table.find(artefact, team=team) if ID.fullmatch(artefact) else None
        if row is None or row.deleted_at is not None or row.store != self._store:
            raise NotFoundError(GONE)
        return row

    async def _sweep(self, now: int) -> int:
        swept = 0
        while rows := await self._table.due(self._store, now, limit=BATCH):
            deleted = await self._delete(rows)
            swept += deleted
            if deleted < len(rows):
                raise OverloadedError("Some expired files cannot be deleted.")
        return swept

    async def _delete(self, rows: Sequence[ArtefactRow]) -> int:
        """Remove content, then note it; return of how many rows it is gone."""
        gone = await asyncio.to_thread(self._blobs.remove, [_blob(row) for row in rows])
        deleted = [row for row in rows if row.id in gone]
        await self._table.mark_deleted(deleted, self._now())
        self._bytes -= sum(row.size for row in deleted)
        return len(deleted)

    async def _forget(self, now: int) -> None:
        if now >= self._forget_at:
            await self._table.forget(now - round(self._settings().proof_ttl * 1e6))
            self._forget_at = now + FORGET_INTERVAL * 1e6

    async def _sweep_forever(self) -> None:
        is_failing = False
        while True:
            await self._until_due()
            try:
                await self.sweep()
            except Exception:  # the boundary of a background task: it must go on
                if not is_failing:
                    log.exception("artefacts.sweep_failed")
                is_failing = True
            else:
                is_failing = False
            await asyncio.sleep(PAUSE)

    async def _until_due(self) -> None:
        while (left := (self._next - self._now()) / 1e6) > 0:
            self._is_sooner.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, LONGEST_SLEEP)):
                    await self._is_sooner.wait()


def _blob(row: ArtefactRow) -> Blob:
    return Blob(row.id, row.expires_at)
