"""A server whose video provider is scripted, and a client of its team."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import evolve

from junctor.conf.settings import Jobs, LtxVideo, Model
from junctor.core.cards import Capability
from junctor.core.testing.fakes import FakeTranscriber, Say, fake_card
from junctor.core.testing.pictures import picture_of
from tests.fakes.server import Served, server_settings, serving

API = "/api/ltx23/v1/videos"
PICTURE = picture_of(96, 96)
OVER = frozenset({"done", "failed", "canceled"})
QUICK = {"duration": 2, "aspect_ratio": "1:1", "resolution": "480p"}
NAMES = ("ltx23-standard", "ltx23-standard-fast", "ltx-2.3")


def data_url(picture: bytes = PICTURE, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(picture).decode()}"


def studio(name: str = "studio", *, then: Any = None, **card: Any) -> FakeTranscriber:
    """A provider that makes grey videos, or does what `then` says."""
    made = evolve(
        fake_card("grey", provider=name),
        capabilities=frozenset({Capability.GENERATE_VIDEO}),
        max_seconds=10.0,
        price=6.0,
    )
    return FakeTranscriber(name, cards=[evolve(made, **card)], then=then or Say("so far so good"))


@asynccontextmanager
async def house(
    folder: Path, *providers: FakeTranscriber, **more: Any
) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    chain = tuple(f"{one.name}:grey" for one in providers)
    settings = {
        "jobs": Jobs(poll_interval=0.05),
        "ltx_video": LtxVideo(rounds=1),
        "models": {name: Model(chain=chain) for name in NAMES},
        **more,
    }
    async with (
        serving(server_settings(folder, **settings), *providers) as served,
        httpx.AsyncClient(
            base_url=served.url, headers=served.authorization, timeout=30, trust_env=False
        ) as client,
    ):
        yield served, client


async def submit(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {})
    document = {"prompt": "zoom in", "image": {"url": data_url()}, **QUICK, **fields}
    return await client.post(f"{API}/generations", json=document, headers=headers)


async def submitted(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await submit(client, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def shown(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    answer = await client.get(f"{API}/{job}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def fact(told: Callable[[], object]) -> None:
    """Look again until something is true."""
    async with asyncio.timeout(30):
        while not told():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def engaged(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    """Poll a job until an engine tells how far it is."""
    async with asyncio.timeout(30):
        told = await shown(client, job)
        while "engine" not in told.get("progress", {}):
            await asyncio.sleep(0.01)
            told = await shown(client, job)
    return told


async def at(client: httpx.AsyncClient, job: str, stage: str) -> None:
    """Poll a job until it is at a stage, or over."""
    async with asyncio.timeout(30):
        told = await shown(client, job)
        while told.get("progress", {}).get("stage", stage) != stage:
            await asyncio.sleep(0.01)
            told = await shown(client, job)


async def until(client: httpx.AsyncClient, job: str, *statuses: str) -> dict[str, Any]:
    """Poll a job, as clients do, until it has one of the statuses, or is over."""
    async with asyncio.timeout(60):
        while True:
            told = await shown(client, job)
            if told["status"] in OVER.union(statuses):
                return told
            await asyncio.sleep(0.02)
