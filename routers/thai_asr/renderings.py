"""From what the core knows to what clients of Thai captions read."""

from collections.abc import Iterator

from junctor.contracts.thai_asr import Final, Limits, Partial, StabilizedPartial, Stretch, Tenant
from junctor.core.accounts import Principal
from junctor.core.captioned import Caption
from junctor.core.gateway import Gateway
from junctor.core.transcripts import Segment, Timing

_DIGITS = 3


def tenant_of(principal: Principal) -> Tenant:
    """Say whose key it is; a team's name is its id."""
    return Tenant(team_id=principal.team, team_name=principal.team, key_prefix=principal.prefix)


def limits_of(gateway: Gateway, principal: Principal) -> Limits:
    """Say what a team may do, and what of it is used."""
    limits, used = principal.limits, gateway.ledger.totals(principal.team)
    bound = limits.audio_seconds_per_day
    is_whole = bound is not None and bound.is_integer()
    return Limits(
        requests_per_minute=limits.requests_per_minute,
        concurrent_sessions=limits.concurrency,
        daily_audio_seconds=int(bound) if bound is not None and is_whole else bound,
        today_audio_seconds_used=round(used.seconds + used.held_seconds),
    )


def partial_of(caption: Caption, session_id: str) -> Partial:
    """Render what an utterance sounds like so far."""
    timing = _timing(caption)
    return Partial(
        session_id=session_id,
        engine=caption.provider,
        text=caption.text,
        segments=tuple(_stretch(one, one.text) for one in caption.segments),
        audio_ms=millis(caption.audio),
        latency_ms=millis(caption.latency),
        queue_ms=millis(timing.queued),
        decode_ms=millis(timing.decoding),
    )


def stable_of(caption: Caption, partial: Partial) -> StabilizedPartial:
    """Render how it begins that will hardly change any more, in the shape of its partial."""
    return StabilizedPartial(
        session_id=partial.session_id,
        engine=partial.engine,
        text=caption.stable,
        segments=tuple(_stable(caption)),
        audio_ms=partial.audio_ms,
        latency_ms=partial.latency_ms,
        queue_ms=partial.queue_ms,
        decode_ms=partial.decode_ms,
    )


def final_of(caption: Caption, session_id: str) -> Final:
    """Render what was said."""
    timing = _timing(caption)
    return Final(
        session_id=session_id,
        engine=caption.provider,
        text=caption.text,
        segments=tuple(_stretch(one, one.text) for one in caption.segments),
        audio_ms=millis(caption.audio),
        latency_ms=millis(caption.latency),
        queue_ms=millis(timing.queued),
        decode_ms=millis(timing.decoding),
        processing_time_ms=millis(timing.working),
        audio_duration_ms=millis(caption.audio),
    )


def millis(seconds: float) -> int:
    """Return whole milliseconds."""
    return round(seconds * 1000)


def _timing(caption: Caption) -> Timing:
    """Return what a text took; all of it was the model's work where a vendor does not tell."""
    if caption.timing is not None:
        return caption.timing
    took = caption.latency if caption.text else 0.0  # nothing was decoded for nothing
    return Timing(at=0.0, queued=0.0, decoding=took, working=took)


def _stable(caption: Caption) -> Iterator[Stretch]:
    """Yield the stretches as far as they are stable."""
    left = caption.stable
    for segment in caption.segments:
        text = segment.text if left.startswith(segment.text) else left
        if not text:
            return
        yield _stretch(segment, text)
        left = left[len(text) :].strip()


def _stretch(segment: Segment, text: str) -> Stretch:
    return Stretch(start=round(segment.start, _DIGITS), end=round(segment.end, _DIGITS), text=text)
