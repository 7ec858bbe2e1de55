"""Idempotency keys as they are stored, and the statements over them."""

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database

COLUMNS = "id, team, digest, holder, artefact_id, created_at, expires_at"


class KeptKey(Struct, frozen=True, array_like=True):
    """One row of `idempotency_keys`; times are microseconds since 1970, UTC."""

    id: str
    """SHA-256 of team and key, hexadecimal."""
    team: str
    digest: str
    """SHA-256 of the request, hexadecimal."""
    holder: str
    """Who is at work, or was."""
    artefact_id: str | None
    """The answer; None while the work runs."""
    created_at: int
    expires_at: int
    """When the key is free again."""


class IdempotencyTable:
    """The statements over `idempotency_keys`; `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, row: KeptKey) -> bool:
        """Insert `row`, over one that has expired before `row` was made; False when it is taken."""
        sql = f"""
            INSERT INTO idempotency_keys ({COLUMNS})
            VALUES (:id, :team, :digest, :holder, :artefact_id, :created_at, :expires_at)
            ON CONFLICT (id) DO UPDATE SET
                digest = excluded.digest, holder = excluded.holder,
                artefact_id = excluded.artefact_id, created_at = excluded.created_at,
                expires_at = excluded.expires_at
            WHERE idempotency_keys.expires_at <= excluded.created_at
        """  # noqa: S608 - a constant of ours
        return await self._database.write(sql, [structs.asdict(row)]) == 1

    async def find(self, key: str) -> KeptKey | None:
        """Return the row of this id, expired or not."""
        sql = f"SELECT {COLUMNS} FROM idempotency_keys WHERE id = :id"  # noqa: S608 - as above
        rows = await self._database.fetch(sql, id=key)
        return convert(rows[0], KeptKey) if rows else None

    async def remember(self, row: KeptKey) -> None:
        """Note the answer, unless somebody else has the key by now."""
        sql = """
            UPDATE idempotency_keys SET artefact_id = :artefact_id, expires_at = :expires_at
            WHERE id = :id AND holder = :holder
        """
        wanted = ("id", "holder", "artefact_id", "expires_at")
        await self._database.write(sql, [{name: getattr(row, name) for name in wanted}])

    async def free(self, row: KeptKey) -> None:
        """Give the key back, unless somebody else has it by now."""
        sql = "DELETE FROM idempotency_keys WHERE id = :id AND holder = :holder"
        await self._database.write(sql, [{"id": row.id, "holder": row.holder}])

    async def free_all(self, holders: str) -> None:
        """Give back every key without an answer whose holder's name begins like this."""
        sql = """
            DELETE FROM idempotency_keys
            WHERE artefact_id IS NULL AND holder LIKE :holders || '%'
        """
        await self._database.write(sql, [{"holders": holders}])

    async def drop_expired(self, now: int) -> None:
        """Drop the rows that no longer count."""
        sql = "DELETE FROM idempotency_keys WHERE expires_at <= :now"
        await self._database.write(sql, [{"now": now}])
