"""Transcriptions as durable jobs: accepted, done, told to a callback, charged once, forgotten."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from attrs import define, field

from junctor.conf.settings import Callbacks, Jobs, Network, Secret, Storage
from junctor.core.errors import ProviderUnavailableError
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say
from tests.fakes.artefacts import emptied
from tests.fakes.server import Served
from tests.routers.speech_to_text.test_transcribe import CLIP, PATH, house, post, provider

SECRET = "s" * 40


@define
class Receiver:
    """A client's own server, which gets the callbacks."""

    url: str = ""
    script: list[int] = field(factory=list)
    """Statuses of the next answers; then 200."""
    got: list[tuple[dict[str, str], bytes]] = field(factory=list)
    news: asyncio.Event = field(factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        self.news.set()
        return web.Response(status=self.script.pop(0) if self.script else 200)

    async def callback(self, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()
        body: dict[str, Any] = json.loads(self.got[count - 1][1])
        return body


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    one = Receiver()
    app = web.Application()
    app.add_routes([web.post("/done", one.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/done"
    yield one
    await runner.cleanup()


@asynccontextmanager
async def office(
    folder: Path, *providers: FakeTranscriber, **more: Any
) -> AsyncIterator[tuple[Served, httpx.AsyncClient, Receiver]]:
    settings = {
        "network": Network(allowed_private=("127.0.0.0/8",)),
        "jobs": Jobs(poll_interval=0.05),
        "callbacks": Callbacks(secret=Secret(SECRET), backoff=0.01),
        **more,
    }
    async with receiver() as mail, house(folder, *providers, **settings) as (served, client):
        yield served, client, mail


async def ended(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            shown: dict[str, Any] = (await client.get(f"/speech-to-text/jobs/{job}")).json()
            if shown["status"] in {"done", "failed", "canceled"}:
                return shown
            await asyncio.sleep(0.05)


async def listed(client: httpx.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            found: list[dict[str, Any]] = (await client.get(path)).json()["data"]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_job_is_accepted_done_told_and_charged_once(tmp_path: Path) -> None:
    """202 at once; the callback is signed and has the whole answer, metadata and correlation id."""
    async with office(tmp_path, provider("azure")) as (served, client, mail):
        answer = await post(
            client,
            provider="azure",
            callback_url=mail.url,
            metadata='{"session_id": "abc123"}',
            unique_id="u-1",
        )
        told = await mail.callback()
        shown = await ended(client, answer.json()["job_id"])
        charged = [(one.operation, one.frames) for one in await served.entries() if one.frames]
    headers, body = mail.got[0]
    stamp = headers["X-Junctor-Timestamp"]
    wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()

    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    assert headers["X-Junctor-Signature"] == f"v1={wanted}"
    assert headers["X-Junctor-Event"] == "transcription.completed"
    assert (told["result"]["text"], told["metadata"]) == ("by azure", {"session_id": "abc123"})
    assert (shown["result"], shown["unique_id"]) == (told["result"], "u-1")
    assert charged == [("transcribe-job", CLIP.frames)]


@pytest.mark.slow
async def test_a_delivery_that_fails_is_tried_again_and_listed(tmp_path: Path) -> None:
    """Every try is shown, with its status."""
    async with office(tmp_path, provider("azure")) as (_, client, mail):
        mail.script = [500, 503]
        job = (await post(client, provider="azure", callback_url=mail.url)).json()["job_id"]
        await mail.callback(3)
        path = f"/speech-to-text/jobs/{job}/deliveries"
        tries = await listed(client, path, 3)

    assert [one["status"] for one in tries] == [500, 503, 200]


@pytest.mark.slow
async def test_a_job_that_fails_says_so_and_costs_nothing(tmp_path: Path) -> None:
    """The callback tells the error in words that are not the upstream's."""
    down = Fail(ProviderUnavailableError("LEAK", provider="azure"))
    async with office(tmp_path, provider("azure", then=down)) as (served, client, mail):
        await post(client, provider="azure", callback_url=mail.url)
        told = await mail.callback()
        charged = [one.frames for one in await served.entries() if one.frames]

    assert (told["status"], charged) == ("failed", [])
    assert "LEAK" not in json.dumps(told)


@pytest.mark.slow
async def test_a_submission_with_a_key_is_one_job(tmp_path: Path) -> None:
    """Sent again it names the same job, which is done and told once."""
    fake = provider("azure")
    async with office(tmp_path, fake) as (_, client, mail):
        fields = {"provider": "azure", "callback_url": mail.url, "idempotency_key": "k"}
        first, second = (
            await post(client, CLIP.data, **fields),
            await post(client, CLIP.data, **fields),
        )
        await ended(client, first.json()["job_id"])
        jobs = (await client.get("/speech-to-text/jobs")).json()["data"]

    assert (first.status_code, second.status_code) == (202, 202)
    assert [one["job_id"] for one in jobs] == [first.json()["job_id"]] == [second.json()["job_id"]]
    assert len(fake.calls) == 1


@pytest.mark.slow
@pytest.mark.tools
async def test_another_server_takes_a_job_up(tmp_path: Path, postgres_url: str) -> None:
    """A server with a folder of its own finds the upload of a job that another one had taken in."""
    await (await emptied(postgres_url)).close()
    first, second = provider("azure", then=Hang()), provider("azure", then=Say("found"))
    shared = {"storage": Storage(data_dir=str(tmp_path / "here"), database_url=postgres_url)}
    async with office(tmp_path, first, **shared) as (_, client, mail):
        job = (await post(client, provider="azure", callback_url=mail.url)).json()["job_id"]
        await first.called()
    shared = {"storage": Storage(data_dir=str(tmp_path / "there"), database_url=postgres_url)}
    async with office(tmp_path, second, **shared) as (_, client, mail):
        shown = await ended(client, job)

    assert (shown["status"], shown["result"]["text"]) == ("done", "found")


@pytest.mark.slow
async def test_a_deleted_job_stops_and_its_audio_is_gone(tmp_path: Path) -> None:
    """The work is cancelled, and nothing of it is kept."""
    fake = provider("azure", then=Hang())
    async with office(tmp_path, fake) as (served, client, mail):
        job = (await post(client, provider="azure", callback_url=mail.url)).json()["job_id"]
        await fake.called()
        deleted = await client.delete(f"/speech-to-text/jobs/{job}")
        call = await fake.settled()
        stored = await served.runtime.jobs.get(job, team="acme")
        proof = await served.runtime.artefacts.proof(str(stored.payload["audio"]), team="acme")

    assert (deleted.json()["status"], call.outcome) == ("canceled", "cancelled")
    assert proof.deleted_at is not None


@pytest.mark.slow
async def test_the_upload_is_deleted_with_the_job_and_the_answer_with_its_time(
    tmp_path: Path,
) -> None:
    """What nobody needs any more is gone at once; the rest expires when the request said."""
    async with office(tmp_path, provider("azure")) as (served, client, mail):
        job = (
            await post(client, provider="azure", callback_url=mail.url, retention_hours="2")
        ).json()["job_id"]
        await mail.callback()
        await ended(client, job)
        stored = await served.runtime.jobs.get(job, team="acme")
        assert stored.result is not None
        artefacts = served.runtime.artefacts
        audio = await artefacts.proof(str(stored.payload["audio"]), team="acme")
        answer = await artefacts.proof(str(stored.result["answer"]), team="acme")

    assert audio.deleted_at is not None
    assert 2 * 3600 - 60 < answer.expires_at - answer.created_at <= 2 * 3600


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.8/x",
        "http://169.254.169.254/latest",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://localhost/x",
        "http://2130706433/x",
        "ftp://example.com/x",
        "https://user:pw@example.com/x",
        "not a url",
    ],
)
async def test_a_callback_into_private_space_is_refused(tmp_path: Path, url: str) -> None:
    """400, before anything is stored or done."""
    fake = provider("azure")
    async with house(tmp_path, fake) as (_, client):
        answer = await post(client, provider="azure", callback_url=url)

    assert (answer.status_code, answer.json()["detail"]["param"]) == (400, "callback_url")
    assert fake.calls == []


async def test_another_teams_job_is_not_there(tmp_path: Path) -> None:
    """404 in this contract's envelope, for what is not the caller's."""
    async with house(tmp_path, provider("azure", then=Say("x"))) as (served, client):
        other = await served.runtime.gateway.accounts.create_key("other")
        answer = await client.get(
            "/speech-to-text/jobs/job_1", headers={"Authorization": f"Bearer {other}"}
        )
        missing = await client.get(PATH)

    assert (answer.status_code, missing.status_code) == (404, 405)
