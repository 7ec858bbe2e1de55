"""The speech-to-text contract with curl, unmodified, through a server as it ships."""

import asyncio
import base64
import hashlib
import hmac
import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from tests.clients.recordings import BOOK, CENTER, errors, needed, sentences
from tests.clients.shipped import Server
from tests.clients.site import Site
from tests.media import make_media

PATH = "/speech-to-text/transcribe"

pytestmark = [
    pytest.mark.tools,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="session"),
]


@frozen
class Reply:
    """What curl printed."""

    status: int
    headers: str
    body: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def curl(*arguments: str) -> Reply:
    """Run it, and take its output apart."""
    needed(shutil.which("curl"))
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-i", "-H", "Expect:", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    headers, _, body = out.decode().partition("\r\n\r\n")
    return Reply(int(headers.split()[1]), headers.lower(), body)


async def sample(server: Server, *more: str, audio: Path = CENTER, key: str = "") -> Reply:
    """Run the contract's own sample, and what stands behind it."""
    bearer = ("-H", f"Authorization: Bearer {key or server.key}")
    return await curl("-X", "POST", f"{server.url}{PATH}", *bearer, "-F", f"audio=@{audio}", *more)


def fields(**values: str) -> list[str]:
    """Write form fields as curl takes them."""
    return [part for name, value in values.items() for part in ("-F", f"{name}={value}")]


async def test_the_sample_alone(speech: Server) -> None:
    """It names neither provider nor model, and of the two one is required."""
    reply = await sample(speech)

    assert (reply.status, reply.json["detail"]["param"]) == (400, "provider")
    assert "provider" in reply.json["message"]


async def test_the_sample_with_a_provider(speech: Server) -> None:
    """All fields of the documented answer, of these types."""
    reply = await sample(speech, *fields(provider="sphinx", enable_word_timestamps="true"))
    answer = reply.json

    assert (reply.status, answer["status"]) == (200, "success")
    assert "center" in answer["text"]
    assert f"x-request-id: {answer['request_id']}" in reply.headers
    assert (answer["provider"], answer["model"], answer["accuracy"]) == (
        *("sphinx", "en-us"),
        "medium",
    )
    assert 0 < answer["confidence"] <= 1
    assert {"word", "start", "end"} <= answer["words"][0].keys()
    assert (answer["detected_language"], answer["usage"]["audio_seconds"]) == ("en", 1.428)
    assert answer["usage"]["billed_seconds"] == 2


async def test_every_optional_field(speech: Server) -> None:
    """As the contract's table lists them, all at once; what is echoed is what was sent."""
    policy = {
        "high": {"language_mode": "fixed", "language": "en-IN", "provider_preference": ["sphinx"]},
        "low": {"language_mode": "auto", "allowed_languages": ["en", "hi", "ta"]},
    }
    all_fields = fields(
        provider="sphinx",
        model="en-us",
        language="en",
        language_mode="fixed",
        accuracy="high",
        accuracy_language_policy=json.dumps(policy),
        enable_word_timestamps="true",
        enable_diarization="true",
        enable_pii_redaction="true",
        idempotency_key="0b9c4a52-6f0e-4f4e-9a57-6f3f0a1d9d10",
        metadata='{"session_id": "abc123"}',
        retention_hours="1",
        unique_id="call-7",
    )
    first = await sample(speech, *all_fields)
    again = await sample(speech, *all_fields)
    answer = first.json

    assert (first.status, answer["detected_language"], answer["accuracy"]) == (200, "en-IN", "high")
    assert (answer["metadata"], answer["unique_id"]) == ({"session_id": "abc123"}, "call-7")
    assert answer["warnings"] == ["sphinx:en-us tells no speakers apart."]
    assert (again.body, again.status) == (first.body, 200)
    assert "idempotent-replayed: true" in again.headers


async def test_empty_fields_are_not_given(speech: Server) -> None:
    """A form on a page sends all of its fields, filled in or not."""
    names = ("provider", "language", "language_mode", "accuracy_language_policy", "callback_url")
    empty = fields(**dict.fromkeys((*names, "idempotency_key", "metadata", "unique_id"), ""))
    reply = await sample(speech, *fields(model="sphinx:en-us"), *empty)

    assert (reply.status, reply.json["model"], reply.json["accuracy"]) == (200, "en-us", "medium")


@pytest.mark.parametrize("extension", ["mp3", "m4a", "flac"])
async def test_formats(extension: str, speech: Server, tmp_path: Path) -> None:
    """Besides WAV, the three that the contract names."""
    with wave.open(str(CENTER)) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        samples = (heard / 32_768).astype(np.float32)
    audio = tmp_path / f"center.{extension}"
    audio.write_bytes(make_media(extension, rate=file.getframerate(), samples=samples))
    reply = await sample(speech, *fields(provider="sphinx"), audio=audio)

    assert (reply.status, "center" in reply.json["text"]) == (200, True)
    assert reply.json["usage"]["audio_seconds"] == pytest.approx(1.43, abs=0.1)


async def test_events(speech: Server) -> None:
    """`curl -N` prints them as they come, each finished by a blank line."""
    accept = ("-N", "-H", "Accept: text/event-stream")
    reply = await sample(speech, *accept, *fields(provider="sphinx"))
    events = [event.split("\n") for event in reply.body.split("\n\n") if event.strip()]
    data = [json.loads(event[1].removeprefix("data: ")) for event in events]

    assert "content-type: text/event-stream" in reply.headers
    assert [event[0] for event in events[-2:]] == [
        "event: transcript.delta",
        "event: transcript.done",
    ]
    assert "".join(one["text"] for one in data[:-1]) == data[-1]["text"]
    assert "center" in data[-1]["text"]


async def test_a_token(speech: Server) -> None:
    """One that `junctor tokens issue` prints opens what a key opens."""
    reply = await sample(speech, *fields(provider="sphinx"), key=await speech.token())

    assert (reply.status, "center" in reply.json["text"]) == (200, True)


async def test_a_bad_token(speech: Server) -> None:
    """One whose claims were changed behind its signature is refused in the documented shape."""
    head, _, seal = (await speech.token()).split(".")
    claims = base64.urlsafe_b64encode(b'{"team": "rich", "exp": 1e11}').decode().rstrip("=")
    forged = f"{head}.{claims}.{seal}"
    reply = await sample(speech, *fields(provider="sphinx"), key=forged)

    assert reply.status == 401
    assert reply.json.keys() == {"detail", "message"}
    assert reply.json["detail"]["code"] == "unauthorized"


async def test_a_job_and_its_callback(speech: Server, site: Site) -> None:
    """Accepted at once, told when it is done, with a signature that the receiver checks."""
    url = f"{site.url}/inbox/callback"
    reply = await sample(
        speech, *fields(provider="sphinx", callback_url=url, metadata='{"session_id": "a"}')
    )
    told = await site.posted("callback")
    signed = told.headers["X-Junctor-Timestamp"].encode() + b"." + told.body
    seal = hmac.new(b"told-to-the-receiver", signed, hashlib.sha256).hexdigest()
    callback = json.loads(told.body)

    assert (reply.status, reply.json["status"]) == (202, "accepted")
    assert told.headers["X-Junctor-Signature"] == f"v1={seal}"
    assert told.headers["X-Junctor-Event"] == "transcription.completed"
    assert (callback["job_id"], callback["status"]) == (reply.json["job_id"], "done")
    assert (callback["metadata"], callback["request_id"]) == (
        {"session_id": "a"},
        reply.json["request_id"],
    )
    assert "center" in callback["result"]["text"]


async def test_a_job_is_shown(speech: Server, site: Site) -> None:
    """Where the answer to the submission says, with the answer."""
    url = f"{site.url}/inbox/shown"
    reply = await sample(speech, *fields(provider="sphinx", callback_url=url))
    await site.posted("shown")
    bearer = ("-H", f"Authorization: Bearer {speech.key}")
    shown = await curl(f"{speech.url}{reply.json['status_url']}", *bearer)

    assert (shown.json["status"], "center" in shown.json["result"]["text"]) == ("done", True)


async def test_a_callback_to_a_forbidden_address(speech: Server) -> None:
    """This deployment allows loopback; the address of clouds' metadata stays forbidden."""
    url = "http://169.254.169.254/latest/meta-data"
    reply = await sample(speech, *fields(provider="sphinx", callback_url=url))

    assert (reply.status, reply.json["detail"]["param"]) == (400, "callback_url")


async def test_a_novel_is_written_down(speech: Server) -> None:
    """Five sentences read by a human, within what the engine's card promises."""
    needed(BOOK)
    wrong = total = 0
    for path, said in sentences().items():
        reply = await sample(speech, *fields(provider="sphinx"), audio=path)
        wrong += errors(said, reply.json["text"].lower().split())
        total += len(said)

    assert total == 71
    assert wrong / total < 0.4
