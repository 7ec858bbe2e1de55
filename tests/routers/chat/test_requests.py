"""What a chat request may be, and the words for what it may not: over HTTP, on both prefixes."""

import asyncio
import base64
import json
import os
from typing import Any

import pytest

from junctor.contracts.chat import ChatCompletionRequest
from tests.fakes.chat_client import HI, ChatClient, Reply, document
from tests.fakes.chat_settings import CONTEXT, LONGEST
from tests.fakes.chat_upstream import WHOLE, ChatUpstream, answers

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMIT = 25 * 1024 * 1024
INVALID = (400, "invalid_request_error", None)
DEEP = 200_000


def message(**fields: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": "hi", **fields}]


NO_REQUESTS = {
    "empty": b"",
    "text": b"hello",
    "cut": b'{"model":"chat"',
    "utf-16": b"\xff\xfe{}",
    "bom": b"\xef\xbb\xbf{}",
    "list": b"[]",
    "null": b"null",
    "number": b"7",
    "deep": b"[" * DEEP,
    "deep objects": b'{"x":' * DEEP,
    "deep field": document()[:-1] + b',"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "bad utf-8": document().replace(b"hi", b"\xff"),
    "bad utf-8, unread": document()[:-1] + b',"x":"\xff"}',
}


@pytest.mark.parametrize("body", NO_REQUESTS.values(), ids=NO_REQUESTS)
async def test_what_is_no_request(
    anywhere: ChatClient, upstream: ChatUpstream, body: bytes
) -> None:
    """400 with a sentence, nobody is asked and nothing charged."""
    reply = await anywhere.send(body)

    assert reply.refused == INVALID
    assert not upstream.calls
    assert await anywhere.charged() == [("InvalidRequestError", 0, 0)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": message(role="robot")}, "messages[0].role"),
        ({"messages": message(role=None)}, "messages[0].role"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": message(content=7)}, "messages[0].content"),
        ({"messages": message(content=None)}, "messages[0].content"),
        ({"messages": [*HI, {"role": "tool"}]}, "messages[1].content"),
        ({"messages": message(content=["hi"])}, "messages[0].content[0]"),
        ({"messages": message(content=[{"text": "hi"}])}, "messages[0].content[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -3}, "max_completion_tokens"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"n": 0}, "n"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"response_format": "json"}, "response_format"),
        ({"logprobs": 1}, "logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"stop": 1}, "stop"),
        ({"seed": "x"}, "seed"),
    ],
    ids=str,
)
async def test_a_field_that_is_wrong_is_named(
    client: ChatClient, upstream: ChatUpstream, fields: dict[str, Any], param: str
) -> None:
    """400, the field under `param` and in the sentence; nobody is asked."""
    reply = await client.ask(**fields)

    assert reply.refused == INVALID
    assert reply.error["param"] == param
    assert param in str(reply.error["message"])
    assert not upstream.calls


async def test_a_role_that_is_unknown_is_told_the_known_ones(client: ChatClient) -> None:
    """Whoever mistypes one reads which there are."""
    reply = await client.ask(messages=message(role="robot"))

    assert "system, developer, user, assistant, tool, function" in str(reply.error["message"])


async def test_an_assistant_may_have_said_nothing(client: ChatClient) -> None:
    """Calls of tools have no content."""
    turns = [*HI, {"role": "assistant", "content": None, "tool_calls": []}, *HI]

    assert (await client.ask(messages=turns)).status == 200


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("tokens", [LONGEST + 1, CONTEXT + 1, 10**9, 10**30])
async def test_an_answer_longer_than_the_model_writes(
    anywhere: ChatClient, field: str, tokens: int
) -> None:
    """400 with the bound, nothing charged."""
    reply = await anywhere.ask(model="small", **{field: tokens})

    assert reply.refused == (400, "invalid_request_error", "context_length_exceeded")
    assert str(LONGEST) in str(reply.error["message"])
    assert await anywhere.charged() == [("ContextLengthError", 0, 0)]


async def test_the_longest_answer_is_asked_for(client: ChatClient, upstream: ChatUpstream) -> None:
    """The bound itself is fine, and passed on."""
    reply = await client.ask(model="small", max_tokens=LONGEST)

    assert (reply.status, upstream.calls[0].json["max_tokens"]) == (200, LONGEST)


async def test_a_prompt_longer_than_the_context(client: ChatClient) -> None:
    """400 as OpenAI has it; a model without bounds takes the same one."""
    long = message(content="word " * 1000)
    reply = await client.ask(model="small", messages=long)

    assert reply.refused == (400, "invalid_request_error", "context_length_exceeded")
    assert (await client.ask(messages=long)).status == 200


async def test_null_is_not_given(client: ChatClient, upstream: ChatUpstream) -> None:
    """SDKs of some languages send every field that they know."""
    known = set(ChatCompletionRequest.__struct_fields__) - {"model", "messages"}
    nulls = json.dumps(dict.fromkeys(sorted(known))).encode()
    reply = await client.send(document()[:-1] + b"," + nulls[1:])

    assert reply.status == 200
    assert upstream.calls[0].json.items() >= {"temperature": None, "tools": None}.items()


@pytest.mark.parametrize("tokens", [10**15, 2**63, 10**30])
async def test_any_number_of_tokens_for_a_model_without_bounds(
    client: ChatClient, upstream: ChatUpstream, tokens: int
) -> None:
    """It is the server's to judge, and arrives as it was written."""
    reply = await client.ask(max_tokens=tokens)

    assert reply.status == 200
    assert upstream.calls[0].json["max_tokens"] == tokens
    assert await client.charged() == [("ok", 7, 3)]


async def test_an_unknown_model(anywhere: ChatClient) -> None:
    """404, and the known ones are named."""
    reply = await anywhere.ask(model="gpt-9")

    assert reply.refused == (404, "invalid_request_error", "model_not_found")
    assert all(name in str(reply.error["message"]) for name in ("gpt-9", "chat", "pool", "small"))


@pytest.mark.parametrize("name", ["chat", "own", "one:own"])
async def test_names_of_a_model(client: ChatClient, name: str) -> None:
    """A public name, a bare id, or `provider:model`; the answer has what was asked for."""
    reply = await client.ask(model=name)

    assert (reply.status, reply.json["model"]) == (200, name)
    assert reply.headers["x-junctor-provider"] == "one"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"n": 2},
        {"messages": message(content=[{"type": "image_url", "image_url": {"url": "data:,"}}])},
        {"messages": message(content=[{"type": "input_audio", "input_audio": {}}])},
    ],
    ids=["tools", "format", "logprobs", "several", "picture", "recording"],
)
async def test_what_a_model_cannot_do(
    client: ChatClient, upstream: ChatUpstream, fields: dict[str, Any]
) -> None:
    """400 and no answer that ignores it."""
    reply = await client.ask(model="plain", **fields)

    assert reply.refused == (400, "invalid_request_error", "unsupported_value")
    assert not upstream.calls


def picture(size: int) -> bytes:
    """Return a request of so many bytes, nearly all of them a picture."""
    url = "data:image/png;base64,"
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    empty = document(model="alone", messages=message(content=parts))
    data = base64.b64encode(os.urandom(3 * (size - len(empty)) // 4 + 3))
    filled = empty.replace(url.encode(), url.encode() + data[: size - len(empty)])
    assert len(filled) == size
    return filled


async def test_a_picture_of_20_megabytes(client: ChatClient, upstream: ChatUpstream) -> None:
    """It is relayed byte by byte, and its base64 is not taken for a prompt of 5 million tokens."""
    body = picture(20_000_000)
    reply = await client.send(body)

    assert reply.status == 200
    assert _less_the_model(upstream.calls[0].body) == _less_the_model(body)


def _less_the_model(body: bytes) -> dict[str, bytes]:
    found = json.loads(body)
    del found["model"]
    start = body.index(b'"messages"')
    return {"messages": body[start : start + 10], **found}


async def test_a_body_of_the_limit(client: ChatClient) -> None:
    """The last byte that is allowed is."""
    assert (await client.send(picture(LIMIT))).status == 200


async def raw(client: ChatClient, head: str, *pieces: bytes) -> Reply:
    """Send a request by hand, and read until the answer is whole; the rest is not sent."""
    host, port = client.server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [f"POST {client.path} HTTP/1.1", "host: x", head]
    lines += [f"{name}: {value}" for name, value in client.headers().items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    for piece in pieces:
        writer.write(piece)
    async with asyncio.timeout(10):
        head_lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head_lines[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return Reply(status=int(head_lines[0].split(" ")[1]), headers=headers, body=body)


async def test_too_large_is_known_before_the_body(anywhere: ChatClient) -> None:
    """413 by the length that is announced; not one byte of the body is sent here."""
    reply = await raw(anywhere, f"content-length: {LIMIT + 1}")

    assert reply.status == 413
    assert str(LIMIT) in str(reply.error["message"])
    assert await anywhere.charged() == [("BodyTooLargeError", 0, 0)]


async def test_too_large_in_pieces(anywhere: ChatClient) -> None:
    """413 with the byte that passes the limit; the body never ends here."""
    size = 1 << 20
    piece = b"%x\r\n%b\r\n" % (size, b" " * size)
    pieces = [piece] * (LIMIT // size)
    reply = await raw(anywhere, "transfer-encoding: chunked", *pieces, b"1\r\n \r\n")

    assert reply.status == 413
    assert await anywhere.charged() == [("BodyTooLargeError", 0, 0)]


async def test_a_body_in_pieces(client: ChatClient, upstream: ChatUpstream) -> None:
    """Its length need not be announced."""
    body = document(messages=message(content="สวัสดี"))
    pieces = [b"1\r\n%b\r\n" % bytes([one]) for one in body]
    reply = await raw(client, "transfer-encoding: chunked", *pieces, b"0\r\n\r\n")

    assert reply.status == 200
    assert json.loads(upstream.calls[0].body) == {**json.loads(body), "model": "own"}


async def test_unknown_fields_go_on_byte_by_byte(
    anywhere: ChatClient, upstream: ChatUpstream
) -> None:
    """As they were written, numbers and spaces too; only the name of the model is another."""
    fields = [
        b'"messages":[ {"role":"user" ,"content":"h\\u0069", "new":null} ]',
        b'"new":{"a" : 1.50e1,"b":[1, 2],"\\u0061":12345678901234567890}',
        b'"seed":0,"temperature":1.0',
    ]
    reply = await anywhere.send(b'{"model": "chat", ' + b", ".join(fields) + b"}")
    sent = upstream.calls[0].body

    assert reply.status == 200
    assert all(one in sent for field in fields for one in [field.split(b',"temp')[0]])
    assert upstream.calls[0].json["model"] == "own"


async def test_unknown_fields_come_back_byte_by_byte(
    anywhere: ChatClient, upstream: ChatUpstream
) -> None:
    """The answer is the server's own, but for the name of the model."""
    body = json.dumps({**WHOLE, "new": {"a": 1.5}}, indent=2).encode().replace(b"1.5", b"1.50e0")
    upstream.script.append(answers(body))
    reply = await anywhere.ask()

    assert reply.body == body.replace(b'"model": "own"', b'"model": "chat"')
    assert reply.headers["content-type"] == "application/json"


async def test_what_goes_upstream(client: ChatClient, upstream: ChatUpstream) -> None:
    """Our key for that server, never the caller's, nor any of its headers."""
    await client.send(document(), x_secret="s", cookie="c=1")
    headers = upstream.calls[0].headers

    assert headers["authorization"] == "Bearer sk-of-junctor"
    assert client.server.key not in str(headers)
    assert headers.keys().isdisjoint({"x-secret", "cookie", "x-api-key"})


async def test_no_depth_is_the_servers_fault(client: ChatClient, upstream: ChatUpstream) -> None:
    """Wherever reading gives up, the request is to blame: no candidate is left alone for it."""
    upstream.then = answers(json.dumps(WHOLE).encode())
    statuses = set()
    for depth in range(880, 1000, 8):
        nested = b',"x":' + b"[" * depth + b"]" * depth + b"}"
        statuses.add((await client.send(document(model="alone")[:-1] + nested)).status)

    assert statuses == {200, 400}
