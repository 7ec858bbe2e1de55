"""Where speech begins and ends: by probabilities alone, whatever they come from."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from junctor.core.audio.vad import FRAME_SAMPLES
from junctor.core.endpointing import PAUSE, PRE_ROLL, Endpointer, Span

SECOND = 16_000
FRAMES = SECOND / FRAME_SAMPLES


def frames(seconds: float, probability: float) -> list[float]:
    return [probability] * round(seconds * FRAMES)


def cut(probabilities: list[float], *, longest: float = 25.0, **more) -> list[Span]:
    ends = Endpointer(longest=round(longest * SECOND), **more)
    found = [ends.hear(one) for one in probabilities]
    found.append(ends.finish(len(probabilities) * FRAME_SAMPLES))
    return [span for span in found if span is not None]


def test_a_pause_ends_a_stretch():
    """Two sentences with a second between are two, each with the rolls before and behind it."""
    first, second = cut(
        frames(1, 0) + frames(1, 0.9) + frames(1, 0) + frames(1, 0.9) + frames(1, 0)
    )

    assert abs(first.start - (SECOND - PRE_ROLL)) <= FRAME_SAMPLES
    assert abs(first.end - 2.3 * SECOND) <= FRAME_SAMPLES
    assert first.end <= second.start


def test_a_short_pause_does_not():
    """Breath is no end."""
    assert len(cut(frames(1, 0.9) + frames(0.3, 0) + frames(1, 0.9))) == 1


def test_the_end_of_the_stream_ends_what_is_open():
    """The last stretch ends with the stream, not behind it."""
    [span] = cut(frames(0.4, 0) + frames(1, 0.9))

    assert span.end == round(0.4 * FRAMES) * FRAME_SAMPLES + round(FRAMES) * FRAME_SAMPLES


def test_a_click_is_nothing():
    """Less than three frames are no speech."""
    assert cut([*frames(1, 0), 0.9, 0.9, *frames(1, 0)]) == []


def test_hysteresis():
    """Speech begins at 0.5 and goes on down to 0.35."""
    assert cut(frames(1, 0.4)) == []
    assert len(cut([0.9, *frames(1, 0.4)])) == 1


def test_long_speech_is_cut_where_it_is_least_probable():
    """Sample after sample, none is in two stretches, none is longer than it may be."""
    sound = [*frames(4, 0.9), 0.6, *frames(4, 0.9), *frames(12, 0.8)]
    spans = cut(sound, longest=5.0)

    assert spans[0].end in {
        len(frames(4, 0)) * FRAME_SAMPLES,
        len([*frames(4, 0), 0]) * FRAME_SAMPLES,
    }
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert max(span.end - span.start for span in spans) <= 5 * SECOND


def test_what_is_cut_off_is_no_click():
    """The last frames of a divided stretch are speech, however few they are."""
    sound = [*frames(5, 0.9), 0.9, 0.9, *frames(1, 0)]
    spans = cut(sound, longest=round(5 * FRAMES) / FRAMES)

    assert len(spans) == 2
    assert spans[0].end == spans[1].start


def test_nothing_begins_before_what_is_free():
    """What another stretch has is not given again."""
    [span] = cut(frames(1, 0.9), free_from=200)

    assert span.start == 200


def test_the_end_comes_after_the_pause():
    """A stretch is known to have ended when the pause is over, not before."""
    ends = Endpointer(longest=25 * SECOND)
    for one in frames(1, 0.9):
        ends.hear(one)
    waited = 0
    while ends.hear(0.0) is None:
        waited += FRAME_SAMPLES

    assert PAUSE - 2 * FRAME_SAMPLES <= waited <= PAUSE


@given(
    runs=st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.0, 0.1, 0.4, 0.9]))),
    longest=st.integers(30, 200),
)
def test_no_sample_is_in_two_stretches(runs, longest):
    """Whatever is heard: stretches come in order, and what is taken is never free again."""
    ends = Endpointer(longest=longest * FRAME_SAMPLES)
    sound = [probability for count, probability in runs for _ in range(count)]
    found, free = [], [0]
    for probability in sound:
        found.append(ends.hear(probability))
        free.append(ends.free_from)
    spans = [one for one in (*found, ends.finish(len(sound) * FRAME_SAMPLES)) if one]

    assert free == sorted(free)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    assert all(0 < one.end - one.start <= longest * FRAME_SAMPLES for one in spans)
