"""A fake of Google's services, and started providers for it."""

from contextlib import AsyncExitStack

import pytest

from junctor.conf.settings import Settings
from junctor.plugins.remote.google import Google, junctor_providers
from tests.fakes.vendors.google import GoogleFake


@pytest.fixture(name="fake")
async def _fake():
    async with GoogleFake() as fake:
        yield fake


@pytest.fixture(name="start")
async def _start(fake):
    """Start a provider; what is given changes the table, and None takes a key out of it."""
    async with AsyncExitStack() as stack:

        async def start(**changed: object) -> Google:
            table = {**fake.settings_table(), **changed}
            table = {key: value for key, value in table.items() if value is not None}
            (provider,) = junctor_providers(Settings(plugins={"google": table}))
            stack.push_async_callback(provider.close)
            await provider.start()
            return provider

        yield start


@pytest.fixture(name="provider")
async def _provider(start):
    return await start()


@pytest.fixture(name="google")
async def _google(start):
    return await start()
