"""One server for all tests of a module that change nothing of it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fakes.server import Served
from tests.routers.thai_asr.clients import Ear, house


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="home")
async def _home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with house(tmp_path_factory.mktemp("home"), Ear("ear")) as served:
        yield served
