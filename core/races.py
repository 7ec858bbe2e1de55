"""Work done at once: a late first is hedged with a second, and an ensemble is waited for."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that the rest of an ensemble gets at least, once half of it has answered."""


async def hedged(
    first: Callable[[], Coroutine[object, object, T]],
    second: Callable[[], Coroutine[object, object, T]],
    *,
    delay: float,
) -> list[T | Exception]:
    """
    Return what came of the first, and of the second where it was begun, once one has a result.

    The second begins after `delay` seconds, or at once when the first has failed. A loser that is
    still at work is cancelled, and stands as a TimeoutError.
    """
    tasks = [asyncio.create_task(first())]
    try:
        await asyncio.wait(tasks, timeout=delay)
        if not _good(tasks):
            tasks.append(asyncio.create_task(second()))
        while not _good(tasks) and (pending := [task for task in tasks if not task.done()]):
            await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        return [_outcome(task) for task in tasks]
    finally:
        await _stopped(tasks)


async def gathered(
    works: Sequence[Coroutine[object, object, T]], *, patience: float = PATIENCE
) -> list[T | Exception]:
    """
    Do all at once and return each result, or what was raised instead, in the order of `works`.

    When half of them have a result, the others get as long again, and `patience` seconds at
    least; what is not done then is cancelled, and stands as a TimeoutError.
    """
    now = asyncio.get_running_loop().time
    began = now()
    tasks = [asyncio.create_task(work) for work in works]
    until: float | None = None
    try:
        while pending := [task for task in tasks if not task.done()]:
            if until is None and _good(tasks) * 2 >= len(tasks):
                until = now() + max(patience, now() - began)
            left = None if until is None else until - now()
            if left is not None and left <= 0:
                break
            await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return [_outcome(task) for task in tasks]
    finally:
        await _stopped(tasks)


def _good(tasks: Sequence[asyncio.Task[T]]) -> int:
    return sum(task.done() and task.exception() is None for task in tasks)


def _outcome(task: asyncio.Task[T]) -> T | Exception:
    if not task.done():
        return TimeoutError("The others had answered long before.")
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, Exception):
        # Its traceback holds the frames of the whole attempt, the upload in them.
        return error.with_traceback(None)
    raise error


async def _stopped(tasks: Sequence[asyncio.Task[T]]) -> None:
    """Cancel what is under way, and wait until it has let go."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)  # `gather` would leave a circle behind each that failed
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio complains of one that failed behind the winner's back
