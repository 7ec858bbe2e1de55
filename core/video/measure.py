"""What a finished MP4 holds, found by reading all its packets; nothing is decoded."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from junctor.core.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

VIDEO: Final = "h264"
AUDIO: Final = "aac"
AAC_FRAME: Final = 1024
"""Samples in a packet of AAC-LC, whatever the container says."""
_SLACK: Final = 2
"""Such frames by which the times of the sound may differ from what its packets hold: its delay."""
_BROKEN: Final = "The video is cut short or damaged."


@frozen(kw_only=True)
class Measured:
    """A video that was written, by its packets."""

    codecs: tuple[str, ...]
    """Of the picture, of the sound."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    frames: int
    """Of the picture."""
    rate: int
    """Frames per second, on average and to the nearest whole one."""
    seconds: float
    """From the first frame to the end of the last."""
    sound_seconds: float
    """From the first sample that is heard to the last."""
    bytes: int
    """Of the file."""


@define
class _Counted:
    """The packets of one stream that are shown or heard, in its own units of time."""

    unit: Fraction
    """Seconds."""
    packets: int = 0
    start: int | None = None
    end: int = 0

    def take(self, packet: "Packet[Stream]") -> None:
        """
        Count one.

        Raises:
            MediaError: it is damaged, or has no time.

        """
        if packet.is_corrupt or packet.pts is None:
            raise MediaError(_BROKEN)
        if packet.is_discard:  # what an encoder needs to get going
            return
        self.packets += 1
        self.start = packet.pts if self.start is None else min(self.start, packet.pts)
        self.end = max(self.end, packet.pts + (packet.duration or 0))

    @property
    def seconds(self) -> float:
        """From the first to the end of the last."""
        return float((self.end - (self.start or 0)) * self.unit)


def measured(path: Path) -> Measured:
    """
    Read a video through, without decoding it; blocks.

    Raises:
        MediaError: no MP4, damaged, or other than one H.264 and one AAC stream.
        OSError: it cannot be opened.

    """
    import av

    size = path.stat().st_size
    if not size:
        raise MediaError("The video is empty.")
    with path.open("rb") as file:
        try:
            with av.open(file, "r", format="mp4") as container:
                return _read(container, size)
        except av.FFmpegError as exc:
            raise MediaError("The video is not an MP4, or damaged.") from exc


def _read(container: "InputContainer", size: int) -> Measured:
    streams = container.streams
    names = [stream.codec_context.name for stream in (*streams.video, *streams.audio)]
    if names != [VIDEO, AUDIO] or len(streams) != len(names):
        raise MediaError(f"The video has not just one stream of {VIDEO} and one of {AUDIO}.")
    [video], [audio] = streams.video, streams.audio
    pictures, sounds = (
        _Counted(video.time_base or Fraction(0)),
        _Counted(audio.time_base or Fraction(0)),
    )
    for packet in container.demux(video, audio):
        if packet.size:  # the last of each stream is empty: its end
            (pictures if packet.stream_index == video.index else sounds).take(packet)
    _check(pictures, sounds, Fraction(AAC_FRAME, audio.sample_rate))
    return Measured(
        codecs=(VIDEO, AUDIO),
        width=video.codec_context.width,
        height=video.codec_context.height,
        frames=pictures.packets,
        rate=round(pictures.packets / pictures.seconds),
        seconds=pictures.seconds,
        sound_seconds=sounds.seconds,
        bytes=size,
    )


def _check(pictures: _Counted, sounds: _Counted, block: Fraction) -> None:
    """
    Hold the times against the packets; a block is the seconds of sound in one.

    Raises:
        MediaError: nothing is in it, or it lasts longer or shorter than its packets do.

    """
    if pictures.seconds <= 0 or sounds.seconds <= 0:
        raise MediaError(_BROKEN)
    if abs(sounds.packets * block - Fraction(sounds.seconds)) > _SLACK * block:
        raise MediaError("The video's sound does not last as long as it says.")
