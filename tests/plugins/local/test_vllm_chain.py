"""A whole junctor as the supervised child of another, with a model server of its own under it."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from junctor.conf.settings import Secret
from junctor.core.chat.dialect import request_of, text_of
from junctor.core.engine.server_process import ServerProcess
from junctor.core.engine.server_spec import ServerSpec
from junctor.core.requests import ChatRequest
from junctor.plugins.local.vllm_settings import VllmModelSettings
from tests.core.engine.test_server_process import lives
from tests.fakes.vllm import SITE, provider_of
from tests.plugins.local.test_vllm import all_ready
from tests.waiting import until

CONFIG = f"""
default_model = "vllm:qwen"

[storage]
data_dir = "{{folder}}"

[loader]
allow = ["vllm"]

[plugins.vllm.models.qwen]
python = "{sys.executable}"
model = "Qwen/Qwen3-4B"
environ = {{{{ PYTHONPATH = "{SITE}" }}}}
health_interval = 0.05
"""
JUNCTOR = (sys.executable, "-m", "junctor.routers.cli")


async def made_key(config: Path) -> str:
    """Make a key as an operator does."""
    process = await asyncio.create_subprocess_exec(
        *(*JUNCTOR, "keys", "create", "--team", "acme", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return out.decode().strip()


@asynccontextmanager
async def supervised(folder: Path):
    """A junctor that this one keeps alive, when its own model server is ready; and its key."""
    config = folder / "junctor.toml"
    config.write_text(CONFIG.format(folder=folder), "utf-8")
    key = await made_key(config)
    spec = ServerSpec(
        name="test:junctor",
        command=(*JUNCTOR, "serve", "--config", str(config), "--port", "{port}"),
        log_file=folder / "junctor.log",
        ready_model="qwen",
        headers={"Authorization": f"Bearer {key}"},
        health_interval=0.1,
        backoff=0.1,
    )
    server = ServerProcess(spec)
    await server.start()
    try:
        await server.wait_ready(40)
        yield server, key
    finally:
        await server.close()


async def engine_is_ready(url: str) -> None:
    """Wait until the junctor at this URL says that its model server is ready."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{url}/health") as answer:
                if (await answer.json())["engines"]["vllm:qwen"]["state"] == "ready":
                    return
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_junctor_keeps_a_junctor_alive_and_asks_it(tmp_path: Path):
    """It is ready when it lists its model, is asked as any other server, and leaves nothing behind."""
    async with supervised(tmp_path) as (server, key):
        await engine_is_ready(server.url)
        settings = VllmModelSettings(
            urls=(server.url,), model="qwen", api_key=Secret(key), reasoning="none"
        )
        ours = await all_ready(provider_of(tmp_path, chat=settings))
        request = request_of([{"role": "user", "content": "Hello"}])
        reply = await ours.chat(ChatRequest(body=request.body, model="chat"))
        await ours.close()
        pid = server.status.pid or 0

    assert '"temperature": 0.7' in text_of(reply.body)
    await until(lambda: not lives(pid))
