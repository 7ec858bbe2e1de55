"""
How an upload becomes a `Clip`: what it is, how long it is, and its samples, or a clear refusal.

Decoding runs in threads, never more at once than there are slots. A slot is given back when its
thread has really ended, which for a cancelled request is some milliseconds after the cancel.
"""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from junctor.core.audio.clip import Clip
from junctor.core.audio.decode import check_length, decode, recognise
from junctor.core.audio.sniff import Container
from junctor.core.audio.wav import read_wav_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_T = TypeVar("_T")
_LONGEST_STEM: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")


async def open_clip(
    data: bytes,
    *,
    filename: str | None = None,
    max_seconds: float,
    slots: asyncio.Semaphore,
    bound: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Clip:
    """
    Recognise, measure and, unless its header tells all, decode an upload.

    A PCM WAV file is measured by its header and decoded only when somebody asks for its samples;
    everything else is decoded now, since nothing less tells its exact length.

    Args:
        data: the file; its bytes decide what it is.
        filename: as claimed; only its stem is kept.
        max_seconds: the longest recording allowed.
        slots: how many decodes may run at once.
        bound: makes the context in which a decode is waited for; it may bound the time.

    Raises:
        MediaError: empty, not audio, no audio track, or not one sample in it.
        TooLongError: it is longer than `max_seconds`.

    """
    container = recognise(data)
    clip = partial(
        Clip, data=data, media_type=container.media_type, filename=_fit_name(filename, container)
    )
    header = read_wav_header(data)
    if header is not None:
        check_length(header, max_seconds)
        later = partial(_decode_samples, data, max_seconds, slots)
        return clip(frames=header.frames, rate=header.format.rate, decode=later)
    async with bound():
        decoded = await run_in_slot(
            slots, lambda stop: decode(data, max_seconds=max_seconds, stop=stop)
        )
    return clip(
        frames=decoded.frames,
        rate=decoded.rate,
        decode=partial(_decode_samples, data, max_seconds, slots),
        samples=decoded.samples,
    )


async def _decode_samples(
    data: bytes, max_seconds: float, slots: asyncio.Semaphore
) -> "NDArray[np.float32]":
    decoded = await run_in_slot(
        slots, lambda stop: decode(data, max_seconds=max_seconds, stop=stop)
    )
    return decoded.samples


async def run_in_slot(slots: asyncio.Semaphore, work: Callable[[threading.Event], _T]) -> _T:
    """
    Run blocking `work` in a thread as soon as a slot is free.

    `work` is given an event that is set when the caller is cancelled; the slot stays taken until
    `work` has returned, so that cancelled work cannot pile up unseen.
    """
    stop = threading.Event()
    await slots.acquire()
    try:
        running = asyncio.get_running_loop().run_in_executor(None, work, stop)
    except BaseException:
        slots.release()
        raise
    running.add_done_callback(partial(_give_back, slots))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        raise


def _give_back(slots: asyncio.Semaphore, finished: "asyncio.Future[_T]") -> None:
    slots.release()
    if not finished.cancelled():
        finished.exception()  # seen, so that nothing is logged when the waiter is gone


def _fit_name(claimed: str | None, container: Container) -> str:
    """Keep the stem of a claimed file name, made harmless, and give it the right extension."""
    base = re.split(r"[/\\]", claimed or "")[-1]
    stem = _UNSAFE.sub("_", base.rpartition(".")[0] or base).strip("._")[:_LONGEST_STEM]
    return f"{stem or 'audio'}.{container.extension}"
