"""What all engines here do about `Capability.TRANSCRIBE_WINDOWS`: refuse in time, answer alike."""

from collections.abc import Sequence

from junctor.core.audio.clip import SAMPLE_RATE
from junctor.core.audio.pcm import SAMPLE_BYTES
from junctor.core.cards import ModelCard
from junctor.core.errors import ProviderAnswerError, ProviderRejectedError
from junctor.core.locales import understands
from junctor.core.requests import Window, WindowsRequest
from junctor.core.transcripts import WindowTranscript
from junctor.plugins.local.languages import tag_of
from junctor.plugins.local.workers.items import WindowHeard


def samples_in(window: Window) -> int:
    """Return how long a window is, samples."""
    return len(window.pcm) // SAMPLE_BYTES


def check_windows(request: WindowsRequest, card: ModelCard) -> None:
    """
    Hold windows to what the card promises.

    Raises:
        ProviderRejectedError: they are too many, or one is too long, broken, or of another language.

    """
    longest = card.window_seconds
    if len(request.windows) > card.window_batch:
        raise _refusal(
            card, f"takes {card.window_batch} windows at once, not {len(request.windows)}"
        )
    for window in request.windows:
        if len(window.pcm) % SAMPLE_BYTES:
            raise _refusal(card, "takes whole samples, and a window ends in the middle of one")
        if samples_in(window) > longest * SAMPLE_RATE:
            raise _refusal(card, f"hears {longest:g} seconds at once, and a window is longer")
        if window.language is not None and not understands(card.locales, window.language):
            raise _refusal(card, f"does not understand {window.language!r}")


def window_transcripts(
    heard: Sequence[WindowHeard], request: WindowsRequest, card: ModelCard
) -> tuple[WindowTranscript, ...]:
    """
    Return what a worker heard as the transcript of each window.

    Raises:
        ProviderAnswerError: there is not one answer for each.

    """
    if len(heard) != len(request.windows):
        raise ProviderAnswerError(
            f"{card.name} answered {len(heard)} of {len(request.windows)} windows.",
            provider=card.provider,
            model=card.id,
        )
    return tuple(
        WindowTranscript(
            text=one.text,
            pieces=one.pieces,
            words=one.words,
            language=one.language and tag_of(one.language),
            confidence=one.confidence,
            seconds=one.seconds,
        )
        for one in heard
    )


def _refusal(card: ModelCard, reason: str) -> ProviderRejectedError:
    return ProviderRejectedError(f"{card.name} {reason}.", provider=card.provider, model=card.id)
