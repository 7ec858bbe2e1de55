"""
What one relayed upload costs this process, beside other ways of sending it.

``python -m benchmarks.upload_clients`` starts a quick upstream in another process, sends the same
320 KB recording to it through each client in turn, some rounds over, and prints CPU time per
request and its ratio to ours. Quote ratios of one run only.
"""

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from statistics import median
from time import process_time

import aiohttp
import httpx
import uvloop

from junctor.conf.settings import Secret
from junctor.core.audio.clip import Clip
from junctor.core.net import Pool
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import noise_clip
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings

SECONDS = 10.0
"""Length of the recording: 320 KB of 16-bit samples at 16 kHz."""
CONCURRENCY = 8
FIELDS = {"model": "whisper-1", "response_format": "json", "language": "en"}
HEADERS = {"Authorization": "Bearer sk-benchmark"}
Send = Callable[[], Awaitable[object]]


async def clients(base_url: str, clip: Clip, stack: AsyncExitStack) -> dict[str, Send]:
    """Return one way to send the recording for each client."""
    url = f"{base_url}/audio/transcriptions"
    pool = Pool()
    settings = ProviderSettings(
        base_url=base_url, api_key=Secret("sk-benchmark"), models={"whisper-1": ModelSettings()}
    )
    provider = OpenAIProvider("openai", settings, pool)
    await provider.start()
    stack.push_async_callback(provider.close)
    session = await stack.enter_async_context(aiohttp.ClientSession())
    bare = await stack.enter_async_context(httpx.AsyncClient())
    request = TranscribeRequest(audio=clip, model="whisper-1", language="en")

    async def form_data() -> None:
        form = aiohttp.FormData(FIELDS)
        form.add_field("file", clip.data, filename="audio.wav", content_type="audio/wav")
        async with session.post(url, data=form, headers=HEADERS) as answer:
            await answer.json()

    def through(client: httpx.AsyncClient) -> Send:
        async def send() -> None:
            files = {"file": ("audio.wav", clip.data, "audio/wav")}
            (await client.post(url, data=FIELDS, files=files, headers=HEADERS)).json()

        return send

    return {
        "junctor's openai provider": lambda: provider.transcribe(request),
        "aiohttp, FormData": form_data,
        "httpx on the pool": through(await pool.http()),
        "httpx": through(bare),
    }


async def cost(send: Send, requests: int) -> float:
    """Return the CPU time of one request, µs."""

    async def several() -> None:
        for _ in range(requests // CONCURRENCY):
            await send()

    await send()
    began = process_time()
    await asyncio.gather(*(several() for _ in range(CONCURRENCY)))
    return (process_time() - began) / (requests // CONCURRENCY * CONCURRENCY) * 1e6


async def measure(base_url: str, *, requests: int, rounds: int) -> None:
    """Measure all clients, round by round, and print their medians."""
    async with AsyncExitStack() as stack:
        ways = await clients(base_url, noise_clip(SECONDS), stack)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, send in ways.items():
                found[name].append(await cost(send, requests))
    ours = median(found["junctor's openai provider"])
    for name, costs in found.items():
        print(f"{name:28}{median(costs):8.0f} µs{median(costs) / ours:7.2f} x ours")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upload_clients")
    parser.add_argument("--requests", type=int, default=400, help="requests a round and client")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    command = [sys.executable, "-m", "tests.fakes.upstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as upstream:
        assert upstream.stdout is not None
        try:
            base_url = upstream.stdout.readline().split()[-1]
            uvloop.run(measure(base_url, requests=options.requests, rounds=options.rounds))
        finally:
            upstream.terminate()


if __name__ == "__main__":
    main()
