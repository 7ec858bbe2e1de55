"""The OpenAI provider keeps the promises of every provider."""

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.audio.clip import Clip
from junctor.core.cards import Capability
from junctor.core.net import Pool
from junctor.core.providers import Provider
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.testing.live import LiveConformance
from junctor.plugins.remote.openai import junctor_providers
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import ModelSettings, ProviderSettings
from tests.fakes.upstream import Upstream
from tests.fakes.vendors.openai import OpenAIFake

CLIP = tone_clip(2.0)


class OverUpstream(ProviderConformance):
    """One model of a provider whose upstream is slow with long recordings."""

    model: ClassVar[str]
    patience = 10.0

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    def provider(self, upstream: Upstream) -> Provider:
        upstream.drip_above = 2 * len(CLIP.data)
        self.upstream = upstream
        settings = ProviderSettings(
            base_url=upstream.base_url,
            api_key=Secret("sk-1"),
            models={
                self.model: ModelSettings(),
                "talker": ModelSettings(capabilities=frozenset({Capability.CHAT})),
            },
        )
        return OpenAIProvider("openai", settings, Pool())

    async def stopped(self, provider: Provider) -> None:
        await self.upstream.until(lambda: self.upstream.cancelled == 1)


class TestWhisper(OverUpstream):
    """A model with time stamps, which does not stream."""

    model = "whisper-1"


class TestStreaming(OverUpstream):
    """A model that streams, without time stamps."""

    model = "gpt-4o-transcribe"


class TestLive(LiveConformance):
    """OpenAI's own realtime models, whose turns are cut here."""

    patience = 10.0

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    async def provider(self) -> AsyncIterator[Provider]:
        async with OpenAIFake() as self.fake:
            (provider,) = junctor_providers(
                Settings(plugins={"openai": self.fake.settings_table()})
            )
            yield provider

    async def stopped(self, provider: Provider) -> None:
        await self.fake.left()


class TestUnknown(OverUpstream):
    """A model of which nothing is known but its name."""

    model = "some-model"
