"""Artefacts as they are stored, and the statements over them."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database

COLUMNS = "id, store, team, name, sha256, size, created_at, expires_at, deleted_at"
ADD = f"""
    INSERT INTO artefacts ({COLUMNS})
    VALUES (:id, :store, :team, :name, :sha256, :size, :created_at, :expires_at, :deleted_at)
"""  # noqa: S608 - a constant of ours


class ArtefactRow(Struct, frozen=True, array_like=True):
    """One row of `artefacts`; times are microseconds since 1970, UTC."""

    id: str
    store: str
    """What has the content: the name of a folder, or `database`."""
    team: str
    name: str
    sha256: str
    """Of the content, hexadecimal."""
    size: int
    """Bytes."""
    created_at: int
    expires_at: int
    deleted_at: int | None = None


class ArtefactTable:
    """The statements over `artefacts`; each raises `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: ArtefactRow) -> None:
        """Insert `row`."""
        await self._database.write(ADD, [structs.asdict(row)])

    async def find(self, artefact: str) -> ArtefactRow | None:
        """Return one row, whosever it is and whether or not its content is still there."""
        sql = f"SELECT {COLUMNS} FROM artefacts WHERE id = :id"  # noqa: S608 - as above
        rows = await self._database.fetch(sql, id=artefact)
        return convert(rows[0], ArtefactRow) if rows else None

    async def due(self, store: str, now: int, *, limit: int) -> list[ArtefactRow]:
        """Return rows that have expired and are not marked deleted, the oldest first."""
        sql = f"""
            SELECT {COLUMNS} FROM artefacts
            WHERE store = :store AND deleted_at IS NULL AND expires_at <= :now
            ORDER BY expires_at LIMIT :limit
        """  # noqa: S608 - a constant of ours
        rows = await self._database.fetch(sql, store=store, now=now, limit=limit)
        return convert(rows, list[ArtefactRow])

    async def mark_deleted(self, rows: Sequence[ArtefactRow], at: int) -> None:
        """Note when the content of `rows` was deleted, unless that was noted before."""
        sql = "UPDATE artefacts SET deleted_at = :at WHERE id = :id AND deleted_at IS NULL"
        if rows:
            await self._database.write(sql, [{"at": at, "id": row.id} for row in rows])

    async def forget(self, before: int) -> None:
        """Drop the rows whose content was deleted before this time, whoever had it."""
        sql = "DELETE FROM artefacts WHERE deleted_at < :before"
        await self._database.write(sql, [{"before": before}])

    async def held(self, store: str) -> tuple[int, int | None]:
        """Return how many bytes the store should hold, and when the next of them expire."""
        sql = """
            SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), MIN(expires_at) FROM artefacts
            WHERE store = :store AND deleted_at IS NULL
        """
        return convert((await self._database.fetch(sql, store=store))[0], tuple[int, int | None])

    async def kept(self, store: str, artefacts: Iterable[str]) -> set[str]:
        """Return those of `artefacts` that the store is to keep."""
        marks, names = _listed(artefacts)
        sql = f"""
            SELECT id FROM artefacts
            WHERE store = :store AND deleted_at IS NULL AND id IN ({marks})
        """  # noqa: S608 - names of ours
        return {str(row[0]) for row in await self._database.fetch(sql, store=store, **names)}

    async def alive(
        self, artefacts: Iterable[str], *, team: str, stores: Iterable[str], now: int
    ) -> set[str]:
        """Return those of `artefacts` that are the team's, in one of `stores` and not over."""
        ids, names = _listed(artefacts)
        places, more = _listed(stores, "store")
        sql = f"""
            SELECT id FROM artefacts
            WHERE team = :team AND deleted_at IS NULL AND expires_at > :now
              AND id IN ({ids}) AND store IN ({places})
        """  # noqa: S608 - names of ours
        rows = await self._database.fetch(sql, team=team, now=now, **names, **more)
        return {str(row[0]) for row in rows}


def _listed(values: Iterable[str], name: str = "id") -> tuple[str, dict[str, str]]:
    """Return the marks of a list in a statement, and its parameters; of an empty one, no value."""
    parameters = {f"{name}{number}": one for number, one in enumerate(values)}
    return ", ".join(f":{one}" for one in parameters) or "NULL", parameters
