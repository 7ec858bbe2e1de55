"""Amazon on loopback, and a started provider for it."""

from contextlib import AsyncExitStack

import pytest

from junctor.conf.settings import Settings
from junctor.plugins.remote.aws import Amazon, junctor_providers
from tests.fakes.vendors.aws import AmazonFake


@pytest.fixture(name="fake")
async def _fake():
    async with AmazonFake() as fake:
        yield fake


@pytest.fixture(name="start")
async def _start(fake):
    """Start a provider whose table differs from the fake's in these keys."""
    async with AsyncExitStack() as stack:

        async def start(**changes: object) -> Amazon:
            table = {**fake.settings_table(), **changes}
            (provider,) = junctor_providers(Settings(plugins={"aws": table}))
            assert isinstance(provider, Amazon)
            stack.push_async_callback(provider.close)
            await provider.start()
            return provider

        yield start


@pytest.fixture(name="provider")
async def _provider(start):
    return await start()
