"""An upstream that speaks the OpenAI API, and a started provider for it."""

from contextlib import AsyncExitStack

import pytest

from junctor.conf.settings import Secret
from junctor.core.net import Pool
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings
from tests.fakes.upstream import Upstream

KEY = "sk-very-secret"


@pytest.fixture(name="upstream")
async def _upstream():
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture(name="start")
async def _start(upstream):
    """Start a provider of OpenAI's own models, and of more."""
    async with AsyncExitStack() as stack:

        async def start(
            base_url: str = "", *, within: float = 5.0, **models: ModelSettings
        ) -> OpenAIProvider:
            settings = ProviderSettings(
                base_url=base_url or upstream.base_url,
                api_key=Secret(KEY),
                organization="org-1",
                default_models=True,
                timeout=within,
                models=models,
            )
            provider = OpenAIProvider("openai", settings, Pool())
            stack.push_async_callback(provider.close)
            await provider.start()
            return provider

        yield start


@pytest.fixture(name="provider")
async def _provider(start):
    return await start()
