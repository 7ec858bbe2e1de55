"""What is lost, kept and left behind where something goes wrong in the middle of a video."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from junctor.conf.settings import Artefacts, Jobs
from junctor.core.errors import ProviderUnavailableError
from junctor.core.requests import VideoProgress, VideoRequest
from junctor.core.runtime import SCRATCH
from junctor.core.testing.fakes import FakeTranscriber, Hang, Say
from tests.fakes.server import Served
from tests.routers.ltx_video.house import (
    API,
    at,
    engaged,
    fact,
    house,
    studio,
    submit,
    submitted,
    until,
)


def files(folder: Path) -> list[str]:
    """Return what is stored."""
    return sorted(path.name for path in (folder / "artefacts").glob("*-*"))


async def hold(served: Served, most: int) -> None:
    """Let the store take so many bytes from now on."""
    settings = replace(served.runtime.settings, artefacts=Artefacts(max_bytes=most))
    await served.runtime.reload(settings)


async def test_deleted_while_it_is_made(tmp_path: Path) -> None:
    """Nothing of a job that was deleted before its engine told anything is kept."""
    fake = studio(then=Hang())
    async with house(tmp_path, fake) as (served, client):
        job = await submitted(client)
        await fact(lambda: fake.calls)
        sql = "UPDATE jobs SET detail = NULL WHERE id = :id"
        await served.runtime.jobs._table._database.write(sql, [{"id": job}])
        told = (await client.delete(f"{API}/{job}")).json()
        await fact(lambda: not files(tmp_path))

    assert "canceled" == told["status"]


async def test_deleted_while_it_is_stored_elsewhere(tmp_path: Path) -> None:
    """A video that was stored for a job that another process deleted meanwhile is not kept."""
    go = asyncio.Event()
    async with house(tmp_path, studio(then=Say("a", after=go))) as (served, client):
        job = await submitted(client)
        await engaged(client, job)
        await hold(served, 1)
        go.set()
        await at(client, job, "storing")
        sql = "UPDATE jobs SET state = 'canceled', detail = NULL WHERE id = :id"
        await served.runtime.jobs._table._database.write(sql, [{"id": job}])
        await hold(served, 10**9)
        await fact(lambda: not files(tmp_path))
        charged = [entry for entry in await served.entries() if entry.frames]

    assert [] == charged


class Mute(FakeTranscriber):
    """A provider that fails before it tells anything."""

    async def generate_video(
        self, request: VideoRequest, report: Callable[[VideoProgress], None], /
    ) -> None:
        """Fail."""
        del request, report
        raise ProviderUnavailableError("down", provider=self.name)


async def test_deleted_when_it_has_failed(tmp_path: Path) -> None:
    """Its fitted picture is deleted too, though its engine never told anything."""
    mute = Mute("studio", cards=studio()._cards)
    async with house(tmp_path, mute) as (_, client):
        job = await submitted(client)
        told = await until(client, job)
        await client.delete(f"{API}/{job}")
        after = files(tmp_path)

    assert ("failed", []) == (told["status"], after)


async def test_no_room_for_scratch(tmp_path: Path) -> None:
    """A disk without room is waited for, and nothing of the server is taken meanwhile."""
    async with house(tmp_path, studio()) as (served, client):
        scratch = tmp_path / SCRATCH
        scratch.write_bytes(b"")
        job = await submitted(client)
        await fact(lambda: len(files(tmp_path)) == 1)
        await until(client, job, "processing")
        await asyncio.sleep(0.3)
        load = served.runtime.gateway.load
        held = load.requests, load.buffered
        scratch.unlink()
        told = await until(client, job)

    assert ("done", (0, 0)) == (told["status"], held)


async def test_the_same_request_twice_at_once(tmp_path: Path) -> None:
    """One job, and the picture of one."""
    fake = studio(then=Hang())
    settings = {"jobs": Jobs(poll_interval=0.05)}
    async with house(tmp_path, fake, **settings) as (_, client):
        first = await submitted(client)
        await fact(lambda: fake.calls)
        before = set(files(tmp_path))
        headers = {"Idempotency-Key": "one"}
        answers = await asyncio.gather(*(submit(client, seed=1, headers=headers) for _ in range(6)))
        after = set(files(tmp_path))
        await client.delete(f"{API}/{first}")
    ids = {one.json()["request_id"] for one in answers}

    assert (1, 1) == (len(ids), len(after - before))


async def test_a_job_too_many(tmp_path: Path) -> None:
    """The picture of a job that is refused is not kept."""
    fake = studio(then=Hang())
    settings = {"jobs": Jobs(poll_interval=0.05, max_unfinished=1)}
    async with house(tmp_path, fake, **settings) as (_, client):
        await submitted(client)
        await fact(lambda: fake.calls)
        before = files(tmp_path)
        refused = await submit(client)
        after = files(tmp_path)

    assert (429, before) == (refused.status_code, after)


async def test_a_client_that_leaves(tmp_path: Path) -> None:
    """Whoever leaves while a picture is fetched or stored leaves no picture that no job has."""
    fake = studio(then=Hang())
    async with house(tmp_path, fake) as (served, client):
        first = await submitted(client)
        await fact(lambda: fake.calls)
        before = len(files(tmp_path))
        for wait in (0.005, 0.01, 0.02, 0.03, 0.05):
            asking = asyncio.create_task(submit(client))
            await asyncio.sleep(wait)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        database = served.runtime.jobs._table._database

        async def queued() -> int:
            rows = await database.fetch("SELECT COUNT(*) FROM jobs WHERE state = 'queued'")
            return int(str(rows[0][0]))

        async with asyncio.timeout(10):
            while len(files(tmp_path)) - before != await queued():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await client.delete(f"{API}/{first}")

    assert before == 1
