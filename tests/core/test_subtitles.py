"""Subtitles that players accept."""

from collections.abc import Callable, Iterable

import pytest

from junctor.core.subtitles import render_srt, render_vtt
from junctor.core.transcripts import Segment


def make_segment(text: str = "Hello.", start: float = 0.0, end: float = 1.0) -> Segment:
    return Segment(text=text, start=start, end=end)


def test_srt() -> None:
    """Cues are numbered from 1, with commas in their times and a blank line after each."""
    segments = [make_segment(" Hello.", 0, 1.5), make_segment("สวัสดี", 1.5, 2.25)]
    expected = (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n00:00:01,500 --> 00:00:02,250\nสวัสดี\n\n"
    )

    assert expected == render_srt(segments)


def test_vtt() -> None:
    """The header comes first, and times have points."""
    expected = "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello.\n\n"

    assert expected == render_vtt([make_segment()])


def test_nothing_said() -> None:
    """No segments, or empty ones, give no cues."""
    empty = [make_segment(" \n ")]

    assert "" == render_srt([]) == render_srt(empty)
    assert "WEBVTT\n\n" == render_vtt([]) == render_vtt(empty)


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [
        (0.0004, "00:00:00,000"),
        (0.0006, "00:00:00,001"),
        (1.9996, "00:00:02,000"),
        (59.9999, "00:01:00,000"),
        (3599.9996, "01:00:00,000"),
        (2.675, "00:00:02,675"),
        (360_000.5, "100:00:00,500"),
        (-0.2, "00:00:00,000"),
    ],
)
def test_times_are_rounded_whole(seconds: float, clock: str) -> None:
    """Rounding carries into seconds, minutes and hours."""
    assert f"\n{clock} --> " in render_srt([make_segment(start=seconds, end=1e6)])


def test_cue_never_ends_before_it_starts() -> None:
    """A backward or empty span still makes a valid cue."""
    assert "00:00:05,000 --> 00:00:05,001" in render_srt([make_segment(start=5, end=4)])


@pytest.mark.parametrize("render", [render_srt, render_vtt])
@pytest.mark.parametrize("text", ["a\n\nb", "a\r\n\r\nb", "a\u2028b", "a \n b"], ids=repr)
def test_cue_text_is_one_line(render: Callable[[Iterable[Segment]], str], text: str) -> None:
    """No line break of the text can end its cue."""
    assert "\na b\n\n" in render([make_segment(text)])


def test_markup_is_text() -> None:
    """What looks like an arrow or a tag is not one."""
    segment = make_segment("<i>AT&T</i> --> 2")

    assert "\n<i>AT&T</i> -> 2\n" in render_srt([segment])
    assert "\n&lt;i&gt;AT&amp;T&lt;/i&gt; -&gt; 2\n" in render_vtt([segment])


def test_cues_are_numbered_without_gaps() -> None:
    """A segment without text takes no number."""
    segments = [make_segment(""), make_segment("one"), make_segment(" "), make_segment("two")]

    assert ["1", "2"] == [line for line in render_srt(segments).splitlines() if line.isdigit()]
