"""
The tables, as the house declares them; migrations and tests read this module.

The server itself does not: sqlmodel and what it brings cost 0.4 s of CPU at import, while the
server asks a handful of statements (`junctor.core.storage.keys`, `.entries`). A test compares
these tables with the migrations, and the statements run against them in every other test.

Times are whole microseconds since 1970 (UTC) and money is whole billionths of a US dollar: both
are exact in every database, and SQLite would lose a time zone.
"""

from sqlalchemy import BigInteger, Index, MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(SQLModel, registry=registry(metadata=MetaData(naming_convention=NAMES))):
    """The root of our tables: a registry of our own, so that a plugin's tables are not ours."""


class ApiKey(Table, table=True):
    """One API key; the key itself is never stored."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    prefix: str = Field(unique=True)
    """The eight characters by which people and lookups find it."""
    digest: str
    """SHA-256 of the whole key, hexadecimal; the secret has too many bits to be guessed back."""
    team: str = Field(index=True)
    label: str
    created_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class LedgerEntry(Table, table=True):
    """One request, over: what was served and what it cost. Rows are added, never changed."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        Index(None, "settled_at"),
        Index(None, "team", "settled_at"),
    )

    id: str = Field(primary_key=True)
    request_id: str
    team: str
    key_id: str
    contract: str
    operation: str
    model: str
    provider: str
    unit: str
    """What `frames` counts: `audio_seconds` when `frames / rate` are seconds of audio."""
    frames: int = Field(sa_type=BigInteger)
    rate: int = Field(sa_type=BigInteger)
    """Frames in one second, Hz; zero when nothing was served."""
    seconds: float
    cost: int = Field(sa_type=BigInteger)
    """Billionths of a US dollar."""
    attempts: int
    outcome: str
    """`ok`, `interrupted`, or why it ended."""
    created_at: int = Field(sa_type=BigInteger)
    settled_at: int = Field(sa_type=BigInteger)
