"""The chat contracts' errors: OpenAI's, and 429 where all who could answer are busy."""

from junctor.core.errors import SaturatedError
from junctor.core.faces import ErrorFace, ErrorRow
from junctor.routers.openai.errors import OPENAI_ROWS, envelope

CHAT_ROWS = {**OPENAI_ROWS, SaturatedError: ErrorRow(429, "requests", "saturated")}

CHAT_FACE = ErrorFace(contract="llm", rows=CHAT_ROWS, envelope=envelope)
