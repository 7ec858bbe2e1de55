"""Streams of Claude: each event as a chunk, tokens told early and late, and every way to break."""

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
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import EventParser, Target
from junctor.core.providers import Provider
from junctor.core.testing.conformance import ProviderConformance
from junctor.plugins.remote.anthropic.cards import CARDS
from junctor.plugins.remote.anthropic.chat_stream import ChatStream
from tests.fakes.vendors.anthropic import AnthropicFake, block_events, event
from tests.plugins.remote.adapters import plugged
from tests.plugins.remote.anthropic.test_chat import FAULTS, SONNET, TOOL, asked
from tests.waiting import patience

CARD = next(card for card in CARDS if card.id == SONNET)
TARGET = Target("anthropic", SONNET)
THOUGHT: dict[str, object] = {"type": "thinking", "thinking": "hm, let me see", "signature": "s"}
CALLS: list[dict[str, object]] = [
    {"type": "text", "text": "I will look."},
    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": [1, 2], "on": "สวัสดี"}},
    {"type": "tool_use", "id": "t2", "name": "rest", "input": {}},
]
OPENING = event("message_start", message={"id": "m", "content": [], "usage": {"input_tokens": 9}})
HELLO = b"".join(block_events(0, {"type": "text", "text": "hello"}))
CLOSING = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4})


def flow(provider, request=None, *, wants_usage=True) -> Flow:
    source = provider.stream_chat(request or asked())
    return Flow(source, CARD, asked="mine", prompt=5, wants_usage=wants_usage)


async def flowed(provider, request=None, *, wants_usage=True):
    """Return the stream as the core passes it on, and its chunks."""
    events = flow(provider, request, wants_usage=wants_usage)
    async with asyncio.timeout(20), aclosing(events):
        data = b"".join([one async for one in events])
    said = [one.removeprefix(b"data: ") for one in data.split(b"\n\n") if one]
    assert b"[DONE]" == said.pop()
    return events, [json.loads(one) for one in said]


def deltas(chunks):
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def joined(chunks, name):
    return "".join(delta.get(name) or "" for delta in deltas(chunks))


async def test_text(provider, fake):
    """Text comes in pieces, with a greeting before, its end behind, and usage last."""
    _, chunks = await flowed(provider)

    assert {"role": "assistant", "content": ""} == deltas(chunks)[0]
    assert "Hello from Claude" == joined(chunks, "content")
    assert ["stop"] == [c["finish_reason"] for one in chunks[-2:] for c in one["choices"]]
    assert {"prompt_tokens": 15, "completion_tokens": 20, "total_tokens": 35} == chunks[-1]["usage"]
    assert {("msg_1", "chat.completion.chunk", "mine")} == {
        (one["id"], one["object"], one["model"]) for one in chunks
    }
    assert [] == fake.problems


async def test_usage_is_told_once(provider):
    """The early word about the prompt is not for the caller, nor usage that it did not ask for."""
    _, wanted = await flowed(provider)
    events, unwanted = await flowed(provider, wants_usage=False)

    assert 1 == sum("usage" in chunk for chunk in wanted)
    assert not any("usage" in chunk for chunk in unwanted)
    assert (15, 20) == (events.tally.prompt, events.tally.completion)


async def test_calls(provider, fake):
    """Arguments come piece by piece, each call by its index; one without any has an empty object."""
    fake.content, fake.stop_reason = CALLS, "tool_use"
    _, chunks = await flowed(provider, asked(tools=[TOOL]))
    pieces = [call for delta in deltas(chunks) for call in delta.get("tool_calls", [])]
    texts = {
        n: "".join(p["function"]["arguments"] for p in pieces if p["index"] == n) for n in (0, 1)
    }

    assert [
        {"index": 0, "id": "t1", "type": "function", "function": {"name": "look", "arguments": ""}},
        {"index": 1, "id": "t2", "type": "function", "function": {"name": "rest", "arguments": ""}},
    ] == [piece for piece in pieces if "id" in piece]
    assert [CALLS[1]["input"], {}] == [json.loads(text) for text in texts.values()]
    assert "tool_calls" == chunks[-2]["choices"][0]["finish_reason"]


async def test_thoughts(provider, fake):
    """What is thought comes apart from what is said, and signatures not at all."""
    fake.content = [THOUGHT, {"type": "text", "text": "yes"}]
    _, chunks = await flowed(provider, asked(reasoning_effort="high"))

    assert ("hm, let me see", "yes") == (
        joined(chunks, "reasoning_content"),
        joined(chunks, "content"),
    )


async def test_refusal(provider, fake):
    """A refusal ends the stream as filtered, with what was said about it."""
    fake.stop_reason, fake.content = "refusal", []
    fake.stop_details = {"type": "refusal", "explanation": "No."}
    _, chunks = await flowed(provider)

    assert ("No.", "content_filter") == (
        joined(chunks, "refusal"),
        chunks[-2]["choices"][0]["finish_reason"],
    )


async def test_who_leaves_early_pays_the_right_prompt(provider, fake):
    """The prompt's tokens are known from the first event on, those of the answer are counted."""
    fake.stalls_after = 5
    events = flow(provider)
    async with asyncio.timeout(20), aclosing(events):
        await anext(events)

    assert 15 == events.tally.prompt
    assert 1 <= events.tally.completion <= 2
    await fake.until(lambda: fake.aborted == 1)


async def test_leaving_before_the_first_event(provider, fake):
    """A cancelled wait for the answer closes the connection."""
    fake.always = "hang"
    task = asyncio.create_task(anext(flow(provider)))
    await fake.until(lambda: len(fake.seen) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await fake.until(lambda: fake.aborted == 1)


async def test_a_stall_is_a_timeout(start, fake):
    """A stream that stops between two tokens is given up when its time is over."""
    provider = await start(timeout=1.0)
    fake.stalls_after = 5

    with pytest.raises(ProviderTimeoutError):
        await flowed(provider)


def failed(kind: str) -> bytes:
    return event("error", error={"type": kind, "message": "LEAK"})


BROKEN = [
    (b"", ProviderAnswerError),
    (b"<html>LEAK</html>", ProviderAnswerError),
    (b"data: LEAK\n\n", ProviderAnswerError),
    (b'data: {"type": 1}\n\n', ProviderAnswerError),
    (OPENING, ProviderAnswerError),
    (OPENING + HELLO, ProviderAnswerError),
    (OPENING + HELLO + CLOSING[:-9], ProviderAnswerError),
    (OPENING + failed("overloaded_error"), ProviderUnavailableError),
    (OPENING + HELLO + failed("overloaded_error"), ProviderUnavailableError),
    (OPENING + failed("api_error"), ProviderUnavailableError),
    (OPENING + failed("timeout_error"), ProviderUnavailableError),
    (OPENING + failed("rate_limit_error"), ProviderRateLimitedError),
    (OPENING + failed("billing_error"), ProviderQuotaError),
    (OPENING + failed("invalid_request_error"), ProviderRejectedError),
    (OPENING + failed("new_error"), ProviderUnavailableError),
    (event("error"), ProviderUnavailableError),
]


@pytest.mark.parametrize(("events", "error"), BROKEN)
async def test_broken_streams(provider, fake, events, error):
    """A stream that is none, is cut, or tells an error is that error, and says no more."""
    fake.events = events
    with pytest.raises(error) as caught:
        await flowed(provider)

    assert ("anthropic", SONNET) == (caught.value.provider, caught.value.model)
    assert "LEAK" not in repr(caught.value)


ODD = [
    OPENING + HELLO + CLOSING,
    OPENING + event("ping") + HELLO + CLOSING + event("message_stop"),
    OPENING + event("new", delta={"text": "x"}) + HELLO + CLOSING + CLOSING,
    OPENING + b": comment\n\n" + HELLO + event("message_delta") + CLOSING,
    (OPENING + HELLO + CLOSING).replace(b"\n", b"\r\n"),
    OPENING + event("content_block_start") + event("content_block_delta") + HELLO + CLOSING,
    OPENING + event("content_block_delta", delta={"type": "new", "x": 1}) + HELLO + CLOSING,
    event("content_block_start", content_block={"type": "text", "text": "hello"}) + CLOSING,
]


@pytest.mark.parametrize("events", ODD)
async def test_odd_streams(provider, fake, events):
    """Events that are new, empty or many do no harm."""
    fake.events = events
    _, chunks = await flowed(provider)

    assert "hello" == joined(chunks, "content")
    assert 4 == chunks[-1]["usage"]["completion_tokens"]


async def test_json_instead_of_a_stream(provider, fake):
    """A server that does not stream does not speak this API."""
    fake.always = "malformed"

    with pytest.raises(ProviderAnswerError):
        await flowed(provider)


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
        await flowed(provider, asked(n=2))

    assert [] == fake.seen


WHOLE = b"".join(
    [
        OPENING,
        *(
            one
            for index, block in enumerate([THOUGHT, *CALLS])
            for one in block_events(index, block)
        ),
        CLOSING,
    ]
)


def told(stream: bytes, cuts: list[int], target: Target) -> bytes:
    """Return what a stream says when its bytes are cut at these places."""
    parser, chats = EventParser(), ChatStream(target)
    places = [0, *sorted(cuts), len(stream)]
    found = []
    for start, end in pairwise(places):
        found += [chats.take(one.data) for one in parser.feed(stream[start:end])]
    return b"".join(found)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, len(WHOLE)), max_size=12), crlf=st.booleans())
def test_wherever_it_is_cut(cuts, crlf):
    """A stream says the same however its bytes are cut, and whatever ends its lines."""
    stream = WHOLE.replace(b"\n", b"\r\n") if crlf else WHOLE
    places = [min(cut, len(stream)) for cut in cuts]

    assert stamped(told(WHOLE, [], TARGET)) == stamped(told(stream, places, TARGET))


def stamped(data: bytes) -> list[object]:
    """Return the chunks without the second at which they were made."""
    chunks = [json.loads(one.removeprefix(b"data: ")) for one in data.split(b"\n\n") if one]
    return [{**chunk, "created": 0} for chunk in chunks]


@settings(max_examples=200, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=40),
        st.dictionaries(
            st.sampled_from(
                ["type", "index", "delta", "usage", "message", "content_block", "error"]
            ),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                lambda inner: st.dictionaries(
                    st.sampled_from(["type", "text", "id", "usage", "partial_json", "stop_reason"]),
                    inner,
                    max_size=3,
                ),
                max_leaves=5,
            ),
            max_size=4,
        ).map(lambda found: json.dumps(found).encode()),
    ),
    kind=st.sampled_from(["message_start", "content_block_delta", "message_delta", "error", "x"]),
)
def test_anything_is_a_chunk_or_an_error(data, kind):
    """Whatever an event holds, it is told or refused, and nothing else happens."""
    stream = ChatStream(TARGET)
    with suppress(ProviderError):
        said = stream.take(data) + stream.take(data.replace(b'"x"', json.dumps(kind).encode()))

        assert said == b"" or said.endswith(b"\n\n")


class TestChat(ProviderConformance):
    """The part of the conformance kit that is about chat."""

    patience = 10.0
    module = "junctor.plugins.remote.anthropic"

    @pytest.fixture
    def provider(self, fake: AnthropicFake) -> Provider:
        self.fake = fake
        fake.slow_above = 6_000
        fake.fixes = {"focks": "fox"}
        return plugged(fake)

    @pytest.fixture
    def clip(self):
        pytest.skip("it has no ears")

    async def stopped(self, provider: Provider) -> None:
        await self.fake.left()
