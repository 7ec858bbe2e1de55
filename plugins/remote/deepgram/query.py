"""How a request becomes the parameters of Deepgram's URLs."""

from junctor.core.cards import Feature, ModelCard
from junctor.core.locales import match
from junctor.core.net import Target
from junctor.core.requests import LiveRequest, TranscribeRequest
from junctor.plugins.remote.deepgram.cards import DETECTED, FLUX_LOCALES
from junctor.plugins.remote.vendor import rejected

RAW = (("encoding", "linear16"), ("sample_rate", "16000"))
"""How live audio is announced."""


def extras(*, diarization: bool) -> list[tuple[str, str]]:
    """Return what does not depend on the model."""
    speakers = [("diarize_model", "latest")] if diarization else []
    return [("smart_format", "true"), *speakers]


def _given(language: str, card: ModelCard, target: Target) -> str:
    found = match(card.locales or (), language)
    if found is None:
        raise rejected(target, f"does not understand {language} with {card.id}")
    return found


def language_of(
    request: TranscribeRequest, card: ModelCard, target: Target
) -> list[tuple[str, str]]:
    """
    Return how the language is told or asked for.

    Detection names one of 35 languages and its probability; what else may be spoken needs the
    multilingual model, which tells the languages it heard.
    """
    if request.language is not None:
        return [("language", _given(request.language, card, target))]
    if Feature.AUTO_LANGUAGE not in card.features:
        raise rejected(target, f"cannot tell the language with {card.id}")
    wanted = [match(DETECTED, tag) for tag in request.allowed_languages]
    if None in wanted and card.id == "nova-3":
        return [("language", "multi")]
    known = dict.fromkeys(tag for tag in wanted if tag is not None)
    return [("detect_language", tag) for tag in known] or [("detect_language", "true")]


def live_language(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    """Return how Nova is told the language of live speech; only Nova-3 goes without."""
    if request.language is not None:
        return [("language", _given(request.language, card, target))]
    if card.id != "nova-3":
        raise rejected(target, f"cannot tell the language of live speech with {card.id}")
    return [("language", "multi")]


def hints_of(request: LiveRequest, card: ModelCard, target: Target) -> list[tuple[str, str]]:
    """Return how Flux is told which languages may be spoken; its English model is not."""
    if request.language is not None:
        hints = [_given(request.language, card, target)]
    else:
        hints = [tag for one in request.allowed_languages if (tag := match(FLUX_LOCALES, one))]
    if Feature.AUTO_LANGUAGE not in card.features:
        if request.language is None:
            raise rejected(target, f"cannot tell the language with {card.id}")
        return []
    return [("language_hint", tag) for tag in dict.fromkeys(hints)]
