"""`junctor serve` in a process of its own, its real engine, and a log at its most talkative."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from attrs import define, field

from tests.plugins.local.voices import bare, say
from tests.routers.test_kill import junctor, server
from tests.routers.thai_asr.clients import PREFIX, Client, opened

CONFIG = """
[server]
port = 0
[storage]
data_dir = "{folder}/data"
usage_interval = 0.02
[loader]
allow = ["whisper"]
[telemetry]
log_level = "debug"
otlp_endpoint = "{collector}"
[plugins.whisper.models.junctor-tiny]
cpu_threads = 1
"""
SENTENCES = ("สวัสดี ครับ ยินดี ช่วย", "ขอบคุณ มาก ครับ")


@define
class Collector:
    """Takes spans."""

    url: str = ""
    bodies: list[bytes] = field(factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response()


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    found = Collector()
    app = web.Application()
    app.router.add_post("/{any:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    found.url = f"http://{host}:{port}"
    try:
        yield found
    finally:
        await runner.cleanup()


async def asked(url: str, key: str) -> dict[str, Any]:
    async with httpx.AsyncClient(headers={"x-api-key": key}) as http:
        answer = await http.post(f"{url}{PREFIX}/sessions", json={})
        found: dict[str, Any] = answer.json()
    return found


async def mistaken(url: str, key: str) -> None:
    """Make the mistakes that could quote a key."""
    ws_url = url.replace("http", "ws", 1) + f"{PREFIX}/stream?session_id=none"
    for wrong in (key, key[:-1] + "!", f"{key}&api_key={key}"):
        async with opened(ws_url, wrong) as one:
            assert await one.read() == 4401
            assert key not in str(one.got)
    async with httpx.AsyncClient() as http:
        for path in (f"{PREFIX}/stream", f"{PREFIX}/nowhere", f"{PREFIX}/config"):
            answer = await http.get(f"{url}{path}?api_key={key}")
            assert answer.status_code in {401, 404, 405}
            assert key not in answer.text


async def captioned(one: Client) -> list[str]:
    """Say the sentences in Thai, in real time's stead as fast as it is taken."""
    await one.start()
    for sentence in SENTENCES:
        await one.say(say(sentence, voice="th").data[44:])
        await one.end()
    return [final["text"] for final in one.of("final")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_thai_by_the_engine_of_the_house(tmp_path: Path) -> None:
    """The finals are what was said; and no key is in the log, the spans, the metrics or on disk."""
    async with collector() as spans:
        config = tmp_path / "junctor.toml"
        config.write_text(CONFIG.format(folder=tmp_path, collector=spans.url), "utf-8")
        key = (await junctor(config, "keys", "create", "--team", "acme")).split()[-1]
        async with server(config) as (_, url):
            found = await asked(url, key)
            async with opened(found["ws_url"], key) as one:
                finals = await captioned(one)
            await mistaken(url, key)
            async with httpx.AsyncClient() as http:
                metrics = (await http.get(f"{url}/metrics")).text

    written = {
        **contents(tmp_path),
        "metrics": metrics.encode(),
        "spans": b"".join(spans.bodies),
    }
    log, secret = written["junctor.log"], key.split("_")[-1].encode()
    assert [bare(text) for text in finals] == [bare(text) for text in SENTENCES]
    assert found["engine"] == one.of("final")[0]["engine"] == "whisper"
    assert {"speech_start", "partial", "stabilized_partial"} <= set(one.kinds)
    assert log.count(b'"operation":"stream"') >= 4
    assert b"thai_asr stream" in written["spans"]
    assert b'contract="thai_asr"' in written["metrics"]
    assert [name for name, content in written.items() if secret[:-1] in content] == []
