"""Start and close providers: all at once, each in its time, each on its own risk."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from attrs import evolve

from junctor.core.catalog import Absence
from junctor.core.complaints import Complaints
from junctor.core.offers import Offer, Offered, serving
from junctor.core.plugin_status import PluginStatus, Stage, refuse_failures, said
from junctor.core.providers import Provider

_MERCY = 1.0
"""Seconds that a cancelled start or close gets to end."""


async def start_all(
    offer: Offer,
    *,
    start_timeout: float,
    close_timeout: float,
    complaints: Complaints,
    strict: bool = False,
) -> Offer:
    """
    Start what is not started yet, concurrently, and return the offer of what serves.

    A provider whose `start()` raises, or is not done in time, is closed and left out with its
    models; its plugin is listed as failed at stage `start`.

    Args:
        offer: what the plugins offer; providers kept from an offer before are not started again.
        start_timeout: seconds for each `start()`.
        close_timeout: seconds for each `close()` of those that did not start.
        complaints: where failures are logged.
        strict: refuse to go on when one fails, after closing what this call has started.

    Raises:
        PluginError: a provider failed to start, and `strict` is set.

    """
    new = [one for one in offer.offered if not one.is_started]
    try:
        errors = await asyncio.gather(*(_started(one.provider, start_timeout) for one in new))
    except asyncio.CancelledError:
        await _close_each(new, close_timeout, complaints)
        raise
    failed = {one.name: error for one, error in zip(new, errors, strict=True) if error is not None}
    await _close_each((one for one in new if one.name in failed), close_timeout, complaints)
    started = _without(offer, failed)
    for status in started.statuses:
        if status not in offer.statuses:
            complaints.failed(status)
    if strict and failed:
        serving_now = [one for one in new if one.name not in failed]
        await _close_each(serving_now, close_timeout, complaints)
        refuse_failures(started.statuses)
    return started


async def close_all(
    providers: Sequence[Provider], *, close_timeout: float, complaints: Complaints
) -> None:
    """
    Close providers, the last one first; one that raises or hangs keeps no other from closing.

    Args:
        providers: in the order in which they were offered.
        close_timeout: seconds for each.
        complaints: where failures are logged.

    """
    for provider in reversed(providers):
        error = await _bounded(provider.close, close_timeout, "close()")
        if error is not None:
            complaints.close_failed(provider.name, error)


async def _started(provider: Provider, seconds: float) -> BaseException | None:
    return await _bounded(provider.start, seconds, "start()")


async def _close_each(
    offered: Iterable[Offered], close_timeout: float, complaints: Complaints
) -> None:
    providers = [one.provider for one in offered]
    await close_all(providers, close_timeout=close_timeout, complaints=complaints)


async def _bounded(
    call: Callable[[], Awaitable[None]], seconds: float, what: str
) -> BaseException | None:
    """Await a stranger's coroutine in a task of its own, and return what it raised."""
    task = asyncio.create_task(_contained(call))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return task.result()
        return TimeoutError(f"{what} was not done within {seconds:g} seconds")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_MERCY)


async def _contained(call: Callable[[], Awaitable[None]]) -> BaseException | None:
    # A SystemExit that left a task would end the event loop, and with it everybody's work.
    try:
        await call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - plugin boundary, logged by the caller
        return error
    return None


def _without(offer: Offer, failed: dict[str, BaseException]) -> Offer:
    here = tuple(evolve(one, is_started=True) for one in offer.offered if one.name not in failed)
    absences = dict(offer.absences)
    for one in offer.offered:
        if one.name in failed:
            absences[one.name] = Absence(
                reason="failed to start",
                detail=said(failed[one.name]),
                models=tuple(card.name for card in one.cards),
            )
    statuses = tuple(_after_start(status, offer, failed) for status in offer.statuses)
    return evolve(offer, offered=here, absences=absences, statuses=statuses)


def _after_start(
    status: PluginStatus, offer: Offer, failed: dict[str, BaseException]
) -> PluginStatus:
    own = offer.of_plugin(status.name)
    broken = [one.name for one in own if one.name in failed]
    if not broken:
        return status
    reason = "; ".join(f"provider {name!r}: {said(failed[name])}" for name in broken)
    after = evolve(status.failed(Stage.START, reason), error=failed[broken[0]])
    return serving(after, [one for one in own if one.name not in failed])
