"""What `junctor demo` asks of image to video: a job from its submission to its MP4, and refusals."""

import base64
import io
import tempfile
import time
from pathlib import Path

import httpx

from junctor.core.video.measure import measured
from junctor.routers.cli.demo.server import Server
from junctor.routers.cli.demo.steps import Step

API = "/api/ltx23/v1/videos"
OVER = frozenset({"done", "failed", "canceled"})
POLL_SECONDS = 0.2
JOB_SECONDS = 60.0


def _picture() -> str:
    """Return a data URL: a sun over a sea, painted."""
    from PIL import Image, ImageDraw

    picture = Image.linear_gradient("L").resize((640, 360)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 240, 640, 360), fill=(20, 60, 120))
    draw.ellipse((420, 60, 520, 160), fill=(250, 210, 80))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _submitted(server: Server, **fields: object) -> httpx.Response:
    document = {
        "prompt": "A slow zoom towards the sun.",
        "image": {"url": _picture()},
        "duration": 2,
        "resolution": "480p",
        **fields,
    }
    return server.client.post(f"{API}/generations", json=document)


def _over(server: Server, job: str) -> httpx.Response:
    """Poll a job, as the contract's sample does, until it is over."""
    until = time.monotonic() + JOB_SECONDS
    while True:
        answer = server.client.get(f"{API}/{job}").raise_for_status()
        if answer.json()["status"] in OVER or time.monotonic() > until:
            return answer
        time.sleep(POLL_SECONDS)


def _file(server: Server) -> httpx.Response:
    job = _submitted(server, aspectRatio="16:9", seed=7).raise_for_status().json()
    told = _over(server, job["request_id"]).json()
    if told["status"] != "done":
        raise ValueError(str(told))
    return server.client.get(told["video"]["url"])


def _content(answer: httpx.Response) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        path.write_bytes(answer.content)
        found = measured(path)
    return f"{found.width} x {found.height}, {found.frames} frames at {found.rate} a second, sound"


def _canceled(server: Server) -> httpx.Response:
    job = _submitted(server, duration=10, resolution="720p").raise_for_status().json()
    return server.client.post(f"{API}/{job['request_id']}/cancel")


def _of_the_metadata_service(server: Server) -> httpx.Response:
    return _submitted(server, image={"url": "http://169.254.169.254/latest/meta-data/"})


def _status(answer: httpx.Response) -> str:
    return str(answer.json()["status"])


STEPS = (
    Step(
        name="picture to video",
        send=_file,
        text=_content,
        expected="854 x 480, 48 frames at 24 a second",
    ),
    Step(name="video, canceled", send=_canceled, text=_status, expected="canceled"),
    Step(
        name="video of a private address",
        send=_of_the_metadata_service,
        text=lambda answer: str(answer.json()["error"]),
        expected="not on the public internet",
        status=400,
    ),
)
