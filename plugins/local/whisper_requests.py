"""What is asked of a Whisper, as its worker wants it; or why this model cannot do it."""

from junctor.core.cards import Feature, ModelCard
from junctor.core.errors import ProviderRejectedError
from junctor.core.locales import understands
from junctor.core.requests import AlignRequest, TranscribeRequest, Window
from junctor.plugins.local.languages import code_of
from junctor.plugins.local.windows import samples_in
from junctor.plugins.local.workers.whisper_args import WhisperArgs, WindowArgs


def asked(request: TranscribeRequest, card: ModelCard) -> WhisperArgs:
    """
    Return the request as the worker wants it.

    Raises:
        ProviderRejectedError: the model does not understand the language.

    """
    if request.language is not None and not understands(card.locales, request.language):
        raise refusal(card, f"This model does not understand {request.language!r}.")
    return WhisperArgs(
        task=request.task.value,
        language=request.language and code_of(request.language),
        prompt=request.prompt if Feature.PROMPT in card.features else None,
        temperature=request.temperature,
        word_timestamps=request.word_timestamps,
    )


def window_asked(window: Window, card: ModelCard) -> WindowArgs:
    """
    Return a window as the worker wants it.

    Raises:
        ProviderRejectedError: Whisper knows none of the languages that it may be in.

    """
    allowed = tuple(code for tag in window.allowed_languages if (code := code_of(tag)))
    if window.allowed_languages and not allowed:
        raise refusal(card, "Whisper knows none of the languages to choose from.")
    return WindowArgs(
        samples=samples_in(window),
        language=window.language and code_of(window.language),
        allowed=allowed,
        word_timestamps=window.word_timestamps,
        is_final=window.is_final,
    )


def align_asked(request: AlignRequest, card: ModelCard) -> WhisperArgs:
    """
    Return the text to be found as the worker wants it.

    Raises:
        ProviderRejectedError: there is no text, a word of it is blank, the recording does not fit
            into one window, or the model does not understand the language.

    """
    if not request.words or not all(word.strip() for word in request.words):
        raise refusal(card, "There is no text to be found, or one of its words is blank.")
    if request.audio.seconds > card.window_seconds:
        raise refusal(card, f"This model aligns {card.window_seconds:g} seconds at most.")
    if not understands(card.locales, request.language):
        raise refusal(card, f"This model does not understand {request.language!r}.")
    return WhisperArgs(task="align", language=code_of(request.language), words=request.words)


def refusal(card: ModelCard, reason: str) -> ProviderRejectedError:
    """Return the error for a request this model cannot do."""
    return ProviderRejectedError(reason, provider=card.provider, model=card.id)
