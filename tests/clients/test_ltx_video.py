"""The contract's own samples of image to video as they stand, host and key exchanged."""

import ast
import asyncio
import json
import shutil
import sys
from pathlib import Path
from urllib.parse import urljoin

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.clients.recordings import needed
from tests.clients.shipped import Server
from tests.core.video.pictures import frames, probe, scene, similarity
from tests.routers.ltx_video.house import data_url

HOST, KEY = "https://video.example.com", "YOUR_API_KEY"
SUBMIT = f"""curl -sS \\
-X POST \\
-H "Content-Type: application/json" \\
-H "x-api-key: {KEY}" \\
-d '{{
"model": "ltx23-standard",
"prompt": "A cinematic product shot with gentle camera motion.",
"image": {{
"url": "https://example.com/input.png"
}},
"duration": 5,
"aspect_ratio": "16:9",
"resolution": "720p",
"seed": -1
}}' \\
"{HOST}/api/ltx23/v1/videos/generations"
"""
POLLING = f"""# pip install requests
import base64
import mimetypes
import time
from pathlib import Path
import requests
API_KEY = "{KEY}"
BASE_URL = "{HOST}/api/ltx23/v1"
image_path = Path("input.png")
mime_type = mimetypes.guess_type(image_path.name)[0] or "image/png"
image_data_url = (
f"data:{{mime_type}};base64,"
+ base64.b64encode(image_path.read_bytes()).decode("ascii")
)
start = requests.post(
f"{{BASE_URL}}/videos/generations",
headers={{"x-api-key": API_KEY}},
json={{
"model": "ltx23-standard",
"prompt": "A cinematic product shot with gentle camera motion.",
"image": {{"url": image_data_url}},
"duration": 5,
"aspect_ratio": "16:9",
"resolution": "720p",
"seed": -1,
}},
timeout=180,
)
start.raise_for_status()
request_id = start.json()["request_id"]
while True:
    status = requests.get(f"{{BASE_URL}}/videos/{{request_id}}", headers={{"x-api-key": API_KEY}}, timeout=60)
    status.raise_for_status()
    payload = status.json()
    if payload["status"] in {{"done", "failed", "canceled"}}:
        break
    time.sleep(5)
print(payload)
"""

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.asyncio(loop_scope="session"),
]


async def run(server: Server, sample: str, *command: str, folder: Path) -> str:
    """Run a sample with this command, which takes it as its last argument."""
    text = sample.replace(HOST, server.url).replace(KEY, server.key)
    process = await asyncio.create_subprocess_exec(
        *(*command, text),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_polling(speech: Server, tmp_path: Path) -> None:
    """A video of the asked length, size and rate in the asked codecs; it begins with the picture."""
    needed(shutil.which("ffprobe"))
    picture = scene(1280, 720)
    Image.fromarray(picture).save(tmp_path / "input.png")
    payload = ast.literal_eval(await run(speech, POLLING, sys.executable, "-c", folder=tmp_path))
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(urljoin(speech.url, payload["video"]["url"]))
    path = tmp_path / "video.mp4"
    path.write_bytes(answer.content)
    told = probe(path)

    assert {"request_id", "status", "model", "video"} == payload.keys()
    assert ("h264", "aac") == (told["video"]["codec_name"], told["audio"]["codec_name"])
    assert (1280, 720) == (told["video"]["width"], told["video"]["height"])
    assert ("24/1", "120") == (told["video"]["r_frame_rate"], told["video"]["nb_read_packets"])
    assert 5.0 == pytest.approx(float(told["format"]["duration"]), abs=0.03)
    assert similarity(np.asarray(picture), frames(path)[0]) > 0.98


async def test_submission_with_curl(speech: Server, tmp_path: Path) -> None:
    """
    The documented answer to a submission.

    The sample names a picture on the internet, which no test asks: it comes as a data URL here.
    """
    needed(shutil.which("curl"))
    sample = SUBMIT.replace("https://example.com/input.png", data_url())
    told = json.loads(await run(speech, sample, "sh", "-c", folder=tmp_path))

    assert {"request_id", "status", "model"} == told.keys()
    assert ("queued", "ltx23-standard") == (told["status"], told["model"])
