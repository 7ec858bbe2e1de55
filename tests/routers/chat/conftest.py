"""One server for all tests of a module, and the chat servers behind it, which start afresh for each."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from junctor.conf.settings import Settings
from junctor.plugins.remote import openai
from tests.fakes.chat_client import PATHS, ChatClient, chatting
from tests.fakes.chat_settings import NAMES, PATIENT, chat_settings
from tests.fakes.chat_upstream import ChatUpstream
from tests.fakes.server import Served, serving


@pytest_asyncio.fixture(name="upstreams", scope="module", loop_scope="module")
async def _upstreams() -> AsyncIterator[list[ChatUpstream]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ChatUpstream()) for _ in NAMES]


@pytest.fixture(name="settings", scope="module")
def _settings(
    request: pytest.FixtureRequest,
    upstreams: list[ChatUpstream],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """A module may have a `POLICY` of its own."""
    policy = getattr(request.module, "POLICY", PATIENT)
    return chat_settings(tmp_path_factory.mktemp("data"), upstreams, policy=policy)


@pytest_asyncio.fixture(name="server", scope="module", loop_scope="module")
async def _server(settings: Settings) -> AsyncIterator[Served]:
    async with serving(settings, openai=openai) as server:
        yield server


@pytest_asyncio.fixture(name="client", scope="module", loop_scope="module")
async def _client(server: Served) -> AsyncIterator[ChatClient]:
    async with chatting(server) as client:
        yield client


@pytest.fixture(autouse=True)
def _afresh(upstreams: list[ChatUpstream]) -> Iterator[None]:
    yield
    for one in upstreams:
        one.forget()


@pytest.fixture(name="upstream")
def _upstream(upstreams: list[ChatUpstream]) -> ChatUpstream:
    return upstreams[0]


@pytest.fixture(name="second")
def _second(upstreams: list[ChatUpstream]) -> ChatUpstream:
    return upstreams[1]


@pytest.fixture(name="anywhere", params=PATHS)
def _anywhere(client: ChatClient, request: pytest.FixtureRequest) -> Iterator[ChatClient]:
    """Ask on each of the two prefixes."""
    client.path = request.param
    yield client
    client.path = PATHS[0]
