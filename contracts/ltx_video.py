"""
`/api/ltx23/v1`: image to video as jobs (seed 000).

`POST /videos/generations` takes a prompt and a picture and answers a `request_id`, by which
`GET /videos/{request_id}` tells how far it is and where the MP4 lies. What the seed does not name
is an addition: the list, the cancellation, and fields of answers that clients may ignore.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MODEL = "ltx23-standard"
"""The model where the request names none."""
MAX_PROMPT = 5000
"""Characters."""
MAX_URL = 50 * 1024 * 1024
"""Characters of `image.url`, at most: a data URL of the largest picture fits."""

Status = Literal["queued", "processing", "done", "failed", "canceled"]
Aspect = Literal["16:9", "9:16", "1:1"]
Resolution = Literal["480p", "720p"]

EXPECTED = {
    "model": "a string such as 'ltx23-standard'",
    "prompt": f"a string of 1 to {MAX_PROMPT} characters",
    "image": "an object with the field 'url'",
    "image.url": "a base64 data URL, a path '/uploads/…' of this site, or a public http(s) URL",
    "duration": "an integer from 2 to 10, in seconds",
    "aspect_ratio": "one of '16:9', '9:16', '1:1'",
    "aspectRatio": "one of '16:9', '9:16', '1:1'",
    "resolution": "one of '480p', '720p'",
    "seed": "an integer, -1 for a random one",
}
"""What a field should be, for the sentence of an error."""


class _Object(Struct, frozen=True, kw_only=True):
    """What all Structs of this contract share: frozen, by keyword, unknown fields ignored."""


class Image(_Object, frozen=True, kw_only=True):
    """The picture."""

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL)]


class GenerationRequest(_Object, frozen=True, kw_only=True):
    """Body of `POST /videos/generations`; null is as good as left out."""

    prompt: Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT)]
    image: Image
    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    duration: Annotated[int, Meta(ge=2, le=10)] | None = None
    aspect_ratio: Aspect | None = None
    camel_aspect_ratio: Aspect | None = field(name="aspectRatio", default=None)
    resolution: Resolution | None = None
    seed: int | None = None


class VideoFile(_Object, frozen=True, kw_only=True):
    """The generated MP4."""

    url: str
    """A path of this site."""


class Generation(_Object, frozen=True, kw_only=True, omit_defaults=True):
    """One job: the answer to its submission, and to every question about it."""

    request_id: str
    status: Status
    model: str
    """As it was asked for."""
    video: VideoFile | None = None
    """With `done`, for as long as the file is kept."""
    progress: dict[str, object] | None = None
    """Until it is over: `stage`, `percent`, and whatever else the engine tells."""
    error: str | None = None
    """With `failed`."""


class ListedGeneration(Generation, frozen=True, kw_only=True, omit_defaults=True):
    """One job of a list, with what was asked for."""

    prompt: str
    duration: int
    aspect_ratio: Aspect
    resolution: Resolution
    seed: int
    image_url: str | None = None
    """The picture as it was fitted; a path of this site."""
    created_at: str
    """ISO 8601, UTC."""
    finished_at: str | None = None


class GenerationList(_Object, frozen=True, kw_only=True):
    """Jobs of a team, the newest first."""

    data: tuple[ListedGeneration, ...]
    has_more: bool
    """Whether there are older ones: ask again with `before` set to the last `request_id`."""


class Failed(_Object, frozen=True, kw_only=True, omit_defaults=True):
    """Every error."""

    error: str
    code: str
    param: str | None = None
    request_id: str
    """Of the HTTP request, as in the server's log; not that of a job."""
