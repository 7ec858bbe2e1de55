import asyncio
import hashlib
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve
from structlog.testing import capture_logs

from junctor.core.audit import LONGEST_QUEUE, Audit, Transcription, audio_digest
from junctor.core.errors import ConfigError, OverloadedError
from junctor.core.storage.database import Database
from tests.fakes.clock import Clock
from tests.fakes.databases import gone

SAID = "my number is 98765"
DONE = Transcription(
    request_id="req-1",
    team="acme",
    key_id="k",
    audio_sha256=hashlib.sha256(b"audio").hexdigest(),
    text=SAID,
    frames=16_000,
    rate=16_000,
    provider="whisper",
    model="tiny",
    language="en",
    outcome="ok",
    is_redacted=True,
)


def contents(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.rglob("*") if file.is_file()]


def until_empty(audit: Audit) -> None:
    while audit._queue:
        time.sleep(0.01)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "junctor.db"


@pytest.fixture(name="database")
async def _database(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{path}")
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="audit")
async def _audit(tmp_path: Path, database: Database, clock: Clock) -> AsyncIterator[Audit]:
    audit = Audit(tmp_path, database, clock=clock)
    await audit.open()
    yield audit
    await audit.close()


async def test_row(audit: Audit) -> None:
    """A row says who, what, how long, by whom and with what end."""
    audit.add(DONE)
    row = (await audit.rows("acme", since=0))[0]

    assert (row.request_id, row.key_id, row.frames, row.provider, row.model) == (
        "req-1",
        "k",
        16_000,
        "whisper",
        "tiny",
    )
    assert (row.language, row.outcome, row.is_redacted, row.created_at) == (
        "en",
        "ok",
        True,
        1_000_000_000,
    )


async def test_hashes(audit: Audit) -> None:
    """With audio and text in hand one finds their row; the plain hash of the text is not in it."""
    audit.add(DONE)
    row = (await audit.rows("acme", since=0))[0]

    assert row.audio_sha256 == await audio_digest(b"audio")
    assert row.text_hmac == audit.text_digest(SAID) != audit.text_digest(SAID + ".")
    assert row.text_hmac != hashlib.sha256(SAID.encode()).hexdigest()


async def test_text_is_nowhere(audit: Audit, tmp_path: Path) -> None:
    """What was said is in no file, no log and no memory of the audit."""
    with capture_logs() as logs:
        audit.add(DONE)
        kept = repr((vars(audit), list(audit._queue)))
        await audit.flush()
    told = contents(tmp_path)

    assert SAID not in repr(logs) + kept
    assert not [data for data in told if SAID.encode() in data]


async def test_secret(audit: Audit, tmp_path: Path, database: Database) -> None:
    """The secret is made once, for our user alone, and a restart hashes as before."""
    again = Audit(tmp_path, database)
    await again.open()
    await again.close()
    mode = stat.S_IMODE((tmp_path / "audit.secret").stat().st_mode)

    assert (mode, again.text_digest(SAID)) == (0o600, audit.text_digest(SAID))


async def test_deployments_differ(audit: Audit, tmp_path: Path, database: Database) -> None:
    """Another deployment hashes the same text otherwise."""
    (tmp_path / "other").mkdir()
    other = Audit(tmp_path / "other", database)
    await other.open()
    await other.close()

    assert other.text_digest(SAID) != audit.text_digest(SAID)


async def test_damaged_secret(tmp_path: Path, database: Database) -> None:
    """A secret that was cut short stops the start instead of weakening the hashes."""
    (tmp_path / "audit.secret").write_bytes(b"short")

    with pytest.raises(ConfigError, match=r"audit\.secret' is damaged: it has 5 bytes"):
        await Audit(tmp_path, database).open()


async def test_teams_and_times(audit: Audit, clock: Clock) -> None:
    """Rows are a team's own, from a time on, oldest first."""
    for number, team in enumerate(["acme", "other", "acme", "acme"]):
        audit.add(evolve(DONE, team=team, request_id=str(number)))
        clock.pass_by(1)
    found = await audit.rows("acme", since=1002)

    assert [row.request_id for row in found] == ["2", "3"]


async def test_written_by_itself(audit: Audit, database: Database) -> None:
    """Rows reach the database without anybody asking."""
    audit.add(DONE)
    await asyncio.to_thread(until_empty, audit)

    assert await database.fetch("SELECT COUNT(*) FROM audit_records") == [(1,)]


async def test_written_at_close(audit: Audit, database: Database) -> None:
    """A shutdown writes what is left."""
    for _ in range(1200):
        audit.add(DONE)
    await audit.close()
    await audit.close()

    assert await database.fetch("SELECT COUNT(*) FROM audit_records") == [(1200,)]


async def test_database_away(audit: Audit, path: Path) -> None:
    """While the database is away rows wait, in bounded memory, and what is dropped is told."""
    with gone(path):
        for _ in range(LONGEST_QUEUE + 7):
            audit.add(DONE)
        with pytest.raises(OverloadedError):
            await audit.flush()
    with capture_logs() as logs:
        found = await audit.rows("acme", since=0, limit=LONGEST_QUEUE + 7)

    assert len(found) == LONGEST_QUEUE
    assert {"event": "audit.dropped", "rows": 7, "log_level": "error"} in logs


async def test_strange_text(audit: Audit) -> None:
    """No text or name breaks a row: surrogates, control characters, great lengths."""
    audit.add(evolve(DONE, text="\ud800\x00", model="m\x00" * 500, language="\ud800"))
    row = (await audit.rows("acme", since=0))[0]

    assert (len(row.model), row.language) == (200, "?")


async def test_long_audio_is_hashed_elsewhere() -> None:
    """A long upload is hashed in a thread, with the same result."""
    data = b"x" * 1_000_000

    assert await audio_digest(data) == hashlib.sha256(data).hexdigest()


async def test_close_without_the_database(audit: Audit, path: Path) -> None:
    """A shutdown does not wait for a database that is away, and says what was lost."""
    audit.add(DONE)
    with gone(path), capture_logs() as logs:
        await audit.close()

    assert [(line["event"], line["rows"]) for line in logs] == [("audit.lost_at_shutdown", 1)]
