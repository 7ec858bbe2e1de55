"""
Google: Cloud Speech-to-Text v2 by its REST `recognize`, and Gemini by `generateContent`.

From googleapis/googleapis (`google/cloud/speech/v2`), Google's pages on Chirp 2, Chirp 3 and Gemini
transcription, its guides to thinking, thought signatures and function calling, and the types of
google-genai 3.4; autumn 2026. Speech-to-Text streams over gRPC
only, so there is no live speech here.
"""

from collections.abc import Sequence

from junctor.conf.settings import Settings
from junctor.core.hooks import hookimpl
from junctor.core.plugins import plugin_settings
from junctor.plugins.remote.google.provider import Google
from junctor.plugins.remote.google.settings import NAME, GoogleSettings, checked

__all__ = ("Google", "GoogleSettings", "junctor_providers")


@hookimpl
def junctor_providers(settings: Settings) -> Sequence[Google]:
    """Return one provider of the models whose credentials are there."""
    return [Google(checked(plugin_settings(settings, NAME, GoogleSettings)))]
