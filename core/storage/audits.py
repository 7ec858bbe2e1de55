"""Audit records as they are stored, and the statements over them."""

from collections.abc import Sequence

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database


class AuditRow(Struct, frozen=True, array_like=True):
    """One row of `audit_records`: hashes and numbers of one transcription."""

    id: str
    request_id: str
    team: str
    key_id: str
    audio_sha256: str
    text_hmac: str
    """HMAC-SHA-256 of the text under the deployment's secret, hexadecimal."""
    frames: int
    rate: int
    """Frames in one second, Hz."""
    provider: str
    model: str
    language: str
    outcome: str
    is_redacted: bool
    created_at: int
    """Microseconds since 1970, UTC."""


FIELDS = AuditRow.__struct_fields__


class AuditTable:
    """The statements over `audit_records`; `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[AuditRow]) -> None:
        """Insert all of `rows` or none; one that is there already stays as it is."""
        sql = f"""
            INSERT INTO audit_records ({", ".join(FIELDS)})
            VALUES ({", ".join(f":{name}" for name in FIELDS)})
            ON CONFLICT (id) DO NOTHING
        """  # noqa: S608 - constants of ours
        await self._database.write(sql, [structs.asdict(row) for row in rows])

    async def of(self, team: str, since: int, *, limit: int) -> list[AuditRow]:
        """Return what a team had from `since` (microseconds since 1970) on, oldest first."""
        sql = f"""
            SELECT {", ".join(FIELDS)} FROM audit_records
            WHERE team = :team AND created_at >= :since ORDER BY created_at, id LIMIT :limit
        """  # noqa: S608 - constants of ours
        rows = await self._database.fetch(sql, team=team, since=since, limit=limit)
        return convert(rows, list[AuditRow], strict=False)
