"""The google provider keeps the promises of every provider, with each of its services."""

from typing import ClassVar

import pytest

from junctor.conf.settings import Settings
from junctor.core.audio.clip import Clip
from junctor.core.providers import Provider
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.remote.google import junctor_providers
from tests.fakes.vendors.google import GoogleFake

CLIP = tone_clip(2.0)


class OverFake(ProviderConformance):
    """One service, which never answers for long recordings."""

    credentials: ClassVar[frozenset[str]]
    module = "junctor.plugins.remote.google"
    patience = 10.0
    longest = 100.0

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    def provider(self, fake: GoogleFake) -> Provider:
        fake.slow_above = 3 * len(CLIP.data)
        self.fake = fake
        table = {
            key: value
            for key, value in fake.settings_table().items()
            if key in self.credentials | {"base_url"}
        }
        (provider,) = junctor_providers(Settings(plugins={"google": table}))
        return provider

    async def stopped(self, provider: Provider) -> None:
        await self.fake.until(lambda: self.fake.aborted == 1)


class TestGemini(OverFake):
    """With an API key."""

    credentials = frozenset({"api_key"})


class TestSpeech(OverFake):
    """With an access token."""

    credentials = frozenset({"access_token", "project"})
