import asyncio
import math
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from junctor.conf.settings import Artefacts as ArtefactSettings
from junctor.core.artefacts import Artefacts
from junctor.core.errors import ConfigError, NotFoundError, OverloadedError
from junctor.core.storage.database import Database
from tests.fakes.clock import Clock
from tests.fakes.databases import gone
from tests.fakes.disks import full_at

HOUR = 3600.0


@pytest.fixture(name="database_file")
def _database_file(tmp_path: Path) -> Path:
    return tmp_path / "junctor.db"


@pytest.fixture(name="database")
async def _database(database_file: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{database_file}")
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "artefacts"


@pytest.fixture(name="artefacts")
async def _artefacts(folder: Path, database: Database, clock: Clock) -> AsyncIterator[Artefacts]:
    settings = ArtefactSettings(max_bytes=1_000_000)
    artefacts = Artefacts(folder, database, settings=lambda: settings, clock=clock)
    await artefacts.open()
    yield artefacts
    await artefacts.close()


@pytest.fixture(name="put")
def _put(artefacts: Artefacts, clock: Clock) -> Callable[..., Awaitable[str]]:
    async def put(data: bytes = b"said", *, team: str = "acme", seconds: float = HOUR) -> str:
        expires_at = clock() + seconds
        return await artefacts.put(data, team=team, name="answer", expires_at=expires_at)

    return put


Put = Callable[..., Awaitable[str]]


def contents(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != "store"]


def until_only(folder: Path, number: int) -> None:
    while len(contents(folder)) > number:
        time.sleep(0.01)


async def missing(wait: Awaitable[object]) -> None:
    with pytest.raises(NotFoundError, match="no such stored object"):
        await wait


async def test_content_comes_back(artefacts: Artefacts, put: Put) -> None:
    """What was stored is returned byte for byte, empty content too."""
    ids = [await put(data) for data in (b"", b"a\x00b", b"x" * 100_000)]

    assert [await artefacts.get(one, team="acme") for one in ids] == [
        b"",
        b"a\x00b",
        b"x" * 100_000,
    ]


async def test_another_team(artefacts: Artefacts, put: Put) -> None:
    """Another team's artefact is as if it were not there: to read, to delete, to prove."""
    artefact = await put(team="acme")

    for call in (artefacts.get, artefacts.delete, artefacts.proof):
        await missing(call(artefact, team="other"))


@pytest.mark.parametrize("artefact", ["", "0" * 32, "../store", "x\x00", "\ud800", "A" * 9000])
async def test_no_such_id(artefacts: Artefacts, artefact: str) -> None:
    """An id that was never given out is not found, whatever it looks like."""
    await missing(artefacts.get(artefact, team="acme"))


async def test_file_is_for_us_alone(put: Put, folder: Path) -> None:
    """Content lies in one file of mode 0600 in a folder of mode 0700."""
    await put()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *contents(folder))]

    assert modes == [0o700, 0o600]


async def test_expired_is_not_served(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """In the moment of its expiry content is refused, though no sweep has come by."""
    artefact = await put(seconds=10)
    clock.pass_by(10)

    await missing(artefacts.get(artefact, team="acme"))


async def test_sweep(artefacts: Artefacts, put: Put, clock: Clock, folder: Path) -> None:
    """A sweep deletes what has expired, and nothing else."""
    await put(seconds=10)
    kept = await put(b"kept", seconds=11)
    clock.pass_by(10)
    swept = await artefacts.sweep()

    assert (swept, len(contents(folder))) == (1, 1)
    assert await artefacts.get(kept, team="acme") == b"kept"


async def test_proof(artefacts: Artefacts, put: Put, clock: Clock, folder: Path) -> None:
    """After the deletion the row says what it was and when it went; the content is nowhere."""
    artefact = await put(b"very secret words", seconds=10)
    clock.pass_by(10.5)
    await artefacts.sweep()
    proof = await artefacts.proof(artefact, team="acme")
    files = [path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()]

    assert (proof.size, proof.created_at, proof.expires_at, proof.deleted_at) == (
        17,
        1000.0,
        1010.0,
        1010.5,
    )
    assert not [data for data in files if b"very secret words" in data]


async def test_proof_ends(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """The proof itself is dropped after its own time."""
    artefact = await put(seconds=10)
    clock.pass_by(10)
    await artefacts.sweep()
    clock.pass_by(90 * 86_400 + 1)
    await artefacts.sweep()

    await missing(artefacts.proof(artefact, team="acme"))


async def test_delete(artefacts: Artefacts, put: Put, folder: Path) -> None:
    """Content is deleted on request, once."""
    artefact = await put()
    await artefacts.delete(artefact, team="acme")
    proof = await artefacts.proof(artefact, team="acme")

    assert (contents(folder), proof.deleted_at) == ([], 1000.0)
    await missing(artefacts.delete(artefact, team="acme"))


async def test_deletion_by_itself(folder: Path, database: Database) -> None:
    """The sweeper deletes in time, woken by what expires sooner than what it waited for."""
    artefacts = Artefacts(folder, database)
    await artefacts.open()
    loop = asyncio.get_running_loop()
    now = artefacts._clock()
    await artefacts.put(b"later", team="acme", name="x", expires_at=now + HOUR)
    begin = loop.time()
    await artefacts.put(b"sooner", team="acme", name="x", expires_at=now + 0.3)
    await asyncio.to_thread(until_only, folder, 1)
    seconds = loop.time() - begin
    await artefacts.close()

    assert 0.2 < seconds < 2.0


async def test_full(artefacts: Artefacts, put: Put) -> None:
    """Beyond `max_bytes` nothing is stored until something is deleted."""
    first = await put(b"x" * 600_000)
    with pytest.raises(OverloadedError, match="no room"):
        await put(b"y" * 600_000)
    await artefacts.delete(first, team="acme")

    assert await put(b"y" * 600_000)


async def test_full_after_a_restart(
    artefacts: Artefacts, put: Put, folder: Path, database: Database
) -> None:
    """A new process counts what is there already."""
    await put(b"x" * 600_000)
    await artefacts.close()
    again = Artefacts(folder, database, settings=artefacts._settings, clock=artefacts._clock)
    await again.open()
    with pytest.raises(OverloadedError, match="no room"):
        await again.put(b"y" * 600_000, team="acme", name="x", expires_at=9e9)

    await again.close()


async def test_full_disk(artefacts: Artefacts, put: Put, folder: Path) -> None:
    """A disk without room is an overload that leaves nothing behind, and passes."""
    with full_at(40_000), pytest.raises(OverloadedError, match="no room"):
        await put(b"x" * 50_000)
    left, counted = contents(folder), artefacts._bytes
    await put(b"x" * 50_000)

    assert (left, counted) == ([], 0)


async def test_database_away(
    artefacts: Artefacts, put: Put, folder: Path, database_file: Path
) -> None:
    """Without a row there is no file either."""
    with gone(database_file), pytest.raises(OverloadedError):
        await put()

    assert (contents(folder), artefacts._bytes) == ([], 0)


async def test_deletion_while_the_database_is_away(
    artefacts: Artefacts, put: Put, clock: Clock, folder: Path, database_file: Path
) -> None:
    """Files go on time also without the database; the rows are marked when it is back."""
    artefact = await put(seconds=10)
    await put(seconds=20)
    clock.pass_by(10)
    with gone(database_file):
        with pytest.raises(OverloadedError):
            await artefacts.sweep()
        left = len(contents(folder))
    swept = await artefacts.sweep()
    proof = await artefacts.proof(artefact, team="acme")

    assert (left, swept, proof.deleted_at, artefacts._bytes) == (1, 1, 1010.0, 4)


async def test_damaged_file(artefacts: Artefacts, put: Put, folder: Path) -> None:
    """Content that is not what was stored is not served."""
    artefact = await put(b"said")
    contents(folder)[0].write_bytes(b"sain")

    await missing(artefacts.get(artefact, team="acme"))


KILLED = """
import asyncio, os, sys
from pathlib import Path
from junctor.core.artefacts import Artefacts
from junctor.core.storage.database import Database

class Dying(Database):
    async def write(self, sql, rows):
        os.kill(os.getpid(), 9)

async def main():
    artefacts = Artefacts(
        Path(sys.argv[1]), Dying("sqlite:///" + sys.argv[2]), clock=lambda: 1000.0
    )
    await artefacts.open()
    await artefacts.put(b"orphan", team="acme", name="x", expires_at=9e9)

asyncio.run(main())
"""


async def test_killed_between_file_and_row(
    artefacts: Artefacts, put: Put, folder: Path, database: Database, database_file: Path
) -> None:
    """What a killed process left without a row is removed at the next start, the rest is kept."""
    kept = await put(b"kept")
    await artefacts.close()
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, folder, database_file)
    await died.wait()
    left = len(contents(folder))
    (folder / f"{'0' * 16}-{'0' * 32}.part").write_bytes(b"half")
    again = Artefacts(folder, database, clock=artefacts._clock)
    await again.open()
    found = await again.get(kept, team="acme")
    await again.close()

    assert (died.returncode, left, len(contents(folder)), found) == (-9, 2, 1, b"kept")


async def test_servers_that_share_a_database(
    artefacts: Artefacts, put: Put, tmp_path: Path, database: Database, clock: Clock
) -> None:
    """Another server's folder is neither swept nor taken for empty."""
    artefact = await put(seconds=10)
    other = Artefacts(tmp_path / "other", database, clock=clock)
    await other.open()
    await missing(other.get(artefact, team="acme"))
    clock.pass_by(10)
    swept = [await other.sweep(), await artefacts.sweep()]
    await other.close()

    assert swept == [0, 1]


async def test_caller_leaves(artefacts: Artefacts, folder: Path) -> None:
    """A caller that leaves while it is stored leaves no file without a row."""
    put = asyncio.create_task(
        artefacts.put(b"x", team="acme", name="x", expires_at=artefacts._clock() + 10)
    )
    await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    await artefacts.close()
    total, expiry = await artefacts._table.held(artefacts.store)

    assert (put.cancelled(), len(contents(folder)), total, expiry) == (True, 1, 1, 1_010_000_000)


async def test_folder_that_cannot_be(tmp_path: Path, database: Database) -> None:
    """A path that cannot be a folder is a wrong setting."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"^storage\.data_dir: .*cannot be used"):
        await Artefacts(tmp_path / "file", database).open()


async def test_file_that_cannot_be_deleted(
    artefacts: Artefacts, put: Put, clock: Clock, folder: Path
) -> None:
    """A deletion that did not happen is not proven, and is tried again."""
    artefact = await put(seconds=10)
    path = contents(folder)[0]
    path.unlink()
    path.mkdir()
    clock.pass_by(10)
    with pytest.raises(OverloadedError, match="cannot be deleted"):
        await artefacts.sweep()
    before = (await artefacts.proof(artefact, team="acme")).deleted_at
    path.rmdir()

    assert (before, await artefacts.sweep()) == (None, 1)


@pytest.mark.parametrize("expires_at", [-1e30, -1.0, 0.0, 999.0, math.inf, 1e30])
async def test_any_expiry(artefacts: Artefacts, folder: Path, expires_at: float) -> None:
    """Every time is one: what is past is never served and soon gone, what is far is kept."""
    artefact = await artefacts.put(b"x", team="acme", name="x", expires_at=expires_at)
    await artefacts.sweep()

    if expires_at < 1000:
        assert contents(folder) == []
        await missing(artefacts.get(artefact, team="acme"))
    else:
        assert await artefacts.get(artefact, team="acme") == b"x"


async def test_expired_while_nobody_ran(
    artefacts: Artefacts, put: Put, folder: Path, database: Database, clock: Clock
) -> None:
    """What expired while no server ran is deleted by the next one, at once and by itself."""
    artefact = await put(seconds=10)
    await artefacts.close()
    clock.pass_by(3600)
    again = Artefacts(folder, database, clock=clock)
    await again.open()
    await asyncio.to_thread(until_only, folder, 0)
    await again.close()

    assert (await again.proof(artefact, team="acme")).expires_at == 1010.0


async def test_unreadable_file(artefacts: Artefacts, put: Put, folder: Path) -> None:
    """A file that is there and cannot be read is a trouble of ours, not a wrong id."""
    artefact = await put()
    path = contents(folder)[0]
    path.unlink()
    path.mkdir()
    with pytest.raises(OverloadedError, match="cannot be read"):
        await artefacts.get(artefact, team="acme")
    with pytest.raises(OverloadedError, match="cannot be deleted"):
        await artefacts.delete(artefact, team="acme")

    path.rmdir()


async def test_sweeper_goes_on_after_a_failure(
    folder: Path, database: Database, database_file: Path
) -> None:
    """While the database is away the sweeper deletes files in time, and marks rows afterwards."""
    artefacts = Artefacts(folder, database)
    await artefacts.open()
    now = artefacts._clock()
    artefact = await artefacts.put(b"x", team="acme", name="x", expires_at=now + 0.3)
    with gone(database_file):
        await asyncio.to_thread(until_only, folder, 0)
    async with asyncio.timeout(10):
        while (await artefacts.proof(artefact, team="acme")).deleted_at is None:
            pass
    await artefacts.close()

    assert contents(folder) == []
