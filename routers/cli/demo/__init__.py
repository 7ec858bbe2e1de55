"""
`junctor demo`: a real server, real speech, and a provider that fails on purpose.

It starts a server of its own on a free port with a temporary data folder, speaks sentences with
eSpeak NG, sends them through every contract, and prints what came back and from whom. A contract
that comes later adds a module with its `STEPS`.
"""

from junctor.routers.cli.demo import chat, speech, thai_asr, video
from junctor.routers.cli.demo.server import running
from junctor.routers.cli.demo.steps import Row, row_of

__all__ = ["Row", "run"]

STEPS = (*speech.STEPS, *thai_asr.STEPS, *chat.STEPS, *video.STEPS)


def run() -> list[Row]:
    """
    Run the demo; a row for each step, bad ones too.

    Raises:
        NotConfiguredError: the extra `espeak` is not installed.
        JunctorError: the server did not start.

    """
    with running() as server:
        return [row_of(step, server) for step in STEPS]
