"""Wait for a fact, where nobody tells when it comes true."""

import asyncio
from collections.abc import Callable

from junctor.core.errors import ProviderTimeoutError


async def until(fact: Callable[[], object]) -> None:
    """Look again and again until the fact is true; the test's own timeout bounds it."""
    while not fact():  # noqa: ASYNC110  # an event would have to be set by the code under test
        await asyncio.sleep(0.001)


def patience(error: object) -> float:
    """How long, in seconds, to wait for a fault: little where it is that nothing comes, else whatever a busy machine takes."""
    return 1.0 if error in {ProviderTimeoutError, "timeout"} else 20.0
