import asyncio
import math
import os
import stat
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from junctor.conf.settings import Artefacts as ArtefactSettings
from junctor.core.artefacts import Artefacts
from junctor.core.errors import ConfigError, NotFoundError, OverloadedError
from junctor.core.storage.artefacts import ArtefactRow
from junctor.core.storage.database import Database
from junctor.core.stores import CHUNK
from tests.fakes.artefacts import contents, emptied, left, missing, until_only
from tests.fakes.clock import Clock
from tests.fakes.databases import gone
from tests.fakes.disks import full_at
from tests.fakes.postgres import room_for

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
    """Content in a folder."""
    artefacts = Artefacts(folder, database, clock=clock)
    await artefacts.open()
    yield artefacts
    await artefacts.close()


@pytest.fixture(name="put")
def _put(artefacts: Artefacts, clock: Clock) -> Callable[..., Awaitable[str]]:
    async def put(data: bytes = b"said", *, seconds: float = HOUR) -> str:
        expires_at = clock() + seconds
        return await artefacts.put(data, team="acme", name="answer", expires_at=expires_at)

    return put


Put = Callable[..., Awaitable[str]]


@pytest.fixture(name="server")
async def _server(postgres_url: str) -> AsyncIterator[Database]:
    """A Postgres that several processes share."""
    database = await emptied(postgres_url)
    yield database
    await database.close()


@pytest.fixture(name="here")
async def _here(tmp_path: Path, server: Database, clock: Clock) -> AsyncIterator[Artefacts]:
    """One process on it."""
    artefacts = Artefacts(tmp_path / "here", server, clock=clock)
    await artefacts.open()
    yield artefacts
    await artefacts.close()


@pytest.fixture(name="there")
async def _there(
    tmp_path: Path, server: Database, postgres_url: str, clock: Clock
) -> AsyncIterator[Artefacts]:
    """Another one, with connections and a folder of its own."""
    del server  # only has to be there first: it makes the tables
    database = Database(postgres_url)
    artefacts = Artefacts(tmp_path / "there", database, clock=clock)
    await artefacts.open()
    yield artefacts
    await artefacts.close()
    await database.close()


async def test_file_is_for_us_alone(put: Put, folder: Path) -> None:
    """Content lies in one file of mode 0600 in a folder of mode 0700."""
    await put()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *contents(folder))]

    assert modes == [0o700, 0o600]


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


async def test_full_disk(artefacts: Artefacts, put: Put, folder: Path) -> None:
    """A disk without room is an overload that leaves nothing behind, and passes."""
    with full_at(40_000), pytest.raises(OverloadedError, match="no room"):
        await put(b"x" * 50_000)
    left, counted = contents(folder), artefacts._held + artefacts._pending
    await put(b"x" * 50_000)

    assert (left, counted) == ([], 0)


async def test_database_away(
    artefacts: Artefacts, put: Put, folder: Path, database_file: Path
) -> None:
    """Without a row there is no file either."""
    with gone(database_file), pytest.raises(OverloadedError):
        await put()

    assert (contents(folder), artefacts._held + artefacts._pending) == ([], 0)


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

    assert (left, swept, proof.deleted_at, artefacts._held + artefacts._pending) == (
        1,
        1,
        1010.0,
        4,
    )


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


@pytest.mark.parametrize("is_near", [True, False])
async def test_file_of_another_file_system(
    artefacts: Artefacts, folder: Path, tmp_path: Path, *, is_near: bool
) -> None:
    """A file is linked where it can be and copied where not; either way it is ours alone."""
    path = tmp_path / "video" if is_near else Path(f"/dev/shm/junctor-{os.getpid()}")
    path.write_bytes(b"film")
    inode = path.stat().st_ino
    artefact = await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)
    (file,) = contents(folder)

    assert (await artefacts.get(artefact, team="acme"), path.exists()) == (b"film", False)
    assert (file.stat().st_ino == inode, stat.S_IMODE(file.stat().st_mode)) == (is_near, 0o600)


async def test_file_while_the_database_is_away(
    artefacts: Artefacts, folder: Path, tmp_path: Path, database_file: Path
) -> None:
    """A file that could not be stored is where it was, and nowhere else."""
    path = tmp_path / "video"
    path.write_bytes(b"film")
    with gone(database_file), pytest.raises(OverloadedError):
        await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)

    assert (path.read_bytes(), contents(folder)) == (b"film", [])


async def put_at(artefacts: Artefacts, data: bytes = b"said", *, seconds: float = HOUR) -> str:
    expires_at = artefacts._clock() + seconds
    return await artefacts.put(data, team="acme", name="video", expires_at=expires_at)


@pytest.mark.tools
async def test_another_server_reads_and_deletes(
    here: Artefacts, there: Artefacts, tmp_path: Path, server: Database
) -> None:
    """What one process stored another has too: to read, in parts, in public, and to delete."""
    data = os.urandom(CHUNK + 100)
    artefact = await put_at(here, data)
    content = await there.public(artefact, name="video")
    part = [piece async for piece in content.read(CHUNK - 1, 2)]
    found = await there.get(artefact, team="acme")
    await there.delete(artefact, team="acme")

    await missing(here.get(artefact, team="acme"))
    assert (found == data, b"".join(part)) == (True, data[CHUNK - 1 : CHUNK + 1])
    assert await left(tmp_path / "here", server) == 0


class Halting(Database):
    """Stops between the content and its row until it is told to go on."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.has_content, self.may_end = asyncio.Event(), asyncio.Event()

    async def write_all(self, statements: AsyncIterable[tuple[str, Mapping[str, object]]]) -> None:
        async def halting() -> AsyncIterator[tuple[str, Mapping[str, object]]]:
            async for sql, parameters in statements:
                if "INTO artefacts " in sql:
                    self.has_content.set()
                    await self.may_end.wait()
                yield sql, parameters

        await super().write_all(halting())


@pytest.mark.tools
async def test_half_written(
    there: Artefacts, tmp_path: Path, postgres_url: str, clock: Clock, server: Database
) -> None:
    """What is being stored nobody sees, and no other process takes it for an orphan."""
    halting = Halting(postgres_url)
    artefacts = Artefacts(tmp_path / "here", halting, clock=clock)
    await artefacts.open()
    storing = asyncio.create_task(put_at(artefacts, bytes(CHUNK + 1)))
    await halting.has_content.wait()
    seen = await left(tmp_path / "here", server)
    await there.close()
    await there.open()
    await there.sweep()
    halting.may_end.set()
    artefact = await storing
    await artefacts.close()
    await halting.close()

    assert (seen, len(await there.get(artefact, team="acme"))) == (0, CHUNK + 1)


DYING = """
import asyncio, os, sys
from pathlib import Path
from junctor.core.artefacts import Artefacts
from junctor.core.storage.database import Database

class Dying(Database):
    async def write_all(self, statements):
        async def dying():
            async for sql, parameters in statements:
                if "INTO artefacts " in sql:
                    os.kill(os.getpid(), 9)
                yield sql, parameters
        await super().write_all(dying())

async def main():
    artefacts = Artefacts(Path(sys.argv[1]), Dying(sys.argv[2]), clock=lambda: 1000.0)
    await artefacts.open()
    await artefacts.put(bytes(1_000_000), team="acme", name="x", expires_at=9e9)

asyncio.run(main())
"""


@pytest.mark.tools
async def test_killed_between_chunks_and_row(
    here: Artefacts, tmp_path: Path, postgres_url: str, server: Database
) -> None:
    """A process that is killed while it stores leaves nothing in the database."""
    kept = await put_at(here, b"kept")
    died = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING, tmp_path / "dying", postgres_url
    )
    code = await died.wait()
    here._counted_at = -math.inf
    await put_at(here, b"more")

    assert (code, await left(tmp_path / "here", server), here._held) == (-9, 2, 8)
    assert await here.get(kept, team="acme") == b"kept"


@pytest.mark.tools
async def test_many_sweepers(
    here: Artefacts, there: Artefacts, tmp_path: Path, server: Database, clock: Clock
) -> None:
    """Processes that sweep at once share the work: each thing is deleted and counted once."""
    await asyncio.gather(*(put_at(here, seconds=10) for _ in range(50)))
    kept = await put_at(here)
    clock.pass_by(10)
    swept = await asyncio.gather(here.sweep(), there.sweep(), here.sweep(), there.sweep())
    last = await there.sweep()

    assert (sum(swept) + last, await left(tmp_path / "here", server)) == (50, 1)
    assert await there.get(kept, team="acme") == b"said"


@pytest.mark.tools
async def test_deleted_at_once(here: Artefacts, there: Artefacts) -> None:
    """Of several that delete the same, one did and the others find nothing."""
    artefact = await put_at(here)
    deletions = [one.delete(artefact, team="acme") for one in (here, there)]
    found = await asyncio.gather(*deletions, return_exceptions=True)

    assert {type(one) for one in found} == {type(None), NotFoundError}


@pytest.mark.tools
async def test_swept_for_the_dead(
    here: Artefacts, tmp_path: Path, server: Database, postgres_url: str
) -> None:
    """What a process stored that is gone another one deletes by itself, with no call."""
    await put_at(here, seconds=10)
    await here.close()
    database = Database(postgres_url)
    later = Artefacts(tmp_path / "there", database, clock=lambda: 1010.0)
    await later.open()
    async with asyncio.timeout(10):
        while await left(tmp_path / "here", server):
            pass
    await later.close()
    await database.close()

    assert contents(tmp_path / "there") == []


@pytest.mark.tools
async def test_room_is_shared(
    here: Artefacts, tmp_path: Path, server: Database, clock: Clock
) -> None:
    """`max_bytes` counts what other processes stored, and no longer what they deleted."""
    settings = ArtefactSettings(max_bytes=1000)
    small = Artefacts(tmp_path / "there", server, settings=lambda: settings, clock=clock)
    await small.open()
    artefact = await put_at(here, bytes(900))
    small._counted_at = -math.inf
    with pytest.raises(OverloadedError, match="no room"):
        await put_at(small, bytes(200))
    await here.delete(artefact, team="acme")
    small._counted_at = -math.inf
    stored = await put_at(small, bytes(200))
    await small.close()

    assert await here.get(stored, team="acme") == bytes(200)


@pytest.mark.tools
async def test_content_from_before(here: Artefacts, there: Artefacts, clock: Clock) -> None:
    """Files of the time before the database had content are served where they are, and swept."""
    old = ArtefactRow("0" * 32, here.store, "acme", "answer", "", 3, 0, round(1010e6))
    await here._home.add(old, b"old")
    found = await here.get(old.id, team="acme")
    await missing(there.get(old.id, team="acme"))
    clock.pass_by(10)

    assert (found, await there.sweep(), await here.sweep()) == (b"old", 0, 1)


@pytest.mark.tools
async def test_full_disk_of_the_server(
    tmp_path: Path, postgres_url: str, server: Database, clock: Clock
) -> None:
    """A database without room is an overload that leaves nothing behind, and passes."""
    path = tmp_path / "video"
    path.write_bytes(os.urandom(1_000_000) * 30)
    database = Database(postgres_url)
    artefacts = Artefacts(tmp_path / "there", database, clock=clock)
    with room_for(postgres_url, 20_000_000):
        await artefacts.open()
        with pytest.raises(OverloadedError, match="no room"):
            await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)
        stored = await put_at(artefacts, b"small")
    held = artefacts._held + artefacts._pending
    await artefacts.close()
    await database.close()

    assert (held, path.stat().st_size, await left(tmp_path / "there", server)) == (5, 30_000_000, 1)
    assert stored


@pytest.mark.tools
async def test_database_server_away(here: Artefacts, server: Database) -> None:
    """While statements fail nothing is counted as stored, and reading says: not now."""
    artefact = await put_at(here)
    await server.write("ALTER TABLE artefact_chunks RENAME TO away", [{}])
    try:
        for call in (put_at(here), here.get(artefact, team="acme"), here.sweep()):
            with pytest.raises(OverloadedError):
                await call
    finally:
        await server.write("ALTER TABLE away RENAME TO artefact_chunks", [{}])

    assert (here._held + here._pending, await here.get(artefact, team="acme")) == (4, b"said")
