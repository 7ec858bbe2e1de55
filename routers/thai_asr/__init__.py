"""Live Thai captions over HTTP and WebSocket."""

from junctor.routers.thai_asr.controllers import routers

__all__ = ["routers"]
