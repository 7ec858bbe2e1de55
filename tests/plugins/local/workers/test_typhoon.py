"""Tokens become words, and windows are put together so that little is padded."""

import pytest

from junctor.core.audio.pcm import SAMPLE_BYTES
from junctor.core.engine.worker import Job, JobCancelled
from junctor.core.errors import ProviderUnavailableError
from junctor.plugins.local.workers.typhoon import (
    Token,
    TyphoonArgs,
    TyphoonOptions,
    TyphoonWorker,
    WindowArgs,
    alike,
    cut,
    spell,
)
from tests.plugins.local.nemo import build

STEP = 0.08


def spelled(*tokens: tuple[str, float], end: float = 10.0) -> list[tuple[str, str, float, float]]:
    found = spell([Token(text, at, -0.5) for text, at in tokens], step=STEP, end=end)
    return [(one.piece, one.word.text, one.word.start, one.word.end) for one in found]


def test_spaces_begin_words():
    """A token with a space begins a word; of other scripts the others belong to the one before."""
    found = spelled((" good", 0.0), ("bye", 0.16), (" world", 0.4))

    assert [("goodbye", "goodbye", 0.0, 0.4), (" world", "world", 0.4, 0.4 + STEP)] == found


def test_thai_has_no_spaces_to_wait_for():
    """Each token of Thai stands for a word, unless it begins with what belongs to the letter before."""
    found = spelled((" สวัส", 0.0), ("ดี", 0.16), ("ค", 0.24), ("รั", 0.32), ("\u0e34บ", 0.4))

    assert ["สวัส", "ดี", "ค", "รั\u0e34บ"] == [piece for piece, *_ in found]


def test_first_token_needs_no_space():
    """What comes first is a word, marked or not."""
    assert ["ดี", " ครับ"] == [piece for piece, *_ in spelled(("ดี", 0.0), (" ครับ", 0.4))]


def test_space_alone_is_the_next_ones():
    """A space that is a token of its own begins the word that follows."""
    assert ["ก", " ข"] == [piece for piece, *_ in spelled(("ก", 0.0), (" ", 0.1), ("ข", 0.2))]


def test_space_at_the_end_is_dropped():
    """Space before nothing is no word."""
    assert [("ก", "ก", 0.0, 0.1)] == spelled(("ก", 0.0), (" ", 0.1))


def test_no_word_beyond_the_end():
    """The last token lasts a step, but not longer than the audio."""
    assert [("ก", "ก", 0.9, 0.95)] == spelled(("ก", 0.9), end=0.95)


def test_nothing_is_nothing():
    """Without tokens there are no words."""
    assert [] == spelled()


def test_confidence_is_the_geometric_mean():
    """A word is as sure as its tokens are on the average of their logarithms."""
    [found] = spell([Token("ก", 0.0, -1.0), Token("า", 0.1, -3.0)], step=STEP, end=1.0)

    assert pytest.approx(0.1353, abs=1e-4) == found.word.confidence


def test_windows_of_like_length_go_together():
    """None is padded to more than twice its length, and empty ones are not decoded."""
    assert [[2], [0, 3], [4]] == alike([50, 0, 101, 25, 3])


def test_windows_are_cut_apart():
    """Each window gets its own samples; silent and very short ones get none."""
    loud = b"\x00\x40" * 1600
    sounds = cut(loud + bytes(3200) + loud[:100] + loud * 2, [1600, 1600, 50, 3200])

    assert [1600, 0, 0, 3200] == [len(sound) for sound in sounds]
    assert 0.5 == sounds[3][-1]


def test_cancelled_windows_are_not_decoded(tmp_path):
    """A job that nobody waits for ends before the next group."""
    worker = TyphoonWorker(TyphoonOptions(path=str(build(tmp_path))))
    pcm = b"\x00\x40" * 16_000
    job = Job(TyphoonArgs(windows=(WindowArgs(samples=len(pcm) // SAMPLE_BYTES),)), bytearray(pcm))
    job.cancel()

    with pytest.raises(JobCancelled):
        list(worker.run(job))


@pytest.mark.parametrize("metadata", [{"pred_hidden": "5"}, {"pred_rnn_layers": "3"}])
def test_networks_that_do_not_fit_are_damaged(tmp_path, metadata):
    """What only a decode brings to light is brought to light while loading."""
    folder = build(tmp_path, metadata=metadata)

    with pytest.raises(ProviderUnavailableError, match="cannot be loaded"):
        TyphoonWorker(TyphoonOptions(path=str(folder)))


@pytest.mark.parametrize("network", ["decoder.onnx", "joiner.onnx"])
def test_damaged_networks_are_unavailable(tmp_path, capfd, network):
    """Where the file lies is for the log only."""
    folder = build(tmp_path)
    (folder / network).write_bytes(b"garbage" * 100)
    with pytest.raises(ProviderUnavailableError) as caught:
        TyphoonWorker(TyphoonOptions(path=str(folder)))

    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in capfd.readouterr().err
