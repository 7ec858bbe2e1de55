"""What the worker makes of faster-whisper's results and complaints."""

from typing import Any

import pytest
from faster_whisper.transcribe import Segment as FoundSegment
from faster_whisper.transcribe import Word as FoundWord

from junctor.core.errors import ProviderBusyError, ProviderUnavailableError
from junctor.plugins.local.workers.whisper import placed
from junctor.plugins.local.workers.whisper_guards import check_folder, decoding, loading


def found(start: float, end: float, text: str, *words: FoundWord) -> FoundSegment:
    fields: dict[str, Any] = {"id": 1, "seek": 0, "tokens": [5], "temperature": 0.0}
    return FoundSegment(
        start=start, end=end, text=text, avg_logprob=-0.5, compression_ratio=1.0,
        no_speech_prob=0.1, words=list(words), **fields,
    )  # fmt: skip


def test_segments_move_and_stay_in_order():
    """Times are moved by the offset, never overlap, and end with the stretch."""
    segments = list(placed([found(0, 2.0, " a"), found(1.5, 9.0, " b ")], 10.0, 13.0))

    assert [(10.0, 12.0, "a"), (12.0, 13.0, "b")] == [(s.start, s.end, s.text) for s in segments]


def test_words_are_stripped_and_inside():
    """Words lose their spaces, empty ones are dropped, and none leaves its segment."""
    words = (
        FoundWord(-0.1, 0.4, " a", 1.01),
        FoundWord(0.4, 0.4, " ", 0.5),
        FoundWord(0.3, 5.0, "b", 0.5),
    )
    [segment] = placed([found(0.0, 1.0, "a b", *words)], 2.0, 4.0)

    assert [("a", 2.0, 2.4, 1.0), ("b", 2.4, 3.0, 0.5)] == [
        (word.text, word.start, pytest.approx(word.end), word.confidence) for word in segment.words
    ]


def test_empty_segments_are_dropped():
    """A segment without text is none."""
    assert [] == list(placed([found(0.0, 1.0, "  ")], 0.0, 1.0))


@pytest.mark.parametrize("guard", [loading, decoding])
def test_memory_complaints_are_busy(guard):
    """A device out of memory lets the plan go on to the next candidate."""
    with pytest.raises(ProviderBusyError), guard():
        raise RuntimeError("CUDA failed with error out of memory")


def test_other_complaints_at_loading_say_no_path(capfd):
    """The reason for the caller is general; the native library's words go to the log."""
    with pytest.raises(ProviderUnavailableError) as caught, loading():
        raise RuntimeError("Unable to open file '/secret/model.bin'")

    assert "secret" not in str(caught.value)
    assert "/secret/model.bin" in capfd.readouterr().err


def test_defects_stay_defects():
    """An unexpected error while decoding is not disguised."""
    with pytest.raises(RuntimeError, match="odd"), decoding():
        raise RuntimeError("odd")


def test_folder_lacks_are_named(tmp_path):
    """What is missing is named."""
    (tmp_path / "model.bin").touch()

    with pytest.raises(ProviderUnavailableError, match=r"lacks config.json, tokenizer.json"):
        check_folder(tmp_path)
