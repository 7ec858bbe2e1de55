"""The events of a streamed answer, each as chunks of OpenAI's dialect."""

from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

from junctor.core.chat.dialect import Delta, Usage, Writer
from junctor.core.net import Target, status_error
from junctor.plugins.remote.google.chat import (
    NOT_YET,
    Candidate,
    Reply,
    SaidPart,
    Tokens,
    call,
    finish,
)
from junctor.plugins.remote.vendor import read


class ChatStream:
    """
    One stream on its way.

    Args:
        target: who answers.

    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._writer = Writer(target.model)
        self._tokens = Tokens()
        self._calls: Counter[int] = Counter()
        """Calls so far, by answer."""
        self._greeted: set[int] = set()
        self._ended: set[int] = set()
        self._has_told_prompt = False

    def take(self, data: bytes) -> bytes:
        """
        Return the chunks of one event, framed; nothing for one that says nothing.

        Raises:
            ProviderAnswerError: it is none, or breaks the answer off.
            ProviderError: it tells an error; the subclass says which.

        """
        reply = read(data, Reply, self._target)
        if reply.error is not None:
            status = reply.error.code or HTTPStatus.INTERNAL_SERVER_ERROR
            raise status_error(self._target, status, {}, data)
        found = reply.candidates or (
            [Candidate(finish_reason="SAFETY")] if reply.is_blocked else []
        )
        if found and not self._greeted:
            self._writer = Writer(self._target.model, reply.response_id or "")
        said = b"".join(chunk for one in found for chunk in self._chunks(one))
        return self._counted(reply.usage_metadata) + said

    def last(self) -> bytes:
        """Return the event that tells what all of it took; nothing where nobody said."""
        return self._writer.usage(self._tokens.usage) if self._has_told_prompt else b""

    def _counted(self, tokens: Tokens | None) -> bytes:
        """Note what was used; tell the prompt's tokens at once: who leaves early has read them."""
        if tokens is None or not tokens.prompt:
            return b""
        self._tokens = tokens
        is_first, self._has_told_prompt = not self._has_told_prompt, True
        return self._writer.usage(Usage.of(tokens.prompt, 0)) if is_first else b""

    def _chunks(self, candidate: Candidate) -> Iterator[bytes]:
        index = candidate.index or 0
        if index not in self._greeted:
            self._greeted.add(index)
            yield self._writer.chunk(Delta(role="assistant", content=""), index=index)
        for part in candidate.parts:
            if (delta := self._delta(index, part)) is not None:
                yield self._writer.chunk(delta, index=index)
        if candidate.finish_reason not in NOT_YET and index not in self._ended:
            self._ended.add(index)
            end = finish(candidate.finish_reason, self._target, has_calls=bool(self._calls[index]))
            yield self._writer.chunk(Delta(), index=index, finish=end)

    def _delta(self, index: int, part: SaidPart) -> Delta | None:
        if part.function_call is not None:
            number = self._calls[index]
            self._calls[index] += 1
            return Delta(tool_calls=[call(part, part.function_call, index=number)])
        if not part.text:
            return None
        return Delta(reasoning_content=part.text) if part.thought else Delta(content=part.text)
