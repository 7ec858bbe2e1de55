"""What live captions end with is what the recording says, and what the file way hears."""

import pytest

from benchmarks.caption_accuracy import measure


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_live_and_file_agree():
    """On known sentences nothing is lost by hearing them live, nor by saying many in a row."""
    scores = await measure(10)
    clean = scores["known sentences, new renderings"]
    talks = scores["talks of 5 of them"]
    unseen = scores["unseen sentences, 25 dB"]

    assert (clean.same, clean.count, talks.same, talks.count) == (10, 10, 2, 2)
    assert max(clean.live / clean.letters, talks.live / talks.letters) <= 0.02
    assert unseen.live / unseen.letters <= 0.12
