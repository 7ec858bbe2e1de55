"""Sessions that wait for their socket."""

import pytest

from junctor.conf.settings import ThaiAsr
from junctor.contracts.thai_asr import SessionConfig
from junctor.core.errors import NotFoundError, OverloadedError
from junctor.routers.thai_asr.sessions import WaitingSessions
from tests.fakes.clock import Clock

BOUNDS = ThaiAsr(session_ttl=10.0, max_sessions=2)
CONFIG = SessionConfig(frame_ms=100)


def test_a_session_starts_one_socket() -> None:
    """Its config comes back once; an id is 32 hexadecimal digits that nobody can guess."""
    waiting = WaitingSessions(clock=Clock())
    session_id = waiting.add("acme", CONFIG, BOUNDS)

    assert waiting.take("acme", session_id) == CONFIG
    with pytest.raises(NotFoundError):
        waiting.take("acme", session_id)
    assert (len(session_id), set(session_id) - set("0123456789abcdef")) == (32, set())


def test_foreign_late_used_and_unknown_look_alike() -> None:
    """Whoever tries ids learns nothing of them."""
    clock = Clock()
    waiting = WaitingSessions(clock=clock)
    late = waiting.add("acme", CONFIG, BOUNDS)
    clock.now += 10.0
    foreign = waiting.add("other", CONFIG, BOUNDS)
    texts = set()
    for session_id in (late, foreign, "", "0" * 32):
        with pytest.raises(NotFoundError) as caught:
            waiting.take("acme", session_id)
        texts.add(str(caught.value))

    assert len(texts) == 1
    assert waiting.take("other", foreign) == CONFIG


def test_as_many_wait_as_may() -> None:
    """Those whose time is over make room."""
    clock = Clock()
    waiting = WaitingSessions(clock=clock)
    for _ in range(2):
        waiting.add("acme", CONFIG, BOUNDS)
    with pytest.raises(OverloadedError):
        waiting.add("acme", CONFIG, BOUNDS)
    clock.now += 10.0
    waiting.add("acme", CONFIG, BOUNDS)

    assert len(waiting) == 1
