"""A vendor's fake on loopback, and started providers for it; a module says which `vendor`."""

from contextlib import AsyncExitStack

import pytest

from tests.plugins.remote.adapters import plugged


@pytest.fixture(name="fake")
async def _fake(vendor):
    async with vendor() as fake:
        yield fake


@pytest.fixture(name="start")
async def _start(fake):
    """Start a provider whose table differs from the fake's in these keys."""
    async with AsyncExitStack() as stack:

        async def start(**changes: object):
            provider = plugged(fake, **changes)
            stack.push_async_callback(provider.close)
            await provider.start()
            return provider

        yield start


@pytest.fixture(name="provider")
async def _provider(start):
    return await start()
