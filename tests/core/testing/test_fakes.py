"""The scripted provider does as it is told and remembers it."""

import asyncio
import json
from contextlib import aclosing

import pytest

from junctor.core.cards import Capability
from junctor.core.chat.dialect import request_of, text_of
from junctor.core.errors import ProviderBusyError, ProviderUnavailableError
from junctor.core.providers import PROTOCOLS
from junctor.core.requests import (
    AlignRequest,
    IdentifyRequest,
    TranscribeRequest,
    Window,
    WindowsRequest,
)
from junctor.core.testing.clips import silent_clip
from junctor.core.testing.fakes import Fail, FakeTranscriber, Hang, Say, fake_card
from junctor.core.transcripts import Transcript, TranscriptDelta

REQUEST = TranscribeRequest(audio=silent_clip(2.0), model="one")


def down() -> ProviderUnavailableError:
    return ProviderUnavailableError("Down.", provider="fake", model="one")


@pytest.mark.parametrize("capability", sorted(fake_card().capabilities))
def test_serves_what_its_card_claims(capability):
    """It implements the protocol of each capability that it claims."""
    assert isinstance(FakeTranscriber(), PROTOCOLS[capability])


async def test_follows_script_then_default():
    """Steps are taken in order, and the default for ever after."""
    fake = FakeTranscriber(script=[Fail(down()), Say("first")], then=Say("more"))

    with pytest.raises(ProviderUnavailableError):
        await fake.transcribe(REQUEST)

    assert ["first", "more", "more"] == [(await fake.transcribe(REQUEST)).text for _ in range(3)]


async def test_words_fill_the_clip():
    """A transcript has words with times over the whole clip."""
    words = (await FakeTranscriber(then=Say("a b")).transcribe(REQUEST)).words

    assert [("a", 0.0, 1.0), ("b", 1.0, 2.0)] == [(w.text, w.start, w.end) for w in words]


async def test_streams_words_then_transcript():
    """A stream's pieces joined are its text, and the transcript comes last."""
    events = [event async for event in FakeTranscriber(then=Say("a b")).stream_transcribe(REQUEST)]

    assert [TranscriptDelta(text="a"), TranscriptDelta(text=" b")] == events[:2]
    assert isinstance(events[2], Transcript)
    assert "a b" == events[2].text


async def test_stream_fails_after_items():
    """A stream may fail after so many items."""
    stream = FakeTranscriber(then=Fail(down(), items=2)).stream_transcribe(REQUEST)
    assert ["word0 ", "word1 "] == [(await anext(stream)).text for _ in range(2)]

    with pytest.raises(ProviderUnavailableError):
        await anext(stream)


async def test_hang_is_cancelled():
    """A call that hangs ends when its task is cancelled, and that is remembered."""
    fake = FakeTranscriber(then=Hang())
    task = asyncio.create_task(fake.transcribe(REQUEST))
    await fake.called()
    task.cancel()

    assert "cancelled" == (await fake.settled()).outcome


async def test_closed_stream_is_cancelled():
    """A stream closed early counts as cancelled."""
    fake = FakeTranscriber(then=Hang(items=1))
    async with aclosing(fake.stream_transcribe(REQUEST)) as events:
        await anext(events)

    assert "cancelled" == fake.calls[0].outcome


async def test_capacity_is_busy():
    """One call over its capacity is refused as busy."""
    fake = FakeTranscriber(then=Hang(), capacity=1)
    task = asyncio.create_task(fake.transcribe(REQUEST))
    await fake.called()

    with pytest.raises(ProviderBusyError):
        await fake.transcribe(REQUEST)

    task.cancel()


async def test_waits_for_event():
    """An answer may wait for an event of the test."""
    go = asyncio.Event()
    fake = FakeTranscriber(then=Say("now", after=go))
    task = asyncio.create_task(fake.transcribe(REQUEST))
    await fake.called()
    assert not task.done()
    go.set()

    assert "now" == (await task).text


async def test_identifies_and_chats():
    """The other capabilities follow the same script."""
    fake = FakeTranscriber(then=Say("sawatdi krap", language="th"))
    heard = await fake.identify_language(IdentifyRequest(audio=REQUEST.audio))
    reply = await fake.chat(request_of([{"role": "user", "content": "hi"}]))
    usage = json.loads(reply.body)["usage"]

    assert ("th", "sawatdi krap") == (heard.language, text_of(reply.body))
    assert (1, 2) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert [Capability.IDENTIFY_LANGUAGE, Capability.CHAT] == [c.capability for c in fake.calls]


async def test_hears_windows():
    """The step's text is in each window but the silent one, with words where they are wanted."""
    fake = FakeTranscriber(then=Say("one two"))
    timed = Window(pcm=b"\1\0" * 16_000, word_timestamps=True)
    found = await fake.transcribe_windows(
        WindowsRequest(windows=(timed, Window(pcm=bytes(320)), Window(pcm=b"\1\0")))
    )

    assert ["one two", "", "one two"] == [one.text for one in found]
    assert ("one", " two") == found[0].pieces
    assert [(0.0, 0.5), (0.5, 1.0)] == [(word.start, word.end) for word in found[0].words]
    assert () == found[2].words


async def test_aligns_what_it_says():
    """Words of the step's text are sure, others are not."""
    fake = FakeTranscriber(then=Say("one two"))
    request = AlignRequest(audio=silent_clip(2.0), words=("one", "three"), language="en")
    found = await fake.align(request)

    assert [("one", 0.0, 0.9), ("three", 1.0, 0.1)] == [
        (word.text, word.start, word.confidence) for word in found.words
    ]
    assert found.confidence == pytest.approx(0.3)
