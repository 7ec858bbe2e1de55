"""The chat contracts' errors: OpenAI's, and 429 where all who could answer are busy."""

from junctor.core.errors import BodyTooLargeError, SaturatedError
from junctor.core.faces import ErrorFace, ErrorRow
from junctor.routers.openai.errors import OPENAI_ROWS, envelope

CHAT_ROWS = {
    **OPENAI_ROWS,
    BodyTooLargeError: ErrorRow(413, "invalid_request_error", "request_too_large"),
    SaturatedError: ErrorRow(429, "requests", "saturated"),
}

CHAT_FACE = ErrorFace(contract="llm", rows=CHAT_ROWS, envelope=envelope)
