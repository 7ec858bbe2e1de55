"""The answer to `stream=true`, turned into transcript events."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import msgspec

from junctor.core.errors import ProviderAnswerError, ProviderUnavailableError
from junctor.core.net import RelayStream, Target
from junctor.core.requests import TranscribeRequest
from junctor.core.transcripts import Transcript, TranscriptDelta, TranscriptEvent
from junctor.plugins.remote.openai import wire


def nonsense(target: Target) -> ProviderAnswerError:
    """Return the error of an answer that is not what the API promises."""
    return ProviderAnswerError(
        f"{target.provider} gave an answer that cannot be understood; does its base_url speak the "
        "OpenAI API?",
        provider=target.provider,
        model=target.model,
    )


async def transcript_events(
    answer: RelayStream, request: TranscribeRequest, target: Target
) -> AsyncGenerator[TranscriptEvent, None]:
    """
    Yield what the server says, piece by piece, and the transcript last.

    Raises:
        ProviderError: the stream breaks, ends too soon or tells an error.

    """
    pieces: list[str] = []
    async with aclosing(answer.events()) as events:
        async for event in events:
            if event.data == wire.END_OF_STREAM:
                yield Transcript(text="".join(pieces).strip(), language=request.language)
                return
            for item in _items(event.data, "".join(pieces), request, target):
                yield item
                if isinstance(item, Transcript):
                    return
                pieces.append(item.text)
    raise ProviderAnswerError(
        f"{target.provider} ended its stream before the transcript was complete.",
        provider=target.provider,
        model=target.model,
    )


def _items(
    data: bytes, said: str, request: TranscribeRequest, target: Target
) -> Iterable[TranscriptEvent]:
    try:
        event = wire.read_event(data)
        done = wire.read_transcript(data, request) if event.is_last else None
    except msgspec.DecodeError as exc:
        raise nonsense(target) from exc
    if event.is_error:
        raise ProviderUnavailableError(
            f"{target.provider} gave up in the middle of its stream.",
            provider=target.provider,
            model=target.model,
        )
    if done is None:
        return (TranscriptDelta(text=event.piece),) if event.piece else ()
    rest = done.text.removeprefix(said) if done.text.startswith(said) else ""
    return (TranscriptDelta(text=rest), done) if rest else (done,)
