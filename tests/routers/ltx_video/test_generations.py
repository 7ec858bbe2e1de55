"""`/api/ltx23/v1/videos`, over a real socket: submitted, made, charged once, shown, canceled."""

import asyncio
import random
import re
from functools import partial
from io import BytesIO
from pathlib import Path
from struct import pack
from zlib import crc32

import msgspec
import pytest
from PIL import Image

from junctor.conf.settings import Artefacts, JobQueue, Jobs, LtxVideo, Model, Team
from junctor.core.errors import ProviderRejectedError, ProviderUnavailableError
from junctor.core.requests import VideoRequest
from junctor.core.testing.fakes import Fail, Hang, Say
from junctor.core.video.measure import measured
from junctor.routers.ltx_video.controllers import PAGE
from junctor.routers.ltx_video.forms import Asked
from junctor.routers.ltx_video.work import KIND, QUEUE, Payload
from tests.routers.ltx_video.house import (
    API,
    at,
    data_url,
    engaged,
    fact,
    house,
    shown,
    studio,
    submit,
    submitted,
    until,
)

DOWN = ProviderUnavailableError("LEAK down", provider="studio")


def stored(folder: Path) -> set[Path]:
    """Files in which a server keeps pictures and videos."""
    return set((folder / "artefacts").glob("*-*"))


def hollow() -> bytes:
    """A PNG whose checksums are right, and whose pixels are missing."""
    chunks = [
        (b"IHDR", pack(">IIBBBBB", 96, 96, 8, 2, 0, 0, 0)),
        (b"IDAT", b"none"),
        (b"IEND", b""),
    ]
    parts = [pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data)) for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


async def test_from_a_picture_to_a_file(tmp_path: Path) -> None:
    """Queued, done, and an MP4 of just what was asked for."""
    async with house(tmp_path, studio()) as (_, client):
        first = await submit(client, model="ltx-2.3")
        told = await until(client, first.json()["request_id"])
        video = await client.get(told["video"]["url"])
    (tmp_path / "a.mp4").write_bytes(video.content)
    found = measured(tmp_path / "a.mp4")

    assert {"request_id", "status", "model"} == first.json().keys()
    assert ("queued", "ltx-2.3") == (first.json()["status"], first.json()["model"])
    assert {"request_id", "status", "model", "video"} == told.keys()
    assert re.fullmatch(r"/uploads/generations/ltx23/ltx23_av_\d{8}_[0-9a-f]{32}\.mp4", told["video"]["url"])  # fmt: skip
    assert ("video/mp4", 48, 480, 480) == (
        video.headers["content-type"], found.frames, found.width, found.height,
    )  # fmt: skip


async def test_charged_once_by_the_second(tmp_path: Path) -> None:
    """The ledger has one charged row, in seconds of video, at the card's price."""
    async with house(tmp_path, studio(price=6.0)) as (served, client):
        job = await submitted(client)
        await until(client, job)
        charged = [entry for entry in await served.entries() if entry.frames]

    assert [(job, "video_seconds", 48, 24, 2.0)] == [
        (one.request_id, one.unit, one.frames, one.rate, one.seconds) for one in charged
    ]
    assert [200_000_000] == [one.cost for one in charged]
    assert [("studio", "grey")] == [(one.provider, one.model) for one in charged]


async def test_what_the_provider_is_asked(tmp_path: Path) -> None:
    """The prompt, the seed, and the picture in the size of the video."""
    fake = studio()
    async with house(tmp_path, fake) as (_, client):
        await until(client, await submitted(client, seed=7, prompt=" pan left "))
    asked = fake.requests[0]

    assert isinstance(asked, VideoRequest)
    assert ("pan left", 7, 2, 480, 480) == (
        asked.prompt, asked.seed, asked.seconds, asked.width, asked.height,
    )  # fmt: skip
    assert asked.image.startswith(b"\x89PNG")
    assert not asked.target.exists()


async def test_a_failing_engine_is_followed_by_the_next(tmp_path: Path) -> None:
    """The fallback fires for jobs too, and who made the video is charged."""
    async with house(tmp_path, studio("one", then=Fail(DOWN)), studio("two")) as (served, client):
        job = await submitted(client)
        told = await until(client, job)
        charged = [entry for entry in await served.entries() if entry.frames]

    assert ("done", ["two"]) == (told["status"], [one.provider for one in charged])


async def test_a_failure_is_told_and_free(tmp_path: Path) -> None:
    """`failed` with a sentence that quotes no engine; nothing is charged."""
    async with house(tmp_path, studio(then=Fail(DOWN))) as (served, client):
        told = await until(client, await submitted(client))
        charged = [entry for entry in await served.entries() if entry.frames]

    assert ("failed", False, False) == (told["status"], "video" in told, "progress" in told)
    assert "failed" in told["error"]
    assert "LEAK" not in told["error"]
    assert charged == []


async def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """All candidates fail in one round, and one answers in the next."""
    fake = studio()
    fake.script.extend([Fail(DOWN), Fail(DOWN)])
    settings = {"ltx_video": LtxVideo(rounds=2, pause=0.05)}
    async with house(tmp_path, fake, **settings) as (_, client):
        told = await until(client, await submitted(client))

    assert "done" == told["status"]


async def test_what_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    """A request that the engine refuses fails at once."""
    fake = studio(then=Fail(ProviderRejectedError("LEAK no", provider="studio", model="grey")))
    async with house(tmp_path, fake, ltx_video=LtxVideo(rounds=3)) as (_, client):
        told = await until(client, await submitted(client))

    assert ("failed", 1) == (told["status"], len(fake.requests))


async def test_a_video_waits_for_room(tmp_path: Path) -> None:
    """What was made is not thrown away because it cannot be stored at the moment."""
    go, bound = asyncio.Event(), 10_000_000
    fake = studio(then=Say("a b c", after=go))
    async with house(tmp_path, fake, artefacts=Artefacts(max_bytes=bound)) as (served, client):
        job = await submitted(client)
        await engaged(client, job)
        artefacts, held = served.runtime.artefacts, sum(one.stat().st_size for one in stored(tmp_path))  # fmt: skip
        other = await artefacts.put(bytes(bound - held), team="b", name="b", expires_at=4e9)
        go.set()
        await at(client, job, "storing")
        await artefacts.delete(other, team="b")
        told = await until(client, job)

    assert ("done", 1) == (told["status"], len(fake.requests))


async def test_progress_while_it_works(tmp_path: Path) -> None:
    """Engine, stage and percent are told while the job is processing."""
    go = asyncio.Event()
    async with house(tmp_path, studio(then=Say("a b c", after=go))) as (_, client):
        job = await submitted(client)
        told = await engaged(client, job)
        go.set()
        ended = await until(client, job)

    assert "processing" == told["status"]
    assert {"engine": "studio", "model": "grey", "stage": "loading", "percent": 0} == told[
        "progress"
    ]
    assert "done" == ended["status"]


async def test_canceled_while_it_works(tmp_path: Path) -> None:
    """The engine's work stops, nothing is charged, and it stays canceled."""
    fake = studio(then=Hang())
    async with house(tmp_path, fake) as (served, client):
        job = await submitted(client)
        await until(client, job, "processing")
        await fact(lambda: fake.calls)
        canceled = (await client.post(f"{API}/{job}/cancel")).json()
        call = await fake.settled()
        again = (await client.post(f"{API}/{job}/cancel")).json()
        charged = [entry for entry in await served.entries() if entry.frames]

    assert ("canceled", "canceled", "cancelled") == (
        canceled["status"], again["status"], call.outcome,
    )  # fmt: skip
    assert charged == []


async def test_canceled_while_it_waits(tmp_path: Path) -> None:
    """A queued job is never begun."""
    fake = studio(then=Hang())
    settings = {"jobs": Jobs(poll_interval=0.05, queues={"video": JobQueue(concurrency=1)})}
    async with house(tmp_path, fake, **settings) as (_, client):
        first, second = await submitted(client), await submitted(client)
        await fact(lambda: fake.calls)
        waiting = await shown(client, second)
        canceled = (await client.delete(f"{API}/{second}")).json()
        await client.delete(f"{API}/{first}")

    assert ("queued", "queued", 0) == (
        waiting["status"], waiting["progress"]["stage"], waiting["progress"]["ahead"],
    )  # fmt: skip
    assert ("canceled", 1) == (canceled["status"], len(fake.requests))


async def test_a_picture_goes_with_a_canceled_job(tmp_path: Path) -> None:
    """What waited for a turn that never comes is not kept for the week it might have waited."""
    fake = studio(then=Hang())
    async with house(tmp_path, fake) as (_, client):
        first = await submitted(client)
        await fact(lambda: fake.calls)
        before = stored(tmp_path)
        second = await submitted(client)
        waiting = stored(tmp_path)
        await client.post(f"{API}/{second}/cancel")
        after = stored(tmp_path)
        await client.post(f"{API}/{first}/cancel")

    assert (1, set()) == (len(waiting - before), after - before)


async def test_a_picture_goes_with_a_failed_job(tmp_path: Path) -> None:
    """One that is broken inside, which is seen when it is fitted only, is not kept either."""
    async with house(tmp_path, studio()) as (_, client):
        told = await until(client, await submitted(client, image={"url": data_url(hollow())}))

    assert ("failed", set()) == (told["status"], stored(tmp_path))


async def test_deleted_when_it_is_done(tmp_path: Path) -> None:
    """Its file is gone at once, and its answers name none any more."""
    async with house(tmp_path, studio()) as (_, client):
        job = await submitted(client)
        url = (await until(client, job))["video"]["url"]
        told = (await client.delete(f"{API}/{job}")).json()
        gone = await client.get(url)

    assert ("done", False, 404) == (told["status"], "video" in told, gone.status_code)


async def test_the_same_key_is_the_same_job(tmp_path: Path) -> None:
    """A submission that is sent again is no second job; with another body the key is refused."""
    async with house(tmp_path, studio()) as (_, client):
        headers = {"Idempotency-Key": "one"}
        first = await submit(client, seed=1, headers=headers)
        again = await submit(client, seed=1, headers=headers)
        other = await submit(client, seed=2, headers=headers)

    assert first.json()["request_id"] == again.json()["request_id"]
    assert 400 == other.status_code


async def test_a_list_of_the_team(tmp_path: Path) -> None:
    """Newest first, with what was asked for and the picture; another team sees none of it."""
    async with house(tmp_path, studio()) as (served, client):
        ids = [await submitted(client, prompt=f"number {at}", seed=at) for at in range(3)]
        for job in ids:
            await until(client, job)
        listed = (await client.get(API)).json()
        picture = await client.get(listed["data"][0]["image_url"])
        key = await served.runtime.gateway.accounts.create_key("other")
        theirs = await client.get(API, headers={"Authorization": f"Bearer {key}"})
        stranger = await client.get(f"{API}/{ids[0]}", headers={"Authorization": f"Bearer {key}"})

    assert ids[::-1] == [one["request_id"] for one in listed["data"]]
    assert ("number 2", 2, 2, False) == (
        listed["data"][0]["prompt"], listed["data"][0]["seed"], listed["data"][0]["duration"],
        listed["has_more"],
    )  # fmt: skip
    assert ("image/png", 200) == (picture.headers["content-type"], picture.status_code)
    assert ([], 404) == (theirs.json()["data"], stranger.status_code)


async def test_a_full_page_may_be_the_last(tmp_path: Path) -> None:
    """`has_more` tells whether there are older ones, also where the page is full."""
    asked = Asked(
        model="x", prompt="x", duration=2, aspect_ratio="1:1", resolution="480p", seed=1
    )  # fmt: skip
    payload = msgspec.to_builtins(Payload(asked=asked, upload="", key_id="", request_id=""))
    async with house(tmp_path, studio(then=Hang())) as (served, client):
        submit_one = partial(
            served.runtime.jobs.submit, KIND, team="acme", payload=payload, queue=QUEUE
        )
        for _ in range(PAGE):
            await submit_one()
        exact = (await client.get(API)).json()
        await submit_one()
        over = (await client.get(API)).json()

    assert (PAGE, False) == (len(exact["data"]), exact["has_more"])
    assert (PAGE, True) == (len(over["data"]), over["has_more"])


async def test_a_picture_of_this_site(tmp_path: Path) -> None:
    """The picture of one job can be that of another, of the same team only."""
    async with house(tmp_path, studio()) as (served, client):
        await until(client, await submitted(client))
        url = (await client.get(API)).json()["data"][0]["image_url"]
        again = await submit(client, image={"url": url})
        key = await served.runtime.gateway.accounts.create_key("other")
        theirs = await submit(
            client, image={"url": url}, headers={"Authorization": f"Bearer {key}"}
        )

    assert (200, 400) == (again.status_code, theirs.status_code)
    assert "image.url" == theirs.json()["param"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "ltx-9"}, "model"),
        ({"prompt": ""}, "prompt"),
        ({"duration": 11}, "duration"),
        ({"image": {"url": "data:image/png;base64,bm8="}}, "image.url"),
        ({"image": {"url": data_url(b"GIF89a")}}, "image.url"),
        ({"image": {"url": "http://127.0.0.1/a.png"}}, "image.url"),
        ({"image": {"url": "/uploads/../../etc/passwd"}}, "image.url"),
        ({"image": {"url": "file:///etc/passwd"}}, "image.url"),
    ],
)  # fmt: skip
async def test_bad_requests(tmp_path: Path, fields: dict[str, object], param: str) -> None:
    """400 in the contract's envelope, the field named; there is no job."""
    async with house(tmp_path, studio()) as (_, client):
        refused = await submit(client, **fields)
        jobs = (await client.get(API)).json()["data"]

    assert (400, param, []) == (refused.status_code, refused.json()["param"], jobs)
    assert {"error", "code", "param", "request_id"} == refused.json().keys()


async def test_no_key(tmp_path: Path) -> None:
    """401 on every path, 404 in the same envelope."""
    async with house(tmp_path, studio()) as (_, client):
        nobody = {"Authorization": ""}
        statuses = [
            (await submit(client, headers=nobody)).status_code,
            (await client.get(API, headers=nobody)).status_code,
            (await client.get(f"{API}/x", headers=nobody)).status_code,
            (await client.post(f"{API}/x/cancel", headers=nobody)).status_code,
            (await client.delete(f"{API}/x", headers=nobody)).status_code,
        ]
        missing = await client.get(f"{API}/x")

    assert [401] * 5 == statuses
    assert (404, "not_found") == (missing.status_code, missing.json()["code"])


async def test_nobody_to_make_it(tmp_path: Path) -> None:
    """502 where the model is known and nobody serves it now."""
    models = {"ltx23-standard": Model(chain=("absent:grey",))}
    async with house(tmp_path, studio(), models=models) as (_, client):
        refused = await submit(client)

    assert 502 == refused.status_code


async def test_the_seconds_of_a_day(tmp_path: Path) -> None:
    """429 when what is made and what waits are as much as the team may have."""
    team = Team(video_seconds_per_day=5.0)
    async with house(tmp_path, studio(then=Hang()), team_defaults=team) as (_, client):
        statuses = [(await submit(client)).status_code for _ in range(3)]

    assert [200, 200, 429] == statuses


async def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    """413 for what no picture within the bound can be."""
    settings = {"ltx_video": LtxVideo(max_image_bytes=1000)}
    async with house(tmp_path, studio(), **settings) as (_, client):
        refused = await submit(client, prompt="x" * 400_000)

    told = refused.json()
    assert (413, "too_large") == (refused.status_code, told["code"])
    assert "conversation" not in told["error"]


async def test_a_large_picture_percent_encoded(tmp_path: Path) -> None:
    """A picture of nearly the bound is taken however its base64 is written."""
    noise = Image.frombytes("RGB", (1200, 1200), random.Random(6).randbytes(3 * 1200 * 1200))
    out = BytesIO()
    noise.save(out, "PNG", compress_level=0)
    url = data_url(out.getvalue()).replace("+", "%2B").replace("/", "%2F")
    settings = {"ltx_video": LtxVideo(max_image_bytes=len(out.getvalue()) + 100)}
    async with house(tmp_path, studio(), **settings) as (_, client):
        taken = await submit(client, image={"url": url.replace("image%2Fpng", "image/png")})

    assert 200 == taken.status_code


async def test_what_a_killed_server_left_half_made(tmp_path: Path) -> None:
    """Its folder of files that are being made is empty after the next start."""
    left = tmp_path / "scratch" / "tmp0" / "half.mp4"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    async with house(tmp_path, studio()):
        pass

    assert not left.parent.exists()


async def test_longer_than_any_engine_makes(tmp_path: Path) -> None:
    """400 where the contract takes the length, and no engine here does; it says how much one does."""
    async with house(tmp_path, studio(max_seconds=1.0)) as (_, client):
        refused = await submit(client)

    assert 400 == refused.status_code
    assert "at most 1 seconds of video" in refused.json()["error"]
