"""Two replicas of vLLM's stand-in behind a whole server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import json

from junctor.core.engine.spec import EngineState
from tests.fakes.server import Served, server_settings, serving
from tests.fakes.vllm import model_settings, provider_of
from tests.waiting import until

ASKED = {"model": "vllm:qwen", "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def replicas(folder: Path, count: int) -> AsyncIterator[tuple[Served, aiohttp.ClientSession]]:
    """A server with so many replicas, all of them ready, and a client with its key."""
    provider = provider_of(folder, qwen=model_settings(replicas=count))
    settings = server_settings(folder, default_model="vllm:qwen")
    async with (
        serving(settings, provider) as server,
        aiohttp.ClientSession(server.url, headers=server.authorization) as http,
    ):
        engines = provider.engines
        await until(lambda: {one.state for one in engines().values()} == {EngineState.READY})
        yield server, http


async def ask(http: aiohttp.ClientSession) -> tuple[int, Any]:
    """Ask once; the status, and what the stand-in tells."""
    async with http.post("/v1/chat/completions", json=ASKED) as answer:
        body = await answer.json()
        if answer.status != 200:
            return answer.status, body
        return answer.status, json.decode(body["choices"][0]["message"]["content"])


async def test_no_request_fails_when_a_replica_is_killed(tmp_path: Path):
    """Requests go on with the other replica when one is killed, and both serve again later."""
    async with replicas(tmp_path, 2) as (_, http):
        _, told = await ask(http)
        os.kill(told["pid"], signal.SIGKILL)
        answers = await asyncio.gather(*(ask(http) for _ in range(40)))
        async with http.get("/health") as answer:
            health = await answer.json()

    assert [body for status, body in answers if status != 200] == []
    assert {one["crashes"] for one in health["engines"].values()} <= {0, 1}
    assert set(health["engines"]) == {"vllm:qwen@1", "vllm:qwen@2"}


async def test_nobody_left_is_no_answer(tmp_path: Path):
    """With its only replica gone, a request fails soon, and as the contract says."""
    async with replicas(tmp_path, 1) as (_, http):
        _, told = await ask(http)
        os.kill(told["pid"], signal.SIGKILL)
        status, body = await ask(http)

    assert status in {502, 503}  # refused by the dead one, or known to be gone
    assert body["error"]["type"] == "server_error"


async def test_a_stream_is_relayed_and_metered(tmp_path: Path):
    """A stream ends with `[DONE]`, names the model as the caller did, and is charged as vLLM says."""
    async with replicas(tmp_path, 2) as (server, http):
        async with http.post("/v1/chat/completions", json={**ASKED, "stream": True}) as answer:
            lines = (await answer.text()).split("\n\n")
        [entry] = await server.entries()

    assert lines[-2:] == ["data: [DONE]", ""]
    assert json.decode(lines[0].removeprefix("data: "))["model"] == "vllm:qwen"
    assert (entry.prompt_tokens, entry.completion_tokens) == (3, 2)
