"""Servers of others that are watched."""

import asyncio

import pytest

from junctor.core.engine.server_health import HealthCheck
from junctor.core.engine.server_watch import WatchedServer, WatchSpec
from junctor.core.engine.spec import EngineState
from tests.fakes.upstream import Mode, Upstream
from tests.waiting import until


@pytest.mark.parametrize(
    "listed",
    [
        b'{"data":[{"id":"\xff"}]}',
        b'{"data":[],"more":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"<html>",
    ],
    ids=["no UTF-8", "nested", "no JSON"],
)
async def test_a_list_of_models_that_is_none_does_not_end_the_watch(listed: bytes) -> None:
    """It is looked at again, and found ready once it tells its models."""
    async with Upstream() as upstream:
        models = Mode(body=b'{"data":[{"id":"tiny"}]}')
        upstream.script(Mode(body=b"{}"), Mode(body=listed), Mode(body=b"{}"), models)
        url = f"http://127.0.0.1:{upstream.port}"
        check = HealthCheck(name="test:tiny", path="/health", headers={}, timeout=5.0)
        server = WatchedServer(
            WatchSpec(name="test:tiny", url=url, model="tiny", check=check, interval=0.01)
        )
        await server.start()
        async with asyncio.timeout(10):
            await until(lambda: server.state is EngineState.READY)
        await server.close()

    assert server.state is EngineState.CLOSED
