"""What `junctor demo` asks of live Thai captions: two utterances on one socket, and the page."""

import json
from collections.abc import Iterator

import httpx

from junctor.routers.cli.demo.server import THAI, THANKS, TINY, Server
from junctor.routers.cli.demo.steps import Step, body_of, samples_of

API = "/api/thai-asr"
FRAMES_PER_SECOND = 50


def _session(server: Server) -> httpx.Response:
    rate, _ = samples_of(server.thai)
    headers = {"x-api-key": server.key}
    return server.client.post(f"{API}/sessions", json={"sample_rate": rate}, headers=headers)


def _captions(server: Server) -> httpx.Response:
    """Say two sentences on one socket; the finals, if captions came before each of them."""
    from websockets.sync.client import connect

    session = _session(server)
    if session.status_code != httpx.codes.OK:
        return session
    rate, thai = samples_of(server.thai)
    with connect(f"{session.json()['ws_url']}&api_key={server.key}") as live:
        messages = (json.loads(text) for text in live)
        _until("ready", messages)
        live.send(json.dumps({"type": "start", "sample_rate": rate}))
        _until("started", messages)
        finals = []
        for samples in (thai, samples_of(server.thanks)[1]):
            size = rate // FRAMES_PER_SECOND * 2
            for begin in range(0, len(samples), size):
                live.send(samples[begin : begin + size])
            live.send(json.dumps({"type": "flush"}))
            _until("partial", messages)
            live.send(json.dumps({"type": "end"}))
            finals.append(_until("final", messages))
    text = " / ".join(final["text"] for final in finals)
    return httpx.Response(
        200, json={"text": text}, headers={"x-junctor-provider": finals[-1]["engine"]}
    )


def _until(kind: str, messages: Iterator[dict[str, str]]) -> dict[str, str]:
    """
    Read as far as a message of a type.

    Raises:
        LookupError: an error came, or the end.

    """
    for message in messages:
        if message["type"] == kind:
            return message
        if message["type"] == "error":
            raise LookupError(message["error"])
    raise LookupError(f"The socket closed before {kind!r}.")


STEPS: tuple[Step, ...] = (
    Step(
        name="Thai captions, config",
        send=lambda s: s.client.get(f"{API}/config", headers={"x-api-key": s.key}),
        expected=TINY,
        text=lambda answer: str(answer.json()["engine"]),
    ),
    Step(
        name="Thai captions, session",
        send=_session,
        expected="streamsessionid",
        text=lambda answer: str(answer.json()["ws_url"]),
    ),
    Step(
        name="Thai captions, two utterances (WebSocket)",
        send=_captions,
        expected=f"{THAI}{THANKS}",
        provider=TINY,
    ),
    Step(
        name="Thai captions, page",
        send=lambda s: s.client.get("/demo/thai-asr"),
        expected="livethaicaptions",
        text=body_of,
    ),
)
