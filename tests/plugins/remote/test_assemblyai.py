"""AssemblyAI over a fake of it: what is asked, what is read, what is deleted, what breaks."""

import asyncio
import gc
import json
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
from junctor.core.testing.clips import clip_of, tone_clip, undecodable_clip
from junctor.core.testing.conformance import ProviderConformance
from junctor.core.transcripts import LivePartial, LiveReady, Segment, Word
from junctor.plugins.remote.assemblyai import AssemblyAI, AssemblyAISettings, junctor_providers
from junctor.plugins.remote.assemblyai.cards import CARDS, written
from tests.fakes.vendors.assemblyai import TEXT, AssemblyAIFake
from tests.plugins.remote.adapters import SECOND, finals, heard, plugged
from tests.waiting import patience

CLIP = tone_clip(1.0)
ENGLISH = TranscribeRequest(audio=CLIP, model="universal-2", language="en")
LIVE = LiveRequest(model="universal-streaming-english", language="en")
DELETED = ("DELETE", "/v2/transcript/")


@pytest.fixture(name="vendor")
def _vendor():
    return AssemblyAIFake


def test_has_the_protocols():
    """It is a provider of both capabilities that its cards claim."""
    provider = AssemblyAI(AssemblyAISettings())

    assert isinstance(provider, Transcriber)
    assert isinstance(provider, LiveTranscriber)


def test_sits_out_without_a_key():
    """No key is no error: the plugin says what to set."""
    with pytest.raises(NotConfiguredError, match="api_key"):
        junctor_providers(Settings())


@pytest.mark.parametrize(
    ("language", "code"),
    [("en", "en"), ("en-IN", "en"), ("en-GB", "en_uk"), ("en-AU", "en_au"), ("th-TH", "th"),
     ("jv", "jw"), ("nb-NO", "no"), ("fil", "tl")],
)  # fmt: skip
def test_languages_are_written_its_way(language, code):
    """Regions that it lists keep theirs, underscored; others fall to the language."""
    assert code == written(language, CARDS[1], Target("assemblyai"))


@pytest.mark.parametrize("language", ["th", "ta", "te", "kn", "mr", "bn", "gu"])
def test_the_best_model_knows_no_thai_and_little_of_india(language):
    """universal-3-5-pro does not list these; universal-2 does."""
    with pytest.raises(ProviderRejectedError, match="does not understand"):
        written(language, CARDS[0], Target("assemblyai"))

    assert language == written(language, CARDS[1], Target("assemblyai"))


async def test_the_recording_arrives_whole(provider, fake):
    """The very bytes are uploaded, and the job names them, the model and the language."""
    await provider.transcribe(ENGLISH)
    upload, create = fake.seen[:2]

    assert ("/v2/upload", CLIP.data) == (upload.path, upload.body)
    assert ("POST", "/v2/transcript") == (create.method, create.path)
    assert {"speech_models": ["universal-2"], "language_code": "en"} == {
        name: value for name, value in fake.wishes[0].items() if name != "audio_url"
    }
    assert not fake.problems


async def test_everything_asked_for_is_on_the_wire(provider, fake):
    """Detection with its hints, speakers, prompt and temperature go out under its names."""
    wish = TranscribeRequest(
        audio=CLIP,
        model="universal-3-5-pro",
        allowed_languages=("hi-IN", "en-IN", "en-US", "th"),
        diarization=True,
        prompt="Ragas",
        temperature=0.5,
    )
    await provider.transcribe(wish)
    sent = {name: value for name, value in fake.wishes[0].items() if name != "audio_url"}

    assert sent == {
        "speech_models": ["universal-3-5-pro"],
        "language_detection": True,
        "language_detection_options": {"expected_languages": ["hi", "en"]},
        "speaker_labels": True,
        "prompt": "Ragas",
        "temperature": 0.5,
    }
    assert not fake.problems


async def test_only_the_family_with_prompts_gets_one(provider, fake):
    """universal-2 takes no prompt."""
    await provider.transcribe(evolve(ENGLISH, prompt="Ragas"))

    assert "prompt" not in fake.wishes[0]


async def test_words_come_in_seconds(provider):
    """Milliseconds become seconds; text and confidence are kept."""
    found = await provider.transcribe(ENGLISH)

    assert (TEXT, 0.96, "en") == (found.text, found.confidence, found.language)
    assert found.words[1] == Word(text="from", start=0.2, end=0.36, confidence=0.97)
    assert found.segments == ()


async def test_the_detected_language_is_told(provider, fake):
    """`en_us` comes back as `en-US`, with its probability."""
    found = await provider.transcribe(evolve(ENGLISH, language=None))

    assert ("en-US", 0.99) == (found.language, found.language_confidence)
    assert fake.wishes[0]["language_detection"] is True
    assert "language_detection_options" not in fake.wishes[0]


async def test_utterances_are_segments_with_speakers(provider):
    """With diarization, each utterance is a segment, and words carry the speaker."""
    found = await provider.transcribe(evolve(ENGLISH, diarization=True))

    assert [("A", TEXT)] == [(one.speaker, one.text) for one in found.segments]
    assert {"A"} == {word.speaker for word in found.words}


async def test_sentences_are_segments(provider):
    """Segments that are asked for are its sentences, which cost a request of their own."""
    found = await provider.transcribe(evolve(ENGLISH, segment_timestamps=True))
    first, last = found.segments

    assert Segment(text="Smoke from", start=0.0, end=0.36, words=found.words[:2]) == first
    assert "hundreds of wildfires" == last.text


@pytest.mark.parametrize(
    "answer",
    [{"text": None, "words": None, "confidence": None}, {"text": "", "words": []}],
)
async def test_nothing_heard_is_an_empty_transcript(provider, fake, answer):
    """Null fields and empty ones are no error."""
    fake.answer = answer
    found = await provider.transcribe(evolve(ENGLISH, segment_timestamps=True))

    assert found.is_empty
    assert found.words == found.segments == ()


async def test_no_speech_to_detect_is_an_empty_transcript(provider, fake):
    """It fails a job whose language it is to detect in silence; for us that is no failure."""
    fake.failure = "language_detection cannot be performed on files with no spoken audio."
    found = await provider.transcribe(evolve(ENGLISH, language=None))

    assert found.is_empty


@pytest.mark.parametrize(
    ("failure", "kind"),
    [("Transcoding failed", ProviderRejectedError), ("Server error", ProviderUnavailableError)],
)
async def test_a_failed_job_is_an_error(provider, fake, failure, kind):
    """HTTP 200 with status `error` is an error, retryable where it says the fault is its own."""
    fake.failure = failure
    with pytest.raises(ProviderError) as caught:
        await provider.transcribe(ENGLISH)

    assert kind is type(caught.value)
    assert "LEAK" not in str(caught.value)


async def test_what_it_does_not_take_is_written_again(provider, fake):
    """A Matroska recording goes out as FLAC."""
    clip = tone_clip(1.0)
    clip.media_type = "audio/x-matroska"
    await provider.transcribe(evolve(ENGLISH, audio=clip))

    assert fake.seen[0].body.startswith(b"fLaC")


@pytest.mark.parametrize("outcome", ["good", "failed", "cancelled"])
async def test_nothing_stays_there(provider, fake, outcome):
    """Job and upload are deleted after a transcript, a failure and a cancel."""
    fake.failure = "Transcoding failed" if outcome == "failed" else ""
    fake.stuck_above = 0 if outcome == "cancelled" else None
    task = asyncio.create_task(provider.transcribe(ENGLISH))
    await fake.until(lambda: any(one.method == "GET" for one in fake.seen))
    if outcome == "cancelled":
        task.cancel()
    await asyncio.wait([task])
    await fake.until(lambda: fake.seen[-1].method == "DELETE" and not fake.jobs)

    assert (outcome == "cancelled") == task.cancelled()
    assert not fake.uploads


async def test_a_job_cancelled_at_its_start_is_deleted(provider, fake):
    """A job is deleted even where the cancel came before its id was known."""
    task = asyncio.create_task(provider.transcribe(ENGLISH))
    await fake.until(lambda: fake.seen[-1:] != [] and fake.seen[-1].path == "/v2/transcript")
    task.cancel()
    await asyncio.wait([task])
    await fake.until(lambda: any(one.method == "DELETE" for one in fake.seen) and not fake.jobs)

    assert task.cancelled()


async def test_closing_waits_for_deletions(start, fake):
    """A provider that is closed at once has still deleted what it uploaded."""
    provider = await start()
    await provider.transcribe(ENGLISH)
    await provider.close()

    assert not fake.jobs


async def test_a_deletion_that_fails_harms_nobody(provider, fake):
    """The transcript is there, whatever becomes of the deletion."""
    fake.script.extend(["ok"] * 4 + ["error"])
    found = await provider.transcribe(ENGLISH)
    await provider.close()

    assert TEXT == found.text
    assert 1 == len(fake.jobs)


async def test_a_job_that_takes_too_long_is_given_up(start, fake):
    """The time for one transcription bounds the polling, and the job is deleted."""
    fake.stuck_above = 0
    provider = await start(timeout=1.0)
    with pytest.raises(ProviderTimeoutError):
        await provider.transcribe(ENGLISH)
    await fake.until(lambda: not fake.jobs)

    assert DELETED[0] == fake.seen[-1].method


FAULTS = [
    ("rate-limited", ProviderRateLimitedError, 7.0),
    ("error", ProviderUnavailableError, None),
    ("unavailable", ProviderUnavailableError, None),
    ("gateway", ProviderUnavailableError, None),
    ("unauthorized", ProviderAuthError, None),
    ("forbidden", ProviderAuthError, None),
    ("missing", ProviderRejectedError, None),
    ("quota", ProviderQuotaError, None),
    ("locale", ProviderRejectedError, None),
    ("reset", ProviderUnavailableError, None),
    ("hang", ProviderTimeoutError, None),
    ("drip", ProviderTimeoutError, None),
    ("cut", ProviderAnswerError, None),
    ("malformed", ProviderAnswerError, None),
]


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize(("fault", "kind", "wait"), FAULTS)
async def test_every_fault_is_ours_at_every_step(start, fake, fault, kind, wait, step):
    """Upload, start and question fail as errors of ours, and tell nothing of its text."""
    fake.script.extend(["ok"] * step)
    fake.always = fault  # always: a kept connection that breaks is replaced once
    provider = await start(timeout=patience(kind))
    with pytest.raises(ProviderError) as caught:
        await provider.transcribe(ENGLISH)

    assert (kind, wait) == (type(caught.value), caught.value.retry_after)
    assert "LEAK" not in str(caught.value)
    assert fake.KEY not in str(caught.value)


async def test_a_question_that_fails_is_asked_again(provider, fake):
    """A job is not done, and paid, twice because of a hiccup while it is waited for."""
    fake.script.extend(["ok", "ok", "unavailable", "cut", "malformed"])
    found = await provider.transcribe(ENGLISH)

    assert TEXT == found.text
    assert 1 == len(fake.wishes)


async def test_undecodable_audio_is_refused(provider):
    """What it cannot decode is this request's fault, not the vendor's."""
    with pytest.raises(ProviderRejectedError):
        await provider.transcribe(evolve(ENGLISH, audio=undecodable_clip()))


async def test_a_failure_keeps_no_recording(provider, fake):
    """When a call has failed, nothing holds its recording, not even until the next collection."""
    fake.script.extend(["ok", "error"])
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
    """The formatted turn is the final, once, with times from the stream's start."""
    events = await heard(provider, LIVE)
    (final,) = finals(events)

    assert LiveReady() == events[0]
    assert LivePartial(text="Smoke from", language="en") == events[1]
    assert (f"{TEXT}.", 0.0, 0.48) == (final.text, final.start, final.end)
    assert Word(text="from", start=0.1, end=0.18, confidence=0.9) == final.words[1]
    assert 0.9 == pytest.approx(final.confidence)
    assert events[-1] is final
    assert not fake.problems


async def test_live_audio_arrives_whole_and_in_fair_pieces(provider, fake):
    """Odd pieces become chunks of 0.1 s, the last one filled up to the shortest allowed."""
    audio = bytes(range(250)) * 32
    await heard(provider, LIVE, audio[:100], audio[100:7000], audio[7000:])
    (session,) = fake.sessions

    assert audio == session.audio[: len(audio)]
    assert 6400 + 1600 == len(session.audio)
    assert [{"type": "Terminate"}] == session.said
    assert not fake.problems


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (LIVE, {"format_turns": "true"}),
        (
            LiveRequest(model="universal-3-6-pro", language="hi-IN", diarization=True),
            {"language_codes": '["hi"]', "language_detection": "true", "speaker_labels": "true"},
        ),
        (
            LiveRequest(model="universal-3-6-pro", allowed_languages=("en-IN", "th", "hi")),
            {"language_codes": '["en","hi"]', "language_detection": "true"},
        ),
        (LiveRequest(model="universal-3-6-pro"), {"language_detection": "true"}),
        (
            LiveRequest(model="whisper-rt", language="th"),
            {"format_turns": "true", "language_detection": "true"},
        ),
    ],
    ids=["english", "speakers", "allowed", "auto", "whisper"],
)
async def test_live_wishes_are_on_the_wire(provider, fake, request_, fields):
    """Each family gets the parameters that it knows."""
    await heard(provider, request_)
    fixed = {"sample_rate": "16000", "encoding": "pcm_s16le", "speech_model": request_.model}

    assert {**fixed, **fields} == fake.sessions[0].query
    assert not fake.problems


async def test_live_tells_language_and_speaker(provider):
    """What a turn says of language and speaker is told."""
    request = LiveRequest(model="universal-3-6-pro", diarization=True)
    (final,) = finals(await heard(provider, request))

    assert ("en", {"A"}) == (final.language, {word.speaker for word in final.words})


async def test_live_final_that_is_never_formatted(provider, fake):
    """A turn that ended and was not formatted is a final all the same."""
    fake.live = "unformatted"
    (final,) = finals(await heard(provider, LIVE))

    assert TEXT == final.text


async def test_live_refuses_a_language_it_does_not_know(provider, fake):
    """Nothing is connected for a language that the model does not list."""
    with pytest.raises(ProviderRejectedError, match="does not understand"):
        await heard(provider, LiveRequest(model="universal-streaming-english", language="th"))

    assert not fake.seen


LIVE_FAULTS = [
    ("1008", ProviderAuthError),
    ("3005", ProviderUnavailableError),
    ("3006", ProviderRejectedError),
    ("3007", ProviderRejectedError),
    ("3008", ProviderUnavailableError),
    ("3009", ProviderRateLimitedError),
    ("4001", ProviderAuthError),
    ("4002", ProviderQuotaError),
    ("4029", ProviderRateLimitedError),
    ("4031", ProviderUnavailableError),
    ("4101", ProviderRejectedError),
    ("1013", ProviderUnavailableError),
]


@pytest.mark.parametrize("how", ["refuse", "close", "error"])
@pytest.mark.parametrize(("code", "kind"), LIVE_FAULTS)
async def test_live_codes_are_ours(provider, fake, how, code, kind):
    """A code means the same as a message, as a close code, at the start and in the middle."""
    fake.live = f"{how}:{code}"
    with pytest.raises(ProviderError) as caught:
        await heard(provider, LIVE)

    assert kind is type(caught.value)
    assert "LEAK" not in str(caught.value)


@pytest.mark.parametrize(
    ("live", "kind"), [("early", ProviderUnavailableError), ("mute", ProviderTimeoutError)]
)
async def test_live_server_that_gives_up(start, fake, live, kind):
    """A session closed before its end, and one that never begins, are errors."""
    fake.live = live
    provider = await start(connections={"connect_timeout": 0.3})
    with pytest.raises(kind):
        await heard(provider, LIVE)

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


async def test_live_close_ends_the_session(provider, fake):
    """Closing the stream closes the socket, though the speaker goes on."""
    more = asyncio.Event()

    async def endless():
        yield SECOND
        await more.wait()

    async with asyncio.timeout(20), aclosing(provider.live_transcribe(LIVE, endless())) as events:
        while not isinstance(await anext(events), LivePartial):
            pass
    await fake.until(lambda: not fake.sockets)

    assert not fake.sessions[0].said


def test_cards_tell_what_is_live():
    """Streaming-only models claim live speech alone; the others, recordings alone."""
    kinds = {card.id: card.capabilities for card in CARDS}

    assert {Capability.LIVE_TRANSCRIBE} == kinds["whisper-rt"]
    assert {Capability.TRANSCRIBE} == kinds["universal-2"]
    assert all(Feature.WORD_TIMESTAMPS in card.features for card in CARDS)


def test_the_fake_says_what_it_promises():
    """Every refusal is JSON of its documented shape, or empty."""
    for refusal in AssemblyAIFake.refusals.values():
        assert not refusal.body or "error" in json.loads(refusal.body)


class TestConformance(ProviderConformance):
    """The kit, over the fake; long recordings are never done there."""

    patience = 10.0
    module = "junctor.plugins.remote.assemblyai"

    @pytest.fixture
    def clip(self):
        return clip_of(tone_samples())

    @pytest.fixture
    def provider(self, fake, clip) -> Provider:
        self.fake = fake
        fake.stuck_above = 2 * len(clip.data)
        fake.needs_sound = True
        return plugged(fake)

    async def stopped(self, provider):
        await self.fake.until(lambda: not self.fake.jobs and not self.fake.sockets)


def tone_samples():
    import numpy as np

    return np.sin(np.arange(16_000, dtype=np.float32))
