import asyncio
from collections.abc import Callable
from hashlib import sha256

import pytest

from junctor.conf.settings import Storage
from junctor.core.errors import OverloadedError
from junctor.core.keycache import LOOKUPS_AT_ONCE, LOOKUPS_WAITING, UNKNOWN_SIZE, KeyCache
from junctor.core.storage.database import Database
from junctor.core.storage.keys import KeyRow, KeyTable
from tests.fakes.clock import Clock


class Table(KeyTable):
    """Keys in memory, behind a gate; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(Database("sqlite:////nowhere/at/all.db"))
        self.rows: dict[str, KeyRow] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    def put(self, key: str, *, revoked_at: int | None = None) -> bytes:
        digest = sha256(key.encode())
        self.rows[key] = KeyRow(key, key, digest.hexdigest(), "team", "jn", 1, revoked_at)
        return digest.digest()

    async def find(self, prefix: str) -> KeyRow | None:
        self.asked.append(prefix)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        row = self.rows.get(prefix)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        return row


@pytest.fixture(name="table")
async def _table() -> Table:
    return Table()


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="cache")
def _cache(table: Table, clock: Clock) -> KeyCache:
    return KeyCache(table, lambda: Storage(key_cache_size=10, key_cache_ttl=60.0), clock=clock)


def stranger(number: int) -> bytes:
    return sha256(b"stranger %d" % number).digest()


async def settle(fact: Callable[[], bool]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(20):
        while not fact():  # noqa: ASYNC110 - facts of many kinds, without an event
            await asyncio.sleep(0)


async def test_one_lookup_for_all_who_wait(cache: KeyCache, table: Table) -> None:
    """However many requests come with a new key, the database is asked once."""
    digest = table.put("a")
    table.gate.clear()
    finds = [asyncio.create_task(cache.find(digest, prefix="a")) for _ in range(50)]
    await settle(lambda: bool(table.asked))
    table.gate.set()
    await asyncio.gather(*finds)

    assert table.asked == ["a"]


async def test_a_waiter_that_leaves(cache: KeyCache, table: Table) -> None:
    """A request cancelled while it waits does not take the lookup from the others."""
    digest = table.put("a")
    table.gate.clear()
    finds = [asyncio.create_task(cache.find(digest, prefix="a")) for _ in range(2)]
    await settle(lambda: bool(table.asked))
    finds[0].cancel()
    await settle(finds[0].done)
    table.gate.set()

    assert await finds[1] == table.rows["a"]


async def test_known_keys_are_bounded(cache: KeyCache, table: Table) -> None:
    """The key used longest ago makes room for a new one."""
    digests = [table.put(str(n)) for n in range(11)]
    for number, digest in enumerate(digests):
        await cache.find(digest, prefix=str(number))
        cache.get(digests[0])

    assert [cache.get(d) is None for d in digests] == [False, True] + [False] * 9


async def test_invented_keys_are_bounded(cache: KeyCache) -> None:
    """Keys that nobody has do not fill the memory, and do not push out good ones."""
    for number in range(UNKNOWN_SIZE + 50):
        await cache.find(stranger(number), prefix="x")

    assert (len(cache._unknown), len(cache._known)) == (UNKNOWN_SIZE, 0)


async def test_invented_key_again(cache: KeyCache, table: Table, clock: Clock) -> None:
    """A key that nobody has is looked up once in ten seconds."""
    for _ in range(3):
        await cache.find(stranger(1), prefix="x")
    clock.pass_by(10.0)
    await cache.find(stranger(1), prefix="x")

    assert table.asked == ["x", "x"]


async def test_flood_of_invented_keys(cache: KeyCache, table: Table) -> None:
    """A flood asks the database a few things at once, and the rest is turned away."""
    table.gate.clear()
    finds = [
        asyncio.create_task(cache.find(stranger(n), prefix="x"))
        for n in range(LOOKUPS_WAITING + 20)
    ]
    await settle(lambda: (table.at_once, sum(f.done() for f in finds)) == (LOOKUPS_AT_ONCE, 20))
    table.gate.set()
    results = await asyncio.gather(*finds, return_exceptions=True)

    assert table.most_at_once == LOOKUPS_AT_ONCE
    assert [type(r) for r in results].count(OverloadedError) == 20


async def test_known_key_in_a_flood(cache: KeyCache, table: Table, clock: Clock) -> None:
    """A flood does not keep a revoked key alive: known keys are looked up beside it."""
    digest = table.put("a")
    await cache.find(digest, prefix="a")
    table.put("a", revoked_at=5)
    clock.pass_by(61.0)
    table.gate.clear()
    flood = [
        asyncio.create_task(cache.find(stranger(n), prefix="x")) for n in range(LOOKUPS_WAITING)
    ]
    await settle(lambda: len(table.asked) > LOOKUPS_AT_ONCE)
    table.gate.set()
    row = await cache.find(digest, prefix="a")
    await asyncio.gather(*flood)

    assert row is not None
    assert row.revoked_at == 5


async def test_revoked_during_a_lookup(cache: KeyCache, table: Table) -> None:
    """A lookup that read the key before it was revoked reads it again."""
    digest = table.put("a")
    table.gate.clear()
    find = asyncio.create_task(cache.find(digest, prefix="a"))
    await settle(lambda: bool(table.asked))
    table.put("a", revoked_at=5)
    cache.forget("a")
    table.gate.set()
    row = await find

    assert row is not None
    assert row.revoked_at == 5


async def test_key_that_was_removed(cache: KeyCache, table: Table, clock: Clock) -> None:
    """A key whose row is gone is unknown after the ttl."""
    digest = table.put("a")
    await cache.find(digest, prefix="a")
    del table.rows["a"]
    clock.pass_by(60.0)

    assert await cache.find(digest, prefix="a") is None


async def test_close_ends_lookups(cache: KeyCache, table: Table) -> None:
    """Closing leaves no lookup behind."""
    digest = table.put("a")
    table.gate.clear()
    find = asyncio.create_task(cache.find(digest, prefix="a"))
    await settle(lambda: bool(table.asked))

    await cache.close()
    (ended,) = await asyncio.gather(find, return_exceptions=True)

    assert isinstance(ended, asyncio.CancelledError)
    assert not cache._lookups
