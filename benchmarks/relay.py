"""
Relay of a 320 KB multipart upload to a fast upstream on loopback.

    python -m benchmarks.relay [--litellm /path/to/venv/bin/litellm] [--rounds 5] [--seconds 4]

Targets, each alone on its own core: the upstream itself (direct), nginx `proxy_pass`, junctor
with keys, policy, limits and metering on, and the LiteLLM proxy (one worker, from its package)
where its command is given. Upstream and load share the other core. Rounds are interleaved and
medians printed, since the machine's speed drifts; quote the ratios.
"""

import argparse
import shutil
from contextlib import ExitStack

from benchmarks.load import request
from benchmarks.rounds import interleave, report
from benchmarks.targets import (
    Target,
    start_junctor,
    start_litellm,
    start_nginx,
    start_upstream,
)

BODY_BYTES = 320 * 1024
BOUNDARY = "benchmark-boundary"
ANSWER = '{"text":"hello world","usage":{"type":"duration","seconds":10}}'


def upload() -> bytes:
    """Return a multipart body: ten seconds of silence as PCM WAV, 320 KB."""
    import wave
    from io import BytesIO

    sound = BytesIO()
    with wave.open(sound, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(bytes(BODY_BYTES - 44))
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'.encode(),
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode(),
        sound.getvalue(),
        f"\r\n--{BOUNDARY}--\r\n".encode(),
    ]
    return b"".join(parts)


def payload(target: Target) -> bytes:
    """Return the request for a target."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Authorization": f"Bearer {target.key}",
    }
    return request("/v1/audio/transcriptions", upload(), headers)


def start_all(stack: ExitStack, litellm: str | None) -> list[Target]:
    """Start upstream and targets; everything ends with the stack."""
    direct = start_upstream(stack, ANSWER)
    targets = [direct, start_nginx(stack, direct.port), start_junctor(stack, direct.port)]
    if litellm:
        targets.append(start_litellm(stack, direct.port, litellm))
    return targets


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--litellm", default=shutil.which("litellm"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with ExitStack() as stack:
        seen = interleave(
            start_all(stack, options.litellm),
            payload,
            rounds=options.rounds,
            seconds=options.seconds,
            connections=options.connections,
        )
        report(seen)


if __name__ == "__main__":
    main()
