"""`junctor-tiny-chat`: a Qwen3 of 0.7 million parameters that knows junctor, shipped as data."""

from pathlib import Path

MODEL_ID = "junctor-tiny-chat"

MODEL_DIR = Path(__file__).parent / "model"
"""The folder that `ctranslate2.Generator` loads: weights, vocabulary, tokenizer, chat template."""

TEMPLATE = Path(__file__).parent / "template.jinja"
"""The chat template as it is written; the model folder has a copy in `tokenizer_config.json`."""


def model_path() -> str:
    """Return the shipped model's folder, as `ctranslate2.Generator` wants it."""
    return str(MODEL_DIR)
