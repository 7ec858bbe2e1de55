"""A server as it ships: `junctor serve` in a process of its own, with the embedded engines."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import openai
from attrs import frozen

COMMAND = (sys.executable, "-m", "junctor.routers.cli")


@frozen
class Server:
    """A running server, and a key of the team `acme`."""

    url: str
    key: str
    env: dict[str, str]

    def sdk(self, prefix: str = "/v1") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=self.key, base_url=self.url + prefix, max_retries=0)

    async def key_of(self, team: str) -> str:
        """Make a key of another team."""
        return await _printed(self.env, "keys", "create", "--team", team)

    async def token(self) -> str:
        """Have a token issued for the team `acme`."""
        return await _printed(self.env, "tokens", "issue", "--team", "acme")


@asynccontextmanager
async def shipped(
    folder: Path, config: str = "", *, log: Path | None = None
) -> AsyncIterator[Server]:
    """
    Serve, from the data in `folder`.

    Args:
        folder: an empty one.
        config: a file's text (TOML); without it the defaults count.
        log: where what the server logs is written; None for the log of the tests.

    """
    env = {**os.environ, "JUNCTOR_DATA_DIR": str(folder / "data")}
    if config:
        env["JUNCTOR_CONFIG"] = str(folder / "junctor.toml")
        await asyncio.to_thread((folder / "junctor.toml").write_text, config, "utf-8")
    key = await _printed(env, "keys", "create", "--team", "acme")
    with ExitStack() as stack:
        stderr = stack.enter_context(log.open("wb")) if log else None
        child = await asyncio.create_subprocess_exec(
            *(*COMMAND, "serve", "--port", "0"),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    assert child.stdout is not None
    yield Server((await child.stdout.readline()).decode().split()[-1], key, env)
    child.terminate()
    assert await child.wait() == 0


async def _printed(env: dict[str, str], *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *arguments), env=env, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode().strip()
