"""The same statements over a real Postgres."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy.exc import IntegrityError

from junctor.conf.settings import Settings
from junctor.core.accounts import Accounts
from junctor.core.artefacts import Artefacts
from junctor.core.audit import Audit, Transcription
from junctor.core.errors import ConfigError, InvalidRequestError, OverloadedError
from junctor.core.idempotency import Call, Idempotency
from junctor.core.ledger import Ledger
from junctor.core.storage.database import Database
from junctor.core.storage.schema import HEAD
from tests.fakes.clock import Clock
from tests.fakes.postgres import postgres, program

pytestmark = pytest.mark.tools

DONE = Transcription(
    request_id="r\x00",
    team="acme",
    key_id="k",
    audio_sha256="a",
    text="said\x00",
    frames=16_000,
    rate=16_000,
    provider="p",
    model="m",
    language="th",
    outcome="ok",
    is_redacted=True,
)


@pytest.fixture(name="url", scope="module")
def _url() -> Iterator[str]:
    if program("initdb") is None and not os.environ.get("CI"):
        pytest.skip("Postgres is not installed (in CI this would be a failure)")
    with postgres() as url:
        yield url


@pytest.fixture(name="database")
async def _database(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.upgrade()
    yield database
    await database.close()


async def test_upgrade_at_once(url: str) -> None:
    """Several processes may upgrade one fresh database at the same time."""
    database = Database(url)
    await database.write("DROP SCHEMA public CASCADE", [{}])
    await database.write("CREATE SCHEMA public", [{}])
    code = "import sys; from junctor.core.storage.upgrade import run_alembic as r; r(sys.argv[1])"
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, url) for _ in range(2)
    ]
    ends = [await child.wait() for child in children]
    found = await database.fetch("SELECT version_num FROM alembic_version")
    await database.close()

    assert (ends, found) == ([0, 0], [(HEAD,)])


async def test_keys(database: Database) -> None:
    """A key is made, checked, revoked and restored."""
    accounts = Accounts(database, Settings)
    key = await accounts.create_key("acme")
    await accounts.revoke(key.split("_")[1])
    await accounts.restore(key.split("_")[1])
    principal = await accounts.authenticate(key)

    teams = [listed.team for listed in await accounts.list_keys()]

    assert (principal.team, teams.count("acme")) == ("acme", 1)


async def test_ledger(database: Database, tmp_path: Path) -> None:
    """Entries are folded once, and today's sums come back after a restart."""
    accounts = Accounts(database, Settings)
    principal = await accounts.authenticate(await accounts.create_key("many"))
    found = []
    for _ in range(2):
        ledger = Ledger(tmp_path / "journal", database, settings=Settings)
        await ledger.open()
        for _ in range(3):
            with ledger.reserve(
                request_id="r\x00", principal=principal, contract="openai", operation="transcribe"
            ) as reservation:
                reservation.settle(frames=16_000, rate=16_000, cost=0.5, prompt_tokens=2**31)
        totals = ledger.totals("many")
        found.append((totals.requests, totals.seconds, totals.cost, totals.tokens))
        await ledger.close()

    assert found == [(3, 3.0, 1.5, 3 * 2**31), (6, 6.0, 3.0, 6 * 2**31)]


async def test_stores(database: Database, tmp_path: Path) -> None:
    """Artefacts, remembered answers and the audit work as they do on SQLite."""
    clock = Clock()
    artefacts = Artefacts(tmp_path / "artefacts", database, clock=clock)
    await artefacts.open()
    keys = Idempotency(database, artefacts, clock=clock)
    await keys.open()
    call = Call(team="acme", key="k", digest=b"d", expires_at=clock() + 10)

    async def work() -> bytes:
        return b"answer"

    found = [await keys.answer(call, work) for _ in range(2)]
    with pytest.raises(InvalidRequestError):
        await keys.answer(evolve(call, digest=b"other"), work)
    clock.pass_by(10)
    swept = await artefacts.sweep()
    again = await keys.answer(evolve(call, digest=b"other", expires_at=9e9), work)
    await keys.close()
    await artefacts.close()

    assert (found, swept, again) == (
        [(b"answer", False), (b"answer", True)],
        1,
        (b"answer", False),
    )


async def test_all_or_none(database: Database) -> None:
    """Statements of several kinds are one transaction: what fails half-way was never begun."""
    sql = "INSERT INTO artefact_chunks (artefact, number, data) VALUES (:id, 0, :data)"

    async def statements(*ids: str) -> AsyncIterator[tuple[str, dict[str, object]]]:
        for one in ids:
            yield sql, {"id": one, "data": one.encode()}
        yield "UPDATE artefact_chunks SET number = 1", {}

    await database.write("DELETE FROM artefact_chunks", [{}])
    await database.write_all(statements("a", "b"))
    with pytest.raises(IntegrityError):
        await database.write_all(statements("c", "c"))
    found = await database.fetch("SELECT artefact, number, data FROM artefact_chunks ORDER BY 1")

    assert (found, database.is_shared) == ([("a", 1, b"a"), ("b", 1, b"b")], True)


async def test_audit(database: Database, tmp_path: Path) -> None:
    """Audit rows are written and read back."""
    audit = Audit(tmp_path, database)
    await audit.open()
    for _ in range(3):
        audit.add(DONE)
    found = await audit.rows("acme", since=0)
    await audit.close()

    assert [row.is_redacted for row in found] == [True] * 3


async def test_no_server(tmp_path: Path) -> None:
    """A server that is not there is an overload, and the password is not in the message."""
    database = Database(f"postgresql+asyncpg://me:hunter2@/name?host={tmp_path}")
    with pytest.raises(OverloadedError) as caught:
        await database.fetch("SELECT 1")
    await database.close()

    assert "hunter2" not in repr((caught.value, caught.value.__cause__, database))


def test_url_that_cannot_be_read() -> None:
    """A broken URL is a wrong setting, and its password is not in the message."""
    with pytest.raises(ConfigError) as caught:
        Database("postgresql+asyncpg://me:hunter2@host:port/name")

    assert "hunter2" not in str(caught.value)
