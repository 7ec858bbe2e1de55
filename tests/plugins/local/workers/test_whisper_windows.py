"""How windows are put together, and how their text is cut."""

import numpy as np
import pytest

from junctor.plugins.local.workers.whisper_args import WindowArgs
from junctor.plugins.local.workers.whisper_windows import Task, batched, is_imagined, trimmed


def tasks(*frames: int) -> list[Task]:
    nothing = np.zeros(0, np.float32)
    return [
        Task(place=place, asked=WindowArgs(samples=0), samples=nothing, frames=count)
        for place, count in enumerate(frames)
    ]


def test_like_lengths_share_a_batch():
    """Little padding is cheaper than one more batch."""
    row = tasks(200, 200, 220, 220)

    assert [row] == list(batched(row, most=16))


def test_lengths_far_apart_do_not():
    """Three short windows are not padded to the length of a long one."""
    row = tasks(200, 200, 200, 600)

    assert [row[:3], row[3:]] == list(batched(row, most=16))


def test_padding_adds_up():
    """Each step is small, and together they are too much."""
    row = tasks(*range(200, 400, 20))
    batches = list(batched(row, most=16))

    assert row == [task for batch in batches for task in batch]
    assert len(batches) > 1
    assert all(sum(batch[-1].frames - task.frames for task in batch) <= 200 for batch in batches)


def test_no_batch_is_too_big():
    """The bound holds."""
    assert [2, 2, 1] == [len(batch) for batch in batched(tasks(*[200] * 5), most=2)]


@pytest.mark.parametrize(
    ("no_speech", "logprob", "verdict"),
    [(0.9, -1.5, True), (0.9, -0.5, False), (0.3, -1.5, False)],
)
def test_what_is_imagined(no_speech, logprob, verdict):
    """Only what is both probably no speech and badly decoded; either alone may be a quiet voice."""
    assert verdict is is_imagined(no_speech, logprob)


def test_trims_both_ends_only():
    """Space goes from the ends, wherever the pieces are cut, and stays inside."""
    assert ["", "a", " b", "c", ""] == trimmed([" ", " a", " b", "c ", " "])


def test_trims_nothing_but_space():
    """Pieces that are all space leave nothing."""
    assert ["", ""] == trimmed([" ", "  "])
    assert [] == trimmed([])
