"""The pool opens with its first user and closes with its last; httpx goes through it too."""

import asyncio
import sys

import httpx
import pytest

from junctor.core.errors import (
    ProviderAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool, PoolLimits, Target, json_body, network_faults
from tests.fakes.upstream import refused_url
from tests.waiting import patience

TARGET = Target("vendor", "model-1")


async def post(pool: Pool, url: str, *, timeout: float = 5.0) -> httpx.Response:  # noqa: ASYNC109
    client = await pool.http()
    with network_faults(TARGET):
        return await client.post(f"{url}/chat/completions", json={"model": "m"}, timeout=timeout)


async def test_last_user_closes(upstream):
    """It stays open while one user is left, and a close too many does no harm."""
    pool = Pool()
    await asyncio.gather(pool.open(), pool.open())
    relay = pool.relay
    await pool.close()
    await relay.post(
        f"{upstream.base_url}/x", headers={}, body=json_body({}), target=TARGET, within=2
    )
    await pool.close()
    await pool.close()
    await upstream.until(lambda: upstream.open_connections == 0)

    with pytest.raises(RuntimeError, match="not open"):
        _ = pool.relay


async def test_most_need_no_other_client(upstream):
    """A request over the relay imports neither aiohttp nor httpx, which are slow to import."""
    program = f"""
import asyncio, sys
from junctor.core.net import Pool, Target, json_body

async def run():
    pool = Pool()
    await pool.open()
    await pool.relay.post(
        {upstream.base_url!r}, headers={{}}, body=json_body({{}}), target=Target("v"), within=9
    )
    await pool.close()

asyncio.run(run())
print({{"aiohttp", "httpx"}} & set(sys.modules))
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()

    assert (1, b"set()") == (len(upstream.requests), out.strip())


async def test_opens_again(pool, upstream):
    """A closed pool can be opened again."""
    await pool.close()
    await pool.open()
    answer = await pool.relay.post(
        f"{upstream.base_url}/x", headers={}, body=json_body({}), target=TARGET, within=2
    )

    assert 200 == answer.status


async def test_httpx_keeps_its_connections(pool, upstream):
    """Requests behind the httpx door go over one connection, and the client is made once."""
    await post(pool, upstream.base_url)
    answer = await post(pool, upstream.base_url)

    assert (200, 1) == (answer.status_code, upstream.connections)
    assert await pool.http() is await pool.http()


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        ("reset", ProviderUnavailableError),
        ("close", ProviderUnavailableError),
        ("reset-mid-body", ProviderAnswerError),
        ("cut", ProviderAnswerError),
        ("garbage", ProviderAnswerError),
        ("huge", ProviderAnswerError),
        ("hang", ProviderTimeoutError),
    ],
)
async def test_httpx_faults(pool, upstream, mode, error):
    """The httpx door fails with the same errors as the relay."""
    with pytest.raises(error) as caught:
        await post(pool, upstream.url(mode), timeout=patience(error))

    assert "127.0.0.1" not in str(caught.value)


async def test_httpx_refused(pool):
    """The same for a port where nothing listens."""
    with pytest.raises(ProviderUnavailableError, match="refused"):
        await post(pool, refused_url())


async def test_httpx_stale_connection(pool, upstream):
    """A stale connection is replaced behind the httpx door too."""
    upstream.script("ok", "close")
    await post(pool, upstream.base_url)

    assert 200 == (await post(pool, upstream.base_url)).status_code


async def test_httpx_cancel(pool, upstream):
    """A cancel behind the httpx door reaches the upstream."""
    task = asyncio.create_task(post(pool, upstream.url("hang")))
    await upstream.until(lambda: len(upstream.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await upstream.until(lambda: upstream.cancelled == 1)


async def test_environment_is_ignored(pool, upstream, monkeypatch):
    """A proxy in the environment is not used unless the settings say so."""
    monkeypatch.setenv("HTTP_PROXY", refused_url())
    monkeypatch.setenv("http_proxy", refused_url())

    assert 200 == (await post(pool, upstream.base_url)).status_code


async def test_environment_is_obeyed_when_told(upstream, monkeypatch):
    """With `trust_env` the proxy of the environment is used."""
    monkeypatch.setenv("HTTP_PROXY", refused_url())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    pool = Pool(PoolLimits(trust_env=True))
    await pool.open()
    with pytest.raises(ProviderUnavailableError):
        await post(pool, upstream.base_url)
    await pool.close()

    assert 0 == upstream.connections
