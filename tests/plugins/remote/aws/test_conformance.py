"""The Amazon provider keeps the promises of every provider."""

import pytest

from junctor.conf.settings import Settings
from junctor.core.audio.clip import Clip
from junctor.core.providers import Provider
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.remote.aws import junctor_providers
from tests.fakes.vendors.aws import AmazonFake

CLIP = tone_clip(2.0)


class TestAmazon(ProviderConformance):
    """Over a fake whose jobs never end for long recordings."""

    patience = 10.0

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    def provider(self, fake: AmazonFake) -> Provider:
        fake.endless_above = 2 * len(CLIP.data)
        fake.needs_sound = True
        self.fake = fake
        (provider,) = junctor_providers(Settings(plugins={"aws": fake.settings_table()}))
        return provider

    async def stopped(self, provider: Provider) -> None:
        fake = self.fake
        await fake.until(lambda: not (fake.jobs or fake.objects or fake.sockets))
