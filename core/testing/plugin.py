"""
The pytest plugin of the conformance kit.

Name it in the top conftest, `pytest_plugins = ["junctor.core.testing.plugin"]`, or on the command
line, `-p junctor.core.testing.plugin`. It makes the kit's assertions explain themselves, and offers the fake and the lag monitor.
"""

import pytest

from junctor.core.testing.fakes import FakeTranscriber
from junctor.core.testing.lag import LoopLag

pytest.register_assert_rewrite(
    *(
        f"junctor.core.testing.{name}"
        for name in ("alignment", "basics", "conformance", "live", "revision", "video", "windows")
    )
)


@pytest.fixture
def fake_transcriber() -> FakeTranscriber:
    """Return a provider that says hello until it is told otherwise."""
    return FakeTranscriber()


@pytest.fixture
def loop_lag() -> LoopLag:
    """Return a monitor of the event loop; enter it around what must not block."""
    return LoopLag()
