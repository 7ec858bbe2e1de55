"""The speech-to-text contract over HTTP and WebSocket."""

from junctor.routers.speech_to_text.controllers import router
from junctor.routers.speech_to_text.jobs import register_jobs

__all__ = ["register_jobs", "router"]
