"""Ledger entries as they are stored, and the statements over them."""

from collections.abc import Sequence

from msgspec import Struct, convert, structs

from junctor.core.storage.database import Database


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """One row of `ledger_entries`: a request that is over."""

    id: str
    request_id: str
    team: str
    key_id: str
    contract: str
    operation: str
    model: str = ""
    provider: str = ""
    unit: str = "audio_seconds"
    """Or `video_seconds`, or `tokens` where nothing but tokens was served."""
    frames: int = 0
    rate: int = 0
    """Frames in one second, Hz; zero when nothing was served."""
    seconds: float = 0.0
    cost: int = 0
    """Billionths of a US dollar."""
    attempts: int = 0
    outcome: str
    created_at: int
    """Microseconds since 1970, UTC."""
    settled_at: int
    """Microseconds since 1970, UTC."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Sums(Struct, frozen=True, array_like=True):
    """What one key of a team used in a span of time."""

    team: str
    key_id: str
    requests: int
    seconds: float
    """Of audio."""
    video_seconds: float
    cost: int
    """Billionths of a US dollar."""
    tokens: int
    """Of prompts and answers."""


FIELDS = Entry.__struct_fields__

INSERT = f"""
    INSERT INTO ledger_entries ({", ".join(FIELDS)})
    VALUES ({", ".join(f":{name}" for name in FIELDS)})
    ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - constants of ours


class EntryTable:
    """The statements over `ledger_entries`; `OverloadedError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entries: Sequence[Entry]) -> None:
        """Insert all of `entries` or none; one that is there already stays as it is."""
        if entries:
            await self._database.write(INSERT, [structs.asdict(entry) for entry in entries])

    async def sums(self, since: int) -> list[Sums]:
        """Return the use of each team's keys from `since` (microseconds since 1970) on."""
        sql = """
            SELECT team, key_id, COUNT(*),
                SUM(CASE WHEN unit = 'video_seconds' THEN 0.0 ELSE seconds END),
                SUM(CASE WHEN unit = 'video_seconds' THEN seconds ELSE 0.0 END),
                CAST(SUM(cost) AS BIGINT),
                CAST(SUM(prompt_tokens + completion_tokens) AS BIGINT)
            FROM ledger_entries WHERE settled_at >= :since GROUP BY team, key_id
        """
        return convert(await self._database.fetch(sql, since=since), list[Sums])

    async def video_seconds(self, team: str, since: int) -> float:
        """Return what a team's videos of `since` (microseconds since 1970) and later come to."""
        sql = """
            SELECT SUM(seconds) FROM ledger_entries
            WHERE team = :team AND settled_at >= :since AND unit = 'video_seconds'
        """
        rows = await self._database.fetch(sql, team=team, since=since)
        return convert(rows[0][0] or 0.0, float)

    async def is_charged(self, team: str, request_id: str, *, since: int) -> bool:
        """Say whether a team's request was charged at or after `since`, microseconds since 1970."""
        sql = """
            SELECT 1 FROM ledger_entries
            WHERE team = :team AND settled_at >= :since AND request_id = :request_id
                AND (frames > 0 OR prompt_tokens > 0 OR completion_tokens > 0)
            LIMIT 1
        """
        rows = await self._database.fetch(sql, team=team, since=since, request_id=request_id)
        return bool(rows)
