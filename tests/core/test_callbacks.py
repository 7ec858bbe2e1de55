"""Deliveries to a real receiver on loopback: signed, tried again, written down, fair."""

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from junctor.conf.settings import Callbacks as Section
from junctor.conf.settings import Network, Secret, Settings, Storage, Team
from junctor.core.callbacks import Callbacks, Delivery, secret_of
from junctor.core.errors import NotFoundError
from junctor.core.jobs import Job
from junctor.core.net.guard import GuardedClient
from junctor.core.storage.database import Database
from junctor.core.storage.jobs import JobRow, JobTable
from tests.fakes.upstream import Mode, Upstream, refused_url

LOOPBACK = Network(allowed_private=("127.0.0.0/8",))
OK = Mode(body=b"{}")


def failing(status: int, *headers: tuple[str, str]) -> Mode:
    return Mode(status=status, headers=headers, body=b"{}")


class Bench:
    """Callbacks over a database whose jobs end when the test says so."""

    def __init__(self, folder: Path, **section: float) -> None:
        known = {"timeout": 0.3, "backoff": 0.005, "attempts": 4, "secret": "whsec", **section}
        self.settings = Settings(
            storage=Storage(data_dir=str(folder)),
            callbacks=msgspec.convert(known, Section, dec_hook=lambda _type, text: Secret(text)),
            teams={"beta": Team(callback_secret=Secret("own"))},
        )
        self.database = Database(f"sqlite:///{folder}/junctor.db")
        self.jobs = JobTable(self.database)
        self.guard = GuardedClient(LOOPBACK)
        self.callbacks = Callbacks(lambda: self.settings, guard=self.guard)
        self.folder = folder
        self.count = 0

    async def open(self) -> None:
        await self.database.upgrade()
        await self.guard.check("http://127.0.0.1/", param="url")  # so that no try pays an import
        await self.callbacks.open(self.database, self.folder)

    async def close(self) -> None:
        await self.callbacks.close()
        await self.guard.close()
        await self.database.close()

    async def end(self, url: str, *, team: str = "acme", state: str = "done") -> str:
        """Have a job of a team end; its id."""
        self.count += 1
        id_ = f"job_{self.count}"
        await self.jobs.add(
            JobRow(
                id=id_, team=team, kind="transcription", queue="default", priority=0,
                payload='{"metadata":{"session":"abc"}}', digest="", created_at=1,
                callback_url=url, callback_host=url.split("/")[2], callback_state="waiting",
            )
        )  # fmt: skip
        await self.jobs.finish(id_, state=state, at=1, result='{"artefact":"a1"}')
        self.callbacks.wake()
        return id_

    async def settled(self, id_: str) -> str:
        """Wait until a callback is delivered or given up."""
        while True:
            row = await self.jobs.find(id_)
            assert row is not None
            if row.callback_state in {"delivered", "failed"}:
                return row.callback_state
            await asyncio.sleep(0.005)

    async def tries(self, id_: str, *, team: str = "acme") -> list[Delivery]:
        return await self.callbacks.deliveries(id_, team=team)


@pytest.fixture(name="bench")
async def _bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    await bench.open()
    yield bench
    await bench.close()


@pytest.fixture(name="receiver")
async def _receiver() -> AsyncIterator[Upstream]:
    async with Upstream() as receiver:
        yield receiver


@pytest.mark.parametrize(("team", "secret"), [("acme", b"whsec"), ("beta", b"own")])
async def test_signed(bench, receiver, team: str, secret: bytes) -> None:
    """A receiver can tell by the documented recipe that a delivery is ours."""
    receiver.script(OK)
    id_ = await bench.end(f"{receiver.base_url}/hook?x=1", team=team)
    state = await bench.settled(id_)
    (request,) = receiver.requests
    stamp = request.headers["x-junctor-timestamp"]
    expected = hmac.new(secret, f"{stamp}.".encode() + request.body, hashlib.sha256).hexdigest()

    assert (state, request.path) == ("delivered", "/v1/hook?x=1")
    assert request.headers["x-junctor-signature"] == f"v1={expected}"
    assert request.headers["x-junctor-event"] == "transcription.completed"
    assert json.loads(request.body) == {
        "id": id_, "event": "transcription.completed", "state": "done", "error": None,
        "result": {"artefact": "a1"}, "metadata": {"session": "abc"},
    }  # fmt: skip


async def test_rendered(bench, receiver) -> None:
    """A contract says what it delivers; it is made at the time of the try."""

    async def render(job: Job) -> bytes:
        return f'{{"text": "of {job.id}"}}'.encode()

    receiver.script(OK)
    bench.callbacks.register("transcription", render)
    id_ = await bench.end(receiver.base_url, state="failed")
    await bench.settled(id_)

    assert receiver.requests[0].body == f'{{"text": "of {id_}"}}'.encode()
    assert receiver.requests[0].headers["x-junctor-event"] == "transcription.failed"


async def test_tried_again(bench, receiver) -> None:
    """A 500 is tried again, with the same delivery id; every try is listed."""
    receiver.script(failing(500), OK)
    id_ = await bench.end(receiver.base_url)
    state = await bench.settled(id_)
    tries = await bench.tries(id_)

    assert (state, [one.status for one in tries]) == ("delivered", [500, 200])
    assert {one.headers["x-junctor-delivery"] for one in receiver.requests} == {tries[0].id}
    assert [one.number for one in tries] == [1, 2]


async def test_given_up(bench, receiver) -> None:
    """After so many tries the callback has failed, and nothing more is sent."""
    receiver.script(*[failing(503)] * 9)
    id_ = await bench.end(receiver.base_url)

    assert await bench.settled(id_) == "failed"
    assert [one.status for one in await bench.tries(id_)] == [503] * 4
    assert len(receiver.requests) == 4


async def test_retry_after(tmp_path: Path, receiver) -> None:
    """A wish to wait is honoured, up to the longest pause."""
    bench = Bench(tmp_path, backoff_max=0.2)
    await bench.open()
    receiver.script(failing(429, ("retry-after", "3600")), OK)
    id_ = await bench.end(receiver.base_url)
    await bench.settled(id_)
    first, second = await bench.tries(id_)
    await bench.close()

    assert 190_000 <= second.at - first.at < 2_000_000


@pytest.mark.parametrize(
    ("mode", "status", "error"),
    [("hang", None, "timeout"), ("redirect", 307, ""), ("reset", None, "connection")],
)
async def test_failures(bench, receiver, mode: str, status: int | None, error: str) -> None:
    """Each failure has its word; a redirect is one and is not followed."""
    id_ = await bench.end(receiver.url(mode))

    assert await bench.settled(id_) == "failed"
    assert {(one.status, one.error) for one in await bench.tries(id_)} == {(status, error)}


@pytest.mark.parametrize(
    ("url", "error"),
    [("http://10.0.0.1/hook", "address"), ("http://[::ffff:10.0.0.1]/", "address")],
)
async def test_private_address(bench, url: str, error: str) -> None:
    """An inner address is never called, whoever let it through."""
    id_ = await bench.end(url)

    assert await bench.settled(id_) == "failed"
    assert {one.error for one in await bench.tries(id_)} == {error}


async def test_nobody_listens(bench) -> None:
    """A receiver that is down is tried again like any other."""
    id_ = await bench.end(refused_url())

    assert await bench.settled(id_) == "failed"
    assert [one.error for one in await bench.tries(id_)] == ["connection"] * 4


async def test_others_do_not_wait(tmp_path: Path, receiver) -> None:
    """A team whose receiver hangs holds up neither another team nor another host."""
    bench = Bench(tmp_path, timeout=30.0, concurrency=6, concurrency_per_team=3)
    await bench.open()
    for _ in range(20):
        await bench.end(receiver.url("hang"), team="slow")
    async with Upstream() as other:
        id_ = await bench.end(other.base_url, team="beta")
        async with asyncio.timeout(20):
            state = await bench.settled(id_)
    await bench.close()

    assert state == "delivered"
    assert receiver.open_connections <= 3


async def test_restart(bench, receiver) -> None:
    """What was broken off by a shutdown is delivered after the next start."""
    receiver.script("hang", OK)
    id_ = await bench.end(receiver.base_url)
    await receiver.until(lambda: receiver.requests)
    await bench.callbacks.close()
    await bench.callbacks.open(bench.database, bench.folder)

    assert await bench.settled(id_) == "delivered"


async def test_teams_are_apart(bench, receiver) -> None:
    """Nobody lists another team's deliveries."""
    receiver.script(OK)
    id_ = await bench.end(receiver.base_url)
    with pytest.raises(NotFoundError):
        await bench.tries(id_, team="evil")


def test_secret_is_kept(tmp_path: Path) -> None:
    """Without a setting one secret is made, readable by nobody else, and stays."""
    first = secret_of(Settings(), tmp_path, team="acme")
    mode = (tmp_path / "callback.secret").stat().st_mode

    assert (len(first), mode & 0o777) == (64, 0o600)
    assert secret_of(Settings(), tmp_path, team="beta") == first


CHILD = """
import asyncio, os, signal, sys
from junctor.conf.settings import Jobs as Section, Settings, Storage
from junctor.core.jobs import Jobs
from junctor.core.storage.database import Database

async def work(job, progress):
    return {"artefact": "a1"}

async def main(folder, url):
    settings = Settings(storage=Storage(data_dir=folder), jobs=Section(poll_interval=0.02))
    database = Database(f"sqlite:///{folder}/junctor.db")
    await database.upgrade()
    jobs = Jobs(lambda: settings, ended=lambda: os.kill(os.getpid(), signal.SIGKILL))
    jobs.register("transcription", work)
    await jobs.open(database)
    await jobs.submit("transcription", team="acme", payload={"callback_url": url})
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.slow
async def test_killed_between_end_and_delivery(tmp_path: Path, receiver) -> None:
    """A job that ended in the moment of a kill has its callback delivered by the next process."""
    receiver.script(OK)
    command = [sys.executable, "-c", CHILD, str(tmp_path), receiver.base_url]
    await asyncio.to_thread(subprocess.run, command, check=False)
    bench = Bench(tmp_path)
    await bench.open()
    (row,) = await bench.jobs.page("acme", limit=10, before=None)
    state = await bench.settled(row.id)
    await bench.close()

    assert (row.state, state, len(receiver.requests)) == ("done", "delivered", 1)


@pytest.mark.parametrize("is_answered", [True, False])
async def test_killed_in_a_delivery(tmp_path: Path, receiver, is_answered: bool) -> None:
    """A try that nobody noted is made again when its time is over, under the same id."""
    receiver.script(*([OK] if is_answered else ["hang"]), OK)
    bench = Bench(tmp_path, timeout=0.05)
    await bench.open()
    id_ = await bench.end(receiver.base_url)
    await receiver.until(lambda: receiver.requests)
    await bench.close()  # as a kill would, it notes nothing of a try under way
    bench = Bench(tmp_path, timeout=0.05)
    await bench.open()
    state = await bench.settled(id_)
    await bench.close()

    assert state == "delivered"
    assert len({one.headers["x-junctor-delivery"] for one in receiver.requests}) == 1
