import asyncio
import hashlib
import itertools
import math
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from junctor.conf.settings import Artefacts as ArtefactSettings
from junctor.core.artefacts import Artefacts
from junctor.core.errors import OverloadedError
from junctor.core.storage.database import Database
from junctor.core.stores import CHUNK
from tests.fakes.artefacts import emptied, left, missing
from tests.fakes.clock import Clock

HOUR = 3600.0
LONG = bytes(range(256)) * (CHUNK // 512 * 5)
"""Two and a half chunks."""


@pytest.fixture(
    name="database", params=["sqlite", pytest.param("postgres", marks=pytest.mark.tools)]
)
async def _database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """Both kinds: content in files, and content in the database."""
    if request.param == "postgres":
        database = await emptied(request.getfixturevalue("postgres_url"))
    else:
        database = Database(f"sqlite:///{tmp_path / 'junctor.db'}")
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
    settings = ArtefactSettings(max_bytes=2_000_000)
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


async def test_expired_is_not_served(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """In the moment of its expiry content is refused, though no sweep has come by."""
    artefact = await put(seconds=10)
    clock.pass_by(10)

    await missing(artefacts.get(artefact, team="acme"))


async def test_sweep(
    artefacts: Artefacts, put: Put, clock: Clock, folder: Path, database: Database
) -> None:
    """A sweep deletes what has expired, and nothing else."""
    await put(seconds=10)
    kept = await put(b"kept", seconds=11)
    clock.pass_by(10)
    swept = await artefacts.sweep()

    assert (swept, await left(folder, database)) == (1, 1)
    assert await artefacts.get(kept, team="acme") == b"kept"


async def test_proof(
    artefacts: Artefacts, put: Put, clock: Clock, folder: Path, database: Database
) -> None:
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
    assert await left(folder, database) == 0


async def test_proof_ends(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """The proof itself is dropped after its own time."""
    artefact = await put(seconds=10)
    clock.pass_by(10)
    await artefacts.sweep()
    clock.pass_by(90 * 86_400 + 1)
    await artefacts.sweep()

    await missing(artefacts.proof(artefact, team="acme"))


async def test_delete(artefacts: Artefacts, put: Put, folder: Path, database: Database) -> None:
    """Content is deleted on request, once."""
    artefact = await put()
    await artefacts.delete(artefact, team="acme")
    proof = await artefacts.proof(artefact, team="acme")

    assert (await left(folder, database), proof.deleted_at) == (0, 1000.0)
    await missing(artefacts.delete(artefact, team="acme"))


async def test_full(artefacts: Artefacts, put: Put) -> None:
    """Beyond `max_bytes` nothing is stored until something is deleted."""
    first = await put(b"x" * 1_200_000)
    with pytest.raises(OverloadedError, match="no room"):
        await put(b"y" * 1_200_000)
    await artefacts.delete(first, team="acme")

    assert await put(b"y" * 1_200_000)


async def test_full_after_a_restart(
    artefacts: Artefacts, put: Put, folder: Path, database: Database
) -> None:
    """A new process counts what is there already."""
    await put(b"x" * 1_200_000)
    await artefacts.close()
    again = Artefacts(folder, database, settings=artefacts._settings, clock=artefacts._clock)
    await again.open()
    with pytest.raises(OverloadedError, match="no room"):
        await again.put(b"y" * 1_200_000, team="acme", name="x", expires_at=9e9)

    await again.close()


async def test_caller_leaves(artefacts: Artefacts, folder: Path, database: Database) -> None:
    """Of what a caller left that never learnt its id, nothing is kept."""
    put = asyncio.create_task(
        artefacts.put(b"x", team="acme", name="x", expires_at=artefacts._clock() + 10)
    )
    await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    await artefacts.close()
    total, expiry = await artefacts._table.held(artefacts._current.name)
    found = await left(folder, database)

    assert (put.cancelled(), found, total, expiry) == (True, 0, 0, None)


@pytest.mark.parametrize("expires_at", [-1e30, -1.0, 0.0, 999.0, math.inf, 1e30])
async def test_any_expiry(
    artefacts: Artefacts, folder: Path, database: Database, expires_at: float
) -> None:
    """Every time is one: what is past is never served and soon gone, what is far is kept."""
    artefact = await artefacts.put(b"x", team="acme", name="x", expires_at=expires_at)
    await artefacts.sweep()

    if expires_at < 1000:
        assert await left(folder, database) == 0
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
    async with asyncio.timeout(10):
        while await left(folder, database):
            pass
    await again.close()

    assert (await again.proof(artefact, team="acme")).expires_at == 1010.0


async def test_parts(artefacts: Artefacts, put: Put) -> None:
    """A part is what it would be of the whole, in pieces of bounded size."""
    content = await artefacts.find(await put(LONG), team="acme", name="answer")
    starts = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(LONG) - 1, len(LONG))
    sizes = (0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, len(LONG))
    wrong = []
    for start, size in itertools.product(starts, sizes):
        pieces = [piece async for piece in content.read(start, size)]
        is_bounded = all(0 < len(piece) <= CHUNK for piece in pieces)
        if b"".join(pieces) != LONG[start : start + size] or not is_bounded:
            wrong.append((start, size))

    assert wrong == []


async def test_what_content_tells(artefacts: Artefacts, put: Put) -> None:
    """Content says what it is before a byte of it is read; past its end there is nothing."""
    artefact = await put(b"said", seconds=10)
    content = await artefacts.public(artefact, name="answer")
    beyond = [piece async for piece in content.read(4, 10)]

    assert (content.id, content.size, content.name) == (artefact, 4, "answer")
    assert (content.created_at, content.expires_at, beyond) == (1000.0, 1010.0, [])
    assert content.sha256 == hashlib.sha256(b"said").hexdigest()


async def test_who_may_read(artefacts: Artefacts, put: Put) -> None:
    """Another name or team is as if nothing were there; in public the name alone counts."""
    artefact = await put(team="acme")

    await missing(artefacts.public(artefact, name="video"))
    await missing(artefacts.find(artefact, team="acme", name="video"))
    await missing(artefacts.find(artefact, team="other", name="answer"))
    assert (await artefacts.public(artefact, name="answer")).size == 4


async def test_expires_while_read(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """Who reads sees an error when the content's time is over, though no sweep has come by."""
    content = await artefacts.public(await put(LONG, seconds=10), name="answer")
    pieces = content.read()
    await anext(pieces)
    clock.pass_by(10)

    await missing(anext(pieces))


async def test_deleted_while_read(artefacts: Artefacts, put: Put) -> None:
    """Who reads sees an error when the content is deleted."""
    artefact = await put(LONG)
    pieces = (await artefacts.public(artefact, name="answer")).read()
    await anext(pieces)
    await artefacts.delete(artefact, team="acme")

    await missing(anext(pieces))


async def test_kept(artefacts: Artefacts, put: Put, clock: Clock) -> None:
    """Of many ids those are told that the team can still have."""
    here, over, others = await put(), await put(seconds=10), await put(team="other")
    deleted = await put()
    await artefacts.delete(deleted, team="acme")
    clock.pass_by(10)
    asked = [here, over, others, deleted, "", "\ud800", "0" * 32]

    assert await artefacts.kept(asked, team="acme") == {here}
    assert await artefacts.kept([], team="acme") == set()


async def test_file_taken_over(artefacts: Artefacts, tmp_path: Path) -> None:
    """A file's content is stored and the file is gone."""
    path = tmp_path / "video.mp4"
    path.write_bytes(LONG)
    artefact = await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)
    proof = await artefacts.proof(artefact, team="acme")

    assert (path.exists(), await artefacts.get(artefact, team="acme")) == (False, LONG)
    assert (proof.size, proof.sha256) == (len(LONG), hashlib.sha256(LONG).hexdigest())


async def test_file_without_room(
    artefacts: Artefacts, tmp_path: Path, folder: Path, database: Database
) -> None:
    """A file that cannot be stored stays where it is."""
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(2_000_001))
    with pytest.raises(OverloadedError, match="no room"):
        await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)

    assert (path.stat().st_size, await left(folder, database)) == (2_000_001, 0)


@pytest.mark.parametrize("is_link", [True, False])
async def test_no_file(
    artefacts: Artefacts, tmp_path: Path, folder: Path, database: Database, *, is_link: bool
) -> None:
    """What is no file of its own, a link or nothing, is not stored."""
    if is_link:
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "link").symlink_to("secret")
    with pytest.raises(OverloadedError):
        await artefacts.put_file(tmp_path / "link", team="acme", name="video", expires_at=9e9)

    assert (await left(folder, database), artefacts._pending) == (0, 0)


@pytest.mark.slow
async def test_memory(folder: Path, database: Database, tmp_path: Path) -> None:
    """A file of 100 MB goes in and comes out with a few megabytes of memory."""
    digest = hashlib.sha256()
    path = tmp_path / "video.mp4"
    path.touch()
    os.truncate(path, 100_000_000)
    artefacts = Artefacts(folder, database)
    await artefacts.open()
    tracemalloc.start()
    artefact = await artefacts.put_file(path, team="acme", name="video", expires_at=9e9)
    content = await artefacts.public(artefact, name="video")
    async for piece in content.read():
        digest.update(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await artefacts.close()

    assert (content.size, digest.hexdigest()) == (100_000_000, content.sha256)
    assert peak < 10_000_000
