"""The speech-to-text contract over HTTP and WebSocket."""

from junctor.routers.speech_to_text.controllers import router

__all__ = ["router"]
