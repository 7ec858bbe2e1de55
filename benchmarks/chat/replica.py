"""
A model server for the chaos run, as the plugin vllm starts it: its flags and paths, made-up answers.

A stream is that of the benchmarks' upstream; a whole answer takes its time, so that a kill finds
some under way.
"""

import asyncio
import json
from argparse import ArgumentParser

import uvloop

from benchmarks.chat.upstream import ANSWER, Connection

WORK = 0.2
"""Seconds that a whole answer takes."""


class Replica(Connection):
    """One connection of a gateway; `model` is the one that is listed."""

    model = ""

    def on_message_complete(self) -> None:
        """Answer."""
        if self._url == b"/v1/models":
            self._answer(json.dumps({"object": "list", "data": [{"id": self.model}]}))
            self._url = b""
        else:
            super().on_message_complete()

    def _answer(self, text: str) -> None:
        if text is ANSWER:
            self._loop.call_later(WORK, super()._answer, text)
        else:
            super()._answer(text)


async def serve(host: str, port: int) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Replica({}), host, port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Obey the flags that matter here."""
    parser = ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--served-model-name", required=True)
    given, _ = parser.parse_known_args()
    Replica.model = given.served_model_name
    uvloop.run(serve(given.host, given.port))


if __name__ == "__main__":
    main()
