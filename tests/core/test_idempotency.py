import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st

from junctor.core.artefacts import Artefacts
from junctor.core.errors import InvalidRequestError, OverloadedError, ProviderTimeoutError
from junctor.core.idempotency import Call, Idempotency, request_digest
from junctor.core.storage.database import Database
from tests.fakes.artefacts import emptied
from tests.fakes.clock import Clock
from tests.fakes.databases import gone
from tests.fakes.disks import full_at

CALL = Call(team="acme", key="order 66", digest=request_digest([b"audio"]), expires_at=2000.0)
OTHER = evolve(CALL, digest=request_digest([b"other audio"]))


@define(eq=False)
class Work:
    """Work that ends when it is told to, and counts how often it was begun and cancelled."""

    answer: bytes = b"answer"
    error: Exception | None = None
    begun: int = 0
    cancelled: int = 0
    is_running: asyncio.Event = field(factory=asyncio.Event)
    may_end: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self) -> bytes:
        self.begun += 1
        self.is_running.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return self.answer


def ready(answer: bytes = b"answer", *, error: Exception | None = None) -> Work:
    work = Work(answer, error)
    work.may_end.set()
    return work


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "junctor.db"


@pytest.fixture(name="database")
async def _database(path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{path}")
    await database.upgrade()
    yield database
    await database.close()


@pytest.fixture(name="artefacts")
async def _artefacts(tmp_path: Path, database: Database, clock: Clock) -> AsyncIterator[Artefacts]:
    artefacts = Artefacts(tmp_path / "artefacts", database, clock=clock)
    await artefacts.open()
    yield artefacts
    await artefacts.close()


@pytest.fixture(name="keys")
async def _keys(
    database: Database, artefacts: Artefacts, clock: Clock
) -> AsyncIterator[Idempotency]:
    keys = Idempotency(database, artefacts, clock=clock)
    await keys.open()
    yield keys
    await keys.close()


@pytest.fixture(name="elsewhere")
async def _elsewhere(
    tmp_path: Path, database: Database, clock: Clock
) -> AsyncIterator[Idempotency]:
    """Another server on the same database."""
    artefacts = Artefacts(tmp_path / "elsewhere", database, clock=clock)
    await artefacts.open()
    keys = Idempotency(database, artefacts, clock=clock)
    yield keys
    await keys.close()
    await artefacts.close()


async def test_same_key_and_request(keys: Idempotency) -> None:
    """The second call gets the first one's answer, and its own work is not begun."""
    second = ready(b"never")
    found = [await keys.answer(CALL, ready()), await keys.answer(CALL, second)]

    assert (found, second.begun) == ([(b"answer", False), (b"answer", True)], 0)


async def test_while_the_first_runs(keys: Idempotency) -> None:
    """Those who come while the work runs wait for it: it is done once."""
    work, others = Work(), [ready(b"never") for _ in range(20)]
    first = asyncio.create_task(keys.answer(CALL, work))
    await work.is_running.wait()
    waiting = [asyncio.create_task(keys.answer(CALL, other)) for other in others]
    await asyncio.sleep(0)
    work.may_end.set()
    found = await asyncio.gather(first, *waiting)

    assert found == [(b"answer", False), *[(b"answer", True)] * 20]
    assert sum(other.begun for other in others) == 0


@pytest.mark.parametrize("is_over", [True, False])
async def test_another_request(keys: Idempotency, *, is_over: bool) -> None:
    """A key that came with another request is refused with a sentence that says so."""
    work = ready() if is_over else Work()
    first = asyncio.create_task(keys.answer(CALL, work))
    await (asyncio.wait([first]) if is_over else work.is_running.wait())
    with pytest.raises(InvalidRequestError, match="used for another request") as caught:
        await keys.answer(OTHER, ready())
    work.may_end.set()

    assert (caught.value.param, await first) == ("idempotency_key", (b"answer", False))


async def test_teams_have_their_own_keys(keys: Idempotency) -> None:
    """The same key of another team is another key."""
    await keys.answer(CALL, ready())

    assert await keys.answer(evolve(OTHER, team="other"), ready(b"b")) == (b"b", False)


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "a\x00", "\ud800"])
async def test_bad_key(keys: Idempotency, key: str) -> None:
    """What cannot be a key is refused, naming the field."""
    with pytest.raises(InvalidRequestError, match="1 to 200 printable") as caught:
        await keys.answer(evolve(CALL, key=key), ready())

    assert caught.value.param == "idempotency_key"


async def test_longest_key(keys: Idempotency) -> None:
    """A key of 200 characters of any script is one."""
    assert await keys.answer(evolve(CALL, key="ก" * 200), ready()) == (b"answer", False)


async def test_errors_are_not_remembered(keys: Idempotency) -> None:
    """After an error the key is free: the next call does its own work, another request's too."""
    with pytest.raises(ProviderTimeoutError):
        await keys.answer(CALL, ready(error=ProviderTimeoutError("late", provider="p")))

    assert await keys.answer(OTHER, ready(b"again")) == (b"again", False)


async def test_waiters_run_anew_after_an_error(keys: Idempotency) -> None:
    """When the first fails, the next one in line does the work for those behind it."""
    failing = Work(error=ProviderTimeoutError("late", provider="p"))
    first = asyncio.create_task(keys.answer(CALL, failing))
    await failing.is_running.wait()
    works = [ready(b"second"), ready(b"third")]
    waiting = [asyncio.create_task(keys.answer(CALL, work)) for work in works]
    await asyncio.sleep(0)
    failing.may_end.set()
    found = await asyncio.gather(first, *waiting, return_exceptions=True)

    assert isinstance(found[0], ProviderTimeoutError)
    assert found[1:] == [(b"second", False), (b"second", True)]


async def test_waiter_leaves(keys: Idempotency) -> None:
    """A waiter that runs out of time does not disturb the first."""
    work = Work()
    first = asyncio.create_task(keys.answer(CALL, work))
    await work.is_running.wait()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await keys.answer(CALL, ready())
    work.may_end.set()

    assert (await first, work.cancelled) == ((b"answer", False), 0)


async def test_first_leaves(keys: Idempotency) -> None:
    """When the first leaves, its work goes on for the one who waits."""
    work = Work()
    first = asyncio.create_task(keys.answer(CALL, work))
    await work.is_running.wait()
    second = asyncio.create_task(keys.answer(CALL, ready()))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    work.may_end.set()

    assert (await second, work.begun, work.cancelled) == ((b"answer", True), 1, 0)


async def test_all_leave(keys: Idempotency) -> None:
    """When nobody waits any more the work is cancelled, and the key is free at once."""
    work = Work()
    callers = [asyncio.create_task(keys.answer(CALL, work)) for _ in range(2)]
    await work.is_running.wait()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    found = await keys.answer(CALL, ready(b"anew"))

    assert (found, work.cancelled) == ((b"anew", False), 1)


async def test_leaves_before_the_work(keys: Idempotency) -> None:
    """A caller that leaves while the key is being taken does not keep it."""
    for _ in range(20):
        work = Work()
        caller = asyncio.create_task(keys.answer(CALL, work))
        await asyncio.sleep(0.001)
        caller.cancel()
        await asyncio.wait([caller])

    async with asyncio.timeout(20):
        assert await keys.answer(OTHER, ready()) == (b"answer", False)


async def test_leaves_after_the_work(keys: Idempotency) -> None:
    """An answer that was made is remembered though everybody has left."""
    made = asyncio.Event()

    async def work() -> bytes:
        made.set()
        return b"paid"

    caller = asyncio.create_task(keys.answer(CALL, work))
    await made.wait()
    caller.cancel()
    await asyncio.wait([caller])

    assert await keys.answer(CALL, ready(b"twice")) == (b"paid", True)


async def test_answer_expires(keys: Idempotency, artefacts: Artefacts, clock: Clock) -> None:
    """After its time an answer is forgotten, and the key is free for any request."""
    await keys.answer(CALL, ready())
    clock.pass_by(1000)
    await artefacts.sweep()

    assert await keys.answer(evolve(OTHER, expires_at=3000.0), ready(b"b")) == (b"b", False)


async def test_answer_deleted(keys: Idempotency, artefacts: Artefacts, tmp_path: Path) -> None:
    """An answer whose content is gone is made anew."""
    await keys.answer(CALL, ready())
    for path in (tmp_path / "artefacts").glob("0*"):
        path.unlink()

    assert await keys.answer(CALL, ready(b"b")) == (b"b", False)


async def test_rows_are_dropped(keys: Idempotency, database: Database, clock: Clock) -> None:
    """Keys that no longer count leave the database."""
    for number in range(5):
        await keys.answer(evolve(CALL, key=f"k{number}"), ready())
    clock.pass_by(1001)
    await keys.answer(evolve(CALL, expires_at=3000.0), ready())

    assert await database.fetch("SELECT COUNT(*) FROM idempotency_keys") == [(1,)]


async def test_two_servers(keys: Idempotency, elsewhere: Idempotency) -> None:
    """Two servers on one database do not work for one key at once."""
    here, there = Work(error=ProviderTimeoutError("late", provider="p")), ready(b"there")
    first = asyncio.create_task(keys.answer(CALL, here))
    await here.is_running.wait()
    second = asyncio.create_task(elsewhere.answer(CALL, there))
    with pytest.raises(InvalidRequestError):
        await elsewhere.answer(OTHER, there)
    before = there.begun
    here.may_end.set()
    await asyncio.wait([first])

    assert (before, await second, type(first.exception())) == (
        0,
        (b"there", False),
        ProviderTimeoutError,
    )


@pytest.mark.tools
async def test_remembered_by_all_servers(tmp_path: Path, postgres_url: str, clock: Clock) -> None:
    """On a Postgres that servers share, each gives out what another one remembered."""
    database = await emptied(postgres_url)
    found = []
    for name in ("here", "there"):
        artefacts = Artefacts(tmp_path / name, database, clock=clock)
        await artefacts.open()
        keys = Idempotency(database, artefacts, clock=clock)
        await keys.open()
        found.append(await keys.answer(CALL, ready(name.encode())))
        await keys.close()
        await artefacts.close()
    await database.close()

    assert found == [(b"here", False), (b"here", True)]


HELD = """
import asyncio, os, sys
from pathlib import Path
from junctor.core.artefacts import Artefacts
from junctor.core.idempotency import Call, Idempotency
from junctor.core.storage.database import Database

async def main():
    database = Database("sqlite:///" + sys.argv[2])
    artefacts = Artefacts(Path(sys.argv[1]), database)
    await artefacts.open()
    keys = Idempotency(database, artefacts, clock=lambda: 1000.0)
    call = Call(team="acme", key="order 66", digest=b"lost", expires_at=9e9)
    async def work():
        os.kill(os.getpid(), 9)
    await keys.answer(call, work)

asyncio.run(main())
"""


def killed_with_the_key(folder: Path, path: Path) -> int:
    done = subprocess.run([sys.executable, "-c", HELD, folder, path], check=False)
    return done.returncode


async def test_killed_elsewhere(
    keys: Idempotency, tmp_path: Path, path: Path, clock: Clock
) -> None:
    """A key whose process was killed is free after its hold time, not before."""
    code = await asyncio.to_thread(killed_with_the_key, tmp_path / "lost", path)
    with pytest.raises(InvalidRequestError):
        await keys.answer(CALL, ready())
    clock.pass_by(CALL.hold_seconds)

    assert (code, await keys.answer(CALL, ready())) == (-9, (b"answer", False))


async def test_killed_and_started_again(
    keys: Idempotency, artefacts: Artefacts, tmp_path: Path, path: Path
) -> None:
    """The next process on the same data folder frees the keys of the one that was killed."""
    await artefacts.close()
    await asyncio.to_thread(killed_with_the_key, tmp_path / "artefacts", path)
    await artefacts.open()
    await keys.open()

    assert await keys.answer(CALL, ready()) == (b"answer", False)


async def test_remembered_after_a_restart(keys: Idempotency, database: Database) -> None:
    """An answer outlives the process that made it."""
    await keys.answer(CALL, ready())
    again = Idempotency(database, keys._artefacts, clock=keys._clock)
    await again.open()

    assert await again.answer(CALL, ready(b"never")) == (b"answer", True)


async def test_database_away(keys: Idempotency, path: Path) -> None:
    """Without the database nothing is begun, since it could be done twice."""
    work = ready()
    with gone(path), pytest.raises(OverloadedError):
        await keys.answer(CALL, work)

    assert work.begun == 0


async def test_full_disk(keys: Idempotency) -> None:
    """An answer that cannot be remembered is given out all the same, and the key is free."""
    with full_at(100_000):
        found = await keys.answer(CALL, ready(b"x" * 200_000))

    assert (len(found[0]), await keys.answer(CALL, ready())) == (200_000, (b"answer", False))


async def test_close(keys: Idempotency) -> None:
    """A shutdown cancels the work and tells those who wait."""
    work = Work()
    callers = [asyncio.create_task(keys.answer(CALL, work)) for _ in range(2)]
    await work.is_running.wait()
    await keys.close()

    with pytest.raises(OverloadedError, match="shutting down"):
        await callers[0]

    callers[1].cancel()


async def test_nothing_is_left(keys: Idempotency) -> None:
    """Neither an answer nor an error keeps a request in memory, without the collector."""

    seen = []
    gc.disable()
    try:
        for error in (None, ProviderTimeoutError("late", provider="p")):
            work = ready(error=error)
            seen.append(weakref.ref(work))
            await asyncio.gather(keys.answer(CALL, work), return_exceptions=True)
            del work, error
            await asyncio.sleep(0)
        left = [one() for one in seen]
    finally:
        gc.enable()

    assert (left, keys._flights) == ([None, None], {})


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_digest_tells_lists_apart(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts have one digest only when they are equal."""
    assert (request_digest(one) == request_digest(other)) == (one == other)
