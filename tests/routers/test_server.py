"""The process: it announces itself, reloads, and ends in order."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from junctor.conf.settings import Server
from junctor.core.errors import ConfigError
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import FakeTranscriber, Hang, Say
from junctor.routers.server import _bound
from tests.fakes.server import server_settings, serving

PROGRAM = """
import os, sys
from functools import partial
from pathlib import Path
from junctor.conf.loader import load
from junctor.conf.reload import prepare
from junctor.routers.server import serve

path = Path(sys.argv[1])
serve(
    load(path, os.environ),
    prepare=lambda current: prepare(path, os.environ, current=current),
    announce=partial(print, flush=True),
)
"""
CONFIG = """
default_model = "none:at-all"
[server]
port = 0
[loader]
allow = []
[telemetry]
log_format = "json"
log_level = "{level}"
"""


@asynccontextmanager
async def process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", PROGRAM, str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "JUNCTOR_DATA_DIR": str(config.parent / "data")},
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def line_with(stream: asyncio.StreamReader, text: bytes) -> bytes:
    while text not in (line := await stream.readline()):
        assert line, f"{text!r} never came"
    return line


@pytest.mark.slow
async def test_life_of_the_process(tmp_path):
    """It prints its URL, takes a good reload, refuses a bad one, and ends well at SIGTERM."""
    config = tmp_path / "junctor.toml"
    config.write_text(CONFIG.format(level="info"), "utf-8")
    async with process(config) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        announced = (await child.stdout.readline()).decode()
        config.write_text(CONFIG.format(level="shouting"), "utf-8")
        child.send_signal(signal.SIGHUP)
        refused = await line_with(child.stderr, b"reload_refused")
        config.write_text(CONFIG.format(level="warning"), "utf-8")
        child.send_signal(signal.SIGHUP)
        url = announced.split()[-1]
        async with aiohttp.ClientSession(url) as http, http.get("/health") as answer:
            health = await answer.json()
        child.terminate()
        code = await child.wait()

    assert announced.startswith("junctor is listening on http://127.0.0.1:")
    assert b"log_level" in refused
    assert ("unavailable", 0) == (health["status"], code)


async def test_address_in_use(tmp_path):
    """An address that is taken is a setting that is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = server_settings(tmp_path, server=Server(port=port))
        with pytest.raises(ConfigError, match=f"port {port}"):
            async with serving(settings):
                pass


async def test_start_that_fails_says_why(tmp_path):
    """An application that cannot open is an error of its own, not a silent end."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder"):
        async with serving(server_settings(tmp_path / "file")):
            pass


@pytest.mark.parametrize(("grace", "status"), [(5.0, 200), (0.1, 503)], ids=["waits", "ends"])
async def test_request_under_way_at_the_end(tmp_path, grace, status):
    """It gets the grace to finish; after that it is cut off, and its work is cancelled."""
    fake = FakeTranscriber()
    told = asyncio.Event()
    fake.script.append(Say("hi", after=told) if status == 200 else Hang())
    settings = server_settings(tmp_path, server=Server(port=0, shutdown_grace=grace))
    data = aiohttp.FormData()
    data.add_field("file", silent_clip(1.0).data, filename="a.wav")

    async with aiohttp.ClientSession() as http:
        async with serving(settings, fake) as server:
            request = asyncio.create_task(
                http.post(
                    f"{server.url}/v1/audio/transcriptions",
                    data=data,
                    headers=server.authorization,
                )
            )
            await fake.called()
            told.set()
        answer = await request

    assert status == answer.status
    assert fake.calls[0].outcome == ("done" if status == 200 else "cancelled")


async def test_answers_leave_at_once():
    """No connection waits with the end of an answer until its beginning is acknowledged."""
    accepted = asyncio.get_running_loop().create_future()
    with _bound(Server(port=0)) as listener:
        server = await asyncio.start_server(
            lambda _, writer: accepted.set_result(writer), sock=listener
        )
        _, ours = await asyncio.open_connection(*listener.getsockname())
        theirs = await accepted
        delay = theirs.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        for writer in (ours, theirs):
            writer.close()
            await writer.wait_closed()
        server.close()

    assert delay == 1
