"""Streams of Gemini: each event as chunks, tokens told early and late, and every way to break."""

import asyncio
import json
from contextlib import aclosing, suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.core.chat.flow import Flow
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import EventParser, Target
from junctor.plugins.remote.google.chat_stream import ChatStream
from tests.fakes.vendors.google_chat import SIGNATURE, TEXT, Talk, sse
from tests.plugins.remote.google.test_chat import CARD_OF, FAULTS, FLASH, SIGNED, TOOL, asked
from tests.waiting import patience

TARGET = Target("google", FLASH)
USED = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4}}


def said(text: str, **more: object) -> bytes:
    content = {"parts": [{"text": text}]}
    return sse({"candidates": [{"content": content, **more}], **USED})


HELLO = said("hello")
END = sse({"candidates": [{"finishReason": "STOP"}], **USED})


def flow(provider, request=None, *, wants_usage=True) -> Flow:
    source = provider.stream_chat(request or asked())
    return Flow(source, CARD_OF[FLASH], asked="mine", prompt=5, wants_usage=wants_usage)


async def flowed(provider, request=None, *, wants_usage=True):
    """Return the stream as the core passes it on, and its chunks."""
    events = flow(provider, request, wants_usage=wants_usage)
    async with asyncio.timeout(20), aclosing(events):
        data = b"".join([one async for one in events])
    found = [one.removeprefix(b"data: ") for one in data.split(b"\n\n") if one]
    assert b"[DONE]" == found.pop()
    return events, [json.loads(one) for one in found]


def deltas(chunks, index=0):
    return [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index]


def joined(chunks, name, index=0):
    return "".join(delta.get(name) or "" for delta in deltas(chunks, index))


async def test_text(provider, fake):
    """Text comes in pieces, with a greeting before, its end behind, and usage last."""
    _, chunks = await flowed(provider)

    assert {"role": "assistant", "content": ""} == deltas(chunks)[0]
    assert TEXT == joined(chunks, "content")
    assert ["stop"] == [c["finish_reason"] for one in chunks[-2:] for c in one["choices"]]
    assert {"prompt_tokens": 15, "completion_tokens": 13, "total_tokens": 28} == chunks[-1]["usage"]
    assert {("resp-1", "mine")} == {(one["id"], one["model"]) for one in chunks}
    assert (f"/v1beta/models/{FLASH}:streamGenerateContent", [("alt", "sse")]) == (
        fake.seen[0].path,
        fake.seen[0].query,
    )


async def test_usage_is_told_once(provider):
    """The early word about the prompt is not for the caller, nor usage that it did not ask for."""
    _, wanted = await flowed(provider)
    events, unwanted = await flowed(provider, wants_usage=False)

    assert 1 == sum("usage" in chunk for chunk in wanted)
    assert not any("usage" in chunk for chunk in unwanted)
    assert (15, 13) == (events.tally.prompt, events.tally.completion)


async def test_without_usage(provider, fake):
    """Where nobody says what it took, it is counted."""
    fake.talk.usage = None
    events, _ = await flowed(provider)

    assert 5 == events.tally.prompt
    assert events.tally.completion


async def test_calls(provider, fake):
    """Each call comes whole, by its index, its signature beside it."""
    fake.talk.answers = [
        [
            {"text": "hm", "thought": True},
            {"functionCall": {"name": "look", "args": {"x": 1}}, "thoughtSignature": SIGNATURE},
            {"functionCall": {"name": "look", "args": {}, "id": "own"}},
        ]
    ]
    _, chunks = await flowed(provider, asked(tools=[TOOL]))
    calls = [one for delta in deltas(chunks) for one in delta.get("tool_calls", [])]

    assert [(0, '{"x": 1}', SIGNED), (1, "{}", None)] == [
        (one["index"], one["function"]["arguments"], one.get("extra_content")) for one in calls
    ]
    assert ("own", "hm") == (calls[1]["id"], joined(chunks, "reasoning_content"))
    assert "tool_calls" == chunks[-2]["choices"][0]["finish_reason"]


async def test_several_answers(provider, fake):
    """Pieces of several candidates go by their index, and each of them ends."""
    fake.talk.answers = [[{"text": "one"}], [{"text": "two"}]]
    _, chunks = await flowed(provider, asked(n=2))
    ends = [c["index"] for one in chunks for c in one["choices"] if c["finish_reason"]]

    assert ("one", "two") == (joined(chunks, "content"), joined(chunks, "content", 1))
    assert [0, 1] == ends


async def test_who_leaves_early_pays_the_right_prompt(provider, fake):
    """The prompt's tokens are known from the first event on, those of the answer are counted."""
    fake.talk.stalls_after = 2
    events = flow(provider)
    async with asyncio.timeout(20), aclosing(events):
        await anext(events)

    assert 15 == events.tally.prompt
    assert 1 <= events.tally.completion <= 4
    await fake.until(lambda: fake.aborted == 1)


async def test_a_stall_is_a_timeout(start, fake):
    """A stream that stops between two tokens is given up when its time is over."""
    provider = await start(timeout=1.0)
    fake.talk.stalls_after = 2

    with pytest.raises(ProviderTimeoutError):
        await flowed(provider)


def failed(code: object) -> bytes:
    return sse({"error": {"code": code, "message": "LEAK", "status": "LEAK"}})


BROKEN = [
    (b"", ProviderAnswerError),
    (b"<html>LEAK</html>", ProviderAnswerError),
    (b"data: LEAK\n\n", ProviderAnswerError),
    (b"data: []\n\n", ProviderAnswerError),
    (sse({}), ProviderAnswerError),
    (HELLO, ProviderAnswerError),
    (HELLO + END[:-9], ProviderAnswerError),
    (HELLO + said("", finishReason="MALFORMED_FUNCTION_CALL"), ProviderAnswerError),
    (HELLO + said("", finishReason="MISSING_THOUGHT_SIGNATURE"), ProviderRejectedError),
    (HELLO + failed(503), ProviderUnavailableError),
    (failed(429), ProviderRateLimitedError),
    (failed(403), ProviderAuthError),
    (failed(None), ProviderUnavailableError),
    (failed("LEAK"), ProviderAnswerError),
]


@pytest.mark.parametrize(("events", "error"), BROKEN)
async def test_broken_streams(provider, fake, events, error):
    """A stream that is none, is cut, or tells an error is that error, and says no more."""
    fake.talk.events = events
    with pytest.raises(error) as caught:
        await flowed(provider)

    assert ("google", FLASH) == (caught.value.provider, caught.value.model)
    assert "LEAK" not in repr(caught.value)


ODD = [
    HELLO + END,
    said("hello", finishReason="STOP"),
    HELLO + END + END,
    said("hello", finishReason="FINISH_REASON_UNSPECIFIED") + END,
    (b": comment\r\n\r\n" + HELLO + END).replace(b"\r\n", b"\n"),
    sse({"new": 1, **USED}) + HELLO + END,
    sse({"candidates": [{"content": {}}]}) + HELLO + END,
    HELLO + sse({"candidates": [{"content": {"parts": [{"executableCode": {}}]}}]}) + END,
]


@pytest.mark.parametrize("events", ODD)
async def test_odd_streams(provider, fake, events):
    """Events that are new, empty or many do no harm."""
    fake.talk.events = events
    _, chunks = await flowed(provider)

    assert "hello" == joined(chunks, "content")
    assert 4 == chunks[-1]["usage"]["completion_tokens"]


async def test_a_blocked_prompt(provider, fake):
    """A prompt that is held back is a stream that ends as filtered."""
    fake.talk.events = sse({"promptFeedback": {"blockReason": "SAFETY"}, **USED})
    _, chunks = await flowed(provider)

    assert "content_filter" == chunks[-2]["choices"][0]["finish_reason"]


@pytest.mark.parametrize(("name", "error"), FAULTS, ids=[name for name, _ in FAULTS])
async def test_faults(start, fake, name, error):
    """Each fault before the first event is its error."""
    provider = await start(timeout=patience(error))
    fake.always = name
    with pytest.raises(error) as caught:
        await flowed(provider)

    assert "LEAK" not in repr(caught.value)


async def test_what_cannot_be_said_is_not_sent(provider, fake):
    """A stream is refused as a whole answer is."""
    with pytest.raises(ProviderRejectedError):
        await flowed(provider, asked(logprobs=True))

    assert [] == fake.seen


WHOLE = b"".join(
    sse(one)
    for one in Talk(
        answers=[
            [{"text": "สวัสดี", "thought": True}, {"text": "a long word or two"}],
            [{"functionCall": {"name": "look", "args": {"x": [1]}, "id": "c"}}],
        ]
    ).chunks(FLASH)
)


def told(stream: bytes, cuts) -> list[object]:
    """Return the chunks of a stream that is cut at these places, without the second of their making."""
    parser, chats = EventParser(), ChatStream(TARGET)
    found = []
    for start, end in pairwise([0, *sorted(cuts), len(stream)]):
        found += [chats.take(one.data) for one in parser.feed(stream[start:end])]
    data = b"".join([*found, chats.last()])
    chunks = [json.loads(one.removeprefix(b"data: ")) for one in data.split(b"\n\n") if one]
    return [{**chunk, "created": 0} for chunk in chunks]


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=12), is_unix=st.booleans())
def test_wherever_it_is_cut(cuts, is_unix):
    """A stream says the same however its bytes are cut, and whatever ends its lines."""
    stream = WHOLE.replace(b"\r\n", b"\n") if is_unix else WHOLE

    assert told(WHOLE, []) == told(stream, [min(cut, len(stream)) for cut in cuts])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["content", "parts", "text", "finishReason", "index", "functionCall"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(
    found=st.dictionaries(
        st.sampled_from(["candidates", "promptFeedback", "usageMetadata", "error", "responseId"]),
        JSON,
        max_size=3,
    )
)
def test_anything_is_a_chunk_or_an_error(found):
    """Whatever an event holds, it is told or refused, and nothing else happens."""
    stream = ChatStream(TARGET)
    with suppress(ProviderError):
        said = stream.take(json.dumps(found).encode()) + stream.last()

        assert said == b"" or said.endswith(b"\n\n")
