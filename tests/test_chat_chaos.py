"""Replicas that are killed under load, in small."""

import os
import shutil

import pytest

from benchmarks.chat.reader import Stream
from benchmarks.chat_chaos import Ending, ending_of
from tests.test_benchmarks import output

ERROR = b'data: {"error":{"message":"The provider failed."}}\n\n'
PIECE = b'data: {"choices":[{"delta":{"content":"1/2 "}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_no_kill_goes_unanswered() -> None:
    """All requests are answered, all broken streams told so, and the ledger has a row for each."""
    if shutil.which("taskset") is None:
        assert not os.environ.get("CI"), "taskset is not installed"
        pytest.skip("taskset is not installed")
    told = await output("benchmarks.chat_chaos", "--seconds", "12", "--kill-every", "3")

    assert "no violation" in told
    assert "kills: " in told


@pytest.mark.parametrize(
    ("body", "is_over", "ending"),
    [
        (PIECE + ERROR, True, "told"),
        (PIECE, True, "silent"),
        (PIECE + ERROR, False, "silent"),
        (b"", True, "silent"),
        (PIECE + DONE, True, "wrong"),
        (PIECE + ERROR + DONE, True, "wrong"),
    ],
)
def test_how_a_stream_ended(body: bytes, is_over: bool, ending: Ending) -> None:
    """Only an error event as the last word tells of a break."""
    stream = Stream(sent=0.0, status=200, pieces=[(0.1, body)], is_over=is_over)

    assert ending_of(stream, is_stream=True) == ending
