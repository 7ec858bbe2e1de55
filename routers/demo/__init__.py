"""Pages that show what the server does, in a browser."""

from junctor.routers.demo.pages import router

__all__ = ["router"]
