"""From a body to what a job is asked."""

import json

import pytest

from junctor.core.errors import InvalidRequestError
from junctor.core.video.sizes import MAX_SEED, size_of
from junctor.routers.ltx_video.forms import Asked, idempotency_key, read_generation

LEAST = {"prompt": "zoom in", "image": {"url": "/uploads/x.png"}}


def read(**fields: object) -> Asked:
    return read_generation(json.dumps(LEAST | fields).encode())[1]


def test_defaults() -> None:
    """What is left out is as the contract says; the seed is drawn."""
    asked = read()

    assert ("ltx23-standard", "zoom in", 5) == (asked.model, asked.prompt, asked.duration)
    assert ("16:9", "720p") == (asked.aspect_ratio, asked.resolution)
    assert 0 <= asked.seed <= MAX_SEED


def test_null_is_left_out() -> None:
    """Clients that write null for what they do not set get the defaults."""
    asked = read(model=None, duration=None, aspect_ratio=None, aspectRatio=None, resolution=None)

    assert read(seed=1, duration=5).duration == asked.duration
    assert "720p" == asked.resolution


@pytest.mark.parametrize("name", ["aspect_ratio", "aspectRatio"])
def test_aspect_ratio_by_both_names(name: str) -> None:
    """The camel-case alias is as good."""
    assert "9:16" == read(**{name: "9:16"}).aspect_ratio


def test_names_that_agree_are_one() -> None:
    """Both names with one value are no contradiction."""
    assert "1:1" == read(aspect_ratio="1:1", aspectRatio="1:1").aspect_ratio


@pytest.mark.parametrize(
    ("seed", "taken"), [(0, 0), (7, 7), (MAX_SEED, MAX_SEED), (MAX_SEED + 1, MAX_SEED), (2**62, MAX_SEED)]
)  # fmt: skip
def test_seed_is_clamped(seed: int, taken: int) -> None:
    """A seed that is too large is the largest."""
    assert taken == read(seed=seed).seed


def test_seed_is_drawn() -> None:
    """-1 means a random seed, another one each time."""
    assert 1 < len({read(seed=-1).seed for _ in range(5)})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": "x" * 5001}, "prompt"),
        ({"image": None}, "image"),
        ({"image": {}}, "image.url"),
        ({"image": {"url": ""}}, "image.url"),
        ({"image": {"url": 1}}, "image.url"),
        ({"image": "https://example.com/a.png"}, "image"),
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"duration": 1}, "duration"),
        ({"duration": 11}, "duration"),
        ({"duration": 5.5}, "duration"),
        ({"duration": "5"}, "duration"),
        ({"duration": True}, "duration"),
        ({"aspect_ratio": "4:3"}, "aspect_ratio"),
        ({"aspectRatio": "4:3"}, "aspectRatio"),
        ({"aspect_ratio": "1:1", "aspectRatio": "16:9"}, "aspect_ratio"),
        ({"resolution": "1080p"}, "resolution"),
        ({"seed": "7"}, "seed"),
        ({"seed": 1.5}, "seed"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(fields: dict[str, object], param: str) -> None:
    """Each wrong field is named, and what it should be is said."""
    with pytest.raises(InvalidRequestError) as caught:
        read(**fields)

    assert (param, True) == (caught.value.param, f"'{param}'" in str(caught.value))


@pytest.mark.parametrize("missing", ["prompt", "image"])
def test_missing_fields_are_named(missing: str) -> None:
    """What has to be there and is not is named."""
    body = json.dumps({name: value for name, value in LEAST.items() if name != missing}).encode()
    with pytest.raises(InvalidRequestError, match=missing) as caught:
        read_generation(body)

    assert missing == caught.value.param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_not_the_document(body: bytes) -> None:
    """What is no JSON object is refused, however deep it is."""
    with pytest.raises(InvalidRequestError):
        read_generation(body)


def test_unknown_fields_are_ignored() -> None:
    """A newer client may send more."""
    assert "zoom in" == read(negative_prompt="none", image={"url": "x", "alt": "y"}).prompt


@pytest.mark.parametrize("key", ["x" * 201, "a\tb\x00", "a\x7fb"])
def test_keys_that_are_refused(key: str) -> None:
    """An idempotency key is short and printable."""
    with pytest.raises(InvalidRequestError, match="Idempotency-Key"):
        idempotency_key({"idempotency-key": key})


def test_no_key_is_no_key() -> None:
    """An empty header is none."""
    assert idempotency_key({"idempotency-key": " "}) is idempotency_key({}) is None


@pytest.mark.parametrize(
    ("aspect", "resolution", "size"),
    [
        ("16:9", "720p", (1280, 720)),
        ("9:16", "720p", (720, 1280)),
        ("1:1", "720p", (720, 720)),
        ("16:9", "480p", (854, 480)),
        ("9:16", "480p", (480, 854)),
        ("1:1", "480p", (480, 480)),
    ],
)  # fmt: skip
def test_sizes(aspect: str, resolution: str, size: tuple[int, int]) -> None:
    """The resolution names the shorter side, and every side is even."""
    found = size_of(aspect, resolution)  # type: ignore[arg-type]

    assert size == (found.width, found.height)
