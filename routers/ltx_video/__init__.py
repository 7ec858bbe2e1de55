"""Image to video as durable jobs."""

from junctor.routers.ltx_video.controllers import routers
from junctor.routers.ltx_video.work import register_jobs

__all__ = ["register_jobs", "routers"]
