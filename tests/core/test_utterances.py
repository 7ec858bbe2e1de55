"""Live by a model that transcribes, and a recording by a model that listens live."""

from itertools import pairwise

import pytest

from junctor.conf.settings import Live
from junctor.core.audio.pcm import clip_of_pcm
from junctor.core.audio.voice import VoiceTrack
from junctor.core.ears import Ear
from junctor.core.errors import ProviderTimeoutError, ProviderUnavailableError
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.core.rolling import RollingListener
from junctor.core.tape import Tape
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say
from junctor.core.transcripts import LiveFinal, LiveReady, Transcript
from junctor.core.utterances import LONGEST_CLIP, ClipDesk, clip_over_live, joined
from tests.fakes.listeners import Act, Listener, chunks, pause, spoken, words
from tests.plugins.local.voices import GAP, say

RATE = 16_000


@pytest.fixture(name="speech", scope="module")
def _speech() -> bytes:
    """About two seconds of somebody speaking, without silence around."""
    pcm = say("the weather is very nice today").data[44:]  # behind the header of the WAV file
    return pcm[2 * len(GAP) : -2 * len(GAP)]


async def live(provider: FakeTranscriber, pcm: bytes, *, within: float = 5.0):
    request = LiveRequest(model="one", language="en", word_timestamps=True)
    tape = Tape(300, VoiceTrack.best())
    listener = RollingListener(
        desk=ClipDesk(provider, request),
        request=request,
        ear=Ear(tape=tape, card=provider.models()[0], bounds=Live(), is_native=False),
        longest=LONGEST_CLIP,
        within=within,
        has_partials=False,
    )
    async with tape.recording(chunks(pcm, 32_000)):
        return [event async for event in listener.events()]


async def test_each_utterance_is_transcribed_when_it_has_ended(speech):
    """Two sentences with a pause between are two finals, at their times, words shifted."""
    fake = FakeTranscriber(script=[Say("good morning"), Say("good night")])
    ready, first, second = await live(fake, pause(1.0) + speech + pause(2.0) + speech)
    begin = 3.0 + len(speech) / 2 / RATE

    assert (ready, first.text, second.text) == (LiveReady(), "good morning", "good night")
    assert 0.6 < first.start < 1.1
    assert abs(second.start - begin) < 0.4
    assert second.words[0].start == second.start
    assert first.end <= second.start < second.end < begin + len(speech) / 2 / RATE + 0.001


async def test_what_is_asked_reaches_the_model(speech):
    """Model, language and wishes are those of the session; the audio is the utterance alone."""
    fake = FakeTranscriber()
    await live(fake, pause(2.0) + speech)
    [asked] = fake.requests

    assert isinstance(asked, TranscribeRequest)
    assert (asked.model, asked.language, asked.word_timestamps) == ("one", "en", True)
    assert abs(asked.audio.seconds - len(speech) / 2 / RATE) < 0.8


async def test_silence_costs_nothing():
    """Nobody is asked about a minute in which nobody speaks."""
    fake = FakeTranscriber()

    assert await live(fake, pause(60.0)) == [LiveReady()]
    assert fake.calls == []


async def test_long_speech_is_cut_and_nothing_is_lost(speech):
    """A speaker without a pause is cut every 25 seconds at most, sample after sample."""
    fake = FakeTranscriber()
    sound = (speech * 20)[: 2 * RATE * 40]
    _, *finals = await live(fake, sound)
    heard = [one.audio for one in fake.requests if isinstance(one, TranscribeRequest)]

    assert len(finals) >= 2
    assert max(clip.seconds for clip in heard) <= 25
    assert sum(clip.frames for clip in heard) >= len(sound) // 2 - 0.4 * RATE
    assert all(a.end == b.start for a, b in pairwise(finals))


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Hang(), ProviderTimeoutError),
        (Fail(ProviderUnavailableError("It broke.", provider="fake")), ProviderUnavailableError),
    ],
)
async def test_failures_come_out(speech, step, error):
    """A model that hangs or breaks ends the session; the run behind goes on with another."""
    with pytest.raises(error):
        await live(FakeTranscriber(then=step), speech, within=0.05)


async def test_a_recording_by_a_live_model():
    """Deltas come per final; joined they are the text of the transcript, which is the last item."""
    request = TranscribeRequest(audio=clip_of_pcm(spoken(7)), model="live", language="en")
    listener = Listener("a", Act(final_every=3))
    *deltas, whole = [one async for one in clip_over_live(listener, request, speed=1e6)]

    assert isinstance(whole, Transcript)
    assert "".join(delta.text for delta in deltas) == whole.text == " ".join(words(7))
    assert ([word.text for word in whole.words], whole.language) == (words(7), "en")
    assert (listener.requests[0].language, listener.open, len(whole.segments)) == ("en", 0, 3)


def test_the_whole_of_a_session():
    """The language spoken longest is its language; confidence is weighed by time."""
    whole = joined(
        [
            LiveFinal(text="eins", start=0.0, end=1.0, language="de", confidence=0.2),
            LiveFinal(text="two three", start=1.0, end=4.0, language="en", confidence=1.0),
        ]
    )

    assert (whole.text, whole.language) == ("eins two three", "en")
    assert whole.confidence == pytest.approx(0.8)
    assert joined([]).is_empty
