"""What the tests of several adapters say alike: a provider of a fake's table, and live speech."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from importlib import import_module

from junctor.conf.settings import Settings
from junctor.core.providers import Provider
from junctor.core.transcripts import LiveEvent, LiveFinal
from tests.fakes.vendors.base import VendorFake

SECOND = bytes(32_000)
"""Silence as live audio: 16 kHz, 16-bit mono."""


def plugged(fake: VendorFake, **changes: object) -> Provider:
    """Return the provider as its plugin makes it of the fake's table, with changes."""
    plugin = import_module(f"junctor.plugins.remote.{fake.VENDOR}")
    table = {**fake.settings_table(), **changes}
    provider: Provider
    (provider,) = plugin.junctor_providers(Settings(plugins={fake.VENDOR: table}))
    return provider


async def spoken(*chunks: bytes) -> AsyncIterator[bytes]:
    """Say these chunks, and end."""
    for chunk in chunks:
        yield chunk


async def heard(provider, request, *chunks: bytes):
    """Return the events of a whole live session; a second of silence is said unless given."""
    stream = provider.live_transcribe(request, spoken(*(chunks or (SECOND,))))
    async with asyncio.timeout(20), aclosing(stream) as events:
        return [event async for event in events]


def finals(events: Iterable[LiveEvent]) -> list[LiveFinal]:
    """Return the finals among events."""
    return [event for event in events if isinstance(event, LiveFinal)]
