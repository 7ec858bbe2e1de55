"""A client of `/api/thai-asr`, and servers for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from attrs import define
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from junctor.conf.settings import Live, Model, Policy
from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import Transcript
from tests.fakes.server import Served, server_settings, serving
from tests.fakes.windows import WindowListener

PREFIX = "/api/thai-asr"
LEGACY = "/v2/asr/low-latency/th"
QUICK = Live(max_speed=1e6, stall=5.0)
TONES: dict[str, Any] = {"vad": False, "partial_interval_ms": 20, "min_decode_audio_ms": 100}
"""A config for the tones of `tests.fakes.listeners`, which are no speech to a detector."""


class Ear(WindowListener):
    """Can do whole recordings too, as every engine of windows, and is never asked to."""

    async def transcribe(self, request: TranscribeRequest, /) -> Transcript:
        raise AssertionError(request.model)


@define
class Client:
    """One socket, and what came out of it."""

    socket: ClientConnection
    got: list[dict[str, Any]]

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def start(self, **config: Any) -> dict[str, Any]:
        """Begin, and return `started`."""
        await self.until("ready")
        await self.send(type="start", **config)
        return await self.until("started")

    async def say(self, pcm: bytes, *, size: int = 640) -> None:
        """Send audio, as far as somebody takes it."""
        with suppress(ConnectionClosed):
            for at in range(0, len(pcm), size):
                await self.socket.send(pcm[at : at + size])
                await asyncio.sleep(0)

    async def end(self, kind: str = "end") -> dict[str, Any]:
        """End an utterance, and return its final."""
        await self.send(type=kind)
        return await self.until("final")

    async def until(self, kind: str) -> dict[str, Any]:
        """Read as far as a message of that type."""
        while True:
            self.got.append(json.loads(await self.socket.recv()))
            if self.got[-1]["type"] == kind:
                return self.got[-1]

    async def read(self) -> int:
        """Read to the end, and return the close code."""
        try:
            while True:
                self.got.append(json.loads(await self.socket.recv()))
        except ConnectionClosed:
            return self.socket.close_code or 0

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.got if message["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [message["type"] for message in self.got]


@asynccontextmanager
async def house(folder: Path, *providers: Any, **settings: Any) -> AsyncIterator[Served]:
    """Serve captions with these providers, in that order."""
    chain = tuple(card.name for provider in providers for card in provider.models())
    settings = {
        "live": QUICK,
        "models": {"thai-asr": Model(chain=chain or ("nobody:here",))},
        "policy": Policy(backoff=0.01),
        **settings,
    }
    async with serving(server_settings(folder, **settings), *providers) as served:
        yield served


async def asked(
    served: Served,
    path: str,
    *,
    key: str | None = None,
    more_headers: dict[str, str] | None = None,
    **more: Any,
) -> Any:
    """Answer an HTTP request of this contract; a body makes it a POST."""
    headers = {"x-api-key": served.key if key is None else key, **(more_headers or {})}
    async with httpx.AsyncClient(base_url=served.url) as http:
        method = "POST" if more else "GET"
        return await http.request(method, path, headers=headers, **more)


async def session(served: Served, prefix: str = PREFIX, **config: Any) -> dict[str, Any]:
    """Ask for a session."""
    answer = await asked(served, f"{prefix}/sessions", json=config)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@asynccontextmanager
async def opened(url: str, key: str | None, **more: Any) -> AsyncIterator[Client]:
    """Open a socket as a browser does."""
    suffix = f"&api_key={key}" if key is not None else ""
    async with connect(url + suffix, **more) as socket:
        yield Client(socket, [])


@asynccontextmanager
async def client(served: Served, /, **config: Any) -> AsyncIterator[Client]:
    """Ask for a session of that config, and open its socket."""
    found = await session(served, **config)
    async with opened(found["ws_url"], served.key) as one:
        yield one
