"""
A stream of one candidate on its way to the caller: checked, counted, and otherwise left as it is.

The bytes go on as they came. Each event is looked into once (about a microsecond), for that tells
an answer from a page of HTML, a whole answer from one that was cut off, and how many tokens there
were when nobody says.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import lru_cache
from math import ceil

import msgspec
from msgspec import Raw, Struct

from junctor.core.cards import ModelCard
from junctor.core.chat.counting import weight
from junctor.core.chat.dialect import DONE, Usage, Writer
from junctor.core.errors import ProviderAnswerError, ProviderError
from junctor.core.net.faults import Target, status_error

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Longest event that is waited for."""
LINGER = 1.0
"""Seconds that a server has to end its answer behind `[DONE]`."""
_MAX_TOKENS = 1 << 31
_NONE = Raw()
_MARK = b"\xef\xbb\xbf"
"""What says "this is UTF-8" where nobody asks, at the begin of a stream."""


class _Delta(Struct, gc=False):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: Raw = _NONE
    function_call: Raw = _NONE
    audio: Raw = _NONE


class _Choice(Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(Struct, gc=False):
    id: object = None
    choices: list[_Choice] | None = None
    usage: Raw = _NONE
    error: Raw = _NONE


class _Used(Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Code(Struct, gc=False):
    code: object = None
    status: object = None


class _Whole(Struct, gc=False):
    choices: list[Raw]
    usage: Raw = _NONE


_events = msgspec.json.Decoder(_Event)
_wholes = msgspec.json.Decoder(_Whole)
_used = msgspec.json.Decoder(_Used)
_codes = msgspec.json.Decoder(_Code)


class Naming:
    """
    Puts the name that the caller asked for in the place of the candidate's own.

    Only that very name is replaced: a server that tells a more exact one (`gpt-x-2026-10-01`) is
    left its word.
    """

    __slots__ = ("_forms",)

    def __init__(self, own: str, asked: str) -> None:
        self._forms: tuple[tuple[bytes, bytes], ...] = ()
        if own != asked:
            old, new = msgspec.json.encode(own), msgspec.json.encode(asked)
            self._forms = tuple((key + old, key + new) for key in (b'"model":', b'"model": '))

    def __call__(self, event: bytes) -> bytes:
        """Return the bytes of one event, or of one whole answer, with the caller's name."""
        for old, new in self._forms:
            if old in event:
                return event.replace(old, new, 1)
        return event


naming = lru_cache(maxsize=1000)(Naming)
"""The same for the same names, which are few: to make one was a fiftieth of a relayed request."""


class Tally:
    """
    Tokens of one conversation: as the server says, or as they seem to be.

    What comes behind the server's word is counted on top of it: some give one early, for the prompt.
    """

    __slots__ = ("_before", "_pieces", "_prompt", "_said", "_weight")

    def __init__(self, prompt: int) -> None:
        self._prompt = prompt
        self._pieces = 0
        self._weight = 0.0
        self._said = _Used()
        self._before = 0  # heard until it was said

    def hear(self, piece: str | bytes) -> None:
        """Count a further piece of the answer; a token at least."""
        self._pieces += 1
        self._weight += weight(piece) if isinstance(piece, str) else len(piece) / 4

    def say(self, raw: Raw) -> bool:
        """Take over what the server says; False where it says nothing that can be."""
        try:
            said = _used.decode(raw)
        except msgspec.DecodeError:
            return False
        if not (
            0 <= said.prompt_tokens < _MAX_TOKENS and 0 <= said.completion_tokens < _MAX_TOKENS
        ):
            return False
        if said.prompt_tokens or said.completion_tokens:
            self._said, self._before = said, self.heard
        return self._said.prompt_tokens > 0 or self._said.completion_tokens > 0

    @property
    def prompt(self) -> int:
        """Tokens of the prompt."""
        return self._said.prompt_tokens or self._prompt

    @property
    def completion(self) -> int:
        """Tokens of the answer."""
        return (self._said.completion_tokens or self._before) + self.heard - self._before

    @property
    def heard(self) -> int:
        """Tokens of the answer that have come, by our own count."""
        return max(self._pieces, ceil(self._weight))


class Flow:
    """
    The events of one candidate, as the caller gets them: an asynchronous iterator of bytes.

    The first item is the first that says something: a server that greets (`role` alone) and then
    fails has not begun. The last one is `[DONE]`, with the usage before it where that was wanted.

    Args:
        source: bytes of server-sent events, cut anywhere.
        card: who is asked.
        asked: the name that the caller gave the model.
        prompt: tokens of the prompt, estimated.
        wants_usage: whether the caller wants to be told the usage.

    Raises:
        ProviderAnswerError: it makes no sense, or ends before the answer does.
        ProviderError: the stream tells an error.

    """

    def __init__(
        self, source: AsyncIterator[bytes], card: ModelCard, *, asked: str, prompt: int,
        wants_usage: bool,
    ) -> None:  # fmt: skip
        self.tally = Tally(prompt)
        self._source = source
        self._target = Target(card.provider, card.id)
        self._asked = asked
        self._name = naming(card.answers_as or card.id, asked)
        self._wants_usage = wants_usage
        self._rest: list[bytes] = []
        """Pieces of an event that has not ended; they are put together once it has."""
        self._size = 0  # of these, bytes
        self._failed = b""
        """An event that is a failure, told by the next call."""
        self._open: set[int] = set()
        self._id = ""
        self._has_finished = False
        self._has_usage = False
        self._has_spoken = False
        """Whether its first item has been taken: until then a failure is better told at once."""
        self.has_begun = False
        """Whether it has said something."""
        self._is_done = False

    @property
    def is_done(self) -> bool:
        """Whether its last item has come."""
        return self._is_done

    def __aiter__(self) -> "Flow":
        return self

    async def __anext__(self) -> bytes:
        if self._is_done:
            await self._drain()
            raise StopAsyncIteration
        held: list[bytes] = []
        while True:
            if self._failed:
                self._event(self._failed)  # raises, as it did before
            try:
                chunk = await self._source.__anext__()
            except StopAsyncIteration:
                return b"".join((*held, self._ended()))
            data = self._take(chunk)
            if self.is_done:
                return b"".join((*held, data, self._last_words()))
            if not self.has_begun:
                held.append(data)
            elif data:
                self._has_spoken = True
                return b"".join((*held, data)) if held else data

    async def aclose(self) -> None:
        """Stop the candidate's work."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _drain(self) -> None:
        """Read the end of the body behind `[DONE]`, so that its connection can be used again."""
        with suppress(TimeoutError, ProviderError):  # the caller has had all there is
            async with asyncio.timeout(LINGER):
                await anext(self._source, None)

    def _take(self, chunk: bytes) -> bytes:
        """Return what the caller gets of a chunk: the events that it completes."""
        if not self._rest and chunk.startswith(b"data:") and _is_one_line(chunk):
            return self._event(chunk)  # as nearly all come
        if self._rest and self._rest[-1].endswith((b"\r", b"\n")):  # a part of an end, perhaps
            last = self._rest[-1].rstrip(b"\r\n")
            chunk = self._rest[-1][len(last) :] + chunk
            self._rest[-1] = last
        if b"\r" in chunk:
            chunk = _unix(chunk)
        end = chunk.rfind(b"\n\n") + 2
        if end == 1:
            self._keep(chunk)
            return b""
        rest = chunk[end:]
        if self._rest or rest:
            chunk = b"".join((*self._rest, chunk[:end]))
            self._rest, self._size = [], 0
            if rest:
                self._keep(rest)
        return self._several(chunk)

    def _several(self, chunk: bytes) -> bytes:
        """Return what the caller gets of several events; those before a failure come before it."""
        taken: list[bytes] = []
        for event in _framed(chunk):
            try:
                taken.append(self._event(event))
            except ProviderError:
                if not self._has_spoken or not any(taken):
                    raise
                self._failed = event
                break
        return b"".join(taken)

    def _keep(self, rest: bytes) -> None:
        self._rest.append(rest)
        self._size += len(rest)
        if self._size > MAX_EVENT_BYTES:
            raise self._nonsense("sent an event that is too long")

    def _event(self, event: bytes) -> bytes:
        """Look into one event; return it, or nothing where the caller has no use for it."""
        if self._is_done:
            return b""
        data = event[5:]
        if not event.endswith(b"}\n\n"):  # then it may be the end, or empty
            data = data.strip()
            if data == b"[DONE]":
                self._is_done = True
                return b""
            if not data:
                return b""
        try:
            seen = _events.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise self._nonsense("sent an event that cannot be understood") from exc
        return self._name(event) if self._is_for_caller(seen) else b""

    def _is_for_caller(self, seen: _Event) -> bool:
        """Note what an event says; say whether the caller gets it."""
        if seen.error and _is_there(seen.error):
            raise self._told(seen.error)
        for choice in seen.choices or ():
            self._choice(choice)
        if isinstance(seen.id, str):
            self._id = seen.id
        if not (seen.usage and _is_there(seen.usage)):
            return True
        has_said = self.tally.say(seen.usage)
        if seen.choices:
            return True
        if not self._has_finished:
            return False  # an early word about the prompt, for those who leave
        self._has_usage = self._has_usage or (has_said and self._wants_usage)
        return has_said and self._wants_usage

    def _choice(self, choice: _Choice) -> None:
        delta = choice.delta
        index = choice.index or 0
        if choice.finish_reason:  # some fill it with "" until they know it
            self._open.discard(index)
            self.has_begun = self._has_finished = True
        else:
            self._open.add(index)
        if delta is not None:
            if delta.content:
                self._hear(delta.content)
            self._beside(delta)

    def _beside(self, delta: _Delta) -> None:
        """Count what a delta has beside its content, which is seldom anything."""
        if delta.reasoning_content or delta.reasoning or delta.refusal:
            for said in (delta.reasoning_content, delta.reasoning, delta.refusal):
                if said:
                    self._hear(said)
        if delta.tool_calls or delta.function_call or delta.audio:
            for raw in (delta.tool_calls, delta.function_call, delta.audio):
                if _is_there(raw) and (piece := bytes(raw)) != b"[]":
                    self._hear(piece)

    def _hear(self, said: object) -> None:
        self.has_begun = True
        self.tally.hear(said if isinstance(said, (str, bytes)) else msgspec.json.encode(said))

    def _ended(self) -> bytes:
        """Return the last words of a body that ended without `[DONE]`."""
        try:
            tail = self._take(b"\n\n") if b"".join(self._rest).strip() else b""
        except ProviderAnswerError:
            raise self._nonsense("cut its answer off") from None
        if not (self._is_done or self._has_finished or self._open):
            raise self._nonsense("gave no answer")
        if not self._is_done and self._open:
            raise self._nonsense("cut its answer off")
        self._is_done = True
        return tail + self._last_words()

    def _last_words(self) -> bytes:
        if not (self._open or self._has_finished):
            raise self._nonsense("gave no answer")
        if not self._wants_usage or self._has_usage:
            return DONE
        usage = Usage.of(self.tally.prompt, self.tally.completion)
        return Writer(self._asked, self._id).usage(usage) + DONE

    def _told(self, error: Raw) -> ProviderError:
        """Return the error that the stream itself tells."""
        try:
            told = _codes.decode(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = _Code()
        code = next((one for one in (told.code, told.status) if isinstance(one, int)), 0)
        if 400 <= code < 600:  # noqa: PLR2004
            return status_error(self._target, code, {}, bytes(error))
        return self._nonsense("broke its answer off with an error")

    def _nonsense(self, sentence: str) -> ProviderAnswerError:
        return ProviderAnswerError(
            f"{self._target.provider} {sentence}.",
            provider=self._target.provider,
            model=self._target.model,
        )


def checked(body: bytes, card: ModelCard, tally: Tally) -> None:
    """
    Let pass a whole answer, and count it.

    Raises:
        ProviderAnswerError: it is not one.

    """
    try:
        whole = _wholes.decode(body)
        if not body.isascii():
            body.decode()  # the parts that are not looked into have to be text, too
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _no_answer(card) from exc
    if not whole.choices:
        raise _no_answer(card)
    is_said = _is_there(whole.usage) and tally.say(whole.usage)
    if not (is_said and tally.completion):
        for choice in whole.choices:
            tally.hear(bytes(choice))


def _no_answer(card: ModelCard) -> ProviderAnswerError:
    return ProviderAnswerError(
        f"{card.provider} gave an answer that cannot be understood.",
        provider=card.provider,
        model=card.id,
    )


def _unix(chunk: bytes) -> bytes:
    """Return a chunk with plain line ends; one that may be half a pair waits at its end."""
    waits = b"\r" if chunk.endswith(b"\r") else b""
    whole = chunk[: len(chunk) - len(waits)]
    return whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + waits


def _framed(chunk: bytes) -> Iterator[bytes]:
    """
    Yield the events of a chunk that have data, each on one line: JSON may be broken anywhere.

    Comments, which keep the connection alive, have none.
    """
    for event in chunk.removeprefix(_MARK).split(b"\n\n"):
        lines = event.split(b"\n")
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        if data:
            yield b"data: " + b" ".join(data) + b"\n\n"


def _is_one_line(chunk: bytes) -> bool:
    return chunk.find(b"\n") == len(chunk) - 2 and chunk.endswith(b"\n\n") and b"\r" not in chunk


def _is_there(raw: Raw) -> bool:
    return bool(raw) and bytes(raw) != b"null"  # a Raw equals nothing, not even its own bytes
