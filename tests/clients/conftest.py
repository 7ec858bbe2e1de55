"""A server as it ships, and a site of a client's; once for all tests, since engines start slowly."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients.recordings import SPEAKERS, needed
from tests.clients.scripted import acted
from tests.clients.shipped import Server, shipped
from tests.clients.site import Site, published
from tests.fakes.chat_upstream import ChatUpstream

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

CHAT_CONFIG = """
extends = "default"

[models.scripted]
chain = ["scripted:own"]

[models.busy]
chain = ["scripted:busy"]

[models.breaking]
chain = ["scripted:breaking"]

[models.deaf]
chain = ["scripted:deaf"]

[plugins.openai.providers.scripted]
base_url = "{url}"
keyless = true
models = {{ own = {chats}, busy = {chats}, breaking = {chats}, deaf = {chats} }}

[breaker]
failures = 1000

[teams.tight]
requests_per_minute = 1
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


@pytest_asyncio.fixture(name="chat", scope="session", loop_scope="session")
async def _chat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server with the embedded model, and with models of an upstream that follows a script."""
    async with ChatUpstream(then=acted) as upstream:
        config = CHAT_CONFIG.format(url=upstream.base_url, chats='{ capabilities = ["chat"] }')
        async with shipped(tmp_path_factory.mktemp("chat"), config) as server:
            yield server
