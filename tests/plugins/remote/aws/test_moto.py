"""Against moto's own server, over HTTP: the very code that asks Amazon, only the URLs differ."""

import asyncio
import json
from typing import Self

import pytest
from aiohttp import ClientSession, web
from moto.server import ThreadedMotoServer

from junctor.conf.settings import Settings
from junctor.core.errors import ProviderRejectedError
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.plugins.remote.aws import junctor_providers
from tests.fakes.vendors.aws import result

BUCKET = "recordings"
CLIP = tone_clip(1.0)


class Engine:
    """
    Passes jobs on to moto, and does what moto does not: it writes their results.

    That happens before the answer to the start, so that no result is ever awaited in vain.
    """

    def __init__(self, moto: str) -> None:
        self._moto = moto

    async def __aenter__(self) -> Self:
        self._session = ClientSession()
        app = web.Application()
        app.router.add_post("/", self._pass_on)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: text for name, text in request.headers.items() if name != "Host"}
        async with self._session.post(f"{self._moto}/", data=body, headers=headers) as answer:
            told, status = await answer.read(), answer.status
        asked = json.loads(body)
        if status == 200 and "OutputKey" in asked:
            url = f"{self._moto}/{asked['OutputBucketName']}/{asked['OutputKey']}"
            async with self._session.put(url, data=result(asked["TranscriptionJobName"])) as put:
                assert put.status == 200
        return web.Response(status=status, body=told)


@pytest.fixture(name="moto", scope="module")
def _moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(name="provider")
async def _provider(moto):
    async with Engine(moto) as engine, ClientSession() as session:
        async with session.put(f"{moto}/{BUCKET}") as answer:
            assert answer.status in {200, 409}
        table = {
            "access_key_id": "AKIAMOTO",
            "secret_access_key": "secret",
            "bucket": BUCKET,
            "base_url": engine.url,
            "s3_url": moto,
            "poll": 0.05,
        }
        (provider,) = junctor_providers(Settings(plugins={"aws": table}))
        await provider.start()
        yield provider
        await provider.close()


async def objects(moto):
    async with ClientSession() as session, session.get(f"{moto}/{BUCKET}") as answer:
        return (await answer.text()).count("<Key>")


async def test_a_recording(provider, moto):
    """Upload, job, looks, result: moto takes them all, and nothing is left in its bucket."""
    heard = await provider.transcribe(
        TranscribeRequest(audio=CLIP, model="transcribe", language="en-IN")
    )
    async with asyncio.timeout(20):
        while await objects(moto):  # noqa: ASYNC110 - moto tells nobody
            await asyncio.sleep(0.02)

    assert ("hello from amazon.", 3, "en-IN") == (heard.text, len(heard.words), heard.language)


async def test_detection(provider):
    """The language that moto claims to have identified is told."""
    heard = await provider.transcribe(
        TranscribeRequest(audio=CLIP, model="transcribe", allowed_languages=("th", "hi"))
    )

    assert ("th-TH", pytest.approx(0.9996, abs=1e-3)) == (
        heard.language,
        heard.language_confidence,
    )


async def test_no_such_bucket(moto):
    """S3's own complaint about the bucket is understood."""
    table = {
        "access_key_id": "AKIAMOTO",
        "secret_access_key": "secret",
        "bucket": "not-there",
        "base_url": moto,
        "s3_url": moto,
    }
    (provider,) = junctor_providers(Settings(plugins={"aws": table}))
    await provider.start()
    with pytest.raises(ProviderRejectedError, match="NoSuchBucket"):
        await provider.transcribe(TranscribeRequest(audio=CLIP, model="transcribe", language="en"))

    await provider.close()
