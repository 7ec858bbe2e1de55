"""Chat by way of a server that speaks OpenAI's dialect: the bytes go through, the faults are told."""

import asyncio
import json
from contextlib import aclosing

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from junctor.core.cards import CHAT_FEATURES, Capability, ModelCard
from junctor.core.chat.flow import Flow, Tally, checked
from junctor.core.chat.relay import ChatServer
from junctor.core.errors import (
    ProviderAnswerError,
    ProviderAuthError,
    ProviderContextError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from junctor.core.net import Pool, Target
from junctor.core.requests import ChatReply, ChatRequest
from junctor.plugins.remote.openai.provider import OpenAIProvider
from junctor.plugins.remote.openai.settings import OFFICIAL, ModelSettings, ProviderSettings
from tests.fakes.upstream import MODES, Mode, failure
from tests.plugins.remote.openai.test_provider import FAULTS
from tests.waiting import patience

KEY = "sk-very-secret"
BODY = b'{"model": "any", "messages": [{"role": "user", "content": "hi"}]}'
CHAT = ChatRequest(body=BODY, model="talker")
TALKER = ModelSettings(capabilities=frozenset({Capability.CHAT}))
CARD = ModelCard(
    provider="openai",
    id="talker",
    capabilities=frozenset({Capability.CHAT}),
    features=CHAT_FEATURES,
)
SSE = (("content-type", "text/event-stream; charset=utf-8"),)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def asked(**fields: object) -> ChatRequest:
    document = {"model": "any", "messages": [{"role": "user", "content": "hi"}], **fields}
    return evolve(CHAT, body=json.dumps(document).encode())


def chunk(delta: object = None, finish: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "choices": choices, **more}).encode() + b"\n\n"


HI = chunk({"content": "hi"})
END = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"


def sse(*events: bytes) -> Mode:
    return Mode(headers=SSE, body=b"".join(events))


def flow(provider: OpenAIProvider, request: ChatRequest = CHAT) -> Flow:
    wants = request.wants_usage
    return Flow(provider.stream_chat(request), CARD, asked="any", prompt=5, wants_usage=wants)


async def flowed(provider: OpenAIProvider, request: ChatRequest = CHAT) -> tuple[Flow, bytes]:
    """Return a stream as the core passes it on, read to its end."""
    events = flow(provider, request)
    async with asyncio.timeout(20), aclosing(events):
        return events, b"".join([event async for event in events])


@pytest.fixture(name="talker")
async def _talker(start):
    return await start(talker=TALKER)


async def test_the_answer_is_the_server_s_own(talker, upstream):
    """A whole answer comes back byte by byte, whatever it holds."""
    body = b'{"choices":  [{"message":{"content":"x","new":1e3}}], "new":[1,\t2], "usage":null}'
    upstream.script(Mode(body=body))

    assert ChatReply(body=body) == await talker.chat(CHAT)


async def test_the_request_keeps_its_bytes(talker, upstream):
    """Every field goes on as it was written, but for the name of the model."""
    fields = [b'"messages":[ {"role":"user","content":"h\\u0069"} ]', b'"new":{"a" : 1.50e1}']
    await talker.chat(evolve(CHAT, body=b'{"model": "any", ' + b", ".join(fields) + b"}"))
    body = upstream.requests[0].body

    assert all(one in body for one in fields)
    assert "talker" == upstream.requests[0].json["model"]
    assert {"model", "messages", "new"} == upstream.requests[0].json.keys()


async def test_headers(talker, upstream):
    """The key goes as a bearer token, to the path of chat completions."""
    await talker.chat(CHAT)
    request = upstream.requests[0]

    assert ("POST", "/v1/chat/completions") == (request.method, request.path)
    assert (f"Bearer {KEY}", "application/json") == (
        request.headers["authorization"],
        request.headers["content-type"],
    )


async def test_a_whole_answer_is_asked_for_whole(talker, upstream):
    """What belongs to streams is not sent where none is wanted, whatever the caller's document says."""
    await talker.chat(asked(stream=True, stream_options={"include_usage": True}))

    assert {"model", "messages"} == upstream.requests[0].json.keys()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        (
            {"stream_options": {"include_usage": False, "new": 1}},
            {"include_usage": True, "new": 1},
        ),
    ],
    ids=["none", "null", "merged"],
)
async def test_usage_is_always_asked_for(talker, upstream, options, expected):
    """The server is to tell what a stream took, wanted by the caller or not."""
    await flowed(talker, asked(stream=True, **options))

    assert (True, expected) == (
        upstream.requests[0].json["stream"],
        upstream.requests[0].json["stream_options"],
    )


async def test_a_server_that_knows_no_usage_is_not_asked(upstream):
    """With `tells_usage = false` nothing is asked, and the tokens are counted here."""
    settings = ProviderSettings(
        base_url=upstream.base_url, keyless=True, tells_usage=False, models={"talker": TALKER}
    )
    provider = OpenAIProvider("openai", settings, Pool())
    await provider.start()
    events, _ = await flowed(provider)
    await provider.close()

    assert "stream_options" not in upstream.requests[0].json
    assert (5, 5) == (events.tally.prompt, events.tally.completion)


async def test_a_stream_is_the_server_s_own(talker, upstream):
    """The events come back byte by byte, unknown fields among them; only usage nobody wants does not."""
    odd = b'data: {"id":"c", "new" : [1.50e1], "choices":[{"index":0,"delta":{"content":"a","x":{}}}]}\n\n'
    upstream.script(sse(odd, HI, END, chunk(usage=USAGE), DONE))
    events, data = await flowed(talker)

    assert odd + HI + END + DONE == data
    assert (7, 3) == (events.tally.prompt, events.tally.completion)


async def test_usage_is_passed_on_to_who_wants_it(talker, upstream):
    """A caller that asked gets the server's own word."""
    used = chunk(usage=USAGE)
    upstream.script(sse(HI, END, used, DONE))
    _, data = await flowed(talker, evolve(CHAT, wants_usage=True))

    assert HI + END + used + DONE == data


async def test_an_early_word_about_the_prompt_is_for_us(talker, upstream):
    """Usage before the end counts for who leaves, and reaches nobody."""
    early = chunk(usage={"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9})
    upstream.script(sse(early, HI, HI, END, DONE))
    events, data = await flowed(talker)

    assert HI + HI + END + DONE == data
    assert (9, 2) == (events.tally.prompt, events.tally.completion)


GOOD = {
    "usage with the last choice": (sse(HI, chunk({}, "stop", usage=USAGE), DONE), (7, 3)),
    "no usage": (sse(HI, HI, END, DONE), (5, 2)),
    "no [DONE]": (sse(HI, END, chunk(usage=USAGE)), (7, 3)),
    "no [DONE], no last line end": (sse(HI, END.rstrip()), (5, 1)),
    "CRLF": (sse(*(one.replace(b"\n", b"\r\n") for one in (HI, END, DONE))), (5, 1)),
    "CR": (sse(*(one.replace(b"\n", b"\r") for one in (HI, END, DONE))), (5, 1)),
    "comments": (sse(b": hello\n\n", HI, b": keep-alive\n\n", END, DONE), (5, 1)),
    "named events": (sse(b"event: x\nid: 1\n" + HI, END, DONE), (5, 1)),
    "no space": (sse(HI.replace(b"data: ", b"data:"), END, DONE), (5, 1)),
    "nulls": (
        sse(
            chunk({"content": "hi", "tool_calls": None, "refusal": None}, usage=None, error=None),
            chunk({"content": "", "tool_calls": []}, "stop", usage=None, error=None),
            DONE,
        ),
        (5, 1),
    ),
    "usage of nothing": (sse(HI, END, chunk(usage={}), DONE), (5, 1)),
    "usage of nonsense": (sse(HI, END, chunk(usage={"prompt_tokens": "x"}), DONE), (5, 1)),
}


@pytest.mark.parametrize(("mode", "tokens"), GOOD.values(), ids=GOOD)
async def test_streams_that_are_whole(talker, upstream, mode, tokens):
    """However a server ends its stream, the caller gets a whole one, and its tokens are known."""
    upstream.script(mode)
    events, data = await flowed(talker)

    assert data.endswith(DONE)
    assert b'"content": "hi"' in data
    assert tokens == (events.tally.prompt, events.tally.completion)


async def test_json_instead_of_a_stream(talker, upstream):
    """A server that does not stream gives its whole answer as one event."""
    message = {"content": "all"}
    choice = {"index": 0, "message": message, "new": 1, "finish_reason": "stop"}
    upstream.script(
        Mode(body=json.dumps({"id": "c", "choices": [choice], "usage": USAGE}).encode())
    )
    events, data = await flowed(talker)
    first = json.loads(data.split(b"\n\n")[0].removeprefix(b"data: "))

    assert {"index": 0, "delta": {"content": "all"}, "finish_reason": "stop", "new": 1} == (
        first["choices"][0]
    )
    assert (7, 3) == (events.tally.prompt, events.tally.completion)


async def test_calls_in_json_instead_of_a_stream(talker, upstream):
    """They are numbered as clients of streams want, and odd fields of no concern pass."""
    calls = [{"id": one, "function": {"name": "f", "arguments": "{}"}} for one in "ab"]
    message = {"content": None, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    whole = {"id": None, "created": 1.5, "choices": [choice]}
    upstream.script(Mode(body=json.dumps(whole).encode()))
    _, data = await flowed(talker)
    first = json.loads(data.split(b"\n\n")[0].removeprefix(b"data: "))

    assert first["choices"][0]["delta"]["tool_calls"] == [
        {"index": number, **call} for number, call in enumerate(calls)
    ]
    assert (None, 1.5) == (first["id"], first["created"])


BROKEN = {
    "html": (MODES["html"], ProviderAnswerError),
    "nothing": (sse(b""), ProviderAnswerError),
    "greeting alone": (sse(chunk({"role": "assistant"})), ProviderAnswerError),
    "no finish": (sse(HI), ProviderAnswerError),
    "cut in a chunk": (sse(HI, HI[:-9]), ProviderAnswerError),
    "not JSON": (sse(HI, b"data: LEAK\n\n", END, DONE), ProviderAnswerError),
    "html in a stream": (sse(b"<html>LEAK</html>\n\n"), ProviderAnswerError),
    "error": (sse(HI, b'data: {"error": {"message": "LEAK"}}\n\n'), ProviderAnswerError),
    "overloaded": (
        sse(HI, b'data: {"error": {"message": "LEAK", "code": 503}}\n\n'),
        ProviderUnavailableError,
    ),
    "slow down": (
        sse(b'data: {"error": {"message": "LEAK", "code": 429}}\n\n'),
        ProviderRateLimitedError,
    ),
    "too long": (
        failure(400, "context_length_exceeded"),
        ProviderContextError,
    ),
}


@pytest.mark.parametrize(("mode", "error"), BROKEN.values(), ids=BROKEN)
async def test_streams_that_break(talker, upstream, mode, error):
    """A stream that is none, or breaks, is an error that says nothing of what the server said."""
    upstream.script(mode)
    with pytest.raises(error) as caught:
        await flowed(talker)

    assert ("openai", "talker") == (caught.value.provider, caught.value.model)
    assert "LEAK" not in repr(caught.value)


@pytest.mark.parametrize(("mode", "error"), FAULTS, ids=[mode for mode, _ in FAULTS])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_faults(start, upstream, mode, error, streams):
    """Each fault of the upstream is its error, whole and streamed."""
    provider = await start(upstream.url(mode), within=patience(error), talker=TALKER)
    with pytest.raises(error) as caught:
        await (flowed(provider) if streams else _checked(provider))

    assert KEY not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "LEAK" not in repr(caught.value)


async def _checked(provider: OpenAIProvider) -> None:
    """Ask for a whole answer, and look at it as the core does."""
    checked((await provider.chat(CHAT)).body, CARD, Tally(0))


async def test_a_prompt_too_long_is_for_another(talker, upstream):
    """A context that is too small is no defect: a candidate with a larger one may take it."""
    upstream.script(failure(400, "context_length_exceeded"))
    with pytest.raises(ProviderContextError) as caught:
        await talker.chat(CHAT)

    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("mode", "error", "wait"),
    [
        ("rate-limited", ProviderRateLimitedError, 7.0),
        ("quota", ProviderQuotaError, None),
        ("unauthorized", ProviderAuthError, None),
    ],
)
async def test_told_apart(talker, upstream, mode, error, wait):
    """Slow down, no money and no entry are three things, and a wait is handed on."""
    upstream.script(mode)
    with pytest.raises(error) as caught:
        await flowed(talker)

    assert wait == caught.value.retry_after


async def test_a_stall_is_a_timeout(start, upstream):
    """A server that stops between two tokens is given up when its time is over."""
    provider = await start(upstream.url("stall"), within=0.3, talker=TALKER)
    events = flow(provider)
    async with aclosing(events):
        await anext(events)
        with pytest.raises(ProviderTimeoutError):
            await anext(events)


@pytest.mark.parametrize("mode", ["drip", "stall"])
async def test_leaving_reaches_the_upstream(start, upstream, mode):
    """The connection of a stream that is closed is gone soon."""
    upstream.text = "a very long story " * 50
    provider = await start(upstream.url(mode), talker=TALKER)
    source = provider.stream_chat(CHAT)
    await anext(source)
    await source.aclose()

    await upstream.until(lambda: upstream.open_connections == 0)


async def test_leaving_before_the_first_byte(start, upstream):
    """A cancelled wait for the answer closes the connection, too."""
    provider = await start(upstream.url("hang"), talker=TALKER)
    task = asyncio.create_task(anext(provider.stream_chat(CHAT)))
    await upstream.until(lambda: len(upstream.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await upstream.until(lambda: upstream.open_connections == 0)


async def test_streams_in_a_row_use_one_connection(talker, upstream):
    """A stream that was read to its end leaves its connection to the next one."""
    for _ in range(3):
        await flowed(talker)

    assert (3, 1) == (len(upstream.requests), upstream.connections)


async def test_a_model_that_is_not_configured(talker, upstream):
    """A name that no table has is refused here, whole and streamed."""
    with pytest.raises(ProviderRejectedError, match="no model 'other'"):
        await talker.chat(evolve(CHAT, model="other"))
    with pytest.raises(ProviderError):
        talker.stream_chat(evolve(CHAT, model="other"))

    assert [] == upstream.requests


@pytest.fixture(name="server")
async def _server(upstream):
    """A server that is asked without a provider, and knows one field by another name."""
    pool = Pool()
    await pool.open()
    yield ChatServer(
        pool=pool,
        url=f"{upstream.base_url}/chat/completions",
        timeout=5.0,
        defaults={"top_k": 20, "messages": []},
        renamed={"max_tokens": "max_completion_tokens"},
    )
    await pool.close()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
    ids=["old", "both", "null"],
)
async def test_a_field_goes_by_its_new_name(server, upstream, fields, expected):
    """OpenAI's `max_tokens` goes as `max_completion_tokens`; who sends both means the new one."""
    await server.chat(asked(**fields), Target("x"))
    sent = upstream.requests[0].json

    assert (expected, False) == (sent["max_completion_tokens"], "max_tokens" in sent)


@pytest.mark.parametrize(("url", "is_so"), [(OFFICIAL, True), ("http://127.0.0.1:1/v1", False)])
def test_only_openai_itself_is_official(url, is_so):
    """Other servers get the fields as they came."""
    assert is_so == ProviderSettings(base_url=url).is_official


async def test_defaults_and_changes(server, upstream):
    """A server's defaults stand in for what is missing, changes take the place of what is there."""
    reply = await server.chat(CHAT, Target("x", "talker"), changes={"seed": 1})
    sent = upstream.requests[0].json

    assert (20, 1, "hi") == (sent["top_k"], sent["seed"], sent["messages"][0]["content"])
    assert "talker" == json.loads(reply.body)["model"]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    texts=st.lists(st.text(max_size=8), min_size=1, max_size=5),
    line=st.sampled_from([b"\n", b"\r\n"]),
)
async def test_wherever_it_is_cut(data, texts, line):
    """A stream says the same however its bytes are cut."""
    events = [chunk({"content": text}) for text in texts] + [END, chunk(usage=USAGE), DONE]
    whole = b"".join(events).replace(b"\n", line)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def source():
        for piece in pieces:
            if piece:
                yield piece

    flowing = Flow(source(), CARD, asked="talker", prompt=5, wants_usage=True)
    said = b"".join([one async for one in flowing])

    assert b"".join(events) == said
    assert (7, 3) == (flowing.tally.prompt, flowing.tally.completion)
