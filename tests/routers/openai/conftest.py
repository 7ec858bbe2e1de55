"""One server for all tests of a module; its provider starts afresh for each of them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from junctor.core.testing.fakes import FakeTranscriber, Say
from tests.fakes.server import Served, server_settings, serving

MORNING = Say("good morning all", language="th")


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="module")
async def _server(
    provider: FakeTranscriber, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    async with serving(server_settings(tmp_path_factory.mktemp("data")), provider) as server:
        yield server


@pytest.fixture(name="provider", scope="module")
def _provider() -> FakeTranscriber:
    return FakeTranscriber(then=MORNING)


@pytest.fixture(name="fake", autouse=True)
def _fake(provider: FakeTranscriber) -> FakeTranscriber:
    provider.script.clear()
    provider.calls.clear()
    provider.then = MORNING
    return provider
