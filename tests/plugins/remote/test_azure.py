"""The azure adapter against the fake vendor: what is sent, what comes back, what breaks."""

import asyncio

import msgspec
import pytest

from junctor.conf.settings import Secret, Settings
from junctor.core.audio.clip import Clip
from junctor.core.cards import Feature
from junctor.core.errors import (
    ConfigError,
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.locales import match
from junctor.core.providers import Provider
from junctor.core.requests import Task, TranscribeRequest
from junctor.core.testing.clips import tone_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.remote.azure import CARDS, FAST, LLM, MAI_1_5, MAI_2, Azure, junctor_providers
from tests.fakes.vendors.azure import TEXT, AzureFake
from tests.fakes.vendors.base import REFUSALS
from tests.plugins.remote.adapters import plugged

CLIP = tone_clip(2.0)
FAULTS = [
    ("rate-limited", ProviderRateLimitedError),
    ("error", ProviderUnavailableError),
    ("unavailable", ProviderUnavailableError),
    ("unauthorized", ProviderAuthError),
    ("quota", ProviderQuotaError),
    ("locale", ProviderRejectedError),
    ("forbidden", ProviderAuthError),
    ("missing", ProviderRejectedError),
    ("timeout", ProviderTimeoutError),
    ("too-large", ProviderRejectedError),
    ("media", ProviderRejectedError),
    ("unprocessable", ProviderRejectedError),
    ("diarization", ProviderRejectedError),
    ("text", ProviderUnavailableError),
    ("empty", ProviderUnavailableError),
    ("reset", ProviderUnavailableError),
    ("cut", ProviderAnswerError),
    ("malformed", ProviderAnswerError),
    ("hang", ProviderTimeoutError),
    ("drip", ProviderTimeoutError),
]


@pytest.fixture(name="vendor")
def _vendor():
    return AzureFake


@pytest.fixture(name="azure")
async def _azure(start):
    return await start()


def asked(**fields):
    return TranscribeRequest(**{"audio": CLIP, "model": FAST, **fields})


def sent(fake):
    """Return the definition of the last request, without what was left out."""
    assert not fake.problems
    return {key: value for key, value in msgspec.to_builtins(fake.definition).items() if value}


async def test_hears_what_was_said(azure):
    """Text, words, segments, language and confidence arrive in our units."""
    heard = await azure.transcribe(asked(language="en-IN"))
    first = heard.segments[0]

    assert (TEXT, "en-IN") == (heard.text, heard.language)
    assert heard.confidence == pytest.approx(0.925)
    assert ["Good", "afternoon", "This", "is", "Sam."] == [word.text for word in heard.words]
    assert ("Good afternoon", 0.25, 1.0) == (first.text, first.start, first.end)
    assert (0.25, 0.5, None) == (first.words[0].start, first.words[0].end, first.words[0].speaker)


@pytest.mark.parametrize(
    ("fields", "definition"),
    [
        ({}, {"profanityFilterMode": "None"}),
        ({"language": "th"}, {"profanityFilterMode": "None", "locales": ["th-TH"]}),
        ({"language": "en-IN"}, {"profanityFilterMode": "None", "locales": ["en-IN"]}),
        (
            {"allowed_languages": ("hi", "kn", "en-IN")},
            {"profanityFilterMode": "None", "locales": ["hi-IN", "en-IN"]},
        ),
        (
            {"diarization": True},
            {"profanityFilterMode": "None", "diarization": {"enabled": True, "maxSpeakers": None}},
        ),
    ],
    ids=["nothing", "language", "region", "candidates", "speakers"],
)
async def test_fast_transcription_is_told_what_was_asked(azure, fake, fields, definition):
    """Locales are written as the vendor lists them, and no word is masked."""
    await azure.transcribe(asked(**fields))

    assert definition == sent(fake)


@pytest.mark.parametrize(
    ("model", "fields", "mode"),
    [
        (LLM, {"language": "de", "prompt": "Zürich"}, {"task": "transcribe", "prompt": ["Zürich"]}),
        (LLM, {"task": Task.TRANSLATE}, {"task": "translate", "targetLanguage": "en"}),
        (MAI_1_5, {"prompt": "no place for it"}, {"model": MAI_1_5}),
        (MAI_2, {}, {"model": MAI_2}),
        (
            MAI_2,
            {"word_timestamps": True},
            {"model": MAI_2, "modelOptions": {"timestamps": "word"}},
        ),
        (
            MAI_2,
            {"segment_timestamps": True},
            {"model": MAI_2, "modelOptions": {"timestamps": "segment"}},
        ),
    ],
    ids=["prompt", "translation", "mai 1.5", "mai 2", "words", "segments"],
)
async def test_enhanced_mode_is_told_what_was_asked(azure, fake, model, fields, mode):
    """Each model is named in its own way, and told only what it takes."""
    await azure.transcribe(asked(model=model, **fields))
    found = sent(fake)["enhancedMode"]

    assert found["enabled"]
    for key, value in mode.items():
        assert value.items() <= found[key].items() if key == "modelOptions" else value == found[key]


@pytest.mark.parametrize(
    ("languages", "locales"),
    [({"language": "en-IN"}, ["en"]), ({"allowed_languages": ("hi", "en")}, None)],
    ids=["one", "several"],
)
async def test_mai_takes_one_language_or_finds_it(azure, fake, languages, locales):
    """The bare code goes out where the language is sure; else the model detects."""
    await azure.transcribe(asked(model=MAI_2, **languages))

    assert locales == sent(fake).get("locales")


async def test_mai_without_times_gives_text_alone(azure):
    """Phrases without times are no segments, and confidence 0 means that none is told."""
    heard = await azure.transcribe(asked(model=MAI_2))

    assert TEXT == heard.text
    assert (() == heard.segments, () == heard.words) == (True, True)
    assert "en-US" == heard.language
    assert heard.confidence is None


async def test_speakers_are_told_as_strings(azure):
    """Each word and segment says who spoke."""
    heard = await azure.transcribe(asked(diarization=True))

    assert ["1", "2"] == [segment.speaker for segment in heard.segments]
    assert ["1", "1", "2", "2", "2"] == [word.speaker for word in heard.words]


async def test_the_language_spoken_longest_is_reported(azure, fake):
    """Phrases of several languages vote by their length, in BCP-47 writing."""
    phrase = {"text": "a", "offsetMilliseconds": 0, "confidence": 0.5}
    fake.answer = {
        "durationMilliseconds": 900,
        "combinedPhrases": [{"channel": 0, "text": " a "}, {"channel": 1, "text": "b"}],
        "phrases": [
            {**phrase, "durationMilliseconds": 200, "locale": "en-us"},
            {**phrase, "durationMilliseconds": 500, "locale": "hi-in", "words": None},
            {**phrase, "durationMilliseconds": 200, "locale": "en-US"},
        ],
    }
    heard = await azure.transcribe(asked())

    assert ("a b", "hi-IN", 0.5) == (heard.text, heard.language, heard.confidence)


@pytest.mark.parametrize("answer", [{"phrases": []}, {"combinedPhrases": 1}, ["x"]])
async def test_an_answer_of_another_shape_is_no_answer(azure, fake, answer):
    """What lacks the text is not taken for silence."""
    fake.answer = answer
    with pytest.raises(ProviderAnswerError):
        await azure.transcribe(asked())


async def test_silence_is_an_empty_transcript(azure, fake):
    """No phrases, no text, no error."""
    fake.answer = {"durationMilliseconds": 0, "combinedPhrases": [], "phrases": []}
    heard = await azure.transcribe(asked())

    assert heard.is_empty
    assert heard.language is None


@pytest.mark.parametrize(("model", "sent_as"), [(FAST, "audio/ogg"), (MAI_2, "audio/flac")])
async def test_only_what_is_not_taken_is_written_again(azure, fake, model, sent_as):
    """Ogg goes to fast transcription as it is, and as FLAC to MAI."""
    clip = Clip(
        data=CLIP.data, media_type="audio/ogg", frames=CLIP.frames, rate=16_000, decode=CLIP.samples
    )
    await azure.transcribe(asked(audio=clip, model=model))

    assert sent_as == fake.media_type


@pytest.mark.parametrize(
    "fields",
    [{"language": "kn"}, {"task": Task.TRANSLATE}, {"model": LLM, "language": "th"}],
    ids=["no Kannada", "no translation", "no Thai"],
)
async def test_what_cannot_be_done_is_not_sent(azure, fake, fields):
    """A wish outside the card costs no upload."""
    with pytest.raises(ProviderRejectedError):
        await azure.transcribe(asked(**fields))

    assert not fake.seen


@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_faults_become_errors_of_ours(start, fake, fault, error):
    """Every documented error, and every way a connection ends, has its class and no foreign text."""
    azure = await start(timeout=0.3 if fault in {"hang", "drip"} else 5.0)
    fake.script.append(fault)
    with pytest.raises(error) as caught:
        await azure.transcribe(asked())

    assert type(caught.value) is error
    assert (7.0 if fault == "rate-limited" else None) == caught.value.retry_after
    assert "LEAK" not in str(caught.value)
    assert fake.KEY not in str(caught.value)


def test_the_fake_has_every_refusal():
    """The matrix of all vendors can be played with it."""
    assert set(REFUSALS) <= set(AzureFake.refusals)


async def test_cancelling_ends_the_request(azure, fake):
    """The connection is closed, so that the vendor stops."""
    fake.script.append("hang")
    task = asyncio.create_task(azure.transcribe(asked()))
    await fake.until(lambda: bool(fake.seen))
    task.cancel()
    await fake.until(lambda: fake.aborted == 1)

    assert await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 1)


@pytest.mark.parametrize("language", ["th", "hi", "ta-IN", "te", "mr", "bn", "ml", "en-IN"])
def test_thai_and_indian_languages_of_fast_transcription(language):
    """The card knows them with their region."""
    assert (
        match(CARDS[0].locales or (), language)
        == f"{language[:2]}-{'TH' if language == 'th' else 'IN'}"
    )


def test_kannada_and_gujarati_are_mai_only():
    """Fast transcription has neither."""
    with_both = [
        card.id
        for card in CARDS
        if {match(card.locales or (), one) for one in ("kn", "gu")} == {"kn", "gu"}
    ]

    assert [MAI_1_5, MAI_2] == with_both


def test_cards_claim_times_only_where_there_are_some():
    """MAI 1.5 gives text alone."""
    timed = {card.id for card in CARDS if Feature.WORD_TIMESTAMPS in card.features}

    assert {FAST, LLM, MAI_2} == timed


def test_the_region_makes_the_address():
    """Without a base_url the region's own host is asked."""
    table = {"api_key": Secret("k"), "region": "centralindia"}
    (provider,) = junctor_providers(Settings(plugins={"azure": table}))

    assert "https://centralindia.api.cognitive.microsoft.com" == provider._base_url


@pytest.mark.parametrize(
    ("table", "error", "named"),
    [
        ({"region": "eastus"}, NotConfiguredError, r"api_key.*plugins\.azure"),
        ({"api_key": "k"}, ConfigError, r"azure\.region"),
        ({"api_key": "k", "region": "x.evil.example/"}, ConfigError, "region"),
        ({"api_key": "k", "base_url": "nowhere"}, ConfigError, r"azure\.base_url"),
        ({"api_key": "k\n", "region": "eastus"}, ConfigError, r"azure\.api_key"),
    ],
    ids=["no key", "no region", "odd region", "odd url", "odd key"],
)
def test_a_wrong_table_is_named(table, error, named):
    """The key that is wrong or missing is in the message."""
    with pytest.raises(error, match=named):
        junctor_providers(Settings(plugins={"azure": table}))


class OverFake(ProviderConformance):
    """One model, over a vendor that never answers for long recordings."""

    model: str
    patience = 10.0
    module = "junctor.plugins.remote.azure"

    @pytest.fixture
    def clip(self) -> Clip:
        return CLIP

    @pytest.fixture
    def provider(self, fake: AzureFake) -> Provider:
        fake.slow_above = 2 * len(CLIP.data)
        self.fake = fake
        provider = plugged(fake)
        assert isinstance(provider, Azure)
        provider._cards = {self.model: provider._cards[self.model]}
        return provider

    async def stopped(self, provider: Provider) -> None:
        await self.fake.until(lambda: self.fake.aborted == 1)


class TestFast(OverFake):
    """Fast transcription keeps the promises of every provider."""

    model = FAST


class TestMai(OverFake):
    """So does the best MAI model."""

    model = MAI_2
