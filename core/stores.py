"""Where the content of artefacts is: in files of one process, or in a database that many share."""

import asyncio
import io
from collections.abc import AsyncGenerator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Protocol

from msgspec import structs

from junctor.core.blobs import Blob, Blobs, opened
from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.storage.artefacts import ArtefactRow, ArtefactTable
from junctor.core.storage.chunks import ChunkTable
from junctor.core.storage.database import Database

CHUNK = 512 * 1024
"""Bytes of a chunk in the database; rows that are there were written with it."""
BATCH = 500
"""Files that one step looks at or deletes, at most."""
SHARED_BATCH = 20
"""Artefacts that one statement deletes from the database, at most."""
WRITERS = 2
READERS = 1
"""Those who may hold one of a process's four connections to the database at the same time."""


class Store(Protocol):
    """A place for content; whatever it does to content it does to the row too."""

    @property
    def name(self) -> str:
        """What rows call it."""
        ...

    async def add(self, row: ArtefactRow, source: bytes | Path) -> ArtefactRow:
        """
        Store content, whole or not at all, and return the row that was added for it.

        Raises:
            OSError: it cannot be read or stored.
            OverloadedError: the database cannot be used.

        """
        ...

    async def read(self, row: ArtefactRow, start: int, size: int) -> bytes:
        """
        Return `size` bytes from `start` on, fewer where the content ends before.

        Raises:
            FileNotFoundError: it is gone.
            OSError: it cannot be read.
            OverloadedError: the database cannot be used.

        """
        ...

    async def delete(self, row: ArtefactRow, at: int) -> bool:
        """Delete content and note when; False if others have, OverloadedError if it cannot be."""
        ...

    async def sweep(self, now: int) -> int:
        """Delete some of what expires until `now`; return how much, 0 for all; OverloadedError."""
        ...


class FolderStore:
    """
    Files in a folder that belongs to this process.

    The file comes first and goes first: a kill between it and the row leaves a file without a row,
    which the next start removes, or a row that the sweep marks when it is due.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._blobs = Blobs(folder)
        self._table = ArtefactTable(database)
        self._name = ""

    @property
    def name(self) -> str:
        """The random name of the folder, which stays when the process changes."""
        return self._name

    async def open(self) -> None:
        """Take the folder and remove what no row knows; `ConfigError`, `OverloadedError`."""
        try:
            self._name = await asyncio.to_thread(self._blobs.open)
            blobs = await asyncio.to_thread(self._blobs.all)
        except OSError as exc:
            raise ConfigError(
                f"the folder {str(self._folder)!r} cannot be used ({exc.strerror}).",
                key="storage.data_dir",
            ) from exc
        for begin in range(0, len(blobs), BATCH):
            batch = blobs[begin : begin + BATCH]
            kept = await self._table.kept(self._name, [blob.artefact for blob in batch])
            orphans = [blob for blob in batch if blob.artefact not in kept]
            await asyncio.to_thread(self._blobs.remove, orphans)

    async def add(self, row: ArtefactRow, source: bytes | Path) -> ArtefactRow:
        """Write a file or take one over, then add the row."""
        try:
            row = await asyncio.to_thread(self._write, row, source)
            await self._table.add(row)
        except (OSError, OverloadedError):
            await asyncio.to_thread(self._blobs.remove, [_blob(row)])
            raise
        return row

    async def read(self, row: ArtefactRow, start: int, size: int) -> bytes:
        """Read a part of the file, opened anew each time: a deleted one is not read to its end."""
        return await asyncio.to_thread(self._blobs.read, _blob(row), start, size)

    async def delete(self, row: ArtefactRow, at: int) -> bool:
        """Remove the file, then note it."""
        if not await self._delete([row], at):
            raise OverloadedError("What is stored cannot be deleted at the moment.")
        return True

    async def sweep(self, now: int) -> int:
        """Remove what is due; files go by their names alone while the database is away."""
        try:
            rows = await self._table.due(self._name, now, limit=BATCH)
            deleted = await self._delete(rows, now)
        except OverloadedError:
            await asyncio.to_thread(self._blobs.remove_expired, now)
            raise
        if deleted < len(rows):
            raise OverloadedError("Some expired files cannot be deleted.")
        return deleted

    def _write(self, row: ArtefactRow, source: bytes | Path) -> ArtefactRow:
        if isinstance(source, bytes):
            digest, size = self._blobs.write(_blob(row), source), len(source)
        else:
            digest, size = self._blobs.take(_blob(row), source)
        return structs.replace(row, sha256=digest, size=size)

    async def _delete(self, rows: Sequence[ArtefactRow], at: int) -> int:
        gone = await asyncio.to_thread(self._blobs.remove, [_blob(row) for row in rows])
        await self._table.mark_deleted([row for row in rows if row.id in gone], at)
        return len(gone)


class DatabaseStore:
    """Chunks in a database, for every process on it to read, write and delete; Postgres."""

    name = "database"

    def __init__(self, database: Database) -> None:
        self._chunks = ChunkTable(database)
        self._writers = asyncio.Semaphore(WRITERS)
        self._readers = asyncio.Semaphore(READERS)

    async def add(self, row: ArtefactRow, source: bytes | Path) -> ArtefactRow:
        """Write the chunks and the row in one transaction; a kill leaves nothing of it."""
        reader = _Reader(source)
        async with self._writers:
            await self._chunks.add(row.id, reader.chunks(), lambda: reader.measured(row))
        return reader.measured(row)

    async def read(self, row: ArtefactRow, start: int, size: int) -> bytes:
        """Read a part in one statement, which sees all of the content or nothing."""
        if not size:
            return b""
        first, last = start // CHUNK, (start + size - 1) // CHUNK
        async with self._readers:
            chunks = await self._chunks.read(row.id, first, last)
        if not chunks:
            raise FileNotFoundError(row.id)
        begin = start - first * CHUNK
        return await asyncio.to_thread(_joined, chunks, begin, begin + size)

    async def delete(self, row: ArtefactRow, at: int) -> bool:
        """Delete the chunks and note it, in one statement."""
        return await self._chunks.delete(row.id, at)

    async def sweep(self, now: int) -> int:
        """Delete what is due and nobody else is deleting; it does not matter who stored it."""
        return await self._chunks.delete_due(self.name, now, limit=SHARED_BATCH)


class _Reader:
    """Goes once through content, and knows afterwards what it was."""

    def __init__(self, source: bytes | Path) -> None:
        self._source = source
        self._digest = sha256()
        self._size = 0

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Read the content piece by piece, in threads; raises OSError."""
        with await asyncio.to_thread(self._open) as file:
            while data := await asyncio.to_thread(self._next, file):
                yield data

    def measured(self, row: ArtefactRow) -> ArtefactRow:
        """Return `row` with the hash and size of what was read."""
        return structs.replace(row, sha256=self._digest.hexdigest(), size=self._size)

    def _open(self) -> BinaryIO:
        source = self._source
        return io.BytesIO(source) if isinstance(source, bytes) else opened(source)

    def _next(self, file: BinaryIO) -> bytes:
        data = file.read(CHUNK)
        self._digest.update(data)
        self._size += len(data)
        return data


def _joined(chunks: Sequence[bytes], begin: int, end: int) -> bytes:
    return b"".join(chunks)[begin:end]


def _blob(row: ArtefactRow) -> Blob:
    return Blob(row.id, row.expires_at)
