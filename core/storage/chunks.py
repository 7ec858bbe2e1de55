"""Content in the database itself, for processes that share no folder; Postgres only."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from msgspec import convert, structs

from junctor.core.storage.artefacts import ADD, ArtefactRow
from junctor.core.storage.database import Database

CHUNK = """
    INSERT INTO artefact_chunks (artefact, number, data) VALUES (:artefact, :number, :data)
"""


class ChunkTable:
    """
    The statements over `artefact_chunks`, each with what it means for `artefacts`.

    Content comes and goes in one transaction with its row's beginning and end, so that there is
    never the one without the other, also when a process is killed. Each statement raises
    `OverloadedError` while the database is away.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, artefact: str, chunks: AsyncGenerator[bytes, None], row: Callable[[], ArtefactRow]
    ) -> None:
        """Insert chunks as they come, and `row()` when the last one has."""

        async def statements() -> AsyncGenerator[tuple[str, Mapping[str, object]], None]:
            number = 0
            async for data in chunks:
                yield CHUNK, {"artefact": artefact, "number": number, "data": data}
                number += 1
            yield ADD, structs.asdict(row())

        async with aclosing(chunks), aclosing(statements()) as all_of_them:
            await self._database.write_all(all_of_them)

    async def read(self, artefact: str, first: int, last: int) -> list[bytes]:
        """Return the chunks of these numbers, both ends included; none where it is gone."""
        sql = """
            SELECT data FROM artefact_chunks
            WHERE artefact = :artefact AND number BETWEEN :first AND :last ORDER BY number
        """
        rows = await self._database.fetch(sql, artefact=artefact, first=first, last=last)
        return [convert(row[0], bytes) for row in rows]

    async def delete(self, artefact: str, at: int) -> bool:
        """Delete one artefact's content and note when; False when it was gone already."""
        return await self._delete("id = :id FOR UPDATE", {"id": artefact, "at": at}) == 1

    async def delete_due(self, store: str, now: int, *, limit: int) -> int:
        """
        Delete what has expired, the oldest first, and note when; return how many that were.

        What another process is deleting at the moment is left to it.
        """
        which = """
            store = :store AND expires_at <= :at
            ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED
        """
        return await self._delete(which, {"store": store, "at": now, "limit": limit})

    async def _delete(self, which: str, parameters: Mapping[str, object]) -> int:
        sql = f"""
            WITH ended AS (
                SELECT id FROM artefacts WHERE deleted_at IS NULL AND {which}
            ), emptied AS (
                DELETE FROM artefact_chunks WHERE artefact IN (SELECT id FROM ended)
            )
            UPDATE artefacts SET deleted_at = :at WHERE id IN (SELECT id FROM ended)
        """  # noqa: S608 - words of ours
        return await self._database.write(sql, [parameters])
