"""From a trained network to the folder that `ctranslate2.Generator` loads."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from junctor.plugins.local.tiny_chat import TEMPLATE
from junctor.plugins.local.tiny_chat.tokenizer import END, END_OF_TEXT, START

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_COPIED = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def pretrained_tokenizer(tokenizer: "Tokenizer") -> PreTrainedTokenizerFast:
    """Return `tokenizer` as Hugging Face writes and reads it, with the chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE.read_text()
    return wrapped


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `model` as Hugging Face does, with the template in the tokenizer's file."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def export(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write `model` to the folder `out` as CTranslate2 int8, with all that a chat needs."""
    from ctranslate2.converters import TransformersConverter

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        save(model, tokenizer, source)
        converter = TransformersConverter(str(source), copy_files=list(_COPIED))
        converter.convert(str(target), quantization="int8")
        for file in target.iterdir():
            shutil.copyfile(file, out / file.name)
