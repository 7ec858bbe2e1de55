"""API keys as they are stored, and the statements over them."""

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database

COLUMNS = "id, prefix, digest, team, label, created_at, revoked_at"


class KeyRow(Struct, frozen=True, array_like=True):
    """One row of `api_keys`; times are microseconds since 1970, UTC."""

    id: str
    prefix: str
    digest: str
    """SHA-256 of the whole key, hexadecimal."""
    team: str
    label: str
    created_at: int
    revoked_at: int | None = None


class KeyTable:
    """The statements over `api_keys`; each raises `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: KeyRow) -> bool:
        """Insert `row`; False when its prefix is taken."""
        sql = f"""
            INSERT INTO api_keys ({COLUMNS})
            VALUES (:id, :prefix, :digest, :team, :label, :created_at, :revoked_at)
            ON CONFLICT (prefix) DO NOTHING
        """  # noqa: S608 - a constant of ours
        return await self._database.write(sql, [structs.asdict(row)]) == 1

    async def find(self, prefix: str) -> KeyRow | None:
        """Return the key with this prefix."""
        sql = f"SELECT {COLUMNS} FROM api_keys WHERE prefix = :prefix"  # noqa: S608 - as above
        rows = await self._database.fetch(sql, prefix=prefix)
        return convert(rows[0], KeyRow) if rows else None

    async def all(self) -> list[KeyRow]:
        """Return every key, oldest first."""
        sql = f"SELECT {COLUMNS} FROM api_keys ORDER BY created_at, id"  # noqa: S608 - as above
        return convert(await self._database.fetch(sql), list[KeyRow])

    async def set_revoked(self, prefix: str, at: int | None) -> bool:
        """Revoke at a time, or restore with None; False when there is no such key."""
        sql = "UPDATE api_keys SET revoked_at = :at WHERE prefix = :prefix"
        return await self._database.write(sql, [{"prefix": prefix, "at": at}]) == 1
