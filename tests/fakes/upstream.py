"""
A scriptable OpenAI-compatible upstream on loopback, which does what it is told and records it.

Fast enough to stand behind a benchmark (``python -m tests.fakes.upstream --port 9000``), and bad
on command: each request is answered by the next mode of the script, or by the mode that its path
names (``http://127.0.0.1:9000/hang/v1``), or well. It needs nothing but the standard library.
"""

import argparse
import asyncio
import hashlib
import json
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, cast

from attrs import define, field, frozen

BUFFER = 256 * 1024
DRIP_SECONDS = 0.05
TLS_HELLO = b"\x16"
REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized"}


@frozen(kw_only=True)
class Mode:
    """How one request is answered."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """None for the honest answer to what was asked."""
    fault: str = ""
    """Empty, or one of the names in `FAULTS`."""


def failure(status: int, code: str, *headers: tuple[str, str]) -> Mode:
    """Return an error in the OpenAI envelope, whose text must never reach a caller."""
    error = {"message": f"LEAK {code}", "type": code, "param": None, "code": code}
    return Mode(status=status, headers=headers, body=json.dumps({"error": error}).encode())


FAULTS = frozenset(
    {"reset", "reset-mid-body", "close", "hang", "unread", "drip", "cut", "stall", "garbage"}
    | {"early"}
)

MODES = {
    "ok": Mode(),
    "rate-limited": failure(429, "rate_limit_exceeded", ("retry-after", "7")),
    "quota": failure(429, "insufficient_quota"),
    "payment": failure(402, "payment_required"),
    "unauthorized": failure(401, "invalid_api_key"),
    "forbidden": failure(403, "forbidden"),
    "missing": failure(404, "model_not_found"),
    "locale": failure(400, "unsupported_language"),
    "slow": failure(408, "request_timeout"),
    "too-large": failure(413, "too_large"),
    "media": failure(415, "unsupported_media_type"),
    "unprocessable": failure(422, "unprocessable"),
    "error": failure(500, "server_error"),
    "unavailable": failure(503, "unavailable", ("retry-after", "3")),
    "overloaded": failure(529, "overloaded"),
    "redirect": Mode(status=307, headers=(("location", "http://127.0.0.1:1/LEAK"),), body=b""),
    "html": Mode(headers=(("content-type", "text/html"),), body=b"<html>LEAK</html>"),
    "malformed": Mode(body=b'{"text": "LEAK'),
    "wrong-shape": Mode(body=b'["LEAK"]'),
    "huge": Mode(body=b'{"text": "' + b"x" * (1 << 21) + b'"}'),
    "stream-error": Mode(
        headers=(("content-type", "text/event-stream"),),
        body=b'data: {"type":"error","error":{"message":"LEAK","code":"server_error"}}\n\n',
    ),
    **{fault: Mode(fault=fault) for fault in FAULTS},
    "early": Mode(status=413, body=b"{}", fault="early"),
}
"""Every behaviour by name; `script` and paths use these names."""


@frozen(kw_only=True)
class Upload:
    """The file part of a form."""

    name: str
    media_type: str
    size: int
    sha256: str


@define(kw_only=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    connection: int
    """Number of the TCP connection it came over, from 1."""
    form: dict[str, list[str]] = field(factory=dict)
    upload: Upload | None = None
    json: dict[str, object] = field(factory=dict)
    body: bytes = b""
    """As it arrived, where it is JSON: a signature is over bytes."""

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a form field."""
        return self.form.get(name, [default])[0]


def _read_body(received: Received, body: bytes) -> None:
    kind, _, rest = received.headers.get("content-type", "").partition(";")
    if kind == "application/json" and body:
        received.json, received.body = json.loads(body), body
    elif kind == "multipart/form-data":
        boundary = b"--" + rest.partition("boundary=")[2].strip('" ').encode()
        for part in body.split(boundary)[1:-1]:
            _read_part(received, part)


def _read_part(received: Received, part: bytes) -> None:
    head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    value = value.removesuffix(b"\r\n")
    lines = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n"))
    names = dict(item.strip().split("=", 1) for item in lines["content-disposition"].split(";")[1:])
    if "filename" in names:
        received.upload = Upload(
            name=names["filename"].strip('"'),
            media_type=lines.get("content-type", ""),
            size=len(value),
            sha256=hashlib.sha256(value).hexdigest(),
        )
    else:
        received.form.setdefault(names["name"].strip('"'), []).append(value.decode())


def _dechunked(data: bytearray) -> bytes | None:
    """Return the body of a chunked request, or None while it is incomplete."""
    body, at = bytearray(), 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end].partition(b";")[0], 16)
        if len(data) < end + 4 + size:
            return None
        if size == 0:
            return bytes(body)
        body += data[end + 2 : end + 2 + size]
        at = end + 4 + size
    return None


@define(eq=False)
class Upstream:
    """The server: start it with ``async with``, script it, then ask what it saw."""

    port: int = 0
    recording: bool = True
    """Whether requests are kept and parsed; off for benchmarks."""
    drip_above: int | None = None
    """Bytes of a request body from which the answer comes drop by drop; None for never."""
    text: str = "hello from upstream"
    language: str = "english"
    requests: list[Received] = field(factory=list)
    connections: int = 0
    """TCP connections accepted so far."""
    open_connections: int = 0
    cancelled: int = 0
    """Requests whose client went away before its answer was complete."""
    answered: Counter[int] = field(factory=Counter)
    """Complete answers by status."""
    received_bytes: int = 0
    """Bytes that arrived, heads included."""
    _script: deque[Mode] = field(factory=deque)
    _waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(factory=list)
    _known: dict[tuple[str, Mode], tuple[bytes, bytes]] = field(factory=dict)
    _server: asyncio.Server | None = None
    protocols: set["_Connection"] = field(factory=set)

    @property
    def base_url(self) -> str:
        """The base URL to configure, as in ``https://api.openai.com/v1``."""
        return self.url()

    def url(self, mode: str = "") -> str:
        """Return a base URL whose every request is answered in that mode."""
        return f"http://127.0.0.1:{self.port}{'/' + mode if mode else ''}/v1"

    def script(self, *modes: str | Mode) -> None:
        """Answer the next requests in these modes, one each; after that, well."""
        self._script.extend(MODES[mode] if isinstance(mode, str) else mode for mode in modes)

    async def until(self, fact: Callable[[], bool], *, timeout: float = 20.0) -> None:  # noqa: ASYNC109
        """Wait until something is true of this server; TimeoutError when it never is."""
        if fact():
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((fact, future))
        async with asyncio.timeout(timeout):
            await future

    def drop_idle(self) -> None:
        """Close every connection that waits for a request, as an idle timeout does."""
        for protocol in tuple(self.protocols):
            protocol.close_if_idle()

    def resume(self) -> None:
        """Read again what was left unread in the mode ``unread``."""
        for protocol in tuple(self.protocols):
            protocol.resume()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for protocol in tuple(self.protocols):
            protocol.abort()
        await self.until(lambda: not self.open_connections)

    def mode_of(self, path: str, size: int) -> Mode:
        """Return how the next request, to this path and of so many bytes, is answered."""
        if self._script:
            return self._script.popleft()
        if self.drip_above is not None and size > self.drip_above:
            return MODES["drip"]
        return MODES.get(path.split("/", 2)[1], MODES["ok"])

    def changed(self) -> None:
        """Wake whoever waits for a fact that is now true."""
        for entry in [entry for entry in self._waiting if entry[0]()]:
            self._waiting.remove(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def honest(self, received: Received) -> tuple[str, bytes]:
        """Return content type and body of the right answer."""
        if received.path.endswith("/chat/completions"):
            return _chat(received, self.text)
        if received.path.endswith("/models"):
            return "application/json", b'{"object":"list","data":[{"id":"whisper-1"}]}'
        if received.first("stream") == "true" and received.first("model") != "whisper-1":
            return "text/event-stream", b"".join(_events(self.text))
        match received.first("response_format", "json"):
            case "text":
                return "text/plain; charset=utf-8", self.text.encode() + b"\n"
            case "verbose_json":
                return "application/json", _verbose(received, self.text, self.language)
            case _:
                return "application/json", _plain(received, self.text)

    def rendered(self, received: Received, mode: Mode) -> tuple[bytes, bytes]:
        """Return head and body of an answer; rendered once per path when not recording."""
        known = self._known.get((received.path, mode))
        if known is not None:
            return known
        headers = dict(mode.headers)
        if mode.body is None:
            headers["content-type"], body = self.honest(received)
        else:
            body = mode.body
            headers.setdefault("content-type", "application/json")
        if headers["content-type"] == "text/event-stream" and mode.fault != "drip":
            headers["transfer-encoding"] = "chunked"
            body = b"".join(_chunk(event + b"\n\n") for event in body.split(b"\n\n") if event)
            body += b"0\r\n\r\n"
        else:
            headers["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        status = f"HTTP/1.1 {mode.status} {REASONS.get(mode.status, 'Status')}\r\n"
        answer = f"{status}{lines}\r\n".encode(), body
        if not self.recording:
            self._known[received.path, mode] = answer
        return answer


def _plain(received: Received, text: str) -> bytes:
    answer: dict[str, object] = {"text": text, "usage": {"type": "duration", "seconds": 1}}
    if received.first("model") == "gpt-transcribe":
        answer["languages"] = [{"code": received.first("languages[]", "en")}]
    return json.dumps(answer).encode()


def _chat(received: Received, text: str) -> tuple[str, bytes]:
    if received.json.get("stream"):
        return "text/event-stream", b"".join(_chat_events(received, text))
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    model = received.json.get("model", "")
    answer = {"object": "chat.completion", "model": model, "choices": [choice], "usage": usage}
    return "application/json", json.dumps(answer).encode()


def _chat_events(received: Received, text: str) -> Iterable[bytes]:
    """Yield the stream of a chat: a greeting, a word at a time, the end, and usage if wanted."""
    words = [(" " if at else "") + word for at, word in enumerate(text.split(" "))]
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in words), {}]
    for at, delta in enumerate(deltas):
        finish = "stop" if at == len(deltas) - 1 else None
        yield _chunk_of(received, [{"index": 0, "delta": delta, "finish_reason": finish}])
    if cast("dict[str, object]", received.json.get("stream_options") or {}).get("include_usage"):
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        yield _chunk_of(received, [], usage=usage)
    yield b"data: [DONE]\n\n"


def _chunk_of(received: Received, choices: list[object], **more: object) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
    chunk = {**head, "model": received.json.get("model", ""), "choices": choices, **more}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _events(text: str) -> Iterable[bytes]:
    for position, word in enumerate(text.split(" ")):
        delta = {"type": "transcript.text.delta", "delta": " " * bool(position) + word}
        yield b"data: " + json.dumps(delta).encode() + b"\n\n"
    done = {"type": "transcript.text.done", "text": text}
    yield b"data: " + json.dumps(done).encode() + b"\n\n"


def _verbose(received: Received, text: str, language: str) -> bytes:
    times = [(word, 0.5 * at, 0.5 * at + 0.4) for at, word in enumerate(text.split(" "))]
    end = times[-1][2]
    segment = {
        "id": 0, "seek": 0, "start": 0.0, "end": end, "text": f" {text}", "tokens": [1, 2],
        "temperature": 0.0, "avg_logprob": -0.28, "compression_ratio": 1.2, "no_speech_prob": 0.01,
    }  # fmt: skip
    answer = {"language": language, "duration": end, "text": text, "segments": [segment]}
    if "word" in received.form.get("timestamp_granularities[]", ()):
        answer["words"] = [{"word": w, "start": a, "end": b} for w, a, b in times]
    return json.dumps(answer).encode()


class _Connection(asyncio.BufferedProtocol):
    """One HTTP/1.1 connection: requests one after another, kept open."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = memoryview(bytearray(BUFFER))
        self._data = bytearray()
        self._head: Received | None = None
        self._mode = MODES["ok"]
        self._left = 0
        """Bytes of the body still to come; -1 for a chunked one."""
        self._is_answering = False
        self._drip: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upstream.connections += 1
        self._number = self._upstream.connections
        self._upstream.open_connections += 1
        self._upstream.protocols.add(self)
        self._upstream.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.open_connections -= 1
        self._upstream.protocols.discard(self)
        self._upstream.cancelled += self._head is not None
        if self._drip is not None:
            self._drip.cancel()
        self._upstream.changed()

    def close_if_idle(self) -> None:
        if self._head is None and not self._data:
            self._transport.close()

    def resume(self) -> None:
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._upstream.received_bytes += nbytes
        if self._head is not None and self._left > 0:
            self._left -= nbytes
            if self._upstream.recording:
                self._data += self._buffer[:nbytes]
        else:
            self._data += self._buffer[:nbytes]
            if self._head is None and (end := self._data.find(b"\r\n\r\n")) >= 0:
                self._start(end)
        if self._head is None and self._data[:1] == TLS_HELLO:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self._transport.close()
        elif self._head is not None and not self._is_answering:
            self._finish(self._head)
        elif self._mode.fault == "early" and self._left <= 0:
            self._data.clear()
            self._done(self._mode.status)

    def _start(self, end: int) -> None:
        lines = self._data[:end].decode("latin-1").split("\r\n")
        del self._data[: end + 4]
        method, path, _ = lines[0].split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        self._head = Received(method=method, path=path, headers=headers, connection=self._number)
        size = int(headers.get("content-length", "0"))
        self._mode = self._upstream.mode_of(path, size)
        self._is_answering = self._mode.fault in {"early", "unread"}
        self._left = size - len(self._data)
        if headers.get("transfer-encoding") == "chunked":
            self._left = -1
        if self._mode.fault == "early":
            self._transport.write(b"".join(self._upstream.rendered(self._head, self._mode)))
        if self._mode.fault == "unread":
            self._transport.pause_reading()
        if self._is_answering:
            self._record(self._head, b"")

    def _finish(self, received: Received) -> None:
        if self._left > 0:
            return
        body: bytes | None = bytes(self._data)
        if "transfer-encoding" in received.headers and (body := _dechunked(self._data)) is None:
            return
        self._data.clear()
        self._is_answering = True
        self._record(received, body or b"")
        self._answer(received)

    def _record(self, received: Received, body: bytes) -> None:
        if self._upstream.recording:
            _read_body(received, body)
            self._upstream.requests.append(received)
            self._upstream.changed()

    def _answer(self, received: Received) -> None:
        fault = self._mode.fault
        if fault in {"hang", "unread"}:
            return
        head, body = self._upstream.rendered(received, self._mode)
        if fault == "drip":
            self._drip = asyncio.get_running_loop().create_task(self._drip_out(head, body))
            return
        if not fault:
            self._transport.write(head + body)
            self._done(self._mode.status)
            return
        if fault == "stall":
            self._transport.write(head + body[: len(body) // 2])
            return
        self._break(head, body)

    def _break(self, head: bytes, body: bytes) -> None:
        """End the connection in the way of the mode."""
        fault = self._mode.fault
        self._head = None  # it is our doing, not a client's leaving
        if fault == "garbage":
            self._transport.write(b"LEAK this is not HTTP\r\n\r\n")
        elif fault in {"cut", "reset-mid-body"}:
            self._transport.write(head + body[: len(body) // 2])
        if fault == "reset":
            self._reset()
        elif fault == "reset-mid-body":
            asyncio.get_running_loop().call_later(DRIP_SECONDS, self._reset)
        else:
            self._transport.close()

    async def _drip_out(self, head: bytes, body: bytes) -> None:
        self._transport.write(head)
        for at in range(len(body)):
            await asyncio.sleep(DRIP_SECONDS)
            self._transport.write(body[at : at + 1])
        self._done(200)

    def _done(self, status: int) -> None:
        self._upstream.answered[status] += 1
        self._head, self._is_answering, self._left = None, False, 0
        self._upstream.changed()

    def _reset(self) -> None:
        """Close with RST instead of FIN."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def refused_url() -> str:
    """Return a base URL on a port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


async def _serve(port: int) -> None:
    async with Upstream(port=port, recording=False) as upstream:
        print(f"upstream on {upstream.base_url}", flush=True)  # noqa: T201
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted, without recording, on uvloop where it is installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    port = parser.parse_args().port
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(port))
    else:
        uvloop.run(_serve(port))


if __name__ == "__main__":
    main()
