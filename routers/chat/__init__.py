"""Chat completions over HTTP, whole and as server-sent events."""

from junctor.routers.chat.controllers import routers

__all__ = ["routers"]
