"""Another junctor as its contract describes it: jobs under `/api/ltx23/v1`, files under `/uploads`."""

import asyncio
import base64
import binascii
import io
import json
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from aiohttp import web
from attrs import define

from junctor.core.video.mp4 import Mp4Writer
from junctor.core.video.sizes import RATE
from tests.fakes.vendors.base import Refusal, VendorFake

MODELS = {
    "ltx23-standard",
    "ltx23-standard-fast",
    "ltx23-standard-quality",
    "ltx23-standard-full",
    "ltx23-standard-distilled",
    "ltx23",
    "ltx-2.3",
}
FIELDS = {"model", "prompt", "image", "duration", "aspect_ratio", "resolution", "seed"}
SIZES = {
    ("16:9", "720p"): (1280, 720),
    ("16:9", "480p"): (854, 480),
    ("9:16", "720p"): (720, 1280),
    ("9:16", "480p"): (480, 854),
    ("1:1", "720p"): (720, 720),
    ("1:1", "480p"): (480, 480),
}
VIDEOS = "/api/ltx23/v1/videos"
UPLOADS = "/uploads/generations/ltx23"


def complaint(code: str) -> bytes:
    return json.dumps({"error": f"LEAK {code}", "code": code, "request_id": "LEAK"}).encode()


@lru_cache(maxsize=4)
def film(width: int, height: int, seconds: int) -> bytes:
    """Return an MP4 of grey, without a sound."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with Mp4Writer(path, width=width, height=height, rate=RATE, threads=1) as video:
            for _ in range(seconds * RATE):
                video.frame(np.full((height, width, 3), 128, np.uint8))
        return path.read_bytes()


@define
class Job:
    """A job under way."""

    wish: dict[str, object]
    polls: int = 0
    status: str = "queued"

    @property
    def is_over(self) -> bool:
        return self.status in {"done", "failed", "canceled"}


class JunctorFake(VendorFake):
    """`jobs` are all that were submitted; `end` is how they end, `link` how files are named."""

    VENDOR: ClassVar[str] = "junctor"
    MODEL: ClassVar[str] = "ltx23-standard"
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "rate-limited": Refusal(
            status=429, body=complaint("rate_limited"), headers={"Retry-After": "7"}
        ),
        "soon": Refusal(
            status=429, body=complaint("rate_limited"), headers={"Retry-After": "0.01"}
        ),
        "error": Refusal(status=500, body=complaint("internal_error")),
        "unavailable": Refusal(status=503, body=b""),
        "gateway": Refusal(status=502, body=complaint("upstream_unavailable")),
        "unauthorized": Refusal(status=401, body=complaint("unauthorized")),
        "forbidden": Refusal(status=403, body=complaint("forbidden")),
        "missing": Refusal(status=404, body=complaint("not_found")),
        "quota": Refusal(status=429, body=complaint("quota_exceeded")),
        "payment": Refusal(status=402, body=complaint("insufficient_balance")),
        "locale": Refusal(status=400, body=complaint("invalid_request")),
    }

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, str] = {}
        """Job by idempotency key."""
        self.cancelled: list[str] = []
        """Jobs that were asked to be cancelled, in order."""
        self.queued = 1
        """Questions that are answered with `queued`."""
        self.progress: list[object] = [
            {"stage": "starting", "percent": 0},
            {"engine": "ltx", "model": "standard", "stage": "generating", "percent": 40, "step": 3, "steps": 8},
        ]  # fmt: skip
        """What jobs tell while they are done, one of it for each question."""
        self.end = "done"
        """How jobs end; `processing`: they do not."""
        self.link = f"{UPLOADS}/{{name}}"
        """How the file of a job is named."""

    def settings_table(self) -> dict[str, object]:
        """Return the table that points the plugin at this server."""
        return {"api_key": self.KEY, "base_url": self.url, "poll_interval": 0.01, "outage": 0.1}

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post(f"{VIDEOS}/generations", self._create),
            web.get(f"{VIDEOS}/{{id}}", self._get),
            web.post(f"{VIDEOS}/{{id}}/cancel", self._cancel),
            web.get(f"{UPLOADS}/{{name}}", self._file),
        ]

    @property
    def running(self) -> int:
        """Jobs that are not over."""
        return sum(not job.is_over for job in self.jobs.values())

    def _is_known(self, request: web.Request) -> bool:
        return self.check(request.headers.get("x-api-key") == self.KEY, "wrong or missing key")

    def _refused(self, name: str) -> web.Response:
        refusal = self.refusals[name]
        return web.Response(status=refusal.status, body=refusal.body)

    async def _create(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        is_json = request.content_type == "application/json"
        wish = await request.json()
        if not self.check(is_json and is_documented(wish), f"undocumented wish {wish}"[:200]):
            return self._refused("locale")
        key = request.headers.get("Idempotency-Key", "")
        known = self.keys.get(key)
        if known is not None and not self.check(
            self.jobs[known].wish == wish, "a key for two requests"
        ):
            return self._refused("locale")
        if known is None:
            known = str(uuid4())
            self.jobs[known] = Job(wish)
        if key:
            self.keys[key] = known
        self.changed()
        return web.json_response({"request_id": known, "status": "queued", "model": wish["model"]})

    async def _get(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        name = request.match_info["id"]
        job = self.jobs.get(name)
        if job is None:
            return self._refused("missing")
        answer: dict[str, object] = {"request_id": name, "model": job.wish["model"]}
        if not job.is_over:
            job.polls += 1
            place = job.polls - 1 - self.queued
            job.status = "queued" if place < 0 else "processing"
            if 0 <= place < len(self.progress):
                answer["progress"] = self.progress[place]
            elif place >= 0:
                job.status = self.end
            self.changed()
        if job.status == "done":
            answer["video"] = {"url": self.link.format(name=f"ltx23_av_20261121_{name}.mp4")}
        if job.status == "failed":
            answer["error"] = "LEAK Remote image-to-video failed"
        return web.json_response({**answer, "status": job.status})

    async def _cancel(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return self._refused("unauthorized")
        name = request.match_info["id"]
        job = self.jobs.get(name)
        if job is None:
            return self._refused("missing")
        self.cancelled.append(name)
        job.status = job.status if job.is_over else "canceled"
        self.changed()
        return web.json_response({"request_id": name, "status": job.status})

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"].removesuffix(".mp4").rpartition("_")[2]
        job = self.jobs.get(name)
        if job is None:
            return self._refused("missing")
        body = await asyncio.to_thread(film_of, job.wish)
        return web.Response(body=body, content_type="video/mp4")


def film_of(wish: dict[str, object]) -> bytes:
    """Return the video that a wish asks for."""
    width, height = SIZES[str(wish["aspect_ratio"]), str(wish["resolution"])]
    return film(width, height, int(str(wish["duration"])))


def is_documented(wish: dict[str, object]) -> bool:
    """Say whether the contract takes this, the picture in its exact size included."""
    size = SIZES.get((str(wish.get("aspect_ratio")), str(wish.get("resolution"))))
    duration, seed, prompt = wish.get("duration"), wish.get("seed"), wish.get("prompt")
    return (
        set(wish) == FIELDS
        and wish["model"] in MODELS
        and isinstance(prompt, str)
        and bool(prompt.strip())
        and isinstance(duration, int)
        and 2 <= duration <= 10
        and isinstance(seed, int)
        and size is not None
        and size_of(wish["image"]) == size
    )


def size_of(image: object) -> tuple[int, int] | None:
    """Return width and height of the PNG in a data URL; None for anything else."""
    import av

    url = image.get("url") if isinstance(image, dict) and set(image) == {"url"} else None
    head, _, data = str(url).partition(",")
    try:
        picture = base64.b64decode(data, validate=True)
        with av.open(io.BytesIO(picture), "r") as file:
            frame = next(file.decode(video=0))
    except (binascii.Error, av.FFmpegError, ValueError, IndexError, StopIteration):
        return None
    is_png = head == "data:image/png;base64" and picture.startswith(b"\x89PNG")
    return (frame.width, frame.height) if is_png else None
