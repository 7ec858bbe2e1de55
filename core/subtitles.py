"""Transcripts as SubRip (srt) and WebVTT subtitles."""

from collections.abc import Iterable, Iterator

from junctor.core.transcripts import Segment


def render_srt(segments: Iterable[Segment]) -> str:
    """Render numbered SubRip cues; nothing said gives the empty string."""
    cues = (
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(segments), 1)
    )
    return "".join(cues)


def render_vtt(segments: Iterable[Segment]) -> str:
    """Render WebVTT cues; nothing said gives the bare header."""
    cues = (
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{_escape(text)}\n\n"
        for start, end, text in _cues(segments)
    )
    return "WEBVTT\n\n" + "".join(cues)


def _cues(segments: Iterable[Segment]) -> Iterator[tuple[int, int, str]]:
    """Start and end in milliseconds, text on one line; a cue without text is left out."""
    for segment in segments:
        # A line break of any kind, or an arrow, could end the cue or begin another.
        lines = (line.strip() for line in segment.text.splitlines())
        text = " ".join(line for line in lines if line).replace("-->", "->")
        if text:
            start = _milliseconds(segment.start)
            yield start, max(start + 1, _milliseconds(segment.end)), text


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _clock(milliseconds: int, point: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
