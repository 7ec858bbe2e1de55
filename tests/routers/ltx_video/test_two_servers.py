"""One junctor has its videos made by another, in another process: made, told, cancelled, failed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from attrs import frozen

from junctor.conf.settings import Jobs, LtxVideo, Model, Network, Secret
from junctor.core.video.measure import measured
from junctor.plugins.remote.junctor import Junctor, JunctorSettings
from tests.fakes.installations import Site
from tests.fakes.server import Served, server_settings, serving
from tests.routers.ltx_video.house import API, engaged, submitted, until

pytestmark = pytest.mark.slow

NAME = "ltx23-standard"
CONFIG = f"""
extends = []
[loader]
allow = ["studio"]
[jobs]
poll_interval = 0.05
[ltx_video]
rounds = 1
[models."{NAME}"]
chain = ["studio:grey"]
[teams.acme]
requests_per_minute = 100000
"""
STUDIO = """
from junctor.core.cards import Capability
from junctor.core.errors import ProviderRejectedError
from junctor.core.hooks import hookimpl
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card

STEPS = {
    "make": Say("so far so good"),
    "wait": Hang(items=3),
    "fail": Fail(ProviderRejectedError("LEAK", provider="studio")),
}

class Studio(FakeTranscriber):
    async def generate_video(self, request, report, /):
        self.script.append(STEPS[request.prompt])
        await super().generate_video(request, report)

@hookimpl
def junctor_providers():
    makes = [Capability.GENERATE_VIDEO]
    return [Studio("studio", cards=[fake_card("grey", provider="studio", capabilities=makes)])]
"""


@frozen
class Far:
    """The other server."""

    url: str
    key: str

    async def latest(self) -> str:
        """Return the status of its youngest job."""
        async with httpx.AsyncClient(headers={"x-api-key": self.key}, trust_env=False) as client:
            answer = await client.get(f"{self.url}{API}")
        return str(answer.json()["data"][0]["status"])


@pytest.fixture(name="far", scope="module")
def _far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    site = Site.at(tmp_path_factory.mktemp("far"), CONFIG)
    site.add("studio", STUDIO)
    key = site.run("keys", "create", "--team", "acme")
    with site.serving() as url:
        yield Far(url, key)


@pytest.fixture(name="near")
async def _near(far: Far, tmp_path: Path) -> AsyncIterator[Served]:
    table = JunctorSettings(base_url=far.url, api_key=Secret(far.key), poll_interval=0.1)
    settings = server_settings(
        tmp_path,
        jobs=Jobs(poll_interval=0.05),
        ltx_video=LtxVideo(rounds=1),
        models={NAME: Model(chain=(f"junctor:{NAME}",))},
    )
    async with serving(settings, Junctor(table, Network())) as near:
        yield near


@pytest.fixture(name="client")
async def _client(near: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=near.url, headers=near.authorization, timeout=30, trust_env=False
    ) as client:
        yield client


async def test_from_one_to_the_other_and_back(
    near: Served, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """The file is the other's, and is charged here once."""
    told = await until(client, await submitted(client, prompt="make"))
    video = await client.get(told["video"]["url"])
    (tmp_path / "a.mp4").write_bytes(video.content)
    found = measured(tmp_path / "a.mp4")
    [charged] = [entry for entry in await near.entries() if entry.frames]

    assert (found.frames, found.width, found.height) == (48, 480, 480)
    assert (charged.provider, charged.frames) == ("junctor", 48)


async def test_told_and_cancelled(far: Far, client: httpx.AsyncClient) -> None:
    """Progress comes through while it works there, and a cancellation goes on to it."""
    job = await submitted(client, prompt="wait")
    told = await engaged(client, job)
    answer = await client.post(f"{API}/{job}/cancel")
    while await far.latest() == "processing":
        continue

    assert (told["progress"]["engine"], told["progress"]["model"]) == ("junctor", NAME)
    assert answer.json()["status"] == "canceled"
    assert await far.latest() == "canceled"


async def test_a_failure_there_is_one_here(client: httpx.AsyncClient) -> None:
    """In our words."""
    told = await until(client, await submitted(client, prompt="fail"))

    assert told["status"] == "failed"
    assert "LEAK" not in str(told)
