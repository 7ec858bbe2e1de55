"""kill -9 in the middle of many uploads: the ledger equals what was served."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from junctor.core.testing.clips import silent_clip
from tests.fakes.upstream import Upstream

UPLOADS = 200
KILLED_AFTER = 60
"""Answers read when the process is killed; every third upload hangs upstream and gets none."""
CLIP = silent_clip(1.5)
COMMAND = (sys.executable, "-m", "junctor.routers.cli")
CONFIG = """
default_model = "vendor:whisper-1"
[server]
port = 0
[storage]
data_dir = "{folder}/data"
usage_batch = 7
usage_interval = 0.02
[team_defaults]
requests_per_minute = 10000
concurrency = 1000
[loader]
allow = ["openai"]
[plugins.openai.providers.vendor]
base_url = "{upstream}"
api_key = "vendor-key"
models.whisper-1 = {{}}
"""


async def junctor(config: Path, *arguments: str) -> str:
    """Run a command to its end and return what it prints."""
    child = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, "--config", str(config), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    return out.decode().strip()


@asynccontextmanager
async def server(config: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Serve in a process of its own; yield it and its URL."""
    log = await asyncio.to_thread(config.with_suffix(".log").open, "ab")
    child = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("serve", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
    )
    log.close()
    assert child.stdout is not None
    try:
        yield child, (await child.stdout.readline()).decode().split()[-1]
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


async def upload(session: aiohttp.ClientSession, url: str, name: str) -> str | None:
    """Send one clip; return its request id if the whole answer was read."""
    form = aiohttp.FormData({"model": "vendor:whisper-1"})
    form.add_field("file", CLIP.data, filename="a.wav")
    try:
        async with session.post(
            f"{url}/v1/audio/transcriptions", data=form, headers={"x-request-id": name}
        ) as answer:
            body = await answer.text()
    except aiohttp.ClientError:
        return None
    assert answer.status == 200, body
    return name


async def killed_in_the_middle(config: Path, key: str) -> set[str]:
    """Upload all at once, kill the server after some answers; return whose answer was read."""
    served: set[str] = set()
    connector = aiohttp.TCPConnector(limit=UPLOADS)
    headers = {"authorization": f"Bearer {key}"}
    async with (
        server(config) as (child, url),
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
    ):
        tasks = [asyncio.create_task(upload(session, url, f"u{n}")) for n in range(UPLOADS)]
        for done in asyncio.as_completed(tasks):
            name = await done
            if name is not None:
                served.add(name)
            if len(served) == KILLED_AFTER and child.returncode is None:
                os.kill(child.pid, signal.SIGKILL)
    return served


def ledger(folder: Path) -> list[tuple[str, str, int, int]]:
    """Return request id, outcome, frames and rate of every entry."""
    with sqlite3.connect(folder / "data" / "junctor.db") as database:
        sql = "SELECT request_id, outcome, frames, rate FROM ledger_entries"
        rows = database.execute(sql).fetchall()
    database.close()
    return rows


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_after_kill_9_the_ledger_equals_what_was_served(tmp_path: Path) -> None:
    """Each answer read is charged once, exactly; the rest are closed and cost nothing."""
    config = tmp_path / "junctor.toml"
    async with Upstream() as upstream:
        upstream.script(*["ok", "ok", "hang"] * (UPLOADS // 3 + 1))
        config.write_text(CONFIG.format(folder=tmp_path, upstream=upstream.url()), "utf-8")
        key = await junctor(config, "keys", "create", "--team", "acme")
        served = await killed_in_the_middle(config, key)
        async with server(config):
            pass  # the start replays the journal, the stop folds what is left
    entries = ledger(tmp_path)
    charged = [name for name, _, frames, _ in entries if frames]
    open_ones = {outcome for _, outcome, frames, _ in entries if not frames}

    assert KILLED_AFTER <= len(served) < UPLOADS
    assert len(charged) == len(set(charged))
    assert served <= set(charged)
    # One process, one thread: at most the answer it was sending when it died was not read.
    assert len(set(charged) - served) <= 1
    assert {(frames, rate) for _, _, frames, rate in entries if frames} == {(24_000, 16_000)}
    assert open_ones == {"interrupted"}
    assert len(entries) <= UPLOADS
