"""A server as it ships, and a site of a client's; once for all tests, since engines start slowly."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients.recordings import SPEAKERS, needed
from tests.clients.shipped import Server, shipped
from tests.clients.site import Site, published

CONFIG = """
extends = "default"

[server]
cors_origins = ["{site}"]

[network]
allowed_private = ["127.0.0.0/8"]

[tokens]
secret = "no-one-can-guess-these-32-bytes-or-so"

[callbacks]
secret = "told-to-the-receiver"

[jobs]
poll_interval = 0.1
"""


@pytest_asyncio.fixture(name="site", scope="session", loop_scope="session")
async def _site() -> AsyncIterator[Site]:
    needed(SPEAKERS)
    async with published() as site:
        yield site


@pytest_asyncio.fixture(name="speech", scope="session", loop_scope="session")
async def _speech(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that lets the site's pages in, and calls the site back."""
    folder = tmp_path_factory.mktemp("speech")
    async with shipped(folder, CONFIG.format(site=site.url)) as server:
        yield server
