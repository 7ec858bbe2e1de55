"""One job run by several processes over one database: charged once, whoever dies when."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule

from junctor.core.reservations import Reservation
from junctor.core.storage.database import Row
from tests.fakes.ledgers import NOON, Server
from tests.fakes.postgres import postgres, program

JOB = "job:x"


@pytest.fixture(
    name="url", scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.tools)]
)
def _url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres":
        if program("initdb") is None and not os.environ.get("CI"):
            pytest.skip("Postgres is not installed (in CI this would be a failure)")
        with postgres() as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path_factory.mktemp('hosts')}/junctor.db"


async def host(folder: Path, name: str, url: str) -> Server:
    (folder / name).mkdir()
    server = Server(folder / name, url=url)
    await server.start()
    return server


@pytest.fixture(name="hosts")
async def _hosts(tmp_path: Path, url: str) -> AsyncIterator[tuple[Server, Server]]:
    first, second = [await host(tmp_path, name, url) for name in ("a", "b")]
    yield first, second
    for server in (first, second):
        await server.ledger.close()
        await server.database.write("DELETE FROM ledger_entries", [{}])
        await server.database.close()


def run(server: Server, frames: int) -> Reservation:
    """Make the job's video; a run that knows of no other."""
    reservation = server.reserve(charge_id=JOB)
    reservation.settle(unit="video_seconds", frames=frames, rate=24)
    return reservation


async def rows(server: Server) -> list[Row]:
    found = await server.database.fetch("SELECT id, frames, outcome FROM ledger_entries")
    return sorted(found, key=str)


async def test_killed_before_its_fold(hosts: tuple[Server, Server]) -> None:
    """A worker settles and dies, another does the job again; the first's journal adds nothing."""
    first, second = hosts
    run(first, 24)
    await first.kill()
    is_known = await second.ledger.is_charged("acme", "req", since=NOON)
    run(second, 48)
    await second.ledger.fold()
    await first.ledger.open()
    totals = [server.ledger.totals("acme").video_seconds for server in hosts]

    assert (is_known, await rows(first)) == (False, [(JOB, 48, "ok")])
    assert totals == [2.0, 2.0]


async def test_both_settle_before_either_folds(hosts: tuple[Server, Server]) -> None:
    """The row that is inserted first stays, and the next run knows that it is paid."""
    first, second = hosts
    run(first, 24)
    run(second, 48)
    for server in hosts:
        await server.ledger.fold()

    assert await rows(first) == [(JOB, 24, "ok")]
    assert await second.ledger.is_charged("acme", "req", since=NOON)


async def test_twice_in_one_process(hosts: tuple[Server, Server]) -> None:
    """Runs of a job that overlap are counted once in memory, too; the second is no charge."""
    server = hosts[0]
    run(server, 24)
    second = run(server, 48)
    before = server.ledger.totals("acme")
    await server.restart()

    assert await rows(server) == [(second.id, 0, "ok"), (JOB, 24, "ok")]
    assert (before, before.video_seconds) == (server.ledger.totals("acme"), 1.0)


async def test_runs_that_failed(hosts: tuple[Server, Server]) -> None:
    """They have entries of their own, and what a killed one left open is closed."""
    first, second = hosts
    failed = first.reserve(charge_id=JOB)
    failed.release("ProviderTimeoutError")
    left = first.reserve(charge_id=JOB)
    await first.restart()
    run(second, 24)
    await second.ledger.fold()
    found = await rows(first)

    assert (JOB, 24, "ok") in found
    assert {(failed.id, 0, "ProviderTimeoutError"), (left.id, 0, "interrupted")} < set(found)
    assert len(found) == 3


async def test_charges_are_bounded(
    hosts: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more jobs than are remembered, the first is forgotten; the database knows it still."""
    monkeypatch.setattr("junctor.core.ledger.CHARGES", 2)
    server = hosts[0]
    run(server, 24)
    for number in range(2):
        server.reserve(charge_id=f"job:{number}").settle(frames=1, rate=1)
    run(server, 48)
    await server.ledger.fold()

    assert list(server.ledger._charges) == ["job:1", JOB]
    assert [row for row in await rows(server) if row[0] == JOB] == [(JOB, 24, "ok")]


class HostsMachine(RuleBasedStateMachine):
    """Two processes run the same jobs in any order; what was settled is remembered by job."""

    runs: Bundle[tuple[int, int, Reservation, str]] = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        url = f"sqlite:///{self.folder}/junctor.db"
        self.hosts = [self.runner.run(host(self.folder, name, url)) for name in ("a", "b")]
        self.lives = [0, 0]
        self.settled: dict[str, set[int]] = {}
        self.reserved = 0

    @rule(target=runs, number=st.integers(0, 1), job=st.sampled_from(["job:x", "job:y"]))
    def begin(self, number: int, job: str) -> tuple[int, int, Reservation, str]:
        self.reserved += 1
        return number, self.lives[number], self.hosts[number].reserve(charge_id=job), job

    @rule(one=runs, frames=st.integers(0, 9))
    def settle(self, one: tuple[int, int, Reservation, str], frames: int) -> None:
        number, life, reservation, job = one
        is_alive = life == self.lives[number] and reservation.is_open
        reservation.settle(unit="video_seconds", frames=frames, rate=1)
        if is_alive and frames:
            self.settled.setdefault(job, set()).add(frames)

    @rule(one=runs)
    def fail(self, one: tuple[int, int, Reservation, str]) -> None:
        one[2].release("failed")

    @rule(number=st.integers(0, 1))
    def fold(self, number: int) -> None:
        self.runner.run(self.hosts[number].ledger.fold())

    @rule(number=st.integers(0, 1))
    def kill(self, number: int) -> None:
        self.lives[number] += 1
        self.runner.run(self.hosts[number].restart())

    def teardown(self) -> None:
        for number in (0, 1, 0):
            self.kill(number)
        found = self.runner.run(rows(self.hosts[0]))
        totals = self.hosts[0].ledger.totals("acme")
        for server in self.hosts:
            self.runner.run(server.ledger.close())
            self.runner.run(server.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

        charged = [(str(row[0]), int(str(row[1]))) for row in found if row[1]]
        assert sorted(job for job, _ in charged) == sorted(self.settled)
        assert all(frames in self.settled[job] for job, frames in charged)
        assert (totals.requests, totals.video_seconds) == (
            len(found),
            sum(frames for _, frames in charged),
        )
        assert len(found) <= self.reserved


TestHostsMachine = HostsMachine.TestCase
TestHostsMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
