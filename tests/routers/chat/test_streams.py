"""Streams of chat over HTTP: what servers do to them, and what the caller is told of it."""

import asyncio
import json
from statistics import median
from time import perf_counter

import aiohttp
import pytest

from tests.fakes.chat_client import ChatClient, Reply, document
from tests.fakes.chat_upstream import (
    DONE,
    GREETING,
    HEL,
    LO,
    STOP,
    USED,
    WHOLE,
    WORDS,
    Act,
    Call,
    ChatUpstream,
    answers,
    chunk,
    honest,
    streams,
    usage,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASKED = {"stream": True, "stream_options": {"include_usage": True}}
ERROR = b'data: {"error":{"message":"LEAK sk-proj-1","code":"server_error"}}\n\n'


def told(*events: bytes) -> bytes:
    """Return events as the caller gets them, of a server that has spaces in its JSON."""
    return b"".join(events).replace(b'"model": "own"', b'"model": "chat"')


async def test_a_stream_as_it_came(anywhere: ChatClient, upstream: ChatUpstream) -> None:
    """Byte by byte, unknown fields and all, under the name that was asked for; charged as told."""
    odd = chunk({"content": "!", "new": {"a": 1e3}}, new=[1, None])
    upstream.script.append(streams(GREETING, HEL, odd, STOP, USED, DONE))
    reply = await anywhere.ask(stream=True)

    assert reply.body == told(GREETING, HEL, odd, STOP, DONE)
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert await anywhere.charged() == [("ok", 7, 3)]


async def test_usage_where_it_is_wanted(anywhere: ChatClient, upstream: ChatUpstream) -> None:
    """In the last chunk before the end; upstream it is asked for whoever wants it."""
    with_it = await anywhere.ask(**ASKED)
    without = await anywhere.ask(stream=True)

    assert with_it.body == told(*WORDS, USED, DONE)
    assert without.body == told(*WORDS, DONE)
    assert [call.json["stream_options"] for call in upstream.calls] == [{"include_usage": True}] * 2


async def test_other_stream_options_go_on(client: ChatClient, upstream: ChatUpstream) -> None:
    """Ours is set beside them."""
    await client.ask(stream=True, stream_options={"include_usage": False, "new": 1})

    assert upstream.calls[0].json["stream_options"] == {"include_usage": True, "new": 1}


async def test_no_usage_is_estimated(client: ChatClient, upstream: ChatUpstream) -> None:
    """One token for each piece at least, in the ledger and in the chunk that was asked for."""
    upstream.script += [streams(*WORDS, DONE)] * 2
    reply = await client.ask(**ASKED)
    last = json.loads(reply.events[-2])

    assert await client.charged() == [("ok", 5, 2)]
    assert (last["choices"], last["model"], last["usage"]) == ([], "chat", usage(5, 2))
    assert b"usage" not in (await client.ask(stream=True)).body


async def test_a_last_chunk_with_choices_and_usage(
    client: ChatClient, upstream: ChatUpstream
) -> None:
    """Its choices are the caller's, its usage is in the ledger, nothing is told twice."""
    both = chunk({"content": "lo"}, "stop", usage=usage(20, 30))
    upstream.script.append(streams(GREETING, HEL, both, DONE))
    reply = await client.ask(stream=True)

    assert (reply.body, reply.text) == (told(GREETING, HEL, both, DONE), "Hello")
    assert await client.charged() == [("ok", 20, 30)]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_chunks_cut_anywhere(client: ChatClient, upstream: ChatUpstream, size: int) -> None:
    """Events are put together again; line ends of two characters are made one."""
    whole = b"".join([*WORDS, USED, DONE]).replace(b"\n", b"\r\n")
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    upstream.script.append(streams(*pieces))

    assert (await client.ask(**ASKED)).body == told(*WORDS, USED, DONE)


@pytest.mark.parametrize("events", [WORDS, (*WORDS, USED)], ids=["no usage", "usage"])
async def test_a_server_without_done(
    client: ChatClient, upstream: ChatUpstream, events: tuple[bytes, ...]
) -> None:
    """Its answer is whole, so the caller gets the end from us."""
    upstream.script.append(streams(*events))

    assert (await client.ask(stream=True)).body == told(*WORDS, DONE)
    assert [outcome for outcome, _, _ in await client.charged()] == ["ok"]


async def test_a_server_that_does_not_stream(client: ChatClient, upstream: ChatUpstream) -> None:
    """Its whole answer is one chunk."""
    upstream.script.append(answers(json.dumps(WHOLE).encode()))
    reply = await client.ask(**ASKED)

    assert (reply.text, reply.events[-1]) == ("Hello", b"[DONE]")
    assert json.loads(reply.events[0])["model"] == "chat"
    assert await client.charged() == [("ok", 7, 3)]


BROKEN_STREAMS: dict[str, tuple[str, tuple[bytes, ...]]] = {
    "error": ("end", (ERROR,)),
    "cut after an event": ("cut", ()),
    "cut in an event": ("cut", (LO[:30],)),
    "cut before done": ("cut", (LO, STOP, USED)),
    "ends in an event": ("end", (LO[:30],)),
    "ends too soon": ("end", ()),
    "half of done": ("end", (b"data: [DO",)),
    "a page": ("end", (b"<html>LEAK</html>\n\ndata: <html>\n\n",)),
    "no json": ("end", (b"data: {LEAK\n\n",)),
    "deep": ("end", (b'data: {"x":' + b"[" * 100_000 + b"\n\n",)),
    "wrong types": ("end", (b'data: {"choices": 7}\n\n',)),
}


async def in_two(
    client: ChatClient, upstream: ChatUpstream, *rest: bytes, then: str = "end"
) -> Reply:
    """Have a stream of which the caller hears the first words before the server sends the rest."""
    heard = asyncio.Event()

    async def act(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await heard.wait()
        for piece in rest:
            await call.send(piece)
        if then == "end":
            await call.end()
        call.is_broken = then != "end"

    upstream.script.append(act)
    async with client.stream() as answer:
        body = await answer.content.readany()
        heard.set()
        body += await answer.read()
    return Reply(status=answer.status, headers=answer.headers, body=body)


@pytest.mark.parametrize(("then", "rest"), BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
async def test_a_failure_after_the_first_token(
    client: ChatClient,
    upstream: ChatUpstream,
    second: ChatUpstream,
    then: str,
    rest: tuple[bytes, ...],
) -> None:
    """What was said stands, the last event is an error, there is no end, and nothing is charged."""
    reply = await in_two(client, upstream, *rest, then=then)
    [(outcome, *tokens)] = await client.charged()

    assert reply.body.startswith(told(GREETING, HEL))
    assert reply.last_error["message"]
    assert b"LEAK" not in reply.body
    assert (len(second.calls), tokens) == (0, [0, 0])
    assert outcome.startswith("Provider")


@pytest.mark.parametrize("failure", [ERROR, b"data: <html>\n\n"], ids=["error", "page"])
async def test_what_came_before_a_failure_is_not_lost(
    client: ChatClient, upstream: ChatUpstream, failure: bytes
) -> None:
    """Even where both came in one piece."""
    reply = await in_two(client, upstream, LO + failure)

    assert reply.text == "Hello"
    assert reply.last_error["message"]


async def test_a_failure_that_comes_with_the_first_token(
    client: ChatClient, upstream: ChatUpstream
) -> None:
    """The next candidate answers: the caller has heard nothing yet."""
    upstream.script.append(streams(GREETING + HEL + ERROR))
    reply = await client.ask(stream=True)

    assert (reply.body, reply.headers["x-junctor-provider"]) == (told(*WORDS, DONE), "two")
    assert await client.charged() == [("ok", 7, 3)]


async def test_a_cut_behind_the_end(client: ChatClient, upstream: ChatUpstream) -> None:
    """A connection that breaks behind `[DONE]` takes nothing away."""
    upstream.script.append(streams(*WORDS, USED, DONE, then="cut"))
    reply = await client.ask(stream=True)

    assert reply.body == told(*WORDS, DONE)
    assert await client.charged() == [("ok", 7, 3)]


async def test_a_cut_in_a_chunk_of_http(client: ChatClient, upstream: ChatUpstream) -> None:
    """The framing of HTTP breaks off too; it is told like any other."""

    async def act(call: Call) -> None:
        await call.begin()
        await call.send(GREETING + HEL)
        await heard.wait()
        await call.write(b"500\r\ndata: {")
        call.is_broken = True

    heard = asyncio.Event()
    upstream.script.append(act)
    async with client.stream() as answer:
        body = await answer.content.readany()
        heard.set()
        body += await answer.read()

    assert b'data: {"error":' in body.removeprefix(told(GREETING, HEL))
    assert (await client.charged())[0][1:] == (0, 0)


NOTHING: dict[str, Act] = {
    "error": answers(b'{"error":{"message":"LEAK"}}', status=500),
    "rate limit": answers(b'{"error":{"message":"LEAK"}}', status=429),
    "unauthorized": answers(b'{"error":{"message":"LEAK"}}', status=401),
    "refused": answers(b'{"error":{"message":"LEAK"}}', status=400),
    "html": answers(b"<html>LEAK</html>", kind="text/html"),
    "html, 502": answers(b"<html>LEAK</html>", kind="text/html", status=502),
    "half a body": answers(b'{"choices": [', length=500),
    "nothing": streams(),
    "only a greeting": streams(GREETING),
    "only the end": streams(DONE),
    "only comments": streams(b": ping\n\n"),
    "only usage": streams(USED, DONE),
    "a page as events": streams(b"<html>LEAK</html>\n\n"),
    "greeting, then an error": streams(GREETING, ERROR),
    "greeting, then a cut": streams(GREETING, then="cut"),
    "an error": streams(ERROR),
}


@pytest.mark.parametrize("act", NOTHING.values(), ids=NOTHING)
async def test_a_failure_before_the_first_token(
    client: ChatClient, upstream: ChatUpstream, second: ChatUpstream, act: Act
) -> None:
    """The next candidate answers, and nothing of the first is seen."""
    upstream.script.append(act)
    second.script.append(honest)
    reply = await client.ask(stream=True)

    assert reply.body == told(*WORDS, DONE)
    assert (reply.headers["x-junctor-provider"], reply.headers["x-junctor-attempts"]) == (
        "two",
        "2",
    )
    assert await client.charged() == [("ok", 7, 3)]


WHOLE_FAILURES = {
    name: act for name, act in NOTHING.items() if name in {"html", "html, 502", "half a body"}
} | {
    "no choices": answers(b'{"choices": []}'),
    "no object": answers(b"[]"),
    "empty": answers(b""),
    "events": streams(*WORDS, DONE),
}


@pytest.mark.parametrize("act", WHOLE_FAILURES.values(), ids=WHOLE_FAILURES)
async def test_a_whole_answer_that_is_none(
    client: ChatClient, upstream: ChatUpstream, act: Act
) -> None:
    """The next candidate answers."""
    upstream.script.append(act)
    reply = await client.ask()

    assert (reply.status, reply.headers["x-junctor-provider"]) == (200, "two")
    assert await client.charged() == [("ok", 7, 3)]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("act", "refused"),
    [
        (NOTHING["html"], (502, "server_error", "all_providers_failed")),
        (NOTHING["error"], (502, "server_error", "all_providers_failed")),
        (NOTHING["refused"], (400, "invalid_request_error", None)),
        (NOTHING["rate limit"], (429, "requests", "saturated")),
    ],
    ids=["html", "error", "refused", "rate limit"],
)
async def test_nobody_is_left(
    anywhere: ChatClient,
    upstream: ChatUpstream,
    act: Act,
    refused: tuple[object, ...],
    is_stream: bool,  # pytest's
) -> None:
    """Before the first token an error has a status of its own; nothing is charged."""
    upstream.script.append(act)
    reply = await anywhere.ask(model="alone", stream=is_stream)

    assert reply.refused == refused
    assert b"LEAK" not in reply.body
    assert [row[1:] for row in await anywhere.charged()] == [(0, 0)]


async def test_several_answers_in_one_stream(client: ChatClient, upstream: ChatUpstream) -> None:
    """All of them have to be finished."""
    other = STOP.replace(b'"index": 0', b'"index": 1')
    start = HEL.replace(b'"index": 0', b'"index": 1')
    upstream.script += [streams(HEL, start, STOP, other), streams(HEL, start, STOP)]
    whole = await client.ask(stream=True, n=2)
    broken = await client.ask(stream=True, n=2)

    assert whole.body == told(HEL, start, STOP, other, DONE)
    assert broken.last_error["message"]


async def test_tokens_come_when_they_are_there(client: ChatClient, upstream: ChatUpstream) -> None:
    """Each is passed on before the next one is said."""
    heard = asyncio.Event()

    async def in_turns(call: Call) -> None:
        await call.begin()
        for event in (GREETING + HEL, LO, STOP + DONE):
            await call.send(event)
            await heard.wait()
            heard.clear()
        await call.end()

    upstream.script.append(in_turns)
    found = []
    async with client.stream(model="alone") as answer:
        async for data, _ in answer.content.iter_chunks():
            found.append(data)
            heard.set()

    assert b"".join(found) == told(GREETING, HEL, LO, STOP, DONE).replace(b'"chat"', b'"alone"')
    assert len(found) >= 3


async def _first(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str], model: str
) -> float:
    """Return the seconds until the first chunk of a stream."""
    started = perf_counter()
    async with http.post(url, data=document(stream=True, model=model), headers=headers) as answer:
        await answer.content.readany()
        taken = perf_counter() - started
        await answer.read()
    return taken


async def test_the_first_chunk_is_not_held_back(client: ChatClient, upstream: ChatUpstream) -> None:
    """On kept connections, where Nagle's algorithm and a delayed ACK would cost 40 ms."""
    ours, theirs = [], []
    for _ in range(30):
        theirs.append(await _first(client.http, f"{upstream.base_url}/chat/completions", {}, "own"))
        url = client.server.url + client.path
        ours.append(await _first(client.http, url, client.headers(), "alone"))

    assert median(ours) - median(theirs) < 0.02
