"""The OpenAI contract over HTTP: transcriptions, translations, models."""

from junctor.routers.openai.controllers import router

__all__ = ["router"]
