"""Who writes Thai captions: the policy's answer, whichever way the client asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from junctor.contracts.thai_asr import LANGUAGE, SessionConfig
from junctor.core.errors import (
    NoCandidateError,
    TooLargeError,
    TooLongError,
    UnknownModelError,
    UnsupportedOptionError,
)
from junctor.core.gateway import Gateway
from junctor.core.plans import Choice
from junctor.core.requests import LiveRequest, Rolling
from junctor.core.tickets import Ticket

CONTRACT: Final = "thai_asr"
_ANY = LiveRequest(language=LANGUAGE)


def engine_of(gateway: Gateway, ticket: Ticket) -> str:
    """
    Return the provider that is asked first.

    Raises:
        JunctorError: nobody can serve; never of the kind that the caller could mend.

    """
    with unserved():
        plan = gateway.live_plan(ticket, _ANY, choice_of(ticket))
    return plan.candidates[0].card.provider


def choice_of(ticket: Ticket) -> Choice:
    """Return whom a client is served by: the operator says so, never the client."""
    return Choice(model=ticket.snapshot.settings.thai_asr.model)


def request_of(config: SessionConfig) -> LiveRequest:
    """Return what a session asks of a model."""
    rolling = Rolling(
        interval=config.partial_interval_ms / 1000,
        least=config.min_decode_audio_ms / 1000,
        window=config.decode_window_ms / 1000,
    )
    return LiveRequest(language=LANGUAGE, rolling=rolling)


@contextmanager
def unserved() -> Iterator[None]:
    """Say that nobody serves, where the operator's choice of a model is what is wrong."""
    try:
        yield
    except (UnknownModelError, UnsupportedOptionError, TooLongError, TooLargeError) as exc:
        raise NoCandidateError((str(exc),), temporary=False) from exc
