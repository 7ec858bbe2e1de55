"""The paths of chat beside the chat itself: lists, wrong paths and methods, headers."""

import json
import re
from pathlib import Path

import aiohttp
import pytest
from attrs import evolve

from junctor.conf.settings import Server, Team
from junctor.core.cards import Capability
from junctor.core.testing.fakes import FakeTranscriber, fake_card
from junctor.plugins.remote import openai
from tests.fakes.chat_client import PATHS, ChatClient, Reply, chatting, document
from tests.fakes.chat_settings import chat_settings
from tests.fakes.chat_upstream import GREETING, HEL, ChatUpstream, answers, streams
from tests.fakes.server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
PUBLIC = {"chat", "alone", "small", "plain", "pool"}
FAILS = answers(b"{}", status=500)
ORIGIN = "https://app.example.com"


async def call(client: ChatClient, method: str, path: str, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.http.request(
        method, path, headers={**client.server.authorization, **given}
    ) as answer:
        return Reply(status=answer.status, headers=answer.headers, body=await answer.read())


def names(reply: Reply) -> set[str]:
    """Return the models of a list."""
    assert (reply.status, reply.json["object"]) == (200, "list")
    return {one["id"] for one in json.loads(reply.body)["data"]}


@pytest.mark.parametrize("path", ["/v1/models", "/api/llm/v1/models"])
async def test_lists(client: ChatClient, path: str) -> None:
    """The public names are in both."""
    reply = await call(client, "GET", path)

    assert names(reply) >= PUBLIC
    assert {"id", "object", "created", "owned_by"} <= json.loads(reply.body)["data"][0].keys()


async def test_only_models_that_chat(tmp_path: Path, upstreams: list[ChatUpstream]) -> None:
    """Who transcribes is in the list of all alone, and cannot be shown or asked here."""
    settings = chat_settings(
        tmp_path, upstreams, teams={"acme": Team(allowed_models=("chat", "fake:one"))}
    )
    card = evolve(fake_card(), capabilities=frozenset({Capability.TRANSCRIBE}))
    async with (
        serving(settings, FakeTranscriber(cards=[card]), openai=openai) as server,
        chatting(server) as client,
    ):
        everything = names(await call(client, "GET", "/v1/models"))
        chats = names(await call(client, "GET", "/api/llm/v1/models"))
        shown = await call(client, "GET", "/api/llm/v1/models/fake:one")
        asked = await client.ask(model="fake:one")

    assert everything - chats == {"one"}
    assert chats == {"chat"}
    assert (shown.status, asked.status) == (404, 404)


@pytest.mark.parametrize("name", ["chat", "pool", "own"])
async def test_one_model(client: ChatClient, name: str) -> None:
    """By its name."""
    reply = await call(client, "GET", f"/api/llm/v1/models/{name}")

    assert (reply.status, reply.json["id"]) == (200, name)


async def test_an_unknown_model_is_not_shown(client: ChatClient) -> None:
    """404 with the known ones."""
    reply = await call(client, "GET", "/api/llm/v1/models/nope")

    assert reply.refused == (404, "invalid_request_error", "model_not_found")
    assert "chat" in str(reply.error["message"])


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat",
        "/v1/chat/nothing",
        "/v1/chat/completions/more",
        "/api/llm",
        "/api/llm/v1/nothing",
    ],
)
async def test_a_path_that_is_not_there(client: ChatClient, path: str) -> None:
    """404 in the envelope."""
    reply = await call(client, "POST", path)

    assert reply.refused == (404, "invalid_request_error", "not_found")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_a_method_that_is_not_taken(client: ChatClient, path: str, method: str) -> None:
    """405 in the envelope, with what is."""
    reply = await call(client, method, path)

    assert reply.refused == (405, "invalid_request_error", "method_not_allowed")
    assert "POST" in reply.headers["allow"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_slash_at_the_end(client: ChatClient, path: str) -> None:
    """It is the same path."""
    client.path = path + "/"
    reply = await client.ask()
    client.path = PATHS[0]

    assert reply.status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_pages_of_other_origins(
    tmp_path: Path, upstreams: list[ChatUpstream], path: str
) -> None:
    """A browser is told that it may; streams and errors are shown to the page, too."""
    settings = chat_settings(tmp_path, upstreams, server=Server(port=0, cors_origins=(ORIGIN,)))
    asks = {"origin": ORIGIN, "access_control_request_method": "POST"}
    asks["access_control_request_headers"] = "authorization, content-type"
    async with serving(settings, openai=openai) as server, chatting(server) as client:
        client.path = path
        ahead = await call(client, "OPTIONS", path, **asks)
        good = await client.send(
            b'{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}',
            origin=ORIGIN,
        )
        bad = await client.send(b"", origin=ORIGIN)

    replies = (ahead, good, bad)
    assert [one.status for one in replies] == [204, 200, 400]
    assert {one.headers["access-control-allow-origin"] for one in replies} == {ORIGIN}
    assert "authorization" in ahead.headers["access-control-allow-headers"]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_the_id_of_a_request(anywhere: ChatClient, *, is_stream: bool) -> None:
    """The caller's is kept; where there is none, or a strange one, each gets its own."""
    given = await anywhere.ask(stream=is_stream)
    kept = anywhere.last
    strange = await anywhere.send(b"", x_request_id="a b\tc")

    assert given.headers["x-request-id"] == kept
    assert re.fullmatch("[0-9a-f]{32}", strange.headers["x-request-id"])


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_headers_of_an_answer(
    anywhere: ChatClient, upstream: ChatUpstream, *, is_stream: bool
) -> None:
    """Who answered after how many tries, who would have been asked, and the rate limit."""
    upstream.script.append(FAILS)
    headers = (await anywhere.ask(stream=is_stream)).headers

    assert headers["x-junctor-provider"] == "two"
    assert headers["x-junctor-attempts"] == "2"
    assert headers["x-junctor-plan"] == "one:own, two:own"
    assert int(headers["x-ratelimit-limit-requests"]) > int(
        headers["x-ratelimit-remaining-requests"]
    )


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_headers_of_a_failure(
    anywhere: ChatClient, upstream: ChatUpstream, *, is_stream: bool
) -> None:
    """The same, so that one sees who failed."""
    upstream.script.append(FAILS)
    reply = await anywhere.ask(model="alone", stream=is_stream)

    assert (reply.status, reply.headers["x-junctor-attempts"]) == (502, "1")
    assert reply.headers["x-junctor-provider"] == "one"


async def test_a_stream_is_not_kept_by_anybody(client: ChatClient) -> None:
    """Proxies are told not to."""
    reply = await client.ask(stream=True)

    assert reply.headers["cache-control"] == "no-cache"
    assert "content-length" not in reply.headers


async def test_one_connection_for_many(client: ChatClient, upstream: ChatUpstream) -> None:
    """Behind whole streams and broken ones the caller's connection is good for more."""
    async with aiohttp.ClientSession(
        client.server.url, connector=aiohttp.TCPConnector(limit=1, force_close=False)
    ) as http:
        own = ChatClient(client.server, http)
        upstream.script += [streams(GREETING, HEL, then="cut")]
        replies = [await own.ask(stream=is_stream) for is_stream in (True, True, False, True)]
        seen = [(await own.ask(model="none")).status, (await own.send(b"")).status]

    assert [one.status for one in replies] == [200] * 4
    assert seen == [404, 400]


@pytest.mark.parametrize("path", PATHS)
async def test_a_socket_is_not_taken(client: ChatClient, path: str) -> None:
    """Chat is no WebSocket; whoever tries is told so, and nothing breaks."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await client.http.ws_connect(path, headers=client.server.authorization)
    assert 400 <= caught.value.status < 500
    assert (await client.ask()).status == 200


async def test_an_announced_body_is_asked_for(client: ChatClient) -> None:
    """Curl sends `Expect: 100-continue` with large bodies."""
    assert (await client.send(document(), expect="100-continue")).status == 200
