"""Requests over the fake that checks every form against OpenAI's specification."""

import pytest

from junctor.conf.settings import Settings
from junctor.core.errors import ProviderRejectedError
from junctor.core.requests import TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.plugins.remote.openai import junctor_providers
from tests.fakes.vendors.openai import DIARIZE, FORMATS, TEXT, OpenAIFake

CLIP = tone_clip(1.0)


@pytest.fixture(name="fake")
async def _fake():
    async with OpenAIFake() as fake:
        yield fake


@pytest.fixture(name="provider")
async def _provider(fake):
    (provider,) = junctor_providers(Settings(plugins={"openai": fake.settings_table()}))
    await provider.start()
    yield provider
    await provider.close()


@pytest.mark.parametrize("model", sorted(FORMATS))
@pytest.mark.parametrize("language", ["th-TH", None])
async def test_every_model_is_asked_rightly(provider, fake, model, language):
    """The form of each model holds what that model takes, and nothing else."""
    heard = await provider.transcribe(
        TranscribeRequest(audio=CLIP, model=model, language=language, prompt="p")
    )

    assert (TEXT, []) == (heard.text, fake.problems)


@pytest.mark.parametrize("wish", [{"diarization": True}, {"segment_timestamps": True}])
async def test_speakers(provider, fake, wish):
    """Segments name who speaks."""
    heard = await provider.transcribe(
        TranscribeRequest(audio=CLIP, model=DIARIZE, language="en", **wish)
    )

    assert [(TEXT, 0.0, pytest.approx(1.0), "A")] == [
        (s.text, s.start, s.end, s.speaker) for s in heard.segments
    ]
    assert [] == fake.problems


async def test_words(provider, fake):
    """Whisper tells the times of words."""
    heard = await provider.transcribe(
        TranscribeRequest(audio=CLIP, model="whisper-1", language="en", word_timestamps=True)
    )

    assert TEXT.split() == [word.text for word in heard.words]
    assert [] == fake.problems


async def test_no_speakers_from_others(provider, fake):
    """A model that cannot tell speakers apart is not asked to."""
    with pytest.raises(ProviderRejectedError, match="speakers"):
        await provider.transcribe(
            TranscribeRequest(audio=CLIP, model="whisper-1", diarization=True)
        )

    assert [] == fake.seen
