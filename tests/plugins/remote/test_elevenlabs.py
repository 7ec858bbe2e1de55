"""ElevenLabs over a fake of it: what is asked, what is read, what breaks, how speech ends."""

import asyncio
import gc
import math
import weakref
from contextlib import aclosing

import pytest
from attrs import evolve

from junctor.conf.settings import Settings
from junctor.core.cards import Capability, Feature
from junctor.core.errors import (
    NotConfiguredError,
    ProviderAnswerError,
    ProviderAuthError,
    ProviderBusyError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Target
from junctor.core.providers import LiveTranscriber, Provider, Transcriber
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.testing.clips import tone_clip, undecodable_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import LivePartial, LiveReady
from junctor.plugins.remote.elevenlabs import ElevenLabs, ElevenLabsSettings, junctor_providers
from junctor.plugins.remote.elevenlabs.cards import CARDS, written
from tests.fakes.vendors.elevenlabs import TEXT, ElevenLabsFake
from tests.plugins.remote.adapters import SECOND, finals, heard, plugged
from tests.waiting import patience

CLIP = tone_clip(1.0)
ENGLISH = TranscribeRequest(audio=CLIP, model="scribe_v2", language="en")
LIVE = LiveRequest(model="scribe_v2_realtime", language="en")
CONFIDENCE = math.exp(-0.12)
PLAIN = {
    "model_id": ["scribe_v2"],
    "timestamps_granularity": ["word"],
    "tag_audio_events": ["false"],
}


@pytest.fixture(name="vendor")
def _vendor():
    return ElevenLabsFake


def test_has_the_protocols():
    """It is a provider of both capabilities that its cards claim."""
    provider = ElevenLabs(ElevenLabsSettings())

    assert isinstance(provider, Transcriber)
    assert isinstance(provider, LiveTranscriber)


def test_sits_out_without_a_key():
    """No key is no error: the plugin says what to set."""
    with pytest.raises(NotConfiguredError, match="api_key"):
        junctor_providers(Settings())


@pytest.mark.parametrize(
    ("language", "code"),
    [("en-IN", "en"), ("th-TH", "th"), ("nb-NO", "no"), ("no", "no"), ("yue-HK", "yue"),
     ("pt-BR", "pt"), ("fil", "fil")],
)  # fmt: skip
def test_languages_go_out_without_a_region(language, code):
    """ISO 639 codes, whatever the region."""
    assert code == written(language, CARDS[0], Target("elevenlabs"))


@pytest.mark.parametrize("language", ["th", "en", "hi", "ta", "te", "kn", "mr", "bn", "gu"])
def test_thai_and_indic_are_understood(language):
    """Every model has the languages of Thailand and of most of India."""
    assert all(language in (card.locales or ()) for card in CARDS)


async def test_the_recording_arrives_whole(provider, fake):
    """The very bytes of the clip arrive under a name that fits their type."""
    await provider.transcribe(ENGLISH)

    assert [("audio.wav", "audio/wav", CLIP.data)] == fake.files
    assert [{**PLAIN, "language_code": ["en"]}] == fake.forms
    assert [] == fake.seen[0].query
    assert not fake.problems


async def test_everything_asked_for_is_on_the_wire(provider, fake):
    """Speakers and temperature go out under its names; detection is the lack of a language."""
    wish = evolve(ENGLISH, language=None, diarization=True, temperature=0.5, prompt="Ragas")
    await provider.transcribe(evolve(wish, allowed_languages=("hi", "en")))

    assert [{**PLAIN, "diarize": ["true"], "temperature": ["0.5"]}] == fake.forms
    assert not fake.problems


async def test_the_newest_model_takes_hints(provider, fake):
    """scribe_v3 is told which languages may be spoken."""
    wish = evolve(ENGLISH, model="scribe_v3", language=None)
    await provider.transcribe(evolve(wish, allowed_languages=("hi-IN", "en-IN", "en-US", "xx")))

    assert ["hi", "en"] == fake.forms[0]["secondary_language_codes"]
    assert not fake.problems


async def test_zero_retention_is_asked_for(start, fake):
    """Recorded and live, nothing is to be kept where the table says so."""
    provider = await start(zero_retention=True)
    await provider.transcribe(ENGLISH)
    await heard(provider, LIVE)

    assert [("enable_logging", "false")] == fake.seen[0].query
    assert ("enable_logging", "false") in fake.sessions[0].query
    assert not fake.problems


async def test_words_without_spaces_between(provider):
    """Spaces are no words; log probabilities become probabilities."""
    found = await provider.transcribe(ENGLISH)

    assert (TEXT, "en", None) == (found.text, found.language, found.language_confidence)
    assert TEXT.split() == [word.text for word in found.words]
    assert (0.2, 0.36) == pytest.approx((found.words[1].start, found.words[1].end))
    assert CONFIDENCE == pytest.approx(found.confidence)
    assert CONFIDENCE == pytest.approx(found.words[0].confidence)


async def test_the_detected_language_is_told(provider):
    """Three letters come back as BCP-47, with their probability."""
    found = await provider.transcribe(evolve(ENGLISH, language=None))

    assert ("en", 0.98) == (found.language, found.language_confidence)


async def test_words_carry_speakers(provider):
    """With diarization every word has its speaker."""
    found = await provider.transcribe(evolve(ENGLISH, diarization=True))

    assert {"speaker_0"} == {word.speaker for word in found.words}


async def test_times_that_are_not_told_are_their_neighbours(provider, fake):
    """Null times and a missing probability do no harm; sounds are left out."""
    fake.answer = {
        "words": [
            {"text": "one", "type": "word", "start": 0.1, "end": 0.3, "logprob": 0.0},
            {"text": "(laughs)", "type": "audio_event", "start": 0.3, "end": 0.4, "logprob": 0},
            {"text": "two", "type": "word", "start": None, "end": None, "speaker_id": None},
            {"text": "six", "type": "word", "start": 0.5, "end": None, "logprob": 0.1},
        ]
    }
    found = await provider.transcribe(ENGLISH)

    assert [(0.1, 0.3), (0.3, 0.3), (0.5, 0.5)] == [(one.start, one.end) for one in found.words]
    assert [1.0, None, 1.0] == [one.confidence for one in found.words]


@pytest.mark.parametrize("words", [[], None])
async def test_nothing_heard_is_an_empty_transcript(provider, fake, words):
    """No text and no words are no error."""
    fake.answer = {"text": "", "words": words}
    found = await provider.transcribe(ENGLISH)

    assert found.is_empty
    assert found.confidence is None


async def test_an_unknown_code_is_no_language(provider, fake):
    """A code that is no language is not passed on."""
    fake.answer = {"language_code": "??"}
    found = await provider.transcribe(evolve(ENGLISH, language=None))

    assert (None, None) == (found.language, found.language_confidence)


async def test_what_it_does_not_take_is_written_again(provider, fake):
    """An AU recording goes out as FLAC."""
    clip = tone_clip(1.0)
    clip.media_type = "audio/basic"
    await provider.transcribe(evolve(ENGLISH, audio=clip))

    assert ("audio.flac", "audio/flac") == fake.files[0][:2]


@pytest.mark.parametrize("audio", [tone_clip(0.05), undecodable_clip()], ids=["short", "rubbish"])
async def test_recordings_it_cannot_use_are_refused(provider, audio):
    """Less than 0.1 s, and what cannot be decoded, is this request's fault."""
    with pytest.raises(ProviderRejectedError):
        await provider.transcribe(evolve(ENGLISH, audio=audio))


FAULTS = [
    ("rate-limited", ProviderRateLimitedError, 7.0),
    ("busy", ProviderRateLimitedError, None),
    ("error", ProviderUnavailableError, None),
    ("unavailable", ProviderUnavailableError, None),
    ("unauthorized", ProviderAuthError, None),
    ("unauthorized-400", ProviderAuthError, None),
    ("unusual", ProviderAuthError, None),
    ("forbidden", ProviderAuthError, None),
    ("quota", ProviderQuotaError, None),
    ("quota-400", ProviderQuotaError, None),
    ("quota-code", ProviderQuotaError, None),
    ("payment", ProviderQuotaError, None),
    ("locale", ProviderRejectedError, None),
    ("media", ProviderRejectedError, None),
    ("sentence", ProviderRejectedError, None),
    ("fields", ProviderRejectedError, None),
    ("reset", ProviderUnavailableError, None),
    ("hang", ProviderTimeoutError, None),
    ("drip", ProviderTimeoutError, None),
    ("cut", ProviderAnswerError, None),
    ("malformed", ProviderAnswerError, None),
]


@pytest.mark.parametrize(("fault", "kind", "wait"), FAULTS)
async def test_every_fault_is_ours(start, fake, fault, kind, wait):
    """Each fault is an error of ours and tells nothing of its text."""
    fake.always = fault
    provider = await start(timeout=patience(kind))
    with pytest.raises(ProviderError) as caught:
        await provider.transcribe(ENGLISH)

    assert (kind, wait) == (type(caught.value), caught.value.retry_after)
    assert "LEAK" not in str(caught.value)
    assert fake.KEY not in str(caught.value)


async def test_an_answer_of_another_shape_is_nonsense(provider, fake):
    """An answer for a webhook, or of many channels, was not asked for."""
    fake.answer = {"text": None}
    with pytest.raises(ProviderAnswerError):
        await provider.transcribe(ENGLISH)


async def test_cancel_drops_the_request(provider, fake):
    """A cancelled call closes its connection."""
    fake.always = "hang"
    task = asyncio.create_task(provider.transcribe(ENGLISH))
    await fake.until(lambda: bool(fake.seen))
    task.cancel()
    await fake.until(lambda: fake.aborted == 1)
    await asyncio.wait([task])

    assert task.cancelled()


async def test_a_failure_keeps_no_recording(provider, fake):
    """When a call has failed, nothing holds its recording, not even until the next collection."""
    fake.script.extend(["error"])
    clip = tone_clip(0.5)
    kept = weakref.ref(clip)
    gc.disable()
    try:
        with pytest.raises(ProviderUnavailableError) as caught:
            await provider.transcribe(evolve(ENGLISH, audio=clip))
        del clip, caught
        await provider.close()

        assert kept() is None
    finally:
        gc.enable()


async def test_live_says_ready_then_partials_then_the_final(provider, fake):
    """The last words come as a final when the audio has ended, with words and times."""
    events = await heard(provider, LIVE)
    (final,) = finals(events)

    assert [LiveReady(), LivePartial(text="With a", language="en")] == events[:2]
    assert (TEXT, "en") == (final.text, final.language)
    assert (final.words[0].start, final.words[-1].end) == (final.start, final.end)
    assert CONFIDENCE == pytest.approx(final.confidence)
    assert events[-1] is final
    assert not fake.problems


async def test_live_audio_arrives_whole(provider, fake):
    """Odd pieces become chunks of 0.1 s, and a pause follows, so that nothing is too short."""
    audio = bytes(range(250)) * 32
    await heard(provider, LIVE, audio[:100], audio[100:7000], audio[7000:])
    (session,) = fake.sessions

    assert audio == session.audio[: len(audio)]
    assert bytes(11_200) == session.audio[len(audio) :]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (LIVE, [("language_code", "en")]),
        (
            LiveRequest(model="scribe_v2_realtime_turbo", allowed_languages=("hi-IN", "en")),
            [("secondary_languages", "hi"), ("secondary_languages", "en"),
             ("include_language_detection", "true")],
        ),
        (
            LiveRequest(model="scribe_v2_realtime_lite"),
            [("include_language_detection", "true")],
        ),
    ],
    ids=["english", "allowed", "auto"],
)  # fmt: skip
async def test_live_wishes_are_on_the_wire(provider, fake, request_, fields):
    """Model, language and hints are parameters of the session."""
    await heard(provider, request_)
    fixed = [
        ("model_id", request_.model),
        ("audio_format", "pcm_16000"),
        ("commit_strategy", "vad"),
        ("include_timestamps", "true"),
    ]

    assert [*fixed, *fields] == fake.sessions[0].query
    assert not fake.problems


async def test_live_tells_the_language_found(provider):
    """A detected language is told as BCP-47, and a delayed repetition of a final is none."""
    (final,) = finals(await heard(provider, LiveRequest(model="scribe_v2_realtime")))

    assert (TEXT, "en") == (final.text, final.language)


async def test_live_pauses_make_finals(provider, fake):
    """What was said before a pause is a final of its own, with times from the stream's start."""
    fake.live = "pauses"
    first, last = finals(await heard(provider, LIVE, SECOND, SECOND))

    assert ("With a soft", TEXT) == (first.text, last.text)
    assert 0.0 == first.start < first.end < last.start < last.end


async def test_live_loses_no_words_of_a_late_pause(provider, fake):
    """A pause that was found just before the end was said does not hide the end."""
    fake.live = "late"
    texts = [final.text for final in finals(await heard(provider, LIVE))]

    assert ["With a soft", TEXT] == texts


@pytest.mark.parametrize("live", ["quiet", "throttled", "dumb"])
async def test_live_with_nothing_left_just_ends(provider, fake, live):
    """After silence an empty final, a complaint and no answer at all are the end, not errors."""
    fake.live = live
    events = await heard(provider, LIVE)

    assert [LiveReady()] == events


LIVE_FAULTS = [
    ("auth_error", ProviderAuthError),
    ("unaccepted_terms", ProviderAuthError),
    ("quota_exceeded", ProviderQuotaError),
    ("rate_limited", ProviderRateLimitedError),
    ("queue_overflow", ProviderBusyError),
    ("resource_exhausted", ProviderBusyError),
    ("commit_throttled", ProviderRejectedError),
    ("input_error", ProviderRejectedError),
    ("invalid_request", ProviderRejectedError),
    ("chunk_size_exceeded", ProviderRejectedError),
    ("error", ProviderUnavailableError),
    ("transcriber_error", ProviderUnavailableError),
    ("session_time_limit_exceeded", ProviderUnavailableError),
    ("insufficient_audio_activity", ProviderUnavailableError),
    ("something_new", ProviderUnavailableError),
]


@pytest.mark.parametrize("how", ["refuse", "error", "typed"])
@pytest.mark.parametrize(("name", "kind"), LIVE_FAULTS)
async def test_live_errors_are_ours(provider, fake, how, name, kind):
    """An error means the same at the start and in the middle, by its type or by its name."""
    fake.live = f"{how}:{name}"

    async def unending():
        yield SECOND
        await asyncio.Event().wait()

    stream = provider.live_transcribe(LIVE, unending())
    with pytest.raises(ProviderError) as caught:
        async with asyncio.timeout(20), aclosing(stream) as events:
            assert [LiveReady()] == [event async for event in events]

    assert kind is type(caught.value)
    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize(
    ("live", "kind"),
    [("early", ProviderUnavailableError), ("cut", ProviderUnavailableError),
     ("lost", ProviderUnavailableError), ("unfinished", ProviderUnavailableError), ("mute", ProviderTimeoutError)],
)  # fmt: skip
async def test_live_server_that_gives_up(start, fake, live, kind):
    """Sessions that never begin, break, or close before their last words are errors."""
    fake.live = live
    provider = await start(connections={"connect_timeout": 0.3})
    with pytest.raises(kind):
        await heard(provider, LIVE, SECOND, SECOND)

    assert 1 == len(fake.sessions)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [("unauthorized", ProviderAuthError), ("quota", ProviderQuotaError),
     ("unavailable", ProviderUnavailableError), ("rate-limited", ProviderRateLimitedError)],
)  # fmt: skip
async def test_live_refused_upgrades(provider, fake, refusal, kind):
    """A refused upgrade is read like any other answer."""
    fake.script.append(refusal)
    with pytest.raises(kind) as caught:
        await heard(provider, LIVE)

    assert "LEAK" not in str(caught.value)


async def test_live_refuses_a_language_it_does_not_know(provider, fake):
    """Nothing is connected for a language that the model does not list."""
    with pytest.raises(ProviderRejectedError, match="does not understand"):
        await heard(provider, LiveRequest(model="scribe_v2_realtime", language="la"))

    assert not fake.seen


async def test_live_close_ends_the_session(provider, fake):
    """Closing the stream closes the socket, though the speaker goes on."""

    async def unending():
        yield SECOND
        await asyncio.Event().wait()

    async with asyncio.timeout(20), aclosing(provider.live_transcribe(LIVE, unending())) as events:
        while not isinstance(await anext(events), LivePartial):
            pass
    await fake.until(lambda: not fake.sockets)

    assert 0 == fake.sessions[0].commits


async def test_a_speaker_that_fails_is_no_end(provider):
    """What the audio raises comes out, a timeout too, and is not taken for the end."""

    async def failing():
        yield SECOND
        raise TimeoutError("the microphone is gone")

    with pytest.raises(TimeoutError, match="microphone"):
        async with aclosing(provider.live_transcribe(LIVE, failing())) as events:
            assert [event async for event in events]


def test_cards_tell_what_is_live():
    """Realtime models claim live speech alone; the others, recordings alone."""
    live = {card.id for card in CARDS if Capability.LIVE_TRANSCRIBE in card.capabilities}

    assert {card.id for card in CARDS if "realtime" in card.id} == live
    assert all(1 == len(card.capabilities) for card in CARDS)
    assert all(Feature.WORD_TIMESTAMPS in card.features for card in CARDS)


class TestConformance(ProviderConformance):
    """The kit, over the fake; long recordings are never answered there."""

    patience = 10.0
    module = "junctor.plugins.remote.elevenlabs"

    @pytest.fixture
    def clip(self):
        return CLIP

    @pytest.fixture
    def provider(self, fake) -> Provider:
        self.fake = fake
        fake.slow_above = 2 * len(CLIP.data)
        fake.needs_sound = True
        return plugged(fake)

    async def stopped(self, provider):
        await self.fake.left()
