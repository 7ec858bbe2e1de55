"""
Servers that speak OpenAI's dialect themselves: the request goes on with another model name.

Nothing is read that need not be: a document's fields are passed on as the bytes they came in, and
the answer's bytes are those of the server.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import cast

import msgspec
from attrs import field, frozen
from msgspec import Raw

from junctor.core.errors import ProviderAnswerError
from junctor.core.net import Body, Pool, RelayStream, Target
from junctor.core.requests import ChatReply, ChatRequest

Fields = dict[str, Raw]
_fields = msgspec.json.Decoder(Fields)
_encoder = msgspec.json.Encoder()
_messages: msgspec.json.Decoder[Fields | None] = msgspec.json.Decoder(Fields | None)
_calls: msgspec.json.Decoder[list[Fields] | None] = msgspec.json.Decoder(list[Fields] | None)
_YES = Raw(b"true")
_NULL = Raw(b"null")
_USAGE = Raw(b'{"include_usage":true}')
_NOTHING: Mapping[str, object] = {}


@frozen(kw_only=True)
class ChatServer:
    """Where such a server is, and how it wants to be asked."""

    pool: Pool
    url: str
    """Of `/chat/completions`, absolute."""
    headers: Mapping[str, str] = field(factory=dict)
    timeout: float
    """Longest time for one call, seconds."""
    tells_usage: bool = True
    """Whether it takes `stream_options`, and tells the usage of a stream when asked so."""
    defaults: Mapping[str, object] = _NOTHING
    """Fields that a request gets which does not have them."""
    renamed: Mapping[str, str] = field(factory=dict)
    """Fields that the server knows by another name."""

    async def chat(
        self, request: ChatRequest, target: Target, *, changes: Mapping[str, object] = _NOTHING
    ) -> ChatReply:
        """
        Return a whole answer.

        Args:
            request: with the server's own name of the model.
            target: whom errors name.
            changes: fields that take the place of the request's.

        Raises:
            ProviderError: there is none; the subclass says why.

        """
        answer = await self.pool.relay.post(
            self.url,
            headers=self.headers,
            body=self._body(request, changes, is_stream=False),
            target=target,
            within=self.timeout,
        )
        return ChatReply(body=answer.checked(target))

    def stream(
        self, request: ChatRequest, target: Target, *, changes: Mapping[str, object] = _NOTHING
    ) -> AsyncIterator[bytes]:
        """Return the bytes of an answer as they come; arguments and errors as in `chat`."""
        return _Stream(
            self.pool.relay.stream(
                self.url,
                headers=self.headers,
                body=self._body(request, changes, is_stream=True),
                target=target,
                within=self.timeout,
            ),
            target,
        )

    def _body(
        self, request: ChatRequest, changes: Mapping[str, object], *, is_stream: bool
    ) -> Body:
        fields = cast("dict[str, object]", _fields.decode(request.body))
        options = fields.pop("stream_options", None)
        fields.pop("stream", None)
        fields["model"] = request.model
        for old, new in self.renamed.items():
            if old in fields:
                given = fields.pop(old)
                if _is_null(fields.get(new)):
                    fields[new] = given
        for name, value in self.defaults.items():
            fields.setdefault(name, value)
        fields.update(changes)
        if is_stream:
            fields["stream"] = _YES
            if self.tells_usage:
                fields["stream_options"] = _with_usage(cast("Raw | None", options))
        return Body(parts=(_encoder.encode(fields),), content_type="application/json")


def _is_null(value: object) -> bool:
    return value is None or (isinstance(value, Raw) and bytes(value) == b"null")


def _with_usage(options: Raw | None) -> object:
    if options is None or _is_null(options):
        return _USAGE
    return {**_fields.decode(options), "include_usage": _YES}


class _Stream:
    """The bytes of one answer; the request goes out with the first call."""

    def __init__(self, opening: AbstractAsyncContextManager[RelayStream], target: Target) -> None:
        self._opening = opening
        self._target = target
        self._answer: RelayStream | None = None
        self._is_over = False

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        if self._answer is None:
            self._answer = await self._opening.__aenter__()
            await self._answer.check()
            if not self._answer.is_events:
                return await self._in_one_piece(self._answer)
        chunk = await self._answer.next()
        if not chunk:
            self._is_over = True
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Give the connection back, or drop it where something is left on it."""
        answer, self._answer, self._is_over = self._answer, None, True
        if answer is not None:
            await self._opening.__aexit__(None, None, None)

    async def _in_one_piece(self, answer: RelayStream) -> bytes:
        """Make one event of the whole answer of a server that does not stream."""
        self._is_over = True
        try:
            whole = msgspec.json.decode(await answer.read(), type=_Whole)
            choices = [_changed(choice) for choice in whole.choices]
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ProviderAnswerError(
                f"{self._target.provider} answered with something that is no stream of events.",
                provider=self._target.provider,
                model=self._target.model,
            ) from exc
        chunk = {
            "id": whole.id,
            "object": "chat.completion.chunk",
            "created": whole.created,
            "model": whole.model,
            "choices": choices,
            "usage": whole.usage,
        }
        return b"data: " + _encoder.encode(chunk) + b"\n\n"


def _changed(choice: dict[str, Raw]) -> dict[str, object]:
    """Return a choice of a whole answer as one of a stream, where calls have to be numbered."""
    message = _messages.decode(choice.pop("message", _NULL))
    delta: dict[str, object] = {**(message or {})}
    calls = _calls.decode(message.get("tool_calls", _NULL)) if message else None
    if calls:
        delta["tool_calls"] = [{"index": number, **one} for number, one in enumerate(calls)]
    return {**choice, "delta": delta}


class _Whole(msgspec.Struct):
    choices: list[dict[str, Raw]]
    id: Raw = Raw(b'""')
    created: Raw = Raw(b"0")
    model: Raw = Raw(b'""')
    usage: Raw = _NULL
