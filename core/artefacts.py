"""
Stored content with an expiry: uploads of jobs, their results, videos, remembered answers.

What is known of an artefact is a row of the database. The content is a file of this process, or,
where the database is a server, in that database too, so that every process on it can have it
(`junctor.core.stores`). The row outlives the content as the proof that it was deleted, and when.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import structlog
from attrs import field, frozen

from junctor.conf.settings import Artefacts as ArtefactSettings
from junctor.core.errors import NotFoundError, OverloadedError
from junctor.core.storage.artefacts import ArtefactRow, ArtefactTable
from junctor.core.storage.database import Database
from junctor.core.stores import CHUNK, DatabaseStore, FolderStore, Store

log = structlog.get_logger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
PAUSE = 1.0
"""Least time between two sweeps, seconds: what is due together is deleted together."""
LONGEST_SLEEP = 60.0
"""Time after which clock and shared database are looked at again, should others change them; s."""
LAST_TIME = 1.1e12
"""Times are kept in 64 bits, seconds since 1970."""
FORGET_INTERVAL = 3600.0
"""Time between two removals of old proofs, seconds."""
RECOUNT_SECONDS = (1.0, 30.0)
"""Age of a count of what is stored at which it is renewed: before a refusal, and otherwise."""

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


@frozen(kw_only=True)
class Content:
    """Content that is there, to be read in parts; times are seconds since 1970, UTC."""

    id: str
    size: int
    """Bytes."""
    sha256: str
    """Of the content, hexadecimal."""
    name: str
    created_at: float
    expires_at: float
    _piece: Callable[[int, int], Awaitable[bytes]] = field(repr=False, eq=False)

    async def read(self, start: int = 0, size: int | None = None) -> AsyncGenerator[bytes, None]:
        """
        Read a part in pieces of 512 KiB at most; nothing is held open between them.

        Args:
            start: the first byte, from 0.
            size: how many bytes, fewer where the content ends before; None for all of the rest.

        Raises:
            NotFoundError: it expired or was deleted meanwhile, or is damaged.
            OverloadedError: database or disk cannot be read.

        """
        end = self.size if size is None else min(start + size, self.size)
        while start < end:
            count = min(CHUNK - start % CHUNK, end - start)
            yield await self._piece(start, count)
            start += count


class Artefacts:
    """
    The artefacts that this process can have.

    Expired content is never served, whether or not the sweep has come by. It is deleted in the
    second in which it expires. While the database is away a file goes all the same, and the row is
    marked later. What lies in the database itself is swept by any process on it, also when the one
    that stored it is gone: within a minute then.

    Args:
        folder: their own folder; one process at a time.
        database: where the rows are, and, where it is a server, new content. Rows of a folder
            concern only the process that has it.
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
        self._table = ArtefactTable(database)
        self._home = FolderStore(folder, database)
        self._shared = DatabaseStore(database) if database.is_shared else None
        self._settings = settings
        self._clock = clock
        self._held = 0
        """Bytes that were stored at the last count, and what this process did since then."""
        self._pending = 0
        """Bytes that this process is storing."""
        self._counted_at = -math.inf
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
        return self._home.name

    async def open(self) -> None:
        """
        Take the folder, remove what no row knows, and begin to sweep.

        Raises:
            ConfigError: the folder cannot be used.
            OverloadedError: the database cannot be reached.

        """
        await self._home.open()
        await self._count()
        self._sweeper = asyncio.create_task(self._sweep_forever(), name="junctor-artefacts")

    async def close(self) -> None:
        """Stop sweeping and finish what is being stored; idempotent."""
        if self._sweeper is not None:
            sweeper, self._sweeper = self._sweeper, None
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
        while self._writes:
            await asyncio.gather(*self._writes, return_exceptions=True)

    async def put(self, data: bytes, *, team: str, name: str, expires_at: float) -> str:
        """
        Store content and return its id, 128 random bits.

        A caller that leaves meanwhile does not stop it; what is stored then is deleted, since nobody
        knows its id.

        Args:
            data: the content.
            team: who alone may have it back.
            name: what it is, in words of ours.
            expires_at: seconds since 1970, UTC; the year 36,812 at most.

        Raises:
            OverloadedError: the disk or what `artefacts.max_bytes` allows is full, or the database
                cannot be used.

        """
        row = self._row(team, name, expires_at, len(data))
        return await self._stored(row, data)

    async def put_file(self, path: Path, *, team: str, name: str, expires_at: float) -> str:
        """
        Store a file's content, as `put` does, without reading it into memory, and remove the file.

        Args:
            path: a file that nobody writes to any more; it stays when it could not be stored.
            team: who alone may have it back, but for `public`.
            name: what it is, in words of ours.
            expires_at: seconds since 1970, UTC; the year 36,812 at most.

        Raises:
            OverloadedError: as in `put`, or the file cannot be read.

        """
        try:
            size = (await asyncio.to_thread(path.lstat)).st_size
        except OSError as exc:
            raise OverloadedError("What is to be stored cannot be read.") from exc
        return await self._stored(self._row(team, name, expires_at, size), path)

    async def get(self, artefact: str, *, team: str) -> bytes:
        """
        Return content as it was stored.

        Raises:
            NotFoundError: it is expired, deleted, damaged, another team's, or never was.
            OverloadedError: database or disk cannot be read.

        """
        row = await self._live(artefact, team)
        data = await self._piece(row, 0, row.size)
        if (await asyncio.to_thread(sha256, data)).hexdigest() != row.sha256:
            log.error("artefacts.damaged", artefact=row.id)
            raise NotFoundError(GONE)
        return data

    async def find(self, artefact: str, *, team: str, name: str) -> Content:
        """
        Return a team's content to be read in parts.

        Raises:
            NotFoundError: it is expired, deleted, another team's, of another name, or never was.
            OverloadedError: the database cannot be read.

        """
        return self._content(await self._live(artefact, team), name)

    async def public(self, artefact: str, *, name: str) -> Content:
        """
        Return content to be read by whoever knows its id.

        Args:
            artefact: the id, which cannot be guessed.
            name: what it has to be; a word for things that are shown in public.

        Raises:
            NotFoundError: it is expired, deleted, of another name, or never was.
            OverloadedError: the database cannot be read.

        """
        return self._content(await self._live(artefact), name)

    async def kept(self, artefacts: Iterable[str], *, team: str) -> set[str]:
        """
        Return those of `artefacts` that the team can still have; one look at the database.

        Raises:
            OverloadedError: the database cannot be read.

        """
        ids = [one for one in artefacts if ID.fullmatch(one)]
        if not ids:
            return set()
        return await self._table.alive(ids, team=team, stores=self._stores(), now=self._now())

    async def delete(self, artefact: str, *, team: str) -> None:
        """
        Delete content now.

        Raises:
            NotFoundError: there is none, or it is another team's.
            OverloadedError: database or disk cannot be written.

        """
        async with self._deleting:
            row = await self._row_of(artefact, team)
            store = self._stores()[row.store]
            if not await store.delete(row, self._now()):
                raise NotFoundError(GONE)
            if store is self._current:
                self._held -= row.size

    async def proof(self, artefact: str, *, team: str) -> Proof:
        """
        Return what is known of an artefact, for `artefacts.proof_ttl` after its deletion.

        Raises:
            NotFoundError: nothing is known, or it is another team's.
            OverloadedError: the database cannot be read.

        """
        row = await self._known(artefact, team)
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
                swept = await self._sweep()
                await self._count()
                await self._forget(now)
            except OverloadedError:
                self._next = now
                raise
            return swept

    @property
    def _current(self) -> Store:
        """Where new content goes."""
        return self._shared or self._home

    def _stores(self) -> dict[str, Store]:
        stores: tuple[Store, ...] = (self._home, self._current)
        return {store.name: store for store in stores}

    def _now(self) -> int:
        return round(self._clock() * 1e6)

    def _row(self, team: str, name: str, expires_at: float, size: int) -> ArtefactRow:
        return ArtefactRow(
            id=secrets.token_hex(16),
            store=self._current.name,
            team=team,
            name=name,
            sha256="",
            size=size,
            created_at=self._now(),
            expires_at=round(min(max(expires_at, 0.0), LAST_TIME) * 1e6),
        )

    async def _stored(self, row: ArtefactRow, source: bytes | Path) -> str:
        if not await self._has_room(row.size):
            raise OverloadedError(FULL)
        self._pending += row.size
        task = asyncio.create_task(self._put(row, source))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            drop = asyncio.create_task(self._drop(task, row.team))
            self._writes.add(drop)
            drop.add_done_callback(self._writes.discard)
            raise
        finally:
            del task  # its error would hold this frame, and the frame the task

    async def _put(self, row: ArtefactRow, source: bytes | Path) -> str:
        try:
            added = await self._current.add(row, source)
        except (OSError, OverloadedError) as exc:
            log.warning("artefacts.not_stored", bytes=row.size, error=str(exc))
            raise OverloadedError(FULL) from exc
        finally:
            self._pending -= row.size
        self._held += added.size
        if isinstance(source, Path):
            await asyncio.to_thread(_removed, source)
        if row.expires_at < self._next:
            self._next = row.expires_at
            self._is_sooner.set()
        return row.id

    async def _drop(self, task: "asyncio.Task[str]", team: str) -> str:
        """Delete what was stored for a caller that left: nobody knows its id."""
        with suppress(NotFoundError, OverloadedError):  # then it goes with time
            await self.delete(await task, team=team)
        return ""

    async def _has_room(self, size: int) -> bool:
        """Count anew what other processes may have changed, if that matters or was long ago."""
        soon, late = RECOUNT_SECONDS
        age = time.monotonic() - self._counted_at
        if self._shared and age > (late if self._fits(size) else soon):
            await self._count()
        return self._fits(size)

    def _fits(self, size: int) -> bool:
        return self._held + self._pending + size <= self._settings().max_bytes

    async def _count(self) -> None:
        """Look up how much is stored, and when the next of it is due."""
        for store in self._stores().values():
            held, expiry = await self._table.held(store.name)
            if store is self._current:
                self._held, self._counted_at = held, time.monotonic()
            self._next = min(self._next, math.inf if expiry is None else expiry)
        if self._shared:
            self._next = min(self._next, self._now() + LONGEST_SLEEP * 1e6)

    async def _piece(self, row: ArtefactRow, start: int, size: int) -> bytes:
        if row.expires_at <= self._now():
            raise NotFoundError(GONE)
        try:
            data = await self._stores()[row.store].read(row, start, size)
        except FileNotFoundError as exc:
            raise NotFoundError(GONE) from exc
        except OSError as exc:
            raise OverloadedError("What is stored cannot be read at the moment.") from exc
        if len(data) != size:
            log.error("artefacts.damaged", artefact=row.id)
            raise NotFoundError(GONE)
        return data

    def _content(self, row: ArtefactRow, name: str) -> Content:
        if row.name != name:
            raise NotFoundError(GONE)
        return Content(
            id=row.id,
            size=row.size,
            sha256=row.sha256,
            name=row.name,
            created_at=row.created_at / 1e6,
            expires_at=row.expires_at / 1e6,
            piece=partial(self._piece, row),
        )

    async def _known(self, artefact: str, team: str | None) -> ArtefactRow:
        row = await self._table.find(artefact) if ID.fullmatch(artefact) else None
        if row is None or team not in {None, row.team}:
            raise NotFoundError(GONE)
        return row

    async def _row_of(self, artefact: str, team: str | None) -> ArtefactRow:
        row = await self._known(artefact, team)
        if row.deleted_at is not None or row.store not in self._stores():
            raise NotFoundError(GONE)
        return row

    async def _live(self, artefact: str, team: str | None = None) -> ArtefactRow:
        row = await self._row_of(artefact, team)
        if row.expires_at <= self._now():
            raise NotFoundError(GONE)
        return row

    async def _sweep(self) -> int:
        try:
            swept = await self._swept(self._home)
        finally:
            shared = await self._swept(self._shared) if self._shared else 0
        return swept + shared

    async def _swept(self, store: Store) -> int:
        swept = 0
        while deleted := await store.sweep(self._now()):
            swept += deleted
        return swept

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


def _removed(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        log.warning("artefacts.source_not_removed")
