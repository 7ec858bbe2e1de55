"""What was said and is not final yet: bounded, read by position, forgotten from the front."""

import asyncio

from junctor.core.audio.voice import VoiceTrack
from junctor.core.tape import Tape
from tests.fakes.listeners import chunks
from tests.waiting import until

SECOND = bytes(range(250)) * 128  # 32,000 bytes


async def test_positions_stay_when_the_front_is_forgotten():
    """What is forgotten is gone; what is left keeps its place."""
    tape = Tape(10)
    await tape.record(chunks(SECOND))
    tape.forget(4_000)
    tape.forget(1_000)

    assert (tape.origin, tape.end, tape.is_over) == (4_000, 16_000, True)
    assert tape.read(5_000, 5_010) == SECOND[10_000:10_020]
    assert tape.read(0, 4_001) == SECOND[8_000:8_002]


async def test_recording_waits_for_room():
    """A full tape takes no more until something is final."""
    tape = Tape(1)
    recording = asyncio.create_task(tape.record(chunks(2 * SECOND, 3_200)))
    await until(lambda: tape.end == 16_000)
    await asyncio.sleep(0)
    full = tape.end
    tape.forget(16_000)
    await recording

    assert (full, tape.end) == (16_000, 32_000)


async def test_only_what_is_due_wakes_the_listener():
    """Audio before the position that is due is recorded in silence; speech is due anywhere."""
    tape = Tape(10, VoiceTrack())
    tape.due, tape.is_speech_due = 3_000, True
    waiting = asyncio.create_task(tape.change())
    await asyncio.sleep(0)
    await tape.take(bytes(4_000))
    await asyncio.sleep(0)
    early = waiting.done()
    await tape.take(b"\x00\x40" * 512)
    await waiting
    tape.is_speech_due, late = False, asyncio.create_task(tape.change())
    await asyncio.sleep(0)
    await tape.take(bytes(2_000))
    await late

    assert early is False
