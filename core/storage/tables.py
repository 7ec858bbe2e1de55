"""
The tables, as the house declares them; migrations and tests read this module.

The server itself does not: sqlmodel and what it brings cost 0.4 s of CPU at import, while the
server asks a handful of statements (`junctor.core.storage.keys`, `.entries`). A test compares
these tables with the migrations, and the statements run against them in every other test.

Times are whole microseconds since 1970 (UTC) and money is whole billionths of a US dollar: both
are exact in every database, and SQLite would lose a time zone.
"""

from sqlalchemy import BigInteger, Index, MetaData, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
ZERO = {"server_default": text("0")}
"""What rows have that are older than a column."""


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
    """`audio_seconds` or `video_seconds`, which `frames / rate` are; `tokens` where only they count."""
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
    prompt_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs=ZERO)
    completion_tokens: int = Field(sa_type=BigInteger, sa_column_kwargs=ZERO)


class Artefact(Table, table=True):
    """One stored blob. Its row outlives its content, as the proof that it was deleted."""

    __tablename__ = "artefacts"
    __table_args__ = (Index(None, "store", "deleted_at", "expires_at"),)

    id: str = Field(primary_key=True)
    """128 random bits; part of the name of its file, if it is one."""
    store: str
    """What has the content: the folder of one of several servers, or `database`."""
    team: str
    name: str
    """What it is, in words of ours; nothing of a caller."""
    sha256: str
    size: int = Field(sa_type=BigInteger)
    """Bytes."""
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger)
    deleted_at: int | None = Field(default=None, sa_type=BigInteger)


class ArtefactChunk(Table, table=True):
    """A piece of a blob, where several processes on several hosts share the content."""

    __tablename__ = "artefact_chunks"

    artefact: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    """From 0."""
    data: bytes


class IdempotencyKey(Table, table=True):
    """One key of a caller's: held while its work runs, then the name of an answer."""

    __tablename__ = "idempotency_keys"

    id: str = Field(primary_key=True)
    """SHA-256 of team and key, hexadecimal; the key itself may tell of a person."""
    team: str
    digest: str
    """SHA-256 of the request that came with it, hexadecimal."""
    holder: str
    """Who is at work, or was: one random name per piece of work."""
    artefact_id: str | None = None
    """The answer; none while the work runs."""
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int = Field(sa_type=BigInteger, index=True)
    """When the key is free again."""


class AuditRecord(Table, table=True):
    """One transcription: hashes and numbers, nothing that was said."""

    __tablename__ = "audit_records"
    __table_args__ = (Index(None, "team", "created_at"),)

    id: str = Field(primary_key=True)
    request_id: str
    team: str
    key_id: str
    audio_sha256: str
    text_hmac: str
    """HMAC-SHA-256 under a secret of the deployment: a short text cannot be guessed back."""
    frames: int = Field(sa_type=BigInteger)
    rate: int = Field(sa_type=BigInteger)
    """Frames in one second, Hz."""
    provider: str
    model: str
    language: str
    outcome: str
    is_redacted: bool
    created_at: int = Field(sa_type=BigInteger)


class JobRecord(Table, table=True):
    """One durable job, and how far the delivery of its callback has come."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "callback_state", "callback_due"),
        Index(None, "state", "finished_at"),
        Index(None, "state", "queue", "priority", "id"),
        Index(None, "team", "id"),
        Index(None, "team", "state"),
    )

    id: str = Field(primary_key=True)
    """Sorts by time of creation."""
    team: str
    kind: str
    queue: str
    priority: int
    payload: str
    """JSON; audio and text are artefacts, named here by their ids."""
    digest: str
    """SHA-256 of kind and payload, hexadecimal."""
    idempotency_id: str | None = Field(default=None, unique=True)
    """SHA-256 of team and key, hexadecimal; the key itself may tell of a person."""
    state: str
    progress: float
    result: str | None = None
    """JSON, small, as `payload`."""
    error: str | None = None
    attempts: int
    created_at: int = Field(sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
    callback_url: str
    callback_host: str
    callback_state: str
    """Empty without a callback; `waiting`, `pending`, `delivered` or `failed`."""
    callback_tries: int
    callback_due: int | None = Field(default=None, sa_type=BigInteger)
    """When to try, or when a try under way counts as lost."""
    detail: str | None = None
    """How far it is, in its kind's own words: a small JSON object."""
    sealed: int = Field(sa_column_kwargs=ZERO)
    """1 from the moment on in which its work is paid for: it can be cancelled no more."""
    seconds: float = Field(sa_column_kwargs=ZERO)
    """Of media that it will be charged for, held against the team's day while it is unfinished."""


class DeliveryRecord(Table, table=True):
    """One try to deliver a callback."""

    __tablename__ = "deliveries"

    job_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    at: int = Field(sa_type=BigInteger)
    status: int | None = None
    error: str
    """One word for what went wrong, empty for an answer."""
    seconds: float
