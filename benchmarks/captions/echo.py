"""
A bare litestar application on uvicorn, as junctor runs it: what a session costs without junctor.

`/echo` sends each message back. `/sink` sends back text only, and so does as little as anybody can
who takes audio.
"""

import sys

import uvicorn
from litestar import Litestar, WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect

Socket = WebSocket[None, None, State]


@websocket("/echo")
async def echo(socket: Socket) -> None:
    """Send all of it back."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return
            if (sound := message.get("bytes")) is not None:
                await socket.send_data(sound, mode="binary")
            elif (said := message.get("text")) is not None:
                await socket.send_data(said, mode="text")
    except WebSocketDisconnect:
        return


@websocket("/sink")
async def sink(socket: Socket) -> None:
    """Send text back."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return
            if (said := message.get("text")) is not None:
                await socket.send_data(said, mode="text")
    except WebSocketDisconnect:
        return


if __name__ == "__main__":
    uvicorn.run(
        Litestar([echo, sink], openapi_config=None),
        port=int(sys.argv[1]),
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_timeout=None,
        log_level="error",
        lifespan="off",
        backlog=2048,
    )
