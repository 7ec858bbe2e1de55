"""What clients of Thai captions may say, and what they are told when it makes no sense."""

import json
from typing import Any

import msgspec
import pytest

from junctor.contracts.thai_asr import EXPECTED, SessionConfig
from junctor.core.errors import InvalidRequestError
from junctor.routers.thai_asr.messages import (
    DEFAULT_CONFIG,
    Complaint,
    audio_in,
    checked,
    config_of,
    config_of_body,
    said_in,
)

RANGES = {
    "sample_rate": (8_000, 48_000),
    "frame_ms": (10, 200),
    "partial_interval_ms": (20, 1_000),
    "min_decode_audio_ms": (100, 5_000),
    "decode_window_ms": (200, 15_000),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_in_it(name: str) -> None:
    """And one step further is not; the field is named, with what it takes."""
    least, most = RANGES[name]
    for value in (least, most):
        assert getattr(config_of({name: value}, DEFAULT_CONFIG), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(InvalidRequestError, match=f"{value}.*{least} to {most}") as caught:
            config_of({name: value}, DEFAULT_CONFIG)

        assert caught.value.param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", "16000"),
        ("sample_rate", True),
        ("sample_rate", 16000.0),
        ("frame_ms", [20]),
        ("vad", 1),
        ("vad", "true"),
        ("benchmark_label", 7),
        ("benchmark_label", "x" * 201),
    ],
)
def test_types_are_strict(name: str, value: Any) -> None:
    """A client that sends another type has a defect, and hears of it."""
    with pytest.raises(InvalidRequestError, match=EXPECTED[name].split("(")[0]) as caught:
        config_of({name: value}, DEFAULT_CONFIG)

    assert caught.value.param == name


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"sample_rate": null, "color": 3}'])
def test_what_is_not_given_is_the_default(body: bytes) -> None:
    """As the seed has it; null is not given, and unknown fields are ignored."""
    defaults = {
        "sample_rate": 16_000,
        "frame_ms": 20,
        "partial_interval_ms": 40,
        "min_decode_audio_ms": 240,
        "decode_window_ms": 1_600,
        "vad": True,
        "benchmark_label": None,
    }

    assert msgspec.structs.asdict(config_of_body(body)) == defaults


def test_start_goes_over_the_session() -> None:
    """Field by field."""
    base = SessionConfig(sample_rate=8_000, benchmark_label="mine")
    config = config_of({"sample_rate": 48_000, "vad": False}, base)

    assert config == SessionConfig(sample_rate=48_000, vad=False, benchmark_label="mine")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"7", b"null", b"\xff", b'{"a": 1} x', b" " * 70_000, b"[" * 60_000]
)
def test_bodies_that_are_no_config(body: bytes) -> None:
    """No field is at fault, all of it is."""
    with pytest.raises(InvalidRequestError) as caught:
        config_of_body(body)

    assert caught.value.param is None


@pytest.mark.parametrize(
    "text",
    ["", "end", "{", "[]", '"end"', "{}", '{"type": 3}', '{"type": null}', '{"type": "\ud800"}'],
)
def test_texts_that_are_no_message(text: str) -> None:
    """Not JSON, no object, or no type."""
    found = said_in(text)

    assert isinstance(found, Complaint)
    assert found.code == "invalid_json"


@pytest.mark.parametrize(
    "value", ["%%", "AAA", "AA=A", "AAAA\n", 7, None, ["AAAA"]], ids=json.dumps
)
def test_audio_that_is_no_base64(value: Any) -> None:
    """Nothing is guessed."""
    said = said_in(json.dumps({"type": "audio", "audio_b64": value}))
    assert not isinstance(said, Complaint)
    found = audio_in(said)

    assert isinstance(found, Complaint)
    assert (found.code, found.param) == ("invalid_audio", "audio_b64")


WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "


@pytest.mark.parametrize(
    ("pcm", "is_first", "code"),
    [
        (bytes(3), True, "odd_length"),
        (WAV, True, "wav_header"),
        (WAV + b"0", True, "wav_header"),
        (WAV, False, None),
        (b"RIFF" + bytes(8), True, None),
        (bytes(1024 * 1024), True, None),
        (bytes(1024 * 1024 + 2), True, "too_large"),
        (b"", True, None),
    ],
)
def test_audio_is_checked(pcm: bytes, is_first: bool, code: str | None) -> None:
    """Samples that look like a header are samples, in the middle of an utterance."""
    found = checked(pcm, is_first=is_first)

    assert (found.code if isinstance(found, Complaint) else None) == code
